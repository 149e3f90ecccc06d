/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's driver for one virtqueue, split or packed, that works on guest memory alone: what the queue's
 * device is (the real one, or a test's) it does not know. It plays well, or breaks each rule there is.
 *
 *   VmmGuestMemory *memory = vmm_virtq_memory_new (16 << 20);
 *   VmmVirtqHeap heap;
 *   vmm_virtq_heap_init (&heap, memory, 0x10000, 0x100000);
 *
 *   VmmVirtqDriver *driver = vmm_virtq_driver_new (&heap, 128, VMM_VIRTQ_PACKED | VMM_VIRTQ_EVENT_IDX);
 *   VmmVirtqueueLayout layout = vmm_virtq_driver_layout (driver);    for the device, with
 *   uint64_t features = vmm_virtq_driver_features (driver);
 *
 *   VmmVirtqSegment out = vmm_virtq_heap_put (&heap, &request, sizeof request);
 *   VmmVirtqSegment in = vmm_virtq_heap_alloc (&heap, 512);
 *   int id = vmm_virtq_driver_add (driver, &out, 1, &in, 1);
 *   if (vmm_virtq_driver_publish (driver))
 *       ... the device wants to be notified ...
 *   while (vmm_virtq_driver_poll_used (driver, &id, &len))
 *       ... vmm_virtq_heap_bytes (&heap, in) is what the device wrote ...
 *
 * virtio-driver.h, beside this file, connects it with a VmmVirtioDevice.
 */
#ifndef VMM_TESTS_VIRTQ_DRIVER_H
#define VMM_TESTS_VIRTQ_DRIVER_H

#include "devices/virtio/virtqueue.h"

/* What a driver does; to be or-ed. */
enum {
    VMM_VIRTQ_PACKED = 1,    /* a packed ring; otherwise a split one */
    VMM_VIRTQ_EVENT_IDX = 2, /* negotiates EVENT_IDX */
    VMM_VIRTQ_INDIRECT = 4,  /* negotiates INDIRECT_DESC, and adds each chain through an indirect table */
    VMM_VIRTQ_DIRECT = 8,    /* with VMM_VIRTQ_INDIRECT: negotiates it, but adds chains directly */
};

/* A piece of guest memory. */
typedef struct {
    uint64_t gpa;
    uint32_t len;
} VmmVirtqSegment;

/* A run of guest memory from which pieces are taken and never given back: for rings and buffers. */
typedef struct {
    VmmGuestMemory *memory;
    uint64_t next;
    uint64_t end;
} VmmVirtqHeap;

/* RAM of @size bytes at gpa 0, whole pages. Anonymous memory: what is not touched costs nothing. */
VmmGuestMemory *vmm_virtq_memory_new (uint64_t size);

void vmm_virtq_heap_init (VmmVirtqHeap *heap, VmmGuestMemory *memory, uint64_t gpa, uint64_t len);
/* @len bytes as they are, aligned to 16. Ends the test when there are no more. */
VmmVirtqSegment vmm_virtq_heap_alloc (VmmVirtqHeap *heap, uint32_t len);
/* @len bytes with a copy of @data. */
VmmVirtqSegment vmm_virtq_heap_put (VmmVirtqHeap *heap, const void *data, uint32_t len);
/* Where a segment is in this process. */
void *vmm_virtq_heap_bytes (const VmmVirtqHeap *heap, VmmVirtqSegment segment);

typedef struct _VmmVirtqDriver VmmVirtqDriver;

/* A driver of a ring with @size entries, which is taken from @heap (it takes indirect tables there, too). */
VmmVirtqDriver *vmm_virtq_driver_new (VmmVirtqHeap *heap, uint16_t size, unsigned flags);
void vmm_virtq_driver_free (VmmVirtqDriver *driver);
/* The ring as at the beginning, everything forgotten: what a driver does when it resets the device. */
void vmm_virtq_driver_reset (VmmVirtqDriver *driver);

/* For vmm_virtqueue_enable(), or vmm_virtio_device_set_queue_address(). */
VmmVirtqueueLayout vmm_virtq_driver_layout (const VmmVirtqDriver *driver);
/* VMM_VIRTIO_F_VERSION_1 and those of the ring. */
uint64_t vmm_virtq_driver_features (const VmmVirtqDriver *driver);

/*
 * Adds a chain: @n_out segments that the device reads and then @n_in that it writes; at least one. The device
 * does not see it before the next publish. Returns its id, which poll_used gives back; -1 when the ring is
 * full.
 */
int vmm_virtq_driver_add (VmmVirtqDriver *driver, const VmmVirtqSegment *out, unsigned n_out,
                          const VmmVirtqSegment *in, unsigned n_in);
/* Makes visible all that was added, at once; whether the device wants a notification for it. */
bool vmm_virtq_driver_publish (VmmVirtqDriver *driver);
/* The next used chain, and how many bytes the device says that it wrote; false when there is none yet. */
bool vmm_virtq_driver_poll_used (VmmVirtqDriver *driver, int *ret_id, uint32_t *ret_len);
/* Chains that were added and not yet given back. */
unsigned vmm_virtq_driver_in_flight (const VmmVirtqDriver *driver);

/* No interrupts, please: where EVENT_IDX has no way to say so, rarely. At the beginning they are wanted. */
void vmm_virtq_driver_disable_interrupts (VmmVirtqDriver *driver);
/*
 * One interrupt as soon as there is a used chain (with @after > 0 and EVENT_IDX: after that many more have
 * been used). Returns true when there is none now, so that one may wait; false: poll instead.
 */
bool vmm_virtq_driver_enable_interrupts (VmmVirtqDriver *driver, unsigned after);

/*
 * The rules that can be broken. Each is one chain (or one index) that a device must answer with a broken
 * queue, so DEVICE_NEEDS_RESET. Afterwards only vmm_virtq_driver_reset() makes the driver good again.
 */
typedef enum {
    VMM_VIRTQ_BAD_LOOP,       /* descriptors that lead back to themselves */
    VMM_VIRTQ_BAD_HEAD_RANGE, /* split: a head that is no descriptor of the queue */
    VMM_VIRTQ_BAD_NEXT_RANGE, /* split: a next that is none */
    VMM_VIRTQ_BAD_INDEX_JUMP, /* split: more available chains than the queue has entries */
    VMM_VIRTQ_BAD_INDIRECT_IN_INDIRECT,
    VMM_VIRTQ_BAD_INDIRECT_AND_NEXT,
    VMM_VIRTQ_BAD_INDIRECT_EMPTY,    /* a table of length 0 */
    VMM_VIRTQ_BAD_INDIRECT_ODD,      /* a table's length that is not a multiple of 16 */
    VMM_VIRTQ_BAD_INDIRECT_TOO_LONG, /* a table with more entries than the queue */
    VMM_VIRTQ_BAD_INDIRECT_NOT_RAM,
    VMM_VIRTQ_BAD_INDIRECT_LOOP,       /* split: a table that leads back to its beginning */
    VMM_VIRTQ_BAD_INDIRECT_NEXT_RANGE, /* split: a next beyond the table */
    VMM_VIRTQ_BAD_WRITABLE_FIRST,      /* a readable buffer after a writable one */
    VMM_VIRTQ_BAD_NOT_RAM,             /* a buffer where there is no RAM */
    VMM_VIRTQ_BAD_HALF_RAM,            /* a buffer that begins in RAM and ends beyond */
    VMM_VIRTQ_BAD_WRAPS,               /* an address that wraps around to 0 */
    VMM_VIRTQ_BAD_4GIB,                /* a length of 4 GiB - 1 in a smaller RAM */
    VMM_VIRTQ_BAD_TOTAL,               /* good buffers, but more than 4 GiB - 1 together: needs much RAM */
    VMM_VIRTQ_BAD_LAST,                /* their number */
} VmmVirtqBad;

const char *vmm_virtq_bad_name (VmmVirtqBad bad);
/* Plays it, and publishes it. False, with nothing done, when this ring or this RAM cannot have that fault. */
bool vmm_virtq_driver_play_bad (VmmVirtqDriver *driver, VmmVirtqBad bad);

/*
 * Below the rules: descriptors and indexes as they are in memory (virtio 1.2 sections 2.7.5, 2.8.13). @extra
 * is the next (split) or the buffer id (packed); for a packed ring the driver adds AVAIL and USED to @flags
 * so that the descriptor is available in this round.
 */
#define VMM_VIRTQ_DESC_NEXT 1u
#define VMM_VIRTQ_DESC_WRITE 2u
#define VMM_VIRTQ_DESC_INDIRECT 4u
void vmm_virtq_driver_put_desc (VmmVirtqDriver *driver, unsigned slot, uint64_t addr, uint32_t len,
                                uint16_t flags, uint16_t extra);
/* Makes the chain that begins at @slot available, unchecked. Packed: the slot after the last add; put_desc
 * did it. */
void vmm_virtq_driver_put_available (VmmVirtqDriver *driver, uint16_t slot);
/* Split: sets the available index. */
void vmm_virtq_driver_put_index (VmmVirtqDriver *driver, uint16_t index);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmVirtqDriver, vmm_virtq_driver_free)

#endif
