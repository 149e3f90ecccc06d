/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Guest RAM is one mapping of the host, cut into regions by guest-physical address: region after region in
 * the mapping (and in the memfd, where there is one), however far apart they are for the guest. The functions
 * here are the only way from a gpa to bytes. Each checks that the whole range is RAM before it touches any of
 * it, so an address from a guest can be handed in as it came.
 *
 * Pages come from the host on first touch. Anonymous memory asks for transparent huge pages, which spares a
 * guest most of its EPT faults, but not in the first 2 MiB: a machine that runs a few instructions there and
 * ends should not wait for 2 MiB to be cleared.
 */
#include "vmm/core/guest-memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/core/bytes.h"
#include "vmm/core/guest-memory-internal.h"
#include "vmm/error.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

#define HUGE_PAGE (2u << 20)

static bool
check_ranges (const VmmMemRange *ranges, size_t n_ranges, uint64_t granule, uint64_t *ret_total,
              GError **error)
{
    uint64_t total = 0;
    uint64_t end = 0;

    for (size_t i = 0; i < n_ranges; i++) {
        const VmmMemRange *r = &ranges[i];

        if (r->size == 0 || r->gpa < end || r->gpa + r->size < r->gpa || r->gpa % VMM_GUEST_PAGE_SIZE != 0 ||
            r->size % VMM_GUEST_PAGE_SIZE != 0 || total + r->size < total) {
            g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                         "guest memory: range %zu is empty, out of order or not whole pages", i);
            return false;
        }
        if (r->size % granule != 0) {
            g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                         "guest memory: %" G_GUINT64_FORMAT " KiB at 0x%" G_GINT64_MODIFIER
                         "x is not whole huge pages of %" G_GUINT64_FORMAT " KiB: choose a --mem that is",
                         r->size >> 10, r->gpa, granule >> 10);
            return false;
        }
        end = r->gpa + r->size;
        total += r->size;
    }
    *ret_total = total;
    return true;
}

static int
open_memfd (const VmmMemBacking *backing, uint64_t size, GError **error)
{
    unsigned flags = MFD_CLOEXEC;
    int fd;

    if (backing->kind == VMM_MEM_BACKING_HUGETLB)
        flags |= MFD_HUGETLB | (unsigned)__builtin_ctzll (backing->page_size) << MFD_HUGE_SHIFT;
    fd = memfd_create ("vmm-guest-memory", flags);
    if (fd < 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "guest memory: cannot make a memfd with pages of %" G_GUINT64_FORMAT " KiB: %s",
                     backing->kind == VMM_MEM_BACKING_HUGETLB ? backing->page_size >> 10 : 4,
                     g_strerror (errno));
        return -1;
    }
    if (ftruncate (fd, (off_t)size) < 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "guest memory: cannot size the memfd to %" G_GUINT64_FORMAT " MiB: %s", size >> 20,
                     g_strerror (errno));
        close (fd);
        return -1;
    }
    return fd;
}

static void
set_map_error (const VmmMemBacking *backing, uint64_t size, int errno_value, GError **error)
{
    if (backing->kind == VMM_MEM_BACKING_HUGETLB)
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "guest memory: the host has not %" G_GUINT64_FORMAT
                     " free huge pages of %" G_GUINT64_FORMAT
                     " KiB (%s): reserve them in /sys/kernel/mm/hugepages/hugepages-%" G_GUINT64_FORMAT
                     "kB/nr_hugepages, or leave out --mem-backing",
                     size / backing->page_size, backing->page_size >> 10, g_strerror (errno_value),
                     backing->page_size >> 10);
    else
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "guest memory: cannot map %" G_GUINT64_FORMAT " MiB: %s: lower --mem", size >> 20,
                     g_strerror (errno_value));
}

