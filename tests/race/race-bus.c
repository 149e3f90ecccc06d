/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes on a bus while ranges come, go and outgrow the table: what vCPUs do while a guest moves
 * its PCI BARs.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "vmm/core/bus.h"

#define N_READERS 3u
#define N_WRITERS 2u
#define N_ROUNDS 60u
/* More than the table starts with, so that it grows under the readers. */
#define N_RANGES 40u

typedef struct {
    unsigned id;
    atomic_uint n_writes;
} Device;

typedef struct {
    VmmBus *bus;
    Device fixed;
    Device devices[N_WRITERS][N_RANGES];
    atomic_uint n_writers;
    atomic_uint n_wrong;
    atomic_uint n_fixed_writes;
} World;

typedef struct {
    World *world;
    unsigned index;
} Worker;

static uint64_t
device_read (void *device, uint64_t offset, unsigned size)
{
    return ((Device *)device)->id;
}

static void
device_write (void *device, uint64_t offset, unsigned size, uint64_t value)
{
    Device *d = device;

    atomic_fetch_add (&d->n_writes, 1);
}

static const VmmBusOps ops = {.read = device_read, .write = device_write};

static uint64_t
base_of (unsigned writer, unsigned range)
{
    return 0x1000 + (range * N_WRITERS + writer) * 0x10u;
}

static unsigned
id_of (unsigned writer, unsigned range)
{
    return 100 + writer * N_RANGES + range;
}

static void *
reader_main (void *data)
{
    World *w = data;

    while (atomic_load (&w->n_writers) > 0) {
        for (unsigned writer = 0; writer < N_WRITERS; writer++) {
            for (unsigned i = 0; i < N_RANGES; i++) {
                uint64_t v = vmm_bus_read (w->bus, base_of (writer, i) + 4, 4);

                if (v != id_of (writer, i) && v != UINT64_MAX)
                    atomic_fetch_add (&w->n_wrong, 1);
                vmm_bus_write (w->bus, base_of (writer, i), 4, 0);
            }
        }
        if (vmm_bus_read (w->bus, 0x10, 1) != 1)
            atomic_fetch_add (&w->n_wrong, 1);
        vmm_bus_write (w->bus, 0x10, 1, 0);
        atomic_fetch_add (&w->n_fixed_writes, 1);
    }
    return NULL;
}

static void *
writer_main (void *data)
{
    Worker *worker = data;
    World *w = worker->world;

    for (unsigned round = 0; round < N_ROUNDS; round++) {
        for (unsigned i = 0; i < N_RANGES; i++) {
            if (!vmm_bus_add (w->bus, "moving", base_of (worker->index, i), 0x10, &ops,
                              &w->devices[worker->index][i], NULL))
                atomic_fetch_add (&w->n_wrong, 1);
        }
        for (unsigned i = 0; i < N_RANGES; i++)
            vmm_bus_remove (w->bus, base_of (worker->index, i));
    }
    atomic_fetch_sub (&w->n_writers, 1);
    return NULL;
}

int
main (void)
{
    World w = {.fixed = {.id = 1}, .n_writers = N_WRITERS};
    Worker workers[N_WRITERS];
    pthread_t threads[N_READERS + N_WRITERS];

    w.bus = vmm_bus_new ("MMIO");
    if (!vmm_bus_add (w.bus, "fixed", 0x10, 0x10, &ops, &w.fixed, NULL))
        return 1;
    for (unsigned writer = 0; writer < N_WRITERS; writer++) {
        for (unsigned i = 0; i < N_RANGES; i++)
            w.devices[writer][i].id = id_of (writer, i);
    }
    for (unsigned i = 0; i < N_READERS; i++)
        pthread_create (&threads[i], NULL, reader_main, &w);
    for (unsigned i = 0; i < N_WRITERS; i++) {
        workers[i] = (Worker){&w, i};
        pthread_create (&threads[N_READERS + i], NULL, writer_main, &workers[i]);
    }
    for (unsigned i = 0; i < N_READERS + N_WRITERS; i++)
        pthread_join (threads[i], NULL);
    vmm_bus_free (w.bus);
    if (atomic_load (&w.n_wrong) != 0 || atomic_load (&w.fixed.n_writes) != atomic_load (&w.n_fixed_writes)) {
        fprintf (stderr, "%u accesses went wrong, %u of %u writes arrived\n", atomic_load (&w.n_wrong),
                 atomic_load (&w.fixed.n_writes), atomic_load (&w.n_fixed_writes));
        return 1;
    }
    return 0;
}
