/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/device.h"
#include "virtq-driver-internal.h"

#define F_AVAIL (1u << 7)
#define F_USED (1u << 15)
#define DESC_SIZE 16u
#define EVENT_DISABLE 1u
#define EVENT_DESC 2u

static void
fail (const char *why)
{
    fprintf (stderr, "virtq-driver: %s\n", why);
    abort ();
}

VmmGuestMemory *
vmm_virtq_memory_new (uint64_t size)
{
    VmmMemRange range = {0, size};
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_ANON};
    VmmGuestMemory *memory = vmm_guest_memory_new (&range, 1, &backing, NULL);

    if (memory == NULL)
        fail ("no memory");
    return memory;
}

void
vmm_virtq_heap_init (VmmVirtqHeap *heap, VmmGuestMemory *memory, uint64_t gpa, uint64_t len)
{
    *heap = (VmmVirtqHeap){memory, (gpa + 15) & ~UINT64_C (15), gpa + len};
}

VmmVirtqSegment
vmm_virtq_heap_alloc (VmmVirtqHeap *heap, uint32_t len)
{
    VmmVirtqSegment segment = {heap->next, len};

    if (len > heap->end - heap->next || vmm_guest_memory_ptr (heap->memory, heap->next, MAX (len, 1)) == NULL)
        fail ("the heap has no more memory");
    heap->next = MIN (heap->end, (heap->next + len + 15) & ~UINT64_C (15));
    return segment;
}

VmmVirtqSegment
vmm_virtq_heap_put (VmmVirtqHeap *heap, const void *data, uint32_t len)
{
    VmmVirtqSegment segment = vmm_virtq_heap_alloc (heap, len);

    if (len > 0)
        memcpy (vmm_virtq_heap_bytes (heap, segment), data, len);
    return segment;
}

void *
vmm_virtq_heap_bytes (const VmmVirtqHeap *heap, VmmVirtqSegment segment)
{
    return vmm_guest_memory_ptr (heap->memory, segment.gpa, MAX (segment.len, 1));
}

static uint16_t *
u16_at (uint8_t *base, size_t offset)
{
    return (uint16_t *)(void *)(base + offset);
}

static uint32_t *
u32_at (uint8_t *base)
{
    return (uint32_t *)(void *)base;
}

static uint16_t *
packed_flags (const VmmVirtqDriver *driver, unsigned slot)
{
    return u16_at (driver->desc, slot * DESC_SIZE + 14);
}

static uint8_t *
take (VmmVirtqHeap *heap, uint32_t len, uint64_t *ret_gpa)
{
    VmmVirtqSegment segment = vmm_virtq_heap_alloc (heap, len);

    *ret_gpa = segment.gpa;
    return vmm_virtq_heap_bytes (heap, segment);
}

VmmVirtqDriver *
vmm_virtq_driver_new (VmmVirtqHeap *heap, uint16_t size, unsigned flags)
{
    VmmVirtqDriver *d = g_new0 (VmmVirtqDriver, 1);
    bool packed = (flags & VMM_VIRTQ_PACKED) != 0;

    d->heap = heap;
    d->flags = flags;
    d->size = size;
    d->layout.size = size;
    d->desc = take (heap, DESC_SIZE * size, &d->layout.desc);
    d->driver = take (heap, packed ? 4 : 6 + 2u * size, &d->layout.driver);
    d->device = take (heap, packed ? 4 : 6 + 8u * size, &d->layout.device);
    d->slots = g_new0 (unsigned, size);
    d->tables = g_new0 (VmmVirtqSegment, size);
    d->next = g_new0 (uint16_t, size);
    vmm_virtq_driver_reset (d);
    return d;
}

void
vmm_virtq_driver_free (VmmVirtqDriver *driver)
{
    if (driver == NULL)
        return;
    g_free (driver->slots);
    g_free (driver->tables);
    g_free (driver->next);
    g_free (driver);
}

void
vmm_virtq_driver_reset (VmmVirtqDriver *driver)
{
    bool packed = vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED);

    memset (driver->desc, 0, DESC_SIZE * driver->size);
    memset (driver->driver, 0, packed ? 4 : 6 + 2u * driver->size);
    memset (driver->device, 0, packed ? 4 : 6 + 8u * driver->size);
    for (unsigned i = 0; i < driver->size; i++) {
        driver->slots[i] = 0;
        driver->next[i] = (uint16_t)(i + 1);
    }
    driver->free_head = 0;
    driver->n_free = driver->size;
    driver->n_in_flight = 0;
    driver->n_added = 0;
    driver->avail = 0;
    driver->used = 0;
    driver->avail_wrap = true;
    driver->used_wrap = true;
}

VmmVirtqueueLayout
vmm_virtq_driver_layout (const VmmVirtqDriver *driver)
{
    return driver->layout;
}