static bool
map_all (VmmGuestMemory *memory, const VmmMemBacking *backing, GError **error)
{
    int flags = MAP_NORESERVE;
    size_t slack = backing->kind == VMM_MEM_BACKING_ANON ? HUGE_PAGE : 0;

    if (backing->kind == VMM_MEM_BACKING_ANON) {
        flags |= MAP_PRIVATE | MAP_ANONYMOUS;
    } else {
        memory->fd = open_memfd (backing, memory->size, error);
        if (memory->fd < 0)
            return false;
        flags |= backing->shared ? MAP_SHARED : MAP_PRIVATE;
        /* Huge pages are reserved at once: a guest must not get SIGBUS in the middle of its work. */
        if (backing->kind == VMM_MEM_BACKING_HUGETLB)
            flags &= ~MAP_NORESERVE;
    }
    memory->mapping_size = memory->size + slack;
    memory->mapping = mmap (NULL, memory->mapping_size, PROT_READ | PROT_WRITE, flags, memory->fd, 0);
    if (memory->mapping == MAP_FAILED) {
        memory->mapping = NULL;
        set_map_error (backing, memory->size, errno, error);
        return false;
    }
    memory->base = memory->mapping;
    if (slack != 0)
        memory->base =
            (uint8_t *)(((uintptr_t)memory->mapping + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
    /* Hints all: a kernel without them runs the guest just as well. */
    if (backing->kind == VMM_MEM_BACKING_ANON && memory->size > HUGE_PAGE)
        madvise (memory->base + HUGE_PAGE, memory->size - HUGE_PAGE, MADV_HUGEPAGE);
    madvise (memory->mapping, memory->mapping_size, MADV_DONTDUMP);
    return true;
}

static bool
prefault (VmmGuestMemory *memory, GError **error)
{
    long page;

    if (madvise (memory->base, memory->size, MADV_POPULATE_WRITE) == 0)
        return true;
    if (errno != EINVAL) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "guest memory: the host cannot give %" G_GUINT64_FORMAT
                     " MiB at once: %s: lower --mem or leave out prefault",
                     memory->size >> 20, g_strerror (errno));
        return false;
    }
    /* Linux before 5.14. */
    page = sysconf (_SC_PAGESIZE);
    for (uint64_t off = 0; off < memory->size; off += (uint64_t)page)
        *(volatile uint8_t *)(memory->base + off) = 0;
    return true;
}

/**
 * vmm_guest_memory_new:
 * @ranges: where the guest has RAM, ascending, whole pages, not overlapping
 * @n_ranges: their number
 * @backing: where the host takes the pages from
 *
 * Maps RAM for a guest. It reads as zeros, and nothing of it is taken from the host before it is touched,
 * unless @backing says so.
 *
 * Returns: (transfer full) (nullable): the memory; NULL with %VMM_ERROR_HOST when the host has not so much,
 *   %VMM_ERROR_USAGE when the sizes do not fit the huge pages
 */
VmmGuestMemory *
vmm_guest_memory_new (const VmmMemRange *ranges, size_t n_ranges, const VmmMemBacking *backing,
                      GError **error)
{
    g_autoptr (VmmGuestMemory) memory = NULL;
    uint64_t granule = backing->kind == VMM_MEM_BACKING_HUGETLB ? backing->page_size : VMM_GUEST_PAGE_SIZE;
    uint64_t total;
    uint64_t offset = 0;

    if (granule < VMM_GUEST_PAGE_SIZE || (granule & (granule - 1)) != 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "guest memory: a huge page has a power of two of bytes, not %" G_GUINT64_FORMAT,
                     granule);
        return NULL;
    }
    if (!check_ranges (ranges, n_ranges, granule, &total, error))
        return NULL;
    memory = g_malloc0 (sizeof *memory + n_ranges * sizeof memory->regions[0]);
    memory->fd = -1;
    memory->shared = backing->kind != VMM_MEM_BACKING_ANON && backing->shared;
    memory->granule = granule;
    memory->size = total;
    if (total > SIZE_MAX - HUGE_PAGE) {
        set_map_error (backing, total, ENOMEM, error);
        return NULL;
    }
    if (!map_all (memory, backing, error))
        return NULL;
    for (size_t i = 0; i < n_ranges; i++) {
        memory->regions[i] = (VmmMemRegion){ranges[i].gpa, ranges[i].size, memory->base + offset, offset};
        offset += ranges[i].size;
    }
    memory->n_regions = n_ranges;
    if (backing->prefault && !prefault (memory, error))
        return NULL;
    return g_steal_pointer (&memory);
}

/**
 * vmm_guest_memory_free:
 * @memory: (nullable): no vCPU and no device may use it any more
 *
 * Gives the RAM back to the host.
 */
void
vmm_guest_memory_free (VmmGuestMemory *memory)
{
    if (memory == NULL)
        return;
    if (memory->mapping != NULL)
        munmap (memory->mapping, memory->mapping_size);
    if (memory->fd >= 0)
        close (memory->fd);
    g_free (memory);
}

/**
 * vmm_guest_memory_size:
 *
 * Returns: bytes of RAM in all regions
 */
uint64_t
vmm_guest_memory_size (const VmmGuestMemory *memory)
{
    return memory->size;
}

/**
 * vmm_guest_memory_page_size:
 *
 * Returns: bytes of the host's pages behind it: of huge ones, where the user wants them
 */
