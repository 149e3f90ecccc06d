/* SPDX-License-Identifier: Apache-2.0 */
/* Packed rings (virtio 1.2 section 2.8). See virtqueue.c. */
#include "devices/virtio/virtqueue-internal.h"

/* An event suppression structure (section 2.8.14): where and in which round, then how. */
#define EVENT_FLAGS_OFFSET 2u
#define EVENT_SIZE 4u
#define EVENT_ENABLE 0u
#define EVENT_DISABLE 1u
#define EVENT_DESC 2u
#define EVENT_WRAP (1u << 15)

#define DESC_ID_OFFSET 12u
#define DESC_LEN_OFFSET 8u
#define DESC_FLAGS_OFFSET 14u

static uint16_t *
word_at (const uint8_t *base, size_t offset)
{
    return (uint16_t *)(uintptr_t)(base + offset);
}

static uint16_t
load_flags (const VmmVirtqueue *queue, unsigned slot)
{
    return __atomic_load_n (word_at (queue->desc, (size_t)slot * VMM_VIRTQ_DESC_SIZE + DESC_FLAGS_OFFSET),
                            __ATOMIC_SEQ_CST);
}

/**
 * vmm_virtqueue_packed_map:
 *
 * Returns: whether the ring can be where the layout says
 */
bool
vmm_virtqueue_packed_map (VmmVirtqueue *queue)
{
    return vmm_virtqueue_map_ring (queue, (uint64_t)queue->size * VMM_VIRTQ_DESC_SIZE, EVENT_SIZE, 4,
                                   EVENT_SIZE, 4);
}

/**
 * vmm_virtqueue_packed_has_next:
 *
 * With the whole ring out the next slot is one of ours, and its flags say nothing.
 *
 * Returns: whether the driver has made a chain available
 */
bool
vmm_virtqueue_packed_has_next (VmmVirtqueue *queue)
{
    uint16_t flags = load_flags (queue, queue->next_avail);
    bool avail = (flags & VMM_VIRTQ_F_AVAIL) != 0;
    bool used = (flags & VMM_VIRTQ_F_USED) != 0;

    return queue->n_out < queue->size && avail == queue->avail_wrap && used != queue->avail_wrap;
}

/* A table's descriptors are all of the chain, in their order (section 2.8.7). */
static const char *
walk_table (VmmVirtqueue *queue, VmmChain *chain, const VmmPackedDesc *outer)
{
    const char *why;
    const uint8_t *table = vmm_virtqueue_table (queue, outer->addr, outer->len, &why);
    VmmPackedDesc desc;

    for (unsigned i = 0; table != NULL && why == NULL && i < outer->len / VMM_VIRTQ_DESC_SIZE; i++) {
        vmm_virtqueue_copy_desc (&desc, table, i);
        if ((desc.flags & VMM_VIRTQ_F_INDIRECT) != 0)
            return "an indirect table within an indirect table";
        why = vmm_virtqueue_add_buffer (queue, chain, desc.addr, desc.len, desc.flags & VMM_VIRTQ_F_WRITE);
    }
    return why;
}

static const char *
walk (VmmVirtqueue *queue, VmmChain *chain)
{
    VmmPackedDesc desc;
    const char *why;
    unsigned slot = queue->next_avail;

    for (unsigned n = 1; n <= queue->size - queue->n_out; n++) {
        vmm_virtqueue_copy_desc (&desc, queue->desc, slot);
        chain->n_slots = n;
        /* That of the last descriptor counts (section 2.8.6). */
        chain->id = desc.id;
        if ((desc.flags & VMM_VIRTQ_F_INDIRECT) != 0) {
            if ((desc.flags & VMM_VIRTQ_F_NEXT) != 0 || n > 1)
                return "an indirect table together with other descriptors";
            return walk_table (queue, chain, &desc);
        }
        why = vmm_virtqueue_add_buffer (queue, chain, desc.addr, desc.len, desc.flags & VMM_VIRTQ_F_WRITE);
        if (why != NULL || (desc.flags & VMM_VIRTQ_F_NEXT) == 0)
            return why;
        slot = slot + 1 < queue->size ? slot + 1 : 0;
    }
    return "a chain is longer than the queue";
}

static void
advance (const VmmVirtqueue *queue, uint16_t *slot, bool *wrap, unsigned n)
{
    unsigned next = *slot + n;

    if (next >= queue->size) {
        next -= queue->size;
        *wrap = !*wrap;
    }
    *slot = (uint16_t)next;
}

