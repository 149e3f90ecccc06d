/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory that goes back to the host while the guest runs. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "vmm/core/guest-memory-internal.h"

/* Of a range inside the mapping, from @offset on, the pages that lie in it wholly. */
static bool
discard (VmmGuestMemory *memory, uint64_t offset, uint64_t len, uint64_t *given)
{
    uint64_t first = (offset + memory->granule - 1) & ~(memory->granule - 1);
    uint64_t end = (offset + len) & ~(memory->granule - 1);

    if (first >= end)
        return true;
    /* A private mapping of a file has pages of its own, and below them the file's. */
    if (!memory->shared && madvise (memory->base + first, end - first, MADV_DONTNEED) != 0)
        return false;
    if (memory->fd >= 0 && fallocate (memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)first,
                                      (off_t)(end - first)) != 0)
        return false;
    *given += end - first;
    return true;
}

/**
 * vmm_guest_memory_discard:
 * @gpa: first address
 * @len: bytes
 * @ret_given: (out): how many bytes went back
 *
 * Gives the memory back to the host. What is touched again reads as zeros, and is taken from the host anew.
 * Of a page of the host's, which may be a huge one, that is not wholly in the range nothing is given back.
 *
 * Returns: false when any byte of the range is not RAM, with nothing done, or when the host refuses, with
 * errno set
 */
bool
vmm_guest_memory_discard (VmmGuestMemory *memory, uint64_t gpa, uint64_t len, uint64_t *ret_given)
{
    bool ok = true;

    *ret_given = 0;
    errno = EFAULT;

    if (!vmm_guest_memory_contains (memory, gpa, len))
        return false;
    for (size_t i = 0; i < memory->n_regions; i++) {
        const VmmMemRegion *r = &memory->regions[i];
        uint64_t first = MAX (gpa, r->gpa);
        uint64_t end = MIN (gpa + len, r->gpa + r->size);

        if (first < end)
            ok = discard (memory, r->fd_offset + (first - r->gpa), end - first, ret_given) && ok;
    }
    return ok;
}

/**
 * vmm_guest_memory_discard_mapped:
 * @run: bytes of the memory, where vmm_guest_memory_map() says that they are
 * @ret_given: (out): how many bytes went back
 *
 * Returns: see vmm_guest_memory_discard()
 */
bool
vmm_guest_memory_discard_mapped (VmmGuestMemory *memory, const struct iovec *run, uint64_t *ret_given)
{
    uint64_t offset = (uintptr_t)run->iov_base - (uintptr_t)memory->base;

    *ret_given = 0;
    errno = EFAULT;
    /* What is below the base wraps, and so is beyond the end. */
    if (offset > memory->size || run->iov_len > memory->size - offset)
        return false;
    return discard (memory, offset, run->iov_len, ret_given);
}