uint64_t
vmm_virtq_driver_features (const VmmVirtqDriver *driver)
{
    return VMM_VIRTIO_F_VERSION_1 |
           (vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED) ? VMM_VIRTIO_F_RING_PACKED : 0) |
           (vmm_virtq_driver_is (driver, VMM_VIRTQ_EVENT_IDX) ? VMM_VIRTIO_F_EVENT_IDX : 0) |
           (vmm_virtq_driver_is (driver, VMM_VIRTQ_INDIRECT) ? VMM_VIRTIO_F_INDIRECT_DESC : 0);
}

unsigned
vmm_virtq_driver_in_flight (const VmmVirtqDriver *driver)
{
    return driver->n_in_flight;
}

void
vmm_virtq_driver_fill_desc (const VmmVirtqDriver *driver, uint8_t *desc, uint64_t addr, uint32_t len,
                            uint16_t flags, uint16_t extra)
{
    memcpy (desc, &addr, sizeof addr);
    memcpy (desc + 8, &len, sizeof len);
    if (vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED)) {
        memcpy (desc + 12, &extra, sizeof extra);
        return;
    }
    memcpy (desc + 12, &flags, sizeof flags);
    memcpy (desc + 14, &extra, sizeof extra);
}

/* What makes a slot available in the round that the driver is in, or in the next one. */
static uint16_t
packed_round (const VmmVirtqDriver *driver, unsigned slot)
{
    bool wrap = driver->avail_wrap == (slot >= driver->avail);

    return wrap ? F_AVAIL : F_USED;
}

void
vmm_virtq_driver_put_desc (VmmVirtqDriver *driver, unsigned slot, uint64_t addr, uint32_t len, uint16_t flags,
                           uint16_t extra)
{
    vmm_virtq_driver_fill_desc (driver, driver->desc + slot * DESC_SIZE, addr, len, flags, extra);
    if (vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED))
        __atomic_store_n (packed_flags (driver, slot), flags | packed_round (driver, slot), __ATOMIC_RELEASE);
}

void
vmm_virtq_driver_put_available (VmmVirtqDriver *driver, uint16_t slot)
{
    if (vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED))
        return;
    __atomic_store_n (u16_at (driver->driver, 4 + 2u * (driver->avail % driver->size)), slot,
                      __ATOMIC_RELAXED);
    driver->avail++;
    driver->n_added++;
}

void
vmm_virtq_driver_put_index (VmmVirtqDriver *driver, uint16_t index)
{
    if (vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED))
        return;
    driver->avail = index;
    __atomic_store_n (u16_at (driver->driver, 2), index, __ATOMIC_SEQ_CST);
}

/* One segment of a chain of n: the readable ones come first. */
static VmmVirtqSegment
segment_at (const VmmVirtqSegment *out, unsigned n_out, const VmmVirtqSegment *in, unsigned i)
{
    return i < n_out ? out[i] : in[i - n_out];
}

static uint16_t
flags_at (unsigned n_out, unsigned n, unsigned i)
{
    return (uint16_t)((i < n_out ? 0 : VMM_VIRTQ_DESC_WRITE) | (i + 1 < n ? VMM_VIRTQ_DESC_NEXT : 0));
}

/* The indirect table of chain @id. */
static VmmVirtqSegment
fill_table (VmmVirtqDriver *driver, unsigned id, const VmmVirtqSegment *out, unsigned n_out,
            const VmmVirtqSegment *in, unsigned n)
{
    VmmVirtqSegment *table = &driver->tables[id];
    uint8_t *bytes;

    if (table->len < n * DESC_SIZE)
        *table = vmm_virtq_heap_alloc (driver->heap, n * DESC_SIZE);
    bytes = vmm_virtq_heap_bytes (driver->heap, *table);
    for (unsigned i = 0; i < n; i++) {
        VmmVirtqSegment s = segment_at (out, n_out, in, i);
        uint16_t flags = flags_at (n_out, n, i);

        vmm_virtq_driver_fill_desc (driver, bytes + i * DESC_SIZE, s.gpa, s.len, flags, (uint16_t)(i + 1));
        if (vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED)) {
            flags &= VMM_VIRTQ_DESC_WRITE;
            memcpy (bytes + i * DESC_SIZE + 14, &flags, sizeof flags);
        }
    }
    return (VmmVirtqSegment){table->gpa, n * DESC_SIZE};
}

static void
add_split (VmmVirtqDriver *driver, unsigned id, const VmmVirtqSegment *segments, const uint16_t *flags,
           unsigned n)
{
    uint16_t slot = (uint16_t)id;

    for (unsigned i = 0; i < n; i++) {
        vmm_virtq_driver_put_desc (driver, slot, segments[i].gpa, segments[i].len, flags[i],
                                   driver->next[slot]);
        if (i + 1 < n)
            slot = driver->next[slot];
    }
    driver->free_head = driver->next[slot];
    vmm_virtq_driver_put_available (driver, (uint16_t)id);
}

