/* SPDX-License-Identifier: Apache-2.0 */
/* The driver that breaks the rules. */
#include <string.h>

#include "virtq-driver-internal.h"

#define DESC_SIZE 16u
#define NEXT VMM_VIRTQ_DESC_NEXT
#define WRITE VMM_VIRTQ_DESC_WRITE
#define INDIRECT VMM_VIRTQ_DESC_INDIRECT
/* Beyond what any test has as RAM. */
#define NOWHERE (UINT64_C (1) << 52)

typedef struct {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
} Desc;

const char *
vmm_virtq_bad_name (VmmVirtqBad bad)
{
    static const char *const names[VMM_VIRTQ_BAD_LAST] = {
        [VMM_VIRTQ_BAD_LOOP] = "loop",
        [VMM_VIRTQ_BAD_HEAD_RANGE] = "head out of range",
        [VMM_VIRTQ_BAD_NEXT_RANGE] = "next out of range",
        [VMM_VIRTQ_BAD_INDEX_JUMP] = "index jump",
        [VMM_VIRTQ_BAD_INDIRECT_IN_INDIRECT] = "indirect in indirect",
        [VMM_VIRTQ_BAD_INDIRECT_AND_NEXT] = "indirect and next",
        [VMM_VIRTQ_BAD_INDIRECT_EMPTY] = "empty table",
        [VMM_VIRTQ_BAD_INDIRECT_ODD] = "odd table",
        [VMM_VIRTQ_BAD_INDIRECT_TOO_LONG] = "table too long",
        [VMM_VIRTQ_BAD_INDIRECT_NOT_RAM] = "table not in RAM",
        [VMM_VIRTQ_BAD_INDIRECT_LOOP] = "loop in a table",
        [VMM_VIRTQ_BAD_INDIRECT_NEXT_RANGE] = "next beyond the table",
        [VMM_VIRTQ_BAD_WRITABLE_FIRST] = "writable before readable",
        [VMM_VIRTQ_BAD_NOT_RAM] = "buffer not in RAM",
        [VMM_VIRTQ_BAD_HALF_RAM] = "buffer half in RAM",
        [VMM_VIRTQ_BAD_WRAPS] = "address wraps",
        [VMM_VIRTQ_BAD_4GIB] = "4 GiB",
        [VMM_VIRTQ_BAD_TOTAL] = "more than 4 GiB together",
    };

    return bad < VMM_VIRTQ_BAD_LAST ? names[bad] : "?";
}

/* A split ring's chain begins at slot 0, a packed one's where the driver is; its head is shown last. */
static bool
play (VmmVirtqDriver *driver, const Desc *descs, unsigned n)
{
    if (n > driver->size)
        return false;
    vmm_virtq_driver_publish (driver);
    for (unsigned i = n; i-- > 0;) {
        bool packed = vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED);
        unsigned slot = packed ? (driver->avail + i) % driver->size : i;

        vmm_virtq_driver_put_desc (driver, slot, descs[i].addr, descs[i].len, descs[i].flags,
                                   packed ? 0 : descs[i].next);
    }
    vmm_virtq_driver_put_available (driver, 0);
    vmm_virtq_driver_publish (driver);
    return true;
}

/* One descriptor of an indirect table, with all of its flags. */
static void
put_in_table (VmmVirtqDriver *driver, VmmVirtqSegment table, unsigned index, const Desc *d)
{
    uint8_t *bytes = (uint8_t *)vmm_virtq_heap_bytes (driver->heap, table) + index * DESC_SIZE;

    vmm_virtq_driver_fill_desc (driver, bytes, d->addr, d->len, d->flags, d->next);
    if (vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED))
        memcpy (bytes + 14, &d->flags, sizeof d->flags);
}

/* A table of good descriptors, but for the flags and the next of the one at @index. */
static VmmVirtqSegment
make_table (VmmVirtqDriver *driver, VmmVirtqSegment good, unsigned n, unsigned index, uint16_t flags,
            uint16_t next)
{
    VmmVirtqSegment table = vmm_virtq_heap_alloc (driver->heap, n * DESC_SIZE);

    for (unsigned i = 0; i < n; i++) {
        Desc d = {good.gpa, 1, i + 1 < n ? NEXT : 0, (uint16_t)(i + 1)};

        if (i == index) {
            d.flags = flags;
            d.next = next;
        }
        put_in_table (driver, table, i, &d);
    }
    return table;
}

static bool
play_table (VmmVirtqDriver *driver, VmmVirtqSegment table, uint32_t len)
{
    Desc d = {table.gpa, len, INDIRECT, 0};

    return play (driver, &d, 1);
}

