/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A bus is a sorted array of address ranges, one instance for ports and one for MMIO. Every exit of every
 * vCPU looks a range up; ranges change only when a machine is built and when a guest moves a PCI BAR. So the
 * readers take no lock: they read the array under a sequence counter, copy the entry that they found, and
 * look again when a writer was at work meanwhile. The handler runs after that, outside, so a device may
 * change the bus from within its own handler (a guest's write to a BAR does just that).
 *
 * An array that grows is replaced, and the old one is kept until the bus ends: a reader may still be in it.
 * It doubles each time, so what is kept is never more than what is in use.
 */
#include "vmm/core/bus.h"

#include <stdatomic.h>

#include "vmm/error.h"

typedef struct {
    _Atomic uint64_t base;
    _Atomic uint64_t size;
    _Atomic (const VmmBusOps *) ops;
    _Atomic (void *) device;
    char *name; /* writers only */
} Entry;

typedef struct {
    size_t capacity;
    Entry entries[];
} Table;

typedef struct {
    uint64_t base;
    const VmmBusOps *ops;
    void *device;
} Hit;

struct _VmmBus {
    char *name;
    GMutex lock; /* writers */
    _Atomic unsigned sequence;
    _Atomic (Table *) table;
    _Atomic size_t n;
    GPtrArray *old_tables;
};

static Table *
table_new (size_t capacity)
{
    Table *table = g_malloc0 (sizeof *table + capacity * sizeof table->entries[0]);

    table->capacity = capacity;
    return table;
}

/**
 * vmm_bus_new:
 * @name: what the bus is called in messages, "port" or "MMIO"
 *
 * Returns: (transfer full): an empty bus
 */
VmmBus *
vmm_bus_new (const char *name)
{
    VmmBus *bus = g_new0 (VmmBus, 1);

    bus->name = g_strdup (name);
    g_mutex_init (&bus->lock);
    atomic_store (&bus->table, table_new (16));
    bus->old_tables = g_ptr_array_new_with_free_func (g_free);
    return bus;
}

/**
 * vmm_bus_free:
 * @bus: (nullable): no thread may use it any more
 *
 * Ends the bus; the devices on it are not its own and stay.
 */
void
vmm_bus_free (VmmBus *bus)
{
    Table *table;

    if (bus == NULL)
        return;
    table = atomic_load (&bus->table);
    for (size_t i = 0; i < atomic_load (&bus->n); i++)
        g_free (table->entries[i].name);
    g_free (table);
    g_ptr_array_unref (bus->old_tables);
    g_mutex_clear (&bus->lock);
    g_free (bus->name);
    g_free (bus);
}

/* The first entry that ends after @addr, or @n. */
static size_t
lower_bound (Table *table, size_t n, uint64_t addr)
{
    size_t lo = 0;
    size_t hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        uint64_t base = atomic_load_explicit (&table->entries[mid].base, memory_order_acquire);
        uint64_t size = atomic_load_explicit (&table->entries[mid].size, memory_order_acquire);

        if (addr >= base && addr - base >= size)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void
entry_move (Entry *to, const Entry *from)
{
    atomic_store_explicit (&to->base, atomic_load (&from->base), memory_order_release);
    atomic_store_explicit (&to->size, atomic_load (&from->size), memory_order_release);
    atomic_store_explicit (&to->ops, atomic_load (&from->ops), memory_order_release);
    atomic_store_explicit (&to->device, atomic_load (&from->device), memory_order_release);
    to->name = from->name;
}

/* Makes room at @index for one more entry. The sequence is odd. */
static Table *
open_gap_locked (VmmBus *bus, size_t index)
{
    Table *table = atomic_load (&bus->table);
    size_t n = atomic_load (&bus->n);

    if (n == table->capacity) {
        Table *bigger = table_new (table->capacity * 2);

        for (size_t i = 0; i < n; i++)
            entry_move (&bigger->entries[i], &table->entries[i]);
        g_ptr_array_add (bus->old_tables, table);
        atomic_store (&bus->table, bigger);
        table = bigger;
    }
    for (size_t i = n; i > index; i--)
        entry_move (&table->entries[i], &table->entries[i - 1]);
    return table;
}

/**
 * vmm_bus_add:
 * @device_name: the device's name in messages
 * @base: first address
 * @size: bytes, at least 1
 * @ops: outlives the bus
 * @device: (nullable): what @ops get; outlives its place on the bus
 *
 * Puts a device on the bus. Any thread, also from within a handler of the bus.
 *
 * Returns: false with %VMM_ERROR_HOST when the range is empty, wraps, or meets another device's
 */
bool
vmm_bus_add (VmmBus *bus, const char *device_name, uint64_t base, uint64_t size, const VmmBusOps *ops,
             void *device, GError **error)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&bus->lock);
    Table *table = atomic_load (&bus->table);
    size_t n = atomic_load (&bus->n);
    size_t index;

    if (size == 0 || base + (size - 1) < base) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "%s: %s range 0x%" G_GINT64_MODIFIER "x+0x%" G_GINT64_MODIFIER "x is empty or wraps",
                     device_name, bus->name, base, size);
        return false;
    }
    index = lower_bound (table, n, base);
    if (index < n && atomic_load (&table->entries[index].base) <= base + (size - 1)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "%s: %s range 0x%" G_GINT64_MODIFIER "x+0x%" G_GINT64_MODIFIER
                     "x overlaps %s at 0x%" G_GINT64_MODIFIER "x",
                     device_name, bus->name, base, size, table->entries[index].name,
                     (uint64_t)atomic_load (&table->entries[index].base));
        return false;
    }
    atomic_fetch_add (&bus->sequence, 1);
    table = open_gap_locked (bus, index);
    atomic_store_explicit (&table->entries[index].base, base, memory_order_release);
    atomic_store_explicit (&table->entries[index].size, size, memory_order_release);
    atomic_store_explicit (&table->entries[index].ops, ops, memory_order_release);
    atomic_store_explicit (&table->entries[index].device, device, memory_order_release);
    table->entries[index].name = g_strdup (device_name);
    atomic_store (&bus->n, n + 1);
    atomic_fetch_add (&bus->sequence, 1);
    return true;
}

