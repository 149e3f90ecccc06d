/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver and a device at the two ends of a ring, each on its own thread, and each sleeping whenever the
 * other has nothing and has promised to tell. A lost notification is a wait that does not end; every answer
 * must fit its question.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "virtq-driver.h"

#define N_CHAINS 4000u
#define RING_SIZE 8u

typedef struct {
    VmmVirtqHeap heap;
    VmmVirtqDriver *driver;
    VmmVirtqueue *queue;
    VmmChain chain;
    sem_t kick;
    sem_t interrupt;
    atomic_bool stop;
    atomic_uint n_wrong;
} World;

static void
on_interrupt (void *user, unsigned index)
{
    sem_post (&((World *)user)->interrupt);
}

static void
on_broken (void *user, unsigned index, const char *why)
{
    fprintf (stderr, "broken: %s\n", why);
    atomic_fetch_add (&((World *)user)->n_wrong, 1);
}

/* False when nobody woke us for so long that nobody will. */
static bool
wait_for (sem_t *sem)
{
    struct timespec until;

    clock_gettime (CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    return sem_timedwait (sem, &until) == 0;
}

static void
serve (World *w)
{
    uint64_t value;

    vmm_virtqueue_set_kicks (w->queue, false);
    do {
        while (vmm_virtqueue_pop (w->queue, &w->chain)) {
            vmm_chain_read (&w->chain, &value, sizeof value);
            value = ~value;
            vmm_chain_write (&w->chain, &value, sizeof value);
            vmm_virtqueue_push (w->queue, &w->chain);
            if ((value & 3) != 0)
                vmm_virtqueue_publish (w->queue);
        }
        vmm_virtqueue_publish (w->queue);
    } while (!vmm_virtqueue_arm (w->queue));
}

static void *
device_main (void *data)
{
    World *w = data;

    for (;;) {
        serve (w);
        if (!wait_for (&w->kick))
            atomic_fetch_add (&w->n_wrong, 1);
        if (atomic_load (&w->stop) || atomic_load (&w->n_wrong) > 0)
            return NULL;
    }
}

static void
drive (World *w)
{
    VmmVirtqSegment out[RING_SIZE];
    VmmVirtqSegment in[RING_SIZE];
    int ids[RING_SIZE];
    unsigned n_done = 0;
    uint64_t next = 1;

    for (unsigned i = 0; i < RING_SIZE; i++) {
        out[i] = vmm_virtq_heap_alloc (&w->heap, 8);
        in[i] = vmm_virtq_heap_alloc (&w->heap, 8);
        ids[i] = -1;
    }
    while (n_done < N_CHAINS && atomic_load (&w->n_wrong) == 0) {
        unsigned burst = next % 3 + 1;
        int id;

        for (unsigned i = 0; i < RING_SIZE && burst > 0; i++) {
            if (ids[i] >= 0 || vmm_virtq_driver_in_flight (w->driver) >= RING_SIZE / 2)
                continue;
            *(uint64_t *)vmm_virtq_heap_bytes (&w->heap, out[i]) = next++;
            ids[i] = vmm_virtq_driver_add (w->driver, &out[i], 1, &in[i], 1);
            burst--;
        }
        if (vmm_virtq_driver_publish (w->driver))
            sem_post (&w->kick);
        if (vmm_virtq_driver_enable_interrupts (w->driver, 0) && vmm_virtq_driver_in_flight (w->driver) > 0 &&
            !wait_for (&w->interrupt))
            atomic_fetch_add (&w->n_wrong, 1);
        vmm_virtq_driver_disable_interrupts (w->driver);
        for (; vmm_virtq_driver_poll_used (w->driver, &id, NULL); n_done++) {
            for (unsigned i = 0; i < RING_SIZE; i++) {
                if (ids[i] != id)
                    continue;
                ids[i] = -1;
                if (*(uint64_t *)vmm_virtq_heap_bytes (&w->heap, out[i]) !=
                    ~*(uint64_t *)vmm_virtq_heap_bytes (&w->heap, in[i]))
                    atomic_fetch_add (&w->n_wrong, 1);
            }
        }
    }
}

static unsigned
run (unsigned mode)
{
    VmmGuestMemory *memory = vmm_virtq_memory_new (1 << 20);
    World w = {0};
    VmmVirtqueueEvents events = {on_interrupt, on_broken, &w};
    VmmVirtqueueLayout layout;
    pthread_t device;
    unsigned n_wrong;

    vmm_virtq_heap_init (&w.heap, memory, 0x1000, 0x80000);
    w.driver = vmm_virtq_driver_new (&w.heap, RING_SIZE, mode);
    w.queue = vmm_virtqueue_new (memory, 0, &events);
    layout = vmm_virtq_driver_layout (w.driver);
    vmm_chain_init (&w.chain, 8);
    sem_init (&w.kick, 0, 0);
    sem_init (&w.interrupt, 0, 0);
    if (!vmm_virtqueue_enable (w.queue, &layout, vmm_virtq_driver_features (w.driver)))
        return 1;
    pthread_create (&device, NULL, device_main, &w);
    drive (&w);
    atomic_store (&w.stop, true);
    sem_post (&w.kick);
    pthread_join (device, NULL);
    n_wrong = atomic_load (&w.n_wrong);
    vmm_chain_clear (&w.chain);
    vmm_virtqueue_free (w.queue);
    vmm_virtq_driver_free (w.driver);
    vmm_guest_memory_free (memory);
    sem_destroy (&w.kick);
    sem_destroy (&w.interrupt);
    return n_wrong;
}

int
main (void)
{
    for (unsigned mode = 0; mode < VMM_VIRTQ_DIRECT; mode++) {
        if (run (mode) != 0) {
            fprintf (stderr, "mode %u: something was lost or torn\n", mode);
            return 1;
        }
    }
    return 0;
}