/**
 * vmm_virtqueue_packed_pop:
 * @ret_why: (out): what is wrong with the chain
 *
 * There is a chain.
 *
 * Returns: false when it is malformed
 */
bool
vmm_virtqueue_packed_pop (VmmVirtqueue *queue, VmmChain *chain, const char **ret_why)
{
    vmm_virtqueue_begin_chain (chain);
    *ret_why = walk (queue, chain);
    if (*ret_why != NULL)
        return false;
    advance (queue, &queue->next_avail, &queue->avail_wrap, chain->n_slots);
    return true;
}

/**
 * vmm_virtqueue_packed_unpop:
 *
 * Goes back over the chain.
 */
void
vmm_virtqueue_packed_unpop (VmmVirtqueue *queue, const VmmChain *chain)
{
    if (chain->n_slots > queue->next_avail) {
        queue->avail_wrap = !queue->avail_wrap;
        queue->next_avail = (uint16_t)(queue->next_avail + queue->size - chain->n_slots);
    } else {
        queue->next_avail = (uint16_t)(queue->next_avail - chain->n_slots);
    }
}

/**
 * vmm_virtqueue_packed_push:
 *
 * Notes a used chain: its first descriptor becomes a used one, and as many slots are passed over as it took.
 * Of a batch, the first one's flags are written by publish: the driver looks at no other before it.
 */
void
vmm_virtqueue_packed_push (VmmVirtqueue *queue, const VmmChain *chain, uint32_t len)
{
    uint8_t *desc = queue->desc + (size_t)queue->next_used * VMM_VIRTQ_DESC_SIZE;
    uint16_t flags = (uint16_t)((queue->used_wrap ? VMM_VIRTQ_F_AVAIL | VMM_VIRTQ_F_USED : 0) |
                                (len > 0 ? VMM_VIRTQ_F_WRITE : 0));

    __atomic_store_n (word_at (desc, DESC_ID_OFFSET), chain->id, __ATOMIC_RELAXED);
    __atomic_store_n ((uint32_t *)(void *)(desc + DESC_LEN_OFFSET), len, __ATOMIC_RELAXED);
    if (queue->n_batch == 0) {
        queue->batch_slot = queue->next_used;
        queue->batch_flags = flags;
    } else {
        __atomic_store_n (word_at (desc, DESC_FLAGS_OFFSET), flags, __ATOMIC_RELEASE);
    }
    queue->n_batch += chain->n_slots;
    advance (queue, &queue->next_used, &queue->used_wrap, chain->n_slots);
}

/**
 * vmm_virtqueue_packed_publish:
 *
 * Returns: whether the driver wants an interrupt
 */
bool
vmm_virtqueue_packed_publish (VmmVirtqueue *queue)
{
    uint8_t *desc = queue->desc + (size_t)queue->batch_slot * VMM_VIRTQ_DESC_SIZE;
    uint16_t flags, where, event;

    __atomic_store_n (word_at (desc, DESC_FLAGS_OFFSET), queue->batch_flags, __ATOMIC_SEQ_CST);
    flags = __atomic_load_n (word_at (queue->driver, EVENT_FLAGS_OFFSET), __ATOMIC_SEQ_CST);
    if (flags != EVENT_DESC || !queue->event_idx)
        return flags != EVENT_DISABLE;
    where = __atomic_load_n (word_at (queue->driver, 0), __ATOMIC_RELAXED);
    event = where & (uint16_t)~EVENT_WRAP;
    /* A place of the round before this one lies before all places of this one. */
    if (((where & EVENT_WRAP) != 0) != queue->used_wrap)
        event = (uint16_t)(event - queue->size);
    return vmm_virtqueue_need_event (event, queue->next_used, (uint16_t)(queue->next_used - queue->n_batch));
}

/**
 * vmm_virtqueue_packed_set_kicks:
 *
 * Writes the device's event suppression structure.
 */
void
vmm_virtqueue_packed_set_kicks (VmmVirtqueue *queue, bool wanted)
{
    uint16_t flags = EVENT_DISABLE;

    if (wanted && queue->event_idx) {
        __atomic_store_n (word_at (queue->device, 0), vmm_virtqueue_position (queue), __ATOMIC_RELAXED);
        flags = EVENT_DESC;
    } else if (wanted) {
        flags = EVENT_ENABLE;
    }
    __atomic_store_n (word_at (queue->device, EVENT_FLAGS_OFFSET), flags, __ATOMIC_SEQ_CST);
}
