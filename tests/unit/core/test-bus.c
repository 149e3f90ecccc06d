/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "vmm/core/bus.h"
#include "vmm/error.h"

/* A device that answers with who it is and what it was asked. */
typedef struct {
    unsigned id;
    unsigned n_writes;
    uint64_t offset;
    unsigned size;
    uint64_t value;
} Dummy;

#define ANSWER(id, offset, size) ((uint64_t)(id) << 32 | (uint64_t)(offset) << 8 | (size))

static uint64_t
dummy_read (void *device, uint64_t offset, unsigned size)
{
    Dummy *d = device;

    return ANSWER (d->id, offset, size);
}

static void
dummy_write (void *device, uint64_t offset, unsigned size, uint64_t value)
{
    Dummy *d = device;

    d->n_writes++;
    d->offset = offset;
    d->size = size;
    d->value = value;
}

static const VmmBusOps dummy_ops = {.read = dummy_read, .write = dummy_write};

static bool
add (VmmBus *bus, const char *name, uint64_t base, uint64_t size, Dummy *d)
{
    return vmm_bus_add (bus, name, base, size, &dummy_ops, d, NULL);
}

Test (bus, devices_get_offsets_within_their_range)
{
    Dummy uart = {.id = 1}, rtc = {.id = 2};
    g_autoptr (VmmBus) bus = vmm_bus_new ("port");

    cr_assert (add (bus, "uart", 0x3f8, 8, &uart));
    cr_assert (add (bus, "rtc", 0x70, 2, &rtc));
    cr_assert_eq (vmm_bus_read (bus, 0x3f8, 1), ANSWER (1, 0, 1));
    cr_assert_eq (vmm_bus_read (bus, 0x3ff, 1), ANSWER (1, 7, 1));
    cr_assert_eq (vmm_bus_read (bus, 0x3fc, 4), ANSWER (1, 4, 4));
    cr_assert_eq (vmm_bus_read (bus, 0x3f8, 8), ANSWER (1, 0, 8));
    cr_assert_eq (vmm_bus_read (bus, 0x71, 1), ANSWER (2, 1, 1));
    vmm_bus_write (bus, 0x3fe, 2, 0xabcd);
    cr_assert_eq (uart.n_writes, 1u);
    cr_assert_eq (uart.offset, 6u);
    cr_assert_eq (uart.size, 2u);
    cr_assert_eq (uart.value, 0xabcdu);
    cr_assert_eq (rtc.n_writes, 0u);
}

Test (bus, holes_read_ones_and_swallow_writes)
{
    static const uint64_t holes[] = {0, 0x3f7, 0x400, 0x3f6, UINT64_MAX};
    Dummy uart = {.id = 1};
    g_autoptr (VmmBus) bus = vmm_bus_new ("port");

    cr_assert_eq (vmm_bus_read (bus, 0x3f8, 1), UINT64_MAX, "an empty bus");
    vmm_bus_write (bus, 0x3f8, 1, 0);
    cr_assert (add (bus, "uart", 0x3f8, 8, &uart));
    for (size_t i = 0; i < G_N_ELEMENTS (holes); i++) {
        cr_assert_eq (vmm_bus_read (bus, holes[i], 1), UINT64_MAX, "case %zu", i);
        vmm_bus_write (bus, holes[i], 1, 0);
    }
    cr_assert_eq (uart.n_writes, 0u);
}

Test (bus, access_across_an_end_reaches_nobody)
{
    Dummy a = {.id = 1}, b = {.id = 2};
    g_autoptr (VmmBus) bus = vmm_bus_new ("MMIO");

    cr_assert (add (bus, "a", 0x1000, 0x10, &a));
    cr_assert (add (bus, "b", 0x1010, 0x10, &b));
    cr_assert_eq (vmm_bus_read (bus, 0x100f, 2), UINT64_MAX, "from one device into the next");
    cr_assert_eq (vmm_bus_read (bus, 0x100c, 8), UINT64_MAX);
    cr_assert_eq (vmm_bus_read (bus, 0x101d, 4), UINT64_MAX, "over the end");
    cr_assert_eq (vmm_bus_read (bus, 0xfff, 2), UINT64_MAX, "over the start");
    vmm_bus_write (bus, 0x100f, 2, 0);
    vmm_bus_write (bus, 0x101d, 4, 0);
    vmm_bus_write (bus, 0xffc, 8, 0);
    cr_assert_eq (a.n_writes + b.n_writes, 0u);
    cr_assert_eq (vmm_bus_read (bus, 0x1008, 8), ANSWER (1, 8, 8), "up to the end");
    cr_assert_eq (vmm_bus_read (bus, 0x1010, 1), ANSWER (2, 0, 1));
}

