/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the virtqueue share; see virtqueue.c. */
#ifndef VMM_DEVICES_VIRTIO_VIRTQUEUE_INTERNAL_H
#define VMM_DEVICES_VIRTIO_VIRTQUEUE_INTERNAL_H

#include <string.h>

#include "devices/virtio/device.h"
#include "devices/virtio/virtqueue.h"

/* Flags of a descriptor, in both kinds of ring (virtio 1.2 sections 2.7.5, 2.8.13). */
#define VMM_VIRTQ_F_NEXT 1u
#define VMM_VIRTQ_F_WRITE 2u
#define VMM_VIRTQ_F_INDIRECT 4u
#define VMM_VIRTQ_F_AVAIL (1u << 7)
#define VMM_VIRTQ_F_USED (1u << 15)

#define VMM_VIRTQ_DESC_SIZE 16u

/* Descriptors as they are in memory, little-endian as all hosts that we run on. */
typedef struct {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
} VmmSplitDesc;

typedef struct {
    uint64_t addr;
    uint32_t len;
    uint16_t id;
    uint16_t flags;
} VmmPackedDesc;

/*
 * @region: where the last buffer was; never NULL
 * @next_avail, @next_used: split: counters that wrap at 65536; packed: slots, each with its wrap counter
 * @avail_seen: split: the driver's index as it was last read
 * @n_out: ring slots of chains that were popped and that the driver does not yet see as used
 * @n_batch: those of them that were pushed and wait for publish
 * @batch_slot, @batch_flags: packed: the first descriptor of the batch, whose flags are written last
 * @armed_at, @armed: the driver was told to notify of the chain at that position
 * @counters: other threads read them: atomic
 */
struct _VmmVirtqueue {
    VmmGuestMemory *memory;
    const VmmMemRegion *region;
    uint8_t *desc;
    uint8_t *driver;
    uint8_t *device;
    unsigned size;
    unsigned n_out;
    unsigned n_batch;
    uint16_t next_avail;
    uint16_t next_used;
    uint16_t avail_seen;
    uint16_t batch_slot;
    uint16_t batch_flags;
    uint16_t armed_at;
    bool armed;
    bool avail_wrap;
    bool used_wrap;
    bool kicks_wanted;
    bool packed;
    bool event_idx;
    bool indirect;
    bool enabled; /* read by other threads, too: atomic, like the next */
    bool broken;
    unsigned index;
    VmmVirtqueueCounters counters;
    VmmVirtqueueEvents events;
    VmmVirtqueueLayout layout;
};

/* virtqueue.c */
bool vmm_virtqueue_map_ring (VmmVirtqueue *queue, uint64_t desc_size, uint64_t driver_size,
                             unsigned driver_align, uint64_t device_size, unsigned device_align);
const uint8_t *vmm_virtqueue_table (VmmVirtqueue *queue, uint64_t gpa, uint32_t len, const char **ret_why);
const char *vmm_virtqueue_map_buffer (VmmVirtqueue *queue, VmmChain *chain, uint64_t gpa, uint32_t len,
                                      unsigned *ret_n);

/* virtqueue-split.c */
bool vmm_virtqueue_split_map (VmmVirtqueue *queue);
bool vmm_virtqueue_split_pop (VmmVirtqueue *queue, VmmChain *chain, const char **ret_why);
void vmm_virtqueue_split_push (VmmVirtqueue *queue, const VmmChain *chain, uint32_t len);
bool vmm_virtqueue_split_publish (VmmVirtqueue *queue);
bool vmm_virtqueue_split_has_next (VmmVirtqueue *queue);
void vmm_virtqueue_split_set_kicks (VmmVirtqueue *queue, bool wanted);

/* virtqueue-packed.c */
bool vmm_virtqueue_packed_map (VmmVirtqueue *queue);
bool vmm_virtqueue_packed_pop (VmmVirtqueue *queue, VmmChain *chain, const char **ret_why);
void vmm_virtqueue_packed_unpop (VmmVirtqueue *queue, const VmmChain *chain);
void vmm_virtqueue_packed_push (VmmVirtqueue *queue, const VmmChain *chain, uint32_t len);
bool vmm_virtqueue_packed_publish (VmmVirtqueue *queue);
bool vmm_virtqueue_packed_has_next (VmmVirtqueue *queue);
void vmm_virtqueue_packed_set_kicks (VmmVirtqueue *queue, bool wanted);

/*
 * Copies a descriptor, which the guest may be changing, exactly once: the barrier keeps the compiler from
 * looking there again for what it has in the copy. It need not be aligned: an indirect table can be anywhere.
 */
static inline void
vmm_virtqueue_copy_desc (void *ret_desc, const uint8_t *table, unsigned index)
{
    memcpy (ret_desc, table + (size_t)index * VMM_VIRTQ_DESC_SIZE, VMM_VIRTQ_DESC_SIZE);
    __asm__ __volatile__("" : : : "memory");
}

/* Whether an event index says that the step from @old to @new is to be told (section 2.7.7.2). */
static inline bool
vmm_virtqueue_need_event (uint16_t event, uint16_t new_index, uint16_t old_index)
{
    return (uint16_t)(new_index - event - 1) < (uint16_t)(new_index - old_index);
}

/* Where the next chain will be: with the wrap counter, as event suppression has it (section 2.8.14). */
static inline uint16_t
vmm_virtqueue_position (const VmmVirtqueue *queue)
{
    return (uint16_t)(queue->packed ? queue->next_avail | queue->avail_wrap << 15 : queue->next_avail);
}

/* Whether the driver knows already that it shall notify of the next chain. */
static inline bool
vmm_virtqueue_is_armed (const VmmVirtqueue *queue)
{
    return queue->armed && (!queue->event_idx || queue->armed_at == vmm_virtqueue_position (queue));
}

static inline void
vmm_virtqueue_begin_chain (VmmChain *chain)
{
    struct iovec *iov = chain->iov;
    unsigned max_iov = chain->max_iov;

    *chain = (VmmChain){.iov = iov, .max_iov = max_iov, .n_slots = 1};
}

/* The buffer of one descriptor joins the chain; what is wrong with it, or NULL. */
static inline const char *
vmm_virtqueue_add_buffer (VmmVirtqueue *queue, VmmChain *chain, uint64_t gpa, uint32_t len, bool writable)
{
    const VmmMemRegion *r = queue->region;
    unsigned n = chain->n_readable + chain->n_writable;
    unsigned added = 1;

    if (!writable && chain->n_writable > 0)
        return "a readable buffer comes after a writable one";
    if (len == 0)
        return NULL;
    if (chain->readable_left + chain->writable_left + len > UINT32_MAX)
        return "the buffers of a chain are longer than 4 GiB";
    if (n == chain->max_iov)
        return "a chain has more buffers than the device takes";
    if (gpa - r->gpa < r->size && len <= r->size - (gpa - r->gpa)) {
        chain->iov[n] = (struct iovec){r->host + (gpa - r->gpa), len};
    } else {
        const char *why = vmm_virtqueue_map_buffer (queue, chain, gpa, len, &added);

        if (why != NULL)
            return why;
    }
    if (writable) {
        chain->n_writable += added;
        chain->writable_left += len;
    } else {
        chain->n_readable += added;
        chain->readable_left += len;
    }
    return NULL;
}

#endif
