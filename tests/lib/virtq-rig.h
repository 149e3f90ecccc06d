/* SPDX-License-Identifier: Apache-2.0 */
/* A queue with a driver at its other end, in memory of their own; it counts what the queue tells. */
#ifndef VMM_TESTS_VIRTQ_RIG_H
#define VMM_TESTS_VIRTQ_RIG_H

#include <stdlib.h>

#include "virtq-driver.h"

typedef struct {
    VmmGuestMemory *memory;
    VmmVirtqHeap heap;
    VmmVirtqDriver *driver;
    VmmVirtqueue *queue;
    VmmChain chain;
    unsigned n_interrupts;
    unsigned n_broken;
    const char *why;
} VirtqRig;

/* What a driver can be, for loops. */
static const unsigned virtq_modes[] = {
    0,
    VMM_VIRTQ_EVENT_IDX,
    VMM_VIRTQ_INDIRECT,
    VMM_VIRTQ_INDIRECT | VMM_VIRTQ_EVENT_IDX,
    VMM_VIRTQ_INDIRECT | VMM_VIRTQ_DIRECT,
    VMM_VIRTQ_PACKED,
    VMM_VIRTQ_PACKED | VMM_VIRTQ_EVENT_IDX,
    VMM_VIRTQ_PACKED | VMM_VIRTQ_INDIRECT,
    VMM_VIRTQ_PACKED | VMM_VIRTQ_INDIRECT | VMM_VIRTQ_EVENT_IDX,
    VMM_VIRTQ_PACKED | VMM_VIRTQ_INDIRECT | VMM_VIRTQ_DIRECT,
};

static inline void
virtq_rig_on_interrupt (void *user, unsigned index)
{
    ((VirtqRig *)user)->n_interrupts++;
}

static inline void
virtq_rig_on_broken (void *user, unsigned index, const char *why)
{
    VirtqRig *rig = user;

    rig->n_broken++;
    rig->why = why;
}

static inline bool
virtq_rig_enable (VirtqRig *rig)
{
    VmmVirtqueueLayout layout = vmm_virtq_driver_layout (rig->driver);

    return vmm_virtqueue_enable (rig->queue, &layout, vmm_virtq_driver_features (rig->driver));
}

static inline void
virtq_rig_init (VirtqRig *rig, uint64_t memory_size, uint16_t size, unsigned mode)
{
    VmmVirtqueueEvents events = {virtq_rig_on_interrupt, virtq_rig_on_broken, rig};

    *rig = (VirtqRig){.memory = vmm_virtq_memory_new (memory_size)};
    vmm_virtq_heap_init (&rig->heap, rig->memory, 0x1000, memory_size - 0x1000);
    rig->driver = vmm_virtq_driver_new (&rig->heap, size, mode);
    rig->queue = vmm_virtqueue_new (rig->memory, 3, &events);
    vmm_chain_init (&rig->chain, VMM_CHAIN_IOV_MAX);
    if (!virtq_rig_enable (rig))
        abort ();
}

static inline void
virtq_rig_clear (VirtqRig *rig)
{
    vmm_chain_clear (&rig->chain);
    vmm_virtqueue_free (rig->queue);
    vmm_virtq_driver_free (rig->driver);
    vmm_guest_memory_free (rig->memory);
}

/* The driver sends @n chains of one readable buffer each and publishes them; whether the device is to be
 * told. */
static inline bool
virtq_rig_send (VirtqRig *rig, VmmVirtqSegment out, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (vmm_virtq_driver_add (rig->driver, &out, 1, NULL, 0) < 0)
            abort ();
    }
    return vmm_virtq_driver_publish (rig->driver);
}

/* The device takes up to @n chains and gives them back unpublished; how many there were. */
static inline unsigned
virtq_rig_serve (VirtqRig *rig, unsigned n)
{
    unsigned done = 0;

    while (done < n && vmm_virtqueue_pop (rig->queue, &rig->chain)) {
        vmm_virtqueue_push (rig->queue, &rig->chain);
        done++;
    }
    return done;
}

static inline unsigned
virtq_rig_collect (VirtqRig *rig)
{
    unsigned n = 0;

    while (vmm_virtq_driver_poll_used (rig->driver, NULL, NULL))
        n++;
    return n;
}

#endif