static bool
play_indirect (VmmVirtqDriver *driver, VmmVirtqBad bad, VmmVirtqSegment good)
{
    VmmVirtqSegment table = make_table (driver, good, 2, 1, 0, 0);
    Desc both[2] = {{table.gpa, table.len, INDIRECT | NEXT, 1}, {good.gpa, good.len, 0, 0}};
    unsigned too_many = driver->size + 1u;

    if (!vmm_virtq_driver_is (driver, VMM_VIRTQ_INDIRECT))
        return false;
    switch (bad) {
    case VMM_VIRTQ_BAD_INDIRECT_IN_INDIRECT:
        /* Valid but for its place. */
        table = make_table (driver, table, 1, 0, INDIRECT, 0);
        ((uint32_t *)vmm_virtq_heap_bytes (driver->heap, table))[2] = 2 * DESC_SIZE;
        return play_table (driver, table, DESC_SIZE);
    case VMM_VIRTQ_BAD_INDIRECT_AND_NEXT:
        return play (driver, both, 2);
    case VMM_VIRTQ_BAD_INDIRECT_EMPTY:
        return play_table (driver, table, 0);
    case VMM_VIRTQ_BAD_INDIRECT_ODD:
        return play_table (driver, table, table.len - 1);
    case VMM_VIRTQ_BAD_INDIRECT_TOO_LONG:
        table = make_table (driver, good, too_many, too_many, 0, 0);
        return play_table (driver, table, table.len);
    case VMM_VIRTQ_BAD_INDIRECT_NOT_RAM:
        return play_table (driver, (VmmVirtqSegment){NOWHERE, 0}, DESC_SIZE);
    case VMM_VIRTQ_BAD_INDIRECT_LOOP:
        table = make_table (driver, good, 2, 1, NEXT, 0);
        return !vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED) && play_table (driver, table, table.len);
    case VMM_VIRTQ_BAD_INDIRECT_NEXT_RANGE:
        table = make_table (driver, good, 2, 1, NEXT, 2);
        return !vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED) && play_table (driver, table, table.len);
    default:
        return false;
    }
}

static bool
play_loop (VmmVirtqDriver *driver, VmmVirtqSegment good)
{
    unsigned n = vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED) ? driver->size : 1;
    g_autofree Desc *descs = g_new0 (Desc, n);

    for (unsigned i = 0; i < n; i++)
        descs[i] = (Desc){good.gpa, 1, NEXT, 0};
    return play (driver, descs, n);
}

static bool
play_total (VmmVirtqDriver *driver)
{
    const VmmMemRegion *r = vmm_guest_memory_region (driver->heap->memory, 0);
    uint32_t len = (uint32_t)MIN (r->size, UINT32_MAX);
    unsigned n = UINT32_MAX / len + 1;
    g_autofree Desc *descs = g_new0 (Desc, n);

    for (unsigned i = 0; i < n; i++)
        descs[i] = (Desc){r->gpa, len, i + 1 < n ? NEXT : 0, (uint16_t)(i + 1)};
    return (uint64_t)len * n > UINT32_MAX && play (driver, descs, n);
}

static bool
play_split (VmmVirtqDriver *driver, VmmVirtqBad bad, VmmVirtqSegment good)
{
    Desc d = {good.gpa, good.len, NEXT, driver->size};

    if (vmm_virtq_driver_is (driver, VMM_VIRTQ_PACKED))
        return false;
    if (bad == VMM_VIRTQ_BAD_NEXT_RANGE)
        return play (driver, &d, 1);
    if (bad == VMM_VIRTQ_BAD_INDEX_JUMP) {
        vmm_virtq_driver_put_index (driver, (uint16_t)(driver->avail + driver->size + 1));
        return true;
    }
    vmm_virtq_driver_put_available (driver, driver->size);
    vmm_virtq_driver_publish (driver);
    return true;
}

bool
vmm_virtq_driver_play_bad (VmmVirtqDriver *driver, VmmVirtqBad bad)
{
    VmmVirtqSegment good = vmm_virtq_heap_alloc (driver->heap, 64);
    const VmmMemRegion *last =
        vmm_guest_memory_region (driver->heap->memory, vmm_guest_memory_n_regions (driver->heap->memory) - 1);
    Desc d[2] = {{good.gpa, good.len, WRITE | NEXT, 1}, {good.gpa, good.len, 0, 0}};

    switch (bad) {
    case VMM_VIRTQ_BAD_LOOP:
        return play_loop (driver, good);
    case VMM_VIRTQ_BAD_HEAD_RANGE:
    case VMM_VIRTQ_BAD_NEXT_RANGE:
    case VMM_VIRTQ_BAD_INDEX_JUMP:
        return play_split (driver, bad, good);
    case VMM_VIRTQ_BAD_WRITABLE_FIRST:
        return play (driver, d, 2);
    case VMM_VIRTQ_BAD_NOT_RAM:
        d[1].addr = NOWHERE;
        return play (driver, d + 1, 1);
    case VMM_VIRTQ_BAD_HALF_RAM:
        d[1].addr = last->gpa + last->size - 8;
        return play (driver, d + 1, 1);
    case VMM_VIRTQ_BAD_WRAPS:
        d[1].addr = UINT64_MAX - 15;
        return play (driver, d + 1, 1);
    case VMM_VIRTQ_BAD_4GIB:
        d[1].len = UINT32_MAX;
        return last->gpa + last->size <= UINT32_MAX && play (driver, d + 1, 1);
    case VMM_VIRTQ_BAD_TOTAL:
        return play_total (driver);
    default:
        return play_indirect (driver, bad, good);
    }
}
