/* SPDX-License-Identifier: Apache-2.0 */
/* Split rings (virtio 1.2 section 2.7). See virtqueue.c. */
#include "devices/virtio/virtqueue-internal.h"

#define AVAIL_F_NO_INTERRUPT 1u
#define USED_F_NO_NOTIFY 1u

/* Both rings are flags, index, entries, event index: words of 16 bits, but for the entries of the used ring,
 * which are pairs of 32 bits. */
#define RING_FLAGS 0u
#define RING_INDEX 1u
#define RING_ENTRIES 2u
#define USED_ENTRY_WORDS 4u

typedef struct {
    uint32_t id;
    uint32_t len;
} UsedEntry;

static uint16_t
load_word (const uint8_t *ring, unsigned word, int order)
{
    const uint16_t *at = (const uint16_t *)(const void *)ring + word;

    return order == __ATOMIC_SEQ_CST ? __atomic_load_n (at, __ATOMIC_SEQ_CST)
                                     : __atomic_load_n (at, __ATOMIC_RELAXED);
}

static void
store_word (uint8_t *ring, unsigned word, uint16_t value, int order)
{
    uint16_t *at = (uint16_t *)(void *)ring + word;

    if (order == __ATOMIC_SEQ_CST)
        __atomic_store_n (at, value, __ATOMIC_SEQ_CST);
    else
        __atomic_store_n (at, value, __ATOMIC_RELAXED);
}

/**
 * vmm_virtqueue_split_map:
 *
 * Returns: whether the ring can be where the layout says
 */
bool
vmm_virtqueue_split_map (VmmVirtqueue *queue)
{
    uint64_t n = queue->size;

    return (n & (n - 1)) == 0 &&
           vmm_virtqueue_map_ring (queue, n * VMM_VIRTQ_DESC_SIZE, 6 + 2 * n, 2, 6 + 8 * n, 4);
}

/**
 * vmm_virtqueue_split_has_next:
 *
 * Returns: whether the driver has made a chain available
 */
bool
vmm_virtqueue_split_has_next (VmmVirtqueue *queue)
{
    if (queue->avail_seen == queue->next_avail)
        queue->avail_seen = load_word (queue->driver, RING_INDEX, __ATOMIC_SEQ_CST);
    return queue->avail_seen != queue->next_avail;
}

/* All descriptors from @index on in a table of @size; returns what is wrong with them. */
static const char *
walk (VmmVirtqueue *queue, VmmChain *chain, const uint8_t *table, unsigned size, unsigned index, bool nested)
{
    VmmSplitDesc desc;
    const uint8_t *inner;
    const char *why;

    for (unsigned n = 0; n < size; n++) {
        vmm_virtqueue_copy_desc (&desc, table, index);
        if ((desc.flags & VMM_VIRTQ_F_INDIRECT) != 0) {
            if (nested)
                return "an indirect table within an indirect table";
            if ((desc.flags & VMM_VIRTQ_F_NEXT) != 0)
                return "an indirect table with a next descriptor";
            inner = vmm_virtqueue_table (queue, desc.addr, desc.len, &why);
            return inner != NULL ? walk (queue, chain, inner, desc.len / VMM_VIRTQ_DESC_SIZE, 0, true) : why;
        }
        why = vmm_virtqueue_add_buffer (queue, chain, desc.addr, desc.len, desc.flags & VMM_VIRTQ_F_WRITE);
        if (why != NULL || (desc.flags & VMM_VIRTQ_F_NEXT) == 0)
            return why;
        if (desc.next >= size)
            return "a next descriptor beyond the table";
        index = desc.next;
    }
    return "a chain is longer than the queue, or leads back to itself";
}

/**
 * vmm_virtqueue_split_pop:
 * @ret_why: (out): what is wrong with the chain
 *
 * There is a chain.
 *
 * Returns: false when it is malformed
 */
bool
vmm_virtqueue_split_pop (VmmVirtqueue *queue, VmmChain *chain, const char **ret_why)
{
    uint16_t head;

    if ((uint16_t)(queue->avail_seen - queue->next_avail) > queue->size - queue->n_out) {
        *ret_why = "more chains are available than the queue has entries";
        return false;
    }
    head =
        load_word (queue->driver, RING_ENTRIES + (queue->next_avail & (queue->size - 1)), __ATOMIC_RELAXED);
    if (head >= queue->size) {
        *ret_why = "a chain begins beyond the descriptor table";
        return false;
    }
    vmm_virtqueue_begin_chain (chain);
    chain->id = head;
    *ret_why = walk (queue, chain, queue->desc, queue->size, head, false);
    if (*ret_why != NULL)
        return false;
    queue->next_avail++;
    return true;
}

/**
 * vmm_virtqueue_split_push:
 *
 * Notes a used chain.
 */
void
vmm_virtqueue_split_push (VmmVirtqueue *queue, const VmmChain *chain, uint32_t len)
{
    unsigned slot = queue->next_used & (queue->size - 1);
    UsedEntry *entry =
        (UsedEntry *)(void *)(queue->device + 2 * (RING_ENTRIES + (size_t)slot * USED_ENTRY_WORDS));

    __atomic_store_n (&entry->id, chain->id, __ATOMIC_RELAXED);
    __atomic_store_n (&entry->len, len, __ATOMIC_RELAXED);
    queue->next_used++;
    queue->n_batch++;
}

/**
 * vmm_virtqueue_split_publish:
 *
 * Returns: whether the driver wants an interrupt (section 2.7.7)
 */
bool
vmm_virtqueue_split_publish (VmmVirtqueue *queue)
{
    uint16_t old = (uint16_t)(queue->next_used - queue->n_batch);

    store_word (queue->device, RING_INDEX, queue->next_used, __ATOMIC_SEQ_CST);
    if (!queue->event_idx)
        return (load_word (queue->driver, RING_FLAGS, __ATOMIC_SEQ_CST) & AVAIL_F_NO_INTERRUPT) == 0;
    return vmm_virtqueue_need_event (load_word (queue->driver, RING_ENTRIES + queue->size, __ATOMIC_SEQ_CST),
                                     queue->next_used, old);
}

/**
 * vmm_virtqueue_split_set_kicks:
 *
 * Section 2.7.10. An event index says of which chain to notify; not to notify is to leave it behind.
 */
void
vmm_virtqueue_split_set_kicks (VmmVirtqueue *queue, bool wanted)
{
    if (!queue->event_idx)
        store_word (queue->device, RING_FLAGS, wanted ? 0 : USED_F_NO_NOTIFY, __ATOMIC_SEQ_CST);
    else if (wanted)
        store_word (queue->device, RING_ENTRIES + queue->size * USED_ENTRY_WORDS, queue->next_avail,
                    __ATOMIC_SEQ_CST);
}