/**
 * vmm_bus_remove:
 * @base: the first address of a range that was added
 *
 * Takes a range off the bus; nothing happens when none starts there. An access that looked the range up
 * before may still be running in the device's handler: a device is freed only when no vCPU runs.
 */
void
vmm_bus_remove (VmmBus *bus, uint64_t base)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&bus->lock);
    Table *table = atomic_load (&bus->table);
    size_t n = atomic_load (&bus->n);
    size_t index = lower_bound (table, n, base);

    if (index == n || atomic_load (&table->entries[index].base) != base)
        return;
    atomic_fetch_add (&bus->sequence, 1);
    g_free (table->entries[index].name);
    for (size_t i = index; i + 1 < n; i++)
        entry_move (&table->entries[i], &table->entries[i + 1]);
    atomic_store (&bus->n, n - 1);
    atomic_fetch_add (&bus->sequence, 1);
}

/* The device that has all of [@addr, @addr + @size). */
static bool
bus_find (VmmBus *bus, uint64_t addr, unsigned size, Hit *ret_hit)
{
    for (;;) {
        unsigned sequence = atomic_load_explicit (&bus->sequence, memory_order_acquire);
        Table *table = atomic_load_explicit (&bus->table, memory_order_acquire);
        size_t n = MIN (atomic_load_explicit (&bus->n, memory_order_acquire), table->capacity);
        size_t index = lower_bound (table, n, addr);
        bool found = false;

        if (index < n) {
            Entry *e = &table->entries[index];
            uint64_t base = atomic_load_explicit (&e->base, memory_order_acquire);
            uint64_t len = atomic_load_explicit (&e->size, memory_order_acquire);

            ret_hit->base = base;
            ret_hit->ops = atomic_load_explicit (&e->ops, memory_order_acquire);
            ret_hit->device = atomic_load_explicit (&e->device, memory_order_acquire);
            found = addr >= base && addr - base < len && size <= len - (addr - base);
        }
        if ((sequence & 1) == 0 && atomic_load_explicit (&bus->sequence, memory_order_relaxed) == sequence)
            return found;
    }
}

/**
 * vmm_bus_read:
 * @addr: any address
 * @size: 1, 2, 4 or 8
 *
 * Any thread. Where no device has all of the bytes the value is all ones, as on a bus that floats.
 *
 * Returns: the value in the low @size bytes
 */
uint64_t
vmm_bus_read (VmmBus *bus, uint64_t addr, unsigned size)
{
    Hit hit;

    if (!bus_find (bus, addr, size, &hit))
        return UINT64_MAX;
    return hit.ops->read (hit.device, addr - hit.base, size);
}

/**
 * vmm_bus_write:
 * @addr: any address
 * @size: 1, 2, 4 or 8
 * @value: in the low @size bytes
 *
 * Any thread. Where no device has all of the bytes nothing happens.
 */
void
vmm_bus_write (VmmBus *bus, uint64_t addr, unsigned size, uint64_t value)
{
    Hit hit;

    if (bus_find (bus, addr, size, &hit))
        hit.ops->write (hit.device, addr - hit.base, size, value);
}