Test (bus, overlap_is_refused_with_both_names)
{
    static const struct {
        uint64_t base;
        uint64_t size;
    } bad[] = {{0x1000, 0x10}, {0xfff, 2},     {0x100f, 1},  {0x100f, 0x100},
               {0x1004, 4},    {0x0, 0x10000}, {0x0, 0x1001}};
    Dummy a = {.id = 1}, b = {.id = 2};
    g_autoptr (VmmBus) bus = vmm_bus_new ("MMIO");

    cr_assert (add (bus, "ioapic", 0x1000, 0x10, &a));
    for (size_t i = 0; i < G_N_ELEMENTS (bad); i++) {
        g_autoptr (GError) error = NULL;

        cr_assert_not (vmm_bus_add (bus, "hpet", bad[i].base, bad[i].size, &dummy_ops, &b, &error),
                       "case %zu", i);
        cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_HOST), "case %zu", i);
        cr_assert_not_null (strstr (error->message, "hpet"), "case %zu", i);
        cr_assert_not_null (strstr (error->message, "ioapic"), "case %zu", i);
    }
    cr_assert (add (bus, "before", 0xff0, 0x10, &b));
    cr_assert (add (bus, "after", 0x1010, 0x10, &b));
    cr_assert_eq (vmm_bus_read (bus, 0x1000, 1), ANSWER (1, 0, 1));
}

Test (bus, empty_and_wrapping_ranges_are_refused)
{
    Dummy a = {.id = 1};
    g_autoptr (VmmBus) bus = vmm_bus_new ("MMIO");

    cr_assert_not (add (bus, "a", 0x1000, 0, &a));
    cr_assert_not (add (bus, "a", UINT64_MAX, 2, &a));
    cr_assert_not (add (bus, "a", 0x1000, UINT64_MAX, &a));
    cr_assert (add (bus, "a", UINT64_MAX - 7, 8, &a), "up to the last address");
    cr_assert_eq (vmm_bus_read (bus, UINT64_MAX, 1), ANSWER (1, 7, 1));
    cr_assert_eq (vmm_bus_read (bus, UINT64_MAX - 3, 4), ANSWER (1, 4, 4));
    cr_assert_eq (vmm_bus_read (bus, UINT64_MAX, 2), UINT64_MAX, "wraps");
    cr_assert_eq (vmm_bus_read (bus, UINT64_MAX - 2, 4), UINT64_MAX);
}

#define MANY 1000u

/* A permutation of 0..MANY-1, so that ranges come in no order. */
static unsigned
shuffled (unsigned i)
{
    return (i * 617 + 31) % MANY;
}

Test (bus, thousand_devices_are_each_found)
{
    g_autofree Dummy *d = g_new0 (Dummy, MANY);
    g_autoptr (VmmBus) bus = vmm_bus_new ("MMIO");

    for (unsigned i = 0; i < MANY; i++) {
        unsigned k = shuffled (i);

        d[k].id = k + 1;
        cr_assert (add (bus, "d", 0x10000 + k * 0x100ull, 0x10 + k % 0xf0, &d[k]));
    }
    for (unsigned k = 0; k < MANY; k++) {
        uint64_t base = 0x10000 + k * 0x100ull;
        unsigned size = 0x10 + k % 0xf0;

        cr_assert_eq (vmm_bus_read (bus, base, 1), ANSWER (k + 1, 0, 1));
        cr_assert_eq (vmm_bus_read (bus, base + size - 1, 1), ANSWER (k + 1, size - 1, 1));
        cr_assert_eq (vmm_bus_read (bus, base + size, 1), UINT64_MAX);
    }
}

