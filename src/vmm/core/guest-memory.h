/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CORE_GUEST_MEMORY_H
#define VMM_CORE_GUEST_MEMORY_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define VMM_GUEST_PAGE_SIZE 4096u

/**
 * VmmMemRange:
 * @gpa: first guest-physical address
 * @size: bytes, a multiple of %VMM_GUEST_PAGE_SIZE
 */
typedef struct {
    uint64_t gpa;
    uint64_t size;
} VmmMemRange;

/**
 * VmmMemBackingKind:
 * @VMM_MEM_BACKING_ANON: private anonymous memory with transparent huge pages
 * @VMM_MEM_BACKING_MEMFD: a memfd, so that another process can map it
 * @VMM_MEM_BACKING_HUGETLB: a memfd of reserved huge pages of @page_size
 */
typedef enum {
    VMM_MEM_BACKING_ANON,
    VMM_MEM_BACKING_MEMFD,
    VMM_MEM_BACKING_HUGETLB,
} VmmMemBackingKind;

/**
 * VmmMemBacking:
 * @kind: where the pages come from
 * @page_size: huge page size in bytes, for %VMM_MEM_BACKING_HUGETLB; otherwise 0
 * @shared: map the memfd shared, so that a write is seen by every process that maps it
 * @prefault: take every page from the host before the guest starts
 */
typedef struct {
    VmmMemBackingKind kind;
    uint64_t page_size;
    bool shared;
    bool prefault;
} VmmMemBacking;

/**
 * VmmMemRegion:
 * @gpa: first guest-physical address
 * @size: bytes
 * @host: where the first byte is mapped in this process
 * @fd_offset: where the region starts in the memfd
 */
typedef struct {
    uint64_t gpa;
    uint64_t size;
    uint8_t *host;
    uint64_t fd_offset;
} VmmMemRegion;

typedef struct _VmmGuestMemory VmmGuestMemory;

VmmGuestMemory *vmm_guest_memory_new (const VmmMemRange *ranges, size_t n_ranges,
                                      const VmmMemBacking *backing, GError **error);
void vmm_guest_memory_free (VmmGuestMemory *memory);

uint64_t vmm_guest_memory_size (const VmmGuestMemory *memory);
uint64_t vmm_guest_memory_page_size (const VmmGuestMemory *memory);
size_t vmm_guest_memory_n_regions (const VmmGuestMemory *memory);
const VmmMemRegion *vmm_guest_memory_region (const VmmGuestMemory *memory, size_t index);
int vmm_guest_memory_fd (const VmmGuestMemory *memory);

/* All of these check bounds; false (0, NULL) when any byte of the range is not RAM, and then nothing is done.
 */
bool vmm_guest_memory_contains (const VmmGuestMemory *memory, uint64_t gpa, uint64_t len);
bool vmm_guest_memory_read (const VmmGuestMemory *memory, uint64_t gpa, void *buf, size_t len);
bool vmm_guest_memory_write (VmmGuestMemory *memory, uint64_t gpa, const void *buf, size_t len);
bool vmm_guest_memory_fill (VmmGuestMemory *memory, uint64_t gpa, uint8_t byte, uint64_t len);
uint8_t *vmm_guest_memory_ptr (VmmGuestMemory *memory, uint64_t gpa, uint64_t len);
size_t vmm_guest_memory_map (VmmGuestMemory *memory, uint64_t gpa, uint64_t len, struct iovec *iov,
                             size_t max_iov);

/* Gives memory back to the host: it reads as zeros from then on. Only whole pages of the backing. */
bool vmm_guest_memory_discard (VmmGuestMemory *memory, uint64_t gpa, uint64_t len, uint64_t *ret_given);
bool vmm_guest_memory_discard_mapped (VmmGuestMemory *memory, const struct iovec *run, uint64_t *ret_given);

/* Naturally aligned, one memory access each, with the order that rings shared with a guest need. */
bool vmm_guest_memory_load_u16_acquire (const VmmGuestMemory *memory, uint64_t gpa, uint16_t *ret_value);
bool vmm_guest_memory_load_u32_acquire (const VmmGuestMemory *memory, uint64_t gpa, uint32_t *ret_value);
bool vmm_guest_memory_load_u64_acquire (const VmmGuestMemory *memory, uint64_t gpa, uint64_t *ret_value);
bool vmm_guest_memory_store_u16_release (VmmGuestMemory *memory, uint64_t gpa, uint16_t value);
bool vmm_guest_memory_store_u32_release (VmmGuestMemory *memory, uint64_t gpa, uint32_t value);
bool vmm_guest_memory_store_u64_release (VmmGuestMemory *memory, uint64_t gpa, uint64_t value);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmGuestMemory, vmm_guest_memory_free)

#endif