/* The first descriptor of the first chain is shown by the publish, and of each other one after its last. */
static void
add_packed (VmmVirtqDriver *driver, unsigned id, const VmmVirtqSegment *segments, const uint16_t *flags,
            unsigned n)
{
    for (unsigned i = n; i-- > 0;) {
        unsigned slot = (driver->avail + i) % driver->size;
        uint16_t all = flags[i] | packed_round (driver, slot);

        vmm_virtq_driver_fill_desc (driver, driver->desc + slot * DESC_SIZE, segments[i].gpa, segments[i].len,
                                    0, (uint16_t)id);
        if (i > 0 || driver->n_added > 0) {
            __atomic_store_n (packed_flags (driver, slot), all, __ATOMIC_RELEASE);
        } else {
            driver->first_slot = slot;
            driver->first_flags = all;
        }
    }
    driver->avail_wrap ^= driver->avail + n >= driver->size;
    driver->avail = (uint16_t)((driver->avail + n) % driver->size);
    driver->free_head = driver->next[id];
    driver->n_added += n;
}

int
vmm_virtq_driver_add (VmmVirtqDriver *driver, const VmmVirtqSegment *out, unsigned n_out,
                      const VmmVirtqSegment *in, unsigned n_in)
{
    bool indirect =
        vmm_virtq_driver_is (driver, VMM_VIRTQ_INDIRECT) && !vmm_virtq_driver_is (driver, VMM_VIRTQ_DIRECT);
    unsigned n = n_out + n_in;
    unsigned n_slots = indirect ? 1 : n;
    unsigned id = driver->free_head;
    g_autofree VmmVirtqSegment *segments = g_new (VmmVirtqSegment, n);
    g_autofree uint16_t *flags = g_new (uint16_t, n);

    if (n == 0)
        fail ("a chain without a buffer");
    if (n_slots > driver->n_free)
        return -1;
    if (indirect) {
        segments[0] = fill_table (driver, id, out, n_out, in, n);
        flags[0] = VMM_VIRTQ_DESC_INDIRECT;
    } else {
        for (unsigned i = 0; i < n; i++) {
            segments[i] = segment_at (out, n_out, in, i);
            flags[i] = flags_at (n_out, n, i);
        }
    }
    if (vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED))
        add_packed (driver, id, segments, flags, n_slots);
    else
        add_split (driver, id, segments, flags, n_slots);
    driver->slots[id] = n_slots;
    driver->n_free -= n_slots;
    driver->n_in_flight++;
    return (int)id;
}

/* Section 2.7.7.2. */
static bool
need_event (uint16_t event, uint16_t new_index, uint16_t old_index)
{
    return (uint16_t)(new_index - event - 1) < (uint16_t)(new_index - old_index);
}

static bool
publish_split (VmmVirtqDriver *driver)
{
    __atomic_store_n (u16_at (driver->driver, 2), driver->avail, __ATOMIC_SEQ_CST);
    if (!vmm_virtq_driver_is (driver, VMM_VIRTQ_EVENT_IDX))
        return (__atomic_load_n (u16_at (driver->device, 0), __ATOMIC_SEQ_CST) & 1) == 0;
    return need_event (__atomic_load_n (u16_at (driver->device, 4 + 8u * driver->size), __ATOMIC_SEQ_CST),
                       driver->avail, (uint16_t)(driver->avail - driver->n_added));
}

static bool
publish_packed (VmmVirtqDriver *driver)
{
    uint32_t event;
    uint16_t slot;

    __atomic_store_n (packed_flags (driver, driver->first_slot), driver->first_flags, __ATOMIC_SEQ_CST);
    event = __atomic_load_n (u32_at (driver->device), __ATOMIC_SEQ_CST);
    if (event >> 16 != EVENT_DESC)
        return event >> 16 != EVENT_DISABLE;
    slot = event & 0x7fff;
    if ((event >> 15 & 1) != driver->avail_wrap)
        slot -= driver->size;
    return need_event (slot, driver->avail, (uint16_t)(driver->avail - driver->n_added));
}

bool
vmm_virtq_driver_publish (VmmVirtqDriver *driver)
{
    bool wanted;

    if (driver->n_added == 0)
        return false;
    wanted =
        vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED) ? publish_packed (driver) : publish_split (driver);
    driver->n_added = 0;
    return wanted;
}