Test (bus, removed_ranges_are_holes_and_can_be_taken_again)
{
    g_autofree Dummy *d = g_new0 (Dummy, MANY);
    Dummy other = {.id = 0xffff};
    g_autoptr (VmmBus) bus = vmm_bus_new ("MMIO");

    for (unsigned k = 0; k < MANY; k++) {
        d[k].id = k + 1;
        cr_assert (add (bus, "d", 0x10000 + k * 0x100ull, 0x100, &d[k]));
    }
    vmm_bus_remove (bus, 0x10001);
    vmm_bus_remove (bus, 0xffff);
    for (unsigned k = 0; k < MANY; k += 2)
        vmm_bus_remove (bus, 0x10000 + k * 0x100ull);
    for (unsigned k = 0; k < MANY; k++)
        cr_assert_eq (vmm_bus_read (bus, 0x10004 + k * 0x100ull, 4),
                      k % 2 ? ANSWER (k + 1, 4, 4) : UINT64_MAX);
    cr_assert (add (bus, "other", 0x10000, 0x100, &other));
    cr_assert_eq (vmm_bus_read (bus, 0x10000, 1), ANSWER (0xffff, 0, 1));
}

/* A BAR that its own write moves: the device changes the bus from within its handler. */
typedef struct {
    VmmBus *bus;
    uint64_t base;
} Mover;

static void mover_write (void *device, uint64_t offset, unsigned size, uint64_t value);

static const VmmBusOps mover_ops = {.read = dummy_read, .write = mover_write};

static void
mover_write (void *device, uint64_t offset, unsigned size, uint64_t value)
{
    Mover *m = device;

    vmm_bus_remove (m->bus, m->base);
    m->base = value;
    vmm_bus_add (m->bus, "mover", m->base, 0x10, &mover_ops, m, NULL);
}

Test (bus, device_may_move_itself_from_its_handler, .timeout = 20)
{
    g_autoptr (VmmBus) bus = vmm_bus_new ("MMIO");
    Mover m = {.bus = bus, .base = 0x1000};

    cr_assert (vmm_bus_add (bus, "mover", 0x1000, 0x10, &mover_ops, &m, NULL));
    vmm_bus_write (bus, 0x1000, 4, 0x2000);
    cr_assert_eq (m.base, 0x2000u);
    vmm_bus_write (bus, 0x1000, 4, 0x3000);
    cr_assert_eq (m.base, 0x2000u, "it is gone from its old place");
    vmm_bus_write (bus, 0x2000, 4, 0x3000);
    cr_assert_eq (m.base, 0x3000u);
}

typedef struct {
    VmmBus *bus;
    gint *stop;
    unsigned n_wrong;
    unsigned n_reads;
} Reader;

/* Device 7 stays; the others come and go around it, and answer as themselves or not at all. */
static gpointer
reader_main (gpointer data)
{
    Reader *r = data;

    while (!g_atomic_int_get (r->stop) || r->n_reads == 0) {
        for (unsigned k = 0; k < 16; k++) {
            uint64_t v = vmm_bus_read (r->bus, 0x1000 + k * 0x10, 4);

            if (v != ANSWER (k, 0, 4) && (k == 7 || v != UINT64_MAX))
                r->n_wrong++;
        }
        r->n_reads++;
    }
    return NULL;
}

Test (bus, readers_see_whole_entries_while_ranges_change, .timeout = 60)
{
    Dummy d[16];
    gint stop = 0;
    GThread *threads[3];
    Reader readers[3];
    g_autoptr (VmmBus) bus = vmm_bus_new ("MMIO");

    for (unsigned k = 0; k < 16; k++)
        d[k] = (Dummy){.id = k};
    cr_assert (add (bus, "fixed", 0x1070, 0x10, &d[7]));
    for (unsigned i = 0; i < 3; i++) {
        readers[i] = (Reader){.bus = bus, .stop = &stop};
        threads[i] = g_thread_new ("reader", reader_main, &readers[i]);
    }
    for (unsigned round = 0; round < 2000; round++) {
        for (unsigned k = 0; k < 16; k++) {
            if (k != 7)
                cr_assert (add (bus, "moving", 0x1000 + k * 0x10, 0x10, &d[k]));
        }
        for (unsigned k = 0; k < 16; k++) {
            if (k != 7)
                vmm_bus_remove (bus, 0x1000 + k * 0x10);
        }
    }
    g_atomic_int_set (&stop, 1);
    for (unsigned i = 0; i < 3; i++) {
        g_thread_join (threads[i]);
        cr_assert_gt (readers[i].n_reads, 0u);
        cr_assert_eq (readers[i].n_wrong, 0u);
    }
}

Test (bus, free_takes_null)
{
    vmm_bus_free (NULL);
}