uint64_t
vmm_guest_memory_page_size (const VmmGuestMemory *memory)
{
    return memory->granule;
}

/**
 * vmm_guest_memory_n_regions:
 *
 * Returns: how many regions there are
 */
size_t
vmm_guest_memory_n_regions (const VmmGuestMemory *memory)
{
    return memory->n_regions;
}

/**
 * vmm_guest_memory_region:
 * @index: below vmm_guest_memory_n_regions()
 *
 * Returns: (transfer none): the region
 */
const VmmMemRegion *
vmm_guest_memory_region (const VmmGuestMemory *memory, size_t index)
{
    return &memory->regions[index];
}

/**
 * vmm_guest_memory_fd:
 *
 * Returns: the memfd, borrowed, or -1 when the memory is anonymous
 */
int
vmm_guest_memory_fd (const VmmGuestMemory *memory)
{
    return memory->fd;
}

static const VmmMemRegion *
find_region (const VmmGuestMemory *memory, uint64_t gpa)
{
    for (size_t i = 0; i < memory->n_regions; i++) {
        const VmmMemRegion *r = &memory->regions[i];

        if (gpa >= r->gpa && gpa - r->gpa < r->size)
            return r;
    }
    return NULL;
}

/* The longest run from @gpa that one region has, at most @len bytes; NULL where there is no RAM. */
static uint8_t *
run_at (const VmmGuestMemory *memory, uint64_t gpa, uint64_t len, uint64_t *ret_len)
{
    const VmmMemRegion *r = find_region (memory, gpa);

    if (r == NULL)
        return NULL;
    *ret_len = MIN (len, r->size - (gpa - r->gpa));
    return r->host + (gpa - r->gpa);
}

/**
 * vmm_guest_memory_contains:
 * @gpa: any address
 * @len: bytes; 0 is contained everywhere
 *
 * Returns: whether each byte of the range is RAM
 */
bool
vmm_guest_memory_contains (const VmmGuestMemory *memory, uint64_t gpa, uint64_t len)
{
    while (len > 0) {
        uint64_t run;

        if (run_at (memory, gpa, len, &run) == NULL)
            return false;
        len -= run;
        /* Wraps to 0 only when nothing is left or the range wraps: RAM at 0 must not answer for it. */
        if (gpa + run < gpa && len > 0)
            return false;
        gpa += run;
    }
    return true;
}

/**
 * vmm_guest_memory_read:
 * @buf: (out caller-allocates): @len bytes
 *
 * Copies from guest memory. The guest may be writing there: what is copied is then old or new bytes, mixed.
 *
 * Returns: false, with nothing copied, when any byte is not RAM
 */
bool
vmm_guest_memory_read (const VmmGuestMemory *memory, uint64_t gpa, void *buf, size_t len)
{
    uint8_t *out = buf;

    if (!vmm_guest_memory_contains (memory, gpa, len))
        return false;
    while (len > 0) {
        uint64_t run;
        const uint8_t *p = run_at (memory, gpa, len, &run);

        memcpy (out, p, run);
        out += run;
        gpa += run;
        len -= run;
    }
    return true;
}

/**
 * vmm_guest_memory_write:
 * @buf: @len bytes
 *
 * Copies into guest memory.
 *
 * Returns: false, with nothing copied, when any byte is not RAM
 */
bool
vmm_guest_memory_write (VmmGuestMemory *memory, uint64_t gpa, const void *buf, size_t len)
{
    const uint8_t *in = buf;

    if (!vmm_guest_memory_contains (memory, gpa, len))
        return false;
    while (len > 0) {
        uint64_t run;
        uint8_t *p = run_at (memory, gpa, len, &run);

        memcpy (p, in, run);
        in += run;
        gpa += run;
        len -= run;
    }
    return true;
}

/**
 * vmm_guest_memory_fill:
 * @byte: the value of each byte
 *
 * Returns: false, with nothing written, when any byte of the range is not RAM
 */
bool
vmm_guest_memory_fill (VmmGuestMemory *memory, uint64_t gpa, uint8_t byte, uint64_t len)
{
    if (!vmm_guest_memory_contains (memory, gpa, len))
        return false;
    while (len > 0) {
        uint64_t run;
        uint8_t *p = run_at (memory, gpa, len, &run);

        memset (p, byte, run);
        gpa += run;
        len -= run;
    }
    return true;
}

/**
 * vmm_guest_memory_ptr:
 * @len: bytes, at least 1
 *
 * For loaders and boot code that fill a large run in place.
 *
 * Returns: (nullable): where the range is mapped; NULL when it is not wholly inside one region
 */