/* The chain is the driver's again. */
static void
finish (VmmVirtqDriver *driver, uint32_t id)
{
    uint16_t last = (uint16_t)id;

    if (id >= driver->size || driver->slots[id] == 0)
        fail ("the device gave back a chain that it does not have");
    if (!vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED)) {
        for (unsigned i = 1; i < driver->slots[id]; i++)
            last = driver->next[last];
    }
    driver->next[last] = driver->free_head;
    driver->free_head = (uint16_t)id;
    driver->n_free += driver->slots[id];
    driver->slots[id] = 0;
    driver->n_in_flight--;
}

static bool
poll_split (VmmVirtqDriver *driver, uint32_t *ret_id, uint32_t *ret_len)
{
    uint32_t entry[2];

    if (__atomic_load_n (u16_at (driver->device, 2), __ATOMIC_SEQ_CST) == driver->used)
        return false;
    memcpy (entry, driver->device + 4 + 8u * (driver->used % driver->size), sizeof entry);
    *ret_id = entry[0];
    *ret_len = entry[1];
    driver->used++;
    return true;
}

static bool
packed_is_used (const VmmVirtqDriver *driver, uint16_t flags)
{
    return ((flags & F_AVAIL) != 0) == driver->used_wrap && ((flags & F_USED) != 0) == driver->used_wrap;
}

static bool
poll_packed (VmmVirtqDriver *driver, uint32_t *ret_id, uint32_t *ret_len)
{
    const uint8_t *desc = driver->desc + driver->used * DESC_SIZE;
    uint16_t flags = __atomic_load_n (packed_flags (driver, driver->used), __ATOMIC_SEQ_CST);
    uint16_t id;

    if (driver->n_in_flight == 0 || !packed_is_used (driver, flags))
        return false;
    memcpy (&id, desc + 12, sizeof id);
    memcpy (ret_len, desc + 8, sizeof *ret_len);
    if ((flags & VMM_VIRTQ_DESC_WRITE) == 0)
        *ret_len = 0;
    if (id >= driver->size)
        fail ("the device gave back an id that the driver has not");
    *ret_id = id;
    driver->used_wrap ^= driver->used + driver->slots[id] >= driver->size;
    driver->used = (uint16_t)((driver->used + driver->slots[id]) % driver->size);
    return true;
}

bool
vmm_virtq_driver_poll_used (VmmVirtqDriver *driver, int *ret_id, uint32_t *ret_len)
{
    bool packed = vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED);
    uint32_t id = 0;
    uint32_t len = 0;

    if (!(packed ? poll_packed (driver, &id, &len) : poll_split (driver, &id, &len)))
        return false;
    finish (driver, id);
    if (ret_id != NULL)
        *ret_id = (int)id;
    if (ret_len != NULL)
        *ret_len = len;
    return true;
}

void
vmm_virtq_driver_disable_interrupts (VmmVirtqDriver *driver)
{
    if (vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED))
        __atomic_store_n (u32_at (driver->driver), EVENT_DISABLE << 16, __ATOMIC_SEQ_CST);
    else if (!vmm_virtq_driver_is (driver, VMM_VIRTQ_EVENT_IDX))
        __atomic_store_n (u16_at (driver->driver, 0), 1, __ATOMIC_SEQ_CST);
    else /* as far away as it can be */
        __atomic_store_n (u16_at (driver->driver, 4 + 2u * driver->size), (uint16_t)(driver->used - 1),
                          __ATOMIC_SEQ_CST);
}

static void
enable_packed (VmmVirtqDriver *driver, unsigned after)
{
    unsigned slot = driver->used + after;
    bool wrap = driver->used_wrap != (slot >= driver->size);
    uint32_t value = 0;

    if (vmm_virtq_driver_is (driver, VMM_VIRTQ_EVENT_IDX))
        value = slot % driver->size | (uint32_t)wrap << 15 | EVENT_DESC << 16;
    __atomic_store_n (u32_at (driver->driver), value, __ATOMIC_SEQ_CST);
}

bool
vmm_virtq_driver_enable_interrupts (VmmVirtqDriver *driver, unsigned after)
{
    if (vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED)) {
        enable_packed (driver, after);
        return driver->n_in_flight == 0 ||
               !packed_is_used (driver,
                                __atomic_load_n (packed_flags (driver, driver->used), __ATOMIC_SEQ_CST));
    }
    if (vmm_virtq_driver_is (driver, VMM_VIRTQ_EVENT_IDX))
        __atomic_store_n (u16_at (driver->driver, 4 + 2u * driver->size), (uint16_t)(driver->used + after),
                          __ATOMIC_SEQ_CST);
    else
        __atomic_store_n (u16_at (driver->driver, 0), 0, __ATOMIC_SEQ_CST);
    return __atomic_load_n (u16_at (driver->device, 2), __ATOMIC_SEQ_CST) == driver->used;
}
