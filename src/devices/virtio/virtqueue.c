/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A virtqueue is memory that the guest's driver and the device write at the same time (virtio 1.2 sections
 * 2.7 and 2.8). The driver is not trusted: each word of it is read once, into a copy, and what is checked and
 * used is the copy. Where the rings are is settled when the queue is enabled; RAM does not move while a
 * machine lives, so their addresses in this process are kept.
 *
 * pop turns a descriptor chain into a list of buffers in this process, and refuses one that breaks a rule:
 * that is the queue's end until the driver resets it, since after a malformed chain no index can be believed.
 * push notes a chain as used and publish shows all noted ones at once, with one store and at most one
 * interrupt.
 *
 * The order of accesses is what makes it work without locks: the driver's index is read with acquire before
 * what it covers; used entries are written before the index that covers them is, with release; and between
 * writing one's own index and reading what the other side wants to be told there is a full barrier on both
 * sides, so that at least one of the two sees the other's. Here these are sequentially consistent accesses,
 * which compile to that barrier and which ThreadSanitizer, other than a fence, can follow.
 *
 * A driver cannot have more out than the queue has entries, whatever its indexes say: the slots of popped
 * chains are counted until they are published.
 *
 * What split and packed rings have in common is here, what differs in virtqueue-split.c and -packed.c.
 */
#include "devices/virtio/virtqueue-internal.h"

/**
 * vmm_virtqueue_new:
 * @memory: the guest's; outlives the queue
 * @index: of the queue in its device
 * @events: whom to tell; copied
 *
 * Returns: (transfer full): a queue that is not enabled
 */
VmmVirtqueue *
vmm_virtqueue_new (VmmGuestMemory *memory, unsigned index, const VmmVirtqueueEvents *events)
{
    VmmVirtqueue *queue = g_new0 (VmmVirtqueue, 1);

    queue->memory = memory;
    queue->region = vmm_guest_memory_region (memory, 0);
    queue->index = index;
    queue->events = *events;
    return queue;
}

/**
 * vmm_virtqueue_free:
 * @queue: (nullable): a queue that nobody uses
 */
void
vmm_virtqueue_free (VmmVirtqueue *queue)
{
    g_free (queue);
}

/* A part of a ring in this process; it must lie in one region of RAM: none is larger than the smallest region
 * that a machine has, and a driver has no reason to let one cross the hole. */
static uint8_t *
map_part (VmmVirtqueue *queue, uint64_t gpa, uint64_t size, unsigned align)
{
    return gpa % align == 0 ? vmm_guest_memory_ptr (queue->memory, gpa, size) : NULL;
}

/**
 * vmm_virtqueue_map_ring:
 *
 * Finds the three parts, of the given sizes and alignments (sections 2.7 and 2.8.10).
 *
 * Returns: false when one of them is not where it can be
 */
bool
vmm_virtqueue_map_ring (VmmVirtqueue *queue, uint64_t desc_size, uint64_t driver_size, unsigned driver_align,
                        uint64_t device_size, unsigned device_align)
{
    queue->desc = map_part (queue, queue->layout.desc, desc_size, VMM_VIRTQ_DESC_SIZE);
    queue->driver = map_part (queue, queue->layout.driver, driver_size, driver_align);
    queue->device = map_part (queue, queue->layout.device, device_size, device_align);
    return queue->desc != NULL && queue->driver != NULL && queue->device != NULL;
}

static bool
map (VmmVirtqueue *queue, const VmmVirtqueueLayout *layout, uint64_t features)
{
    queue->layout = *layout;
    queue->size = layout->size;
    queue->packed = (features & VMM_VIRTIO_F_RING_PACKED) != 0;
    queue->event_idx = (features & VMM_VIRTIO_F_EVENT_IDX) != 0;
    queue->indirect = (features & VMM_VIRTIO_F_INDIRECT_DESC) != 0;
    if (queue->size == 0 || queue->size > VMM_VIRTQUEUE_SIZE_MAX)
        return false;
    return queue->packed ? vmm_virtqueue_packed_map (queue) : vmm_virtqueue_split_map (queue);
}

/**
 * vmm_virtqueue_enable:
 * @layout: where the driver has put it
 * @features: that were negotiated
 *
 * Begins with an empty ring. While no other thread uses the queue.
 *
 * Returns: false when the ring cannot be: its size, its alignment, or not RAM. The queue is then disabled
 */
