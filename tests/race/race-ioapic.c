/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices that raise lines, a vCPU that ends interrupts, and one that rewrites redirection entries, all at
 * once. At the end no interrupt may be lost: a level line that was left asserted has been sent for its last
 * EOI, and every edge on a pin that was never masked has arrived.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "devices/ioapic/ioapic.h"

#define N_STEPS 3000u
#define LEVEL (1u << 15)
#define MASKED (1u << 16)

enum {
    EDGE_PIN = 4,
    LEVEL_PIN = 9,
    FLAPPING_PIN = 10,
    EDGE_VECTOR = 0x31,
    LEVEL_VECTOR = 0x41,
    FLAPPING_VECTOR = 0x51,
};

typedef struct {
    VmmIoapic *ioapic;
    atomic_uint n_edges;
    atomic_uint n_levels;
    atomic_bool stop;
    unsigned n_routes; /* guarded by the I/O APIC's own lock, as its documentation promises */
} World;

static void
on_msi (void *chip, uint64_t address, uint32_t data)
{
    World *w = chip;

    if ((data & 0xff) == EDGE_VECTOR)
        atomic_fetch_add (&w->n_edges, 1);
    if ((data & 0xff) == LEVEL_VECTOR)
        atomic_fetch_add (&w->n_levels, 1);
}

static void
on_route (void *user, unsigned pin, uint64_t address, uint32_t data, bool masked)
{
    ((World *)user)->n_routes++;
}

/* IOREGSEL and IOWIN are two accesses: a guest has a lock around them, and here one thread does them all. */
static void
entry_write (World *w, unsigned pin, uint32_t low)
{
    vmm_ioapic_bus_ops.write (w->ioapic, 0x00, 4, 0x10 + 2 * pin);
    vmm_ioapic_bus_ops.write (w->ioapic, 0x10, 4, low);
}

static void *
edge_device_main (void *data)
{
    World *w = data;
    VmmIrqLine line = {vmm_ioapic_set_irq, w->ioapic, EDGE_PIN};

    for (unsigned i = 0; i < N_STEPS; i++)
        vmm_irq_line_pulse (&line);
    return NULL;
}

static void *
level_device_main (void *data)
{
    World *w = data;
    VmmIrqLine steady = {vmm_ioapic_set_irq, w->ioapic, LEVEL_PIN};
    VmmIrqLine flapping = {vmm_ioapic_set_irq, w->ioapic, FLAPPING_PIN};

    for (unsigned i = 0; i < N_STEPS; i++) {
        vmm_irq_line_set (&steady, i & 1);
        vmm_irq_line_pulse (&flapping);
    }
    return NULL;
}

static void *
eoi_vcpu_main (void *data)
{
    World *w = data;

    while (!atomic_load (&w->stop)) {
        vmm_ioapic_eoi (w->ioapic, LEVEL_VECTOR);
        vmm_ioapic_bus_ops.write (w->ioapic, 0x40, 4, FLAPPING_VECTOR);
    }
    return NULL;
}

static void *
entry_vcpu_main (void *data)
{
    World *w = data;

    for (unsigned i = 0; i < N_STEPS; i++) {
        entry_write (w, FLAPPING_PIN, FLAPPING_VECTOR | LEVEL | (i & 1 ? MASKED : 0));
        vmm_ioapic_bus_ops.read (w->ioapic, 0x10, 4);
    }
    return NULL;
}

static int
verdict (World *w)
{
    unsigned before = atomic_load (&w->n_levels);
    unsigned edges = atomic_load (&w->n_edges);

    /* The line ended asserted; whether or not one is in service, an EOI leads to exactly one more. */
    vmm_ioapic_eoi (w->ioapic, LEVEL_VECTOR);
    if (edges != N_STEPS || before == 0 || atomic_load (&w->n_levels) != before + 1 || w->n_routes == 0) {
        fprintf (stderr, "%u of %u edges, %u level interrupts and %u after an EOI, %u routes\n", edges,
                 N_STEPS, before, atomic_load (&w->n_levels) - before, w->n_routes);
        return 1;
    }
    return 0;
}

int
main (void)
{
    static void *(*const mains[]) (void *) = {edge_device_main, level_device_main, entry_vcpu_main};
    World w = {0};
    VmmMsiSink sink = {.send = on_msi, .chip = &w};
    pthread_t eoi, threads[3];
    int result;

    w.ioapic = vmm_ioapic_new (VMM_IOAPIC_PINS, &sink);
    vmm_ioapic_set_routes_changed (w.ioapic, on_route, &w);
    entry_write (&w, EDGE_PIN, EDGE_VECTOR);
    entry_write (&w, LEVEL_PIN, LEVEL_VECTOR | LEVEL);
    pthread_create (&eoi, NULL, eoi_vcpu_main, &w);
    for (unsigned i = 0; i < 3; i++)
        pthread_create (&threads[i], NULL, mains[i], &w);
    for (unsigned i = 0; i < 3; i++)
        pthread_join (threads[i], NULL);
    atomic_store (&w.stop, true);
    pthread_join (eoi, NULL);
    result = verdict (&w);
    vmm_ioapic_free (w.ioapic);
    return result;
}