uint8_t *
vmm_guest_memory_ptr (VmmGuestMemory *memory, uint64_t gpa, uint64_t len)
{
    uint64_t run;
    uint8_t *p = run_at (memory, gpa, len, &run);

    return p != NULL && len > 0 && run == len ? p : NULL;
}

/**
 * vmm_guest_memory_map:
 * @len: bytes, at least 1
 * @iov: (out caller-allocates) (array length=max_iov): the range in this process, split where regions end
 *
 * For I/O straight into guest memory.
 *
 * Returns: how many elements of @iov are used; 0 when a byte is not RAM or @max_iov is too small
 */
size_t
vmm_guest_memory_map (VmmGuestMemory *memory, uint64_t gpa, uint64_t len, struct iovec *iov, size_t max_iov)
{
    size_t n = 0;

    if (!vmm_guest_memory_contains (memory, gpa, len))
        return 0;
    while (len > 0) {
        uint64_t run;
        uint8_t *p = run_at (memory, gpa, len, &run);

        if (n == max_iov)
            return 0;
        iov[n++] = (struct iovec){p, run};
        gpa += run;
        len -= run;
    }
    return n;
}

/* A region is whole pages, so an aligned field never straddles its end. */
static void *
aligned_field (const VmmGuestMemory *memory, uint64_t gpa, unsigned size)
{
    uint64_t run;

    if (gpa % size != 0)
        return NULL;
    return run_at (memory, gpa, size, &run);
}

/**
 * vmm_guest_memory_load_u16_acquire:
 *
 * Returns: false when @gpa is not RAM or not aligned to the field's size; the same for the other five
 */
bool
vmm_guest_memory_load_u16_acquire (const VmmGuestMemory *memory, uint64_t gpa, uint16_t *ret_value)
{
    uint16_t *p = aligned_field (memory, gpa, sizeof *p);

    if (p == NULL)
        return false;
    *ret_value = __atomic_load_n (p, __ATOMIC_ACQUIRE);
    return true;
}

/**
 * vmm_guest_memory_load_u32_acquire:
 *
 * Returns: see vmm_guest_memory_load_u16_acquire()
 */
bool
vmm_guest_memory_load_u32_acquire (const VmmGuestMemory *memory, uint64_t gpa, uint32_t *ret_value)
{
    uint32_t *p = aligned_field (memory, gpa, sizeof *p);

    if (p == NULL)
        return false;
    *ret_value = __atomic_load_n (p, __ATOMIC_ACQUIRE);
    return true;
}

/**
 * vmm_guest_memory_load_u64_acquire:
 *
 * Returns: see vmm_guest_memory_load_u16_acquire()
 */
bool
vmm_guest_memory_load_u64_acquire (const VmmGuestMemory *memory, uint64_t gpa, uint64_t *ret_value)
{
    uint64_t *p = aligned_field (memory, gpa, sizeof *p);

    if (p == NULL)
        return false;
    *ret_value = __atomic_load_n (p, __ATOMIC_ACQUIRE);
    return true;
}

/**
 * vmm_guest_memory_store_u16_release:
 *
 * Returns: see vmm_guest_memory_load_u16_acquire()
 */
bool
vmm_guest_memory_store_u16_release (VmmGuestMemory *memory, uint64_t gpa, uint16_t value)
{
    uint16_t *p = aligned_field (memory, gpa, sizeof *p);

    if (p == NULL)
        return false;
    __atomic_store_n (p, value, __ATOMIC_RELEASE);
    return true;
}

/**
 * vmm_guest_memory_store_u32_release:
 *
 * Returns: see vmm_guest_memory_load_u16_acquire()
 */
bool
vmm_guest_memory_store_u32_release (VmmGuestMemory *memory, uint64_t gpa, uint32_t value)
{
    uint32_t *p = aligned_field (memory, gpa, sizeof *p);

    if (p == NULL)
        return false;
    __atomic_store_n (p, value, __ATOMIC_RELEASE);
    return true;
}

/**
 * vmm_guest_memory_store_u64_release:
 *
 * Returns: see vmm_guest_memory_load_u16_acquire()
 */
bool
vmm_guest_memory_store_u64_release (VmmGuestMemory *memory, uint64_t gpa, uint64_t value)
{
    uint64_t *p = aligned_field (memory, gpa, sizeof *p);

    if (p == NULL)
        return false;
    __atomic_store_n (p, value, __ATOMIC_RELEASE);
    return true;
}