bool
vmm_virtqueue_enable (VmmVirtqueue *queue, const VmmVirtqueueLayout *layout, uint64_t features)
{
    vmm_virtqueue_disable (queue);
    if (!map (queue, layout, features))
        return false;
    queue->n_out = 0;
    queue->n_batch = 0;
    queue->next_avail = 0;
    queue->next_used = 0;
    queue->avail_seen = 0;
    queue->avail_wrap = true;
    queue->used_wrap = true;
    queue->armed = false;
    queue->kicks_wanted = true;
    __atomic_store_n (&queue->broken, false, __ATOMIC_RELAXED);
    __atomic_store_n (&queue->enabled, true, __ATOMIC_RELEASE);
    return true;
}

/**
 * vmm_virtqueue_disable:
 *
 * Chains that are still out are forgotten: pushing them does nothing. While no other thread uses the queue.
 */
void
vmm_virtqueue_disable (VmmVirtqueue *queue)
{
    __atomic_store_n (&queue->enabled, false, __ATOMIC_RELEASE);
    __atomic_store_n (&queue->broken, false, __ATOMIC_RELAXED);
}

/**
 * vmm_virtqueue_is_enabled:
 *
 * Any thread.
 *
 * Returns: whether there is a ring
 */
bool
vmm_virtqueue_is_enabled (const VmmVirtqueue *queue)
{
    return __atomic_load_n (&queue->enabled, __ATOMIC_ACQUIRE);
}

/**
 * vmm_virtqueue_is_broken:
 *
 * Any thread.
 *
 * Returns: whether the driver broke a rule since the queue was enabled
 */
bool
vmm_virtqueue_is_broken (const VmmVirtqueue *queue)
{
    return __atomic_load_n (&queue->broken, __ATOMIC_RELAXED);
}

/**
 * vmm_virtqueue_add_counters:
 * @sum: (inout): what the queue has counted is added to it
 *
 * Any thread.
 */
void
vmm_virtqueue_add_counters (const VmmVirtqueue *queue, VmmVirtqueueCounters *sum)
{
    const VmmVirtqueueCounters *counters = &queue->counters;

    sum->requests += __atomic_load_n (&counters->requests, __ATOMIC_RELAXED);
    sum->bytes_from_guest += __atomic_load_n (&counters->bytes_from_guest, __ATOMIC_RELAXED);
    sum->bytes_to_guest += __atomic_load_n (&counters->bytes_to_guest, __ATOMIC_RELAXED);
    sum->interrupts += __atomic_load_n (&counters->interrupts, __ATOMIC_RELAXED);
}

/**
 * vmm_virtqueue_size:
 *
 * Returns: entries of the ring; 0 while there is none
 */
unsigned
vmm_virtqueue_size (const VmmVirtqueue *queue)
{
    return queue->enabled ? queue->size : 0;
}

/**
 * vmm_virtqueue_is_of:
 * @queue: an enabled one
 * @features: that were negotiated
 *
 * Returns: whether its ring is of the kind that they say
 */
bool
vmm_virtqueue_is_of (const VmmVirtqueue *queue, uint64_t features)
{
    return queue->packed == ((features & VMM_VIRTIO_F_RING_PACKED) != 0) &&
           queue->event_idx == ((features & VMM_VIRTIO_F_EVENT_IDX) != 0) &&
           queue->indirect == ((features & VMM_VIRTIO_F_INDIRECT_DESC) != 0);
}

/**
 * vmm_virtqueue_fail:
 * @why: what the driver did, for the user
 *
 * Nothing comes out of the queue any more until it is reset.
 */
void
vmm_virtqueue_fail (VmmVirtqueue *queue, const char *why)
{
    if (!queue->enabled || queue->broken)
        return;
    __atomic_store_n (&queue->broken, true, __ATOMIC_RELAXED);
    queue->events.broken (queue->events.user, queue->index, why);
}

/**
 * vmm_virtqueue_table:
 * @ret_why: (out): what is wrong with it
 *
 * Returns: (nullable): an indirect table in this process (section 2.7.5.3)
 */
const uint8_t *
vmm_virtqueue_table (VmmVirtqueue *queue, uint64_t gpa, uint32_t len, const char **ret_why)
{
    const uint8_t *table;

    *ret_why = NULL;
    if (!queue->indirect)
        *ret_why = "an indirect table, which was not negotiated";
    else if (len == 0 || len % VMM_VIRTQ_DESC_SIZE != 0)
        *ret_why = "the length of an indirect table is not a multiple of 16, or is 0";
    else if (len / VMM_VIRTQ_DESC_SIZE > queue->size)
        *ret_why = "an indirect table is longer than the queue";
    if (*ret_why != NULL)
        return NULL;
    table = vmm_guest_memory_ptr (queue->memory, gpa, len);
    if (table == NULL)
        *ret_why = "an indirect table is not in RAM";
    return table;
}

/**
 * vmm_virtqueue_map_buffer:
 * @ret_n: (out): how many elements of the chain's iov it took, from the first free one on
 *
 * A buffer that is not in the region where the last one was.
 *
 * Returns: (nullable): what is wrong with it
 */
const char *
vmm_virtqueue_map_buffer (VmmVirtqueue *queue, VmmChain *chain, uint64_t gpa, uint32_t len, unsigned *ret_n)
{
    unsigned n = chain->n_readable + chain->n_writable;

    if (!vmm_guest_memory_contains (queue->memory, gpa, len))
        return "a buffer is not in RAM";
    *ret_n = (unsigned)vmm_guest_memory_map (queue->memory, gpa, len, chain->iov + n, chain->max_iov - n);
    if (*ret_n == 0)
        return "a chain has more buffers than the device takes";
    for (size_t i = 0; i < vmm_guest_memory_n_regions (queue->memory); i++) {
        const VmmMemRegion *region = vmm_guest_memory_region (queue->memory, i);

        if (gpa - region->gpa < region->size)
            queue->region = region;
    }
    return NULL;
}

static bool
has_next (VmmVirtqueue *queue)
{
    return queue->packed ? vmm_virtqueue_packed_has_next (queue) : vmm_virtqueue_split_has_next (queue);
}

static void
write_kicks (VmmVirtqueue *queue, bool wanted)
{
    if (queue->packed)
        vmm_virtqueue_packed_set_kicks (queue, wanted);
    else
        vmm_virtqueue_split_set_kicks (queue, wanted);
}

/* The driver is to notify of the next chain. Returns whether there is none yet. */
static bool
arm (VmmVirtqueue *queue)
{
    if (!vmm_virtqueue_is_armed (queue)) {
        write_kicks (queue, true);
        queue->armed = true;
        queue->armed_at = vmm_virtqueue_position (queue);
    }
    return !has_next (queue);
}

/**
 * vmm_virtqueue_pop:
 * @chain: (out): the next chain that the driver made available; its memory is used again
 *
 * Returns: false when there is none, or the queue is broken or not enabled. While kicks are wanted, the
 * driver then notifies of the next one
 */
bool
vmm_virtqueue_pop (VmmVirtqueue *queue, VmmChain *chain)
{
    const char *why = NULL;
    bool ok;

    if (!queue->enabled || queue->broken)
        return false;
    if (!has_next (queue) && (!queue->kicks_wanted || arm (queue)))
        return false;
    ok = queue->packed ? vmm_virtqueue_packed_pop (queue, chain, &why)
                       : vmm_virtqueue_split_pop (queue, chain, &why);
    if (!ok) {
        vmm_virtqueue_fail (queue, why);
        return false;
    }
    chain->readable = chain->readable_left;
    queue->n_out += chain->n_slots;
    return true;
}

/* Only this thread adds; another one that looks sees some value that was there. */
static void
count (uint64_t *counter, uint64_t n)
{
    __atomic_store_n (counter, *counter + n, __ATOMIC_RELAXED);
}

/* A chain from before the last reset is not: there may be as many that are, but then its device is wrong. */
static bool
is_out (const VmmVirtqueue *queue, const VmmChain *chain)
{
    return queue->enabled && !queue->broken && queue->n_batch + chain->n_slots <= queue->n_out;
}

/**
 * vmm_virtqueue_unpop:
 * @chain: the last one that was popped and neither pushed nor unpopped
 *
 * Gives it back as if it had not been popped: the next pop finds it again.
 */
void
vmm_virtqueue_unpop (VmmVirtqueue *queue, const VmmChain *chain)
{
    if (!is_out (queue, chain))
        return;
    queue->n_out -= chain->n_slots;
    if (queue->packed)
        vmm_virtqueue_packed_unpop (queue, chain);
    else
        queue->next_avail--;
}

/**
 * vmm_virtqueue_push:
 * @chain: one that was popped from this queue; @chain->written bytes are said to be written
 *
 * The device is done with it. The driver hears of it by the next publish.
 */
void
vmm_virtqueue_push (VmmVirtqueue *queue, const VmmChain *chain)
{
    uint32_t len = (uint32_t)MIN (chain->written, UINT32_MAX);

    if (!is_out (queue, chain))
        return;
    if (queue->packed)
        vmm_virtqueue_packed_push (queue, chain, len);
    else
        vmm_virtqueue_split_push (queue, chain, len);
    count (&queue->counters.requests, 1);
    count (&queue->counters.bytes_from_guest, chain->readable - chain->readable_left);
    count (&queue->counters.bytes_to_guest, chain->written);
}

/**
 * vmm_virtqueue_publish:
 *
 * Shows the driver what was pushed, and interrupts it if it wants that.
 */
void
vmm_virtqueue_publish (VmmVirtqueue *queue)
{
    bool wanted;

    if (!queue->enabled || queue->broken || queue->n_batch == 0)
        return;
    wanted = queue->packed ? vmm_virtqueue_packed_publish (queue) : vmm_virtqueue_split_publish (queue);
    queue->n_out -= queue->n_batch;
    queue->n_batch = 0;
    if (!wanted)
        return;
    count (&queue->counters.interrupts, 1);
    queue->events.interrupt (queue->events.user, queue->index);
}

/**
 * vmm_virtqueue_is_empty:
 *
 * Returns: whether a pop would find nothing
 */
bool
vmm_virtqueue_is_empty (VmmVirtqueue *queue)
{
    return !queue->enabled || queue->broken || !has_next (queue);
}

/**
 * vmm_virtqueue_set_kicks:
 * @wanted: whether the driver is to notify; it may do so all the same
 */
void
vmm_virtqueue_set_kicks (VmmVirtqueue *queue, bool wanted)
{
    if (!queue->enabled || queue->broken)
        return;
    if (wanted) {
        queue->kicks_wanted = true;
        arm (queue);
    } else if (queue->kicks_wanted) {
        queue->kicks_wanted = false;
        queue->armed = false;
        write_kicks (queue, false);
    }
}

/**
 * vmm_virtqueue_arm:
 *
 * Wants kicks again.
 *
 * Returns: true when the queue is empty, and the driver will notify of the next chain; false when there is
 * one now, and then kicks are off
 */
bool
vmm_virtqueue_arm (VmmVirtqueue *queue)
{
    if (!queue->enabled || queue->broken)
        return true;
    queue->kicks_wanted = true;
    if (arm (queue))
        return true;
    vmm_virtqueue_set_kicks (queue, false);
    return false;
}

/**
 * vmm_virtqueue_addresses:
 * @ret_desc: (out): the descriptor table, or the packed ring
 * @ret_driver: (out): the driver's part
 * @ret_device: (out): the device's part
 *
 * Where an enabled queue's parts are in this process, for those who serve it instead of us.
 */
void
vmm_virtqueue_addresses (const VmmVirtqueue *queue, const void **ret_desc, const void **ret_driver,
                         const void **ret_device)
{
    *ret_desc = queue->desc;
    *ret_driver = queue->driver;
    *ret_device = queue->device;
}

/**
 * vmm_virtqueue_base:
 *
 * Nothing is out. For those who serve the ring instead of us.
 *
 * Returns: where the next chain will be, as VHOST_SET_VRING_BASE (linux/vhost.h) takes it: of a split ring
 * the counter; of a packed one two slots with their wrap counters in bit 15, the next used one in the upper
 * half
 */
uint32_t
vmm_virtqueue_base (const VmmVirtqueue *queue)
{
    if (!queue->packed)
        return queue->next_avail;
    return (uint32_t)(queue->next_used | queue->used_wrap << 15) << 16 | vmm_virtqueue_position (queue);
}

/**
 * vmm_virtqueue_set_base:
 * @base: what VHOST_GET_VRING_BASE gave, after they have stopped
 *
 * Nothing is out: each chain before @base was used.
 *
 * Returns: false, with nothing changed, for what cannot be
 */
bool
vmm_virtqueue_set_base (VmmVirtqueue *queue, uint32_t base)
{
    unsigned avail = base & 0x7fff, used = base >> 16 & 0x7fff;

    if (queue->packed && (avail >= queue->size || used >= queue->size))
        return false;
    queue->next_avail = (uint16_t)(queue->packed ? avail : base);
    queue->next_used = (uint16_t)(queue->packed ? used : base);
    queue->avail_wrap = (base >> 15 & 1) != 0;
    queue->used_wrap = (base >> 31 & 1) != 0;
    queue->avail_seen = queue->next_avail;
    queue->armed = false;
    return true;
}

/**
 * vmm_virtqueue_save:
 *
 * While paused: nothing is out but what was unpopped, nothing waits for publish.
 */
void
vmm_virtqueue_save (const VmmVirtqueue *queue, VmmStateWriter *writer)
{
    vmm_state_put_bool (writer, queue->enabled);
    vmm_state_put_bool (writer, queue->broken);
    vmm_state_put_bool (writer, queue->packed);
    vmm_state_put_bool (writer, queue->event_idx);
    vmm_state_put_bool (writer, queue->indirect);
    vmm_state_put_u16 (writer, queue->layout.size);
    vmm_state_put_u64 (writer, queue->layout.desc);
    vmm_state_put_u64 (writer, queue->layout.driver);
    vmm_state_put_u64 (writer, queue->layout.device);
    vmm_state_put_u16 (writer, queue->next_avail);
    vmm_state_put_u16 (writer, queue->next_used);
    vmm_state_put_bool (writer, queue->avail_wrap);
    vmm_state_put_bool (writer, queue->used_wrap);
}

/* Slots are inside the ring, and where nothing is out, what comes next is also what is used next. */
static bool
indexes_can_be (const VmmVirtqueue *queue, bool broken)
{
    if (queue->packed && (queue->next_avail >= queue->size || queue->next_used >= queue->size))
        return false;
    if (broken)
        return true;
    return queue->next_avail == queue->next_used && (!queue->packed || queue->avail_wrap == queue->used_wrap);
}

static bool
load_indexes (VmmVirtqueue *queue, VmmStateReader *reader, bool broken)
{
    if (!vmm_state_get_u16 (reader, &queue->next_avail) || !vmm_state_get_u16 (reader, &queue->next_used) ||
        !vmm_state_get_bool (reader, &queue->avail_wrap) || !vmm_state_get_bool (reader, &queue->used_wrap))
        return false;
    queue->avail_seen = queue->next_avail;
    return !queue->enabled || indexes_can_be (queue, broken);
}

/**
 * vmm_virtqueue_load:
 * @reader: hostile
 *
 * Returns: false for what cannot be; the queue is then not enabled
 */
bool
vmm_virtqueue_load (VmmVirtqueue *queue, VmmStateReader *reader)
{
    VmmVirtqueueLayout layout;
    bool enabled, broken, packed, event_idx, indirect;
    uint64_t features;

    vmm_virtqueue_disable (queue);
    if (!vmm_state_get_bool (reader, &enabled) || !vmm_state_get_bool (reader, &broken) ||
        !vmm_state_get_bool (reader, &packed) || !vmm_state_get_bool (reader, &event_idx) ||
        !vmm_state_get_bool (reader, &indirect) || !vmm_state_get_u16 (reader, &layout.size) ||
        !vmm_state_get_u64 (reader, &layout.desc) || !vmm_state_get_u64 (reader, &layout.driver) ||
        !vmm_state_get_u64 (reader, &layout.device))
        return false;
    features = (packed ? VMM_VIRTIO_F_RING_PACKED : 0) | (event_idx ? VMM_VIRTIO_F_EVENT_IDX : 0) |
               (indirect ? VMM_VIRTIO_F_INDIRECT_DESC : 0);
    if (enabled && !vmm_virtqueue_enable (queue, &layout, features))
        return false;
    if (!load_indexes (queue, reader, broken)) {
        vmm_virtqueue_disable (queue);
        return false;
    }
    if (enabled)
        __atomic_store_n (&queue->broken, broken, __ATOMIC_RELAXED);
    return true;
}
