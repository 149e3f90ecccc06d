/* SPDX-License-Identifier: Apache-2.0 */
/* A driver of several queues that outlives the devices it works with, for tests of saved state. */
#ifndef VMM_TESTS_STATE_RIG_H
#define VMM_TESTS_STATE_RIG_H

#include <stdlib.h>

#include "virtio-driver.h"
#include "virtio-state.h"

#define STATE_RIG_MEMORY (4u << 20)
#define STATE_RIG_RING 64u

/* What a driver can be, for loops. */
static const unsigned state_rig_modes[] = {0, VMM_VIRTQ_EVENT_IDX | VMM_VIRTQ_INDIRECT, VMM_VIRTQ_PACKED,
                                           VMM_VIRTQ_PACKED | VMM_VIRTQ_EVENT_IDX | VMM_VIRTQ_INDIRECT};

typedef struct {
    VmmGuestMemory *memory;
    VmmLoop *loop;
    VmmVirtioEnv env;
    VmmVirtqHeap heap;
    VmmVirtqDriver *queues[7];
    unsigned n_queues;
    unsigned n_config; /* interrupts for it */
} StateRig;

static inline void
state_rig_on_queue (void *transport, unsigned index)
{
}

static inline void
state_rig_on_config (void *transport)
{
    __atomic_add_fetch (&((StateRig *)transport)->n_config, 1, __ATOMIC_RELAXED);
}

static const VmmVirtioInterrupts state_rig_interrupts = {state_rig_on_queue, state_rig_on_config};

static inline void
state_rig_init (StateRig *rig, unsigned n_queues, unsigned mode)
{
    *rig =
        (StateRig){.memory = vmm_virtq_memory_new (STATE_RIG_MEMORY), .loop = vmm_loop_new ("state", NULL)};
    rig->env = (VmmVirtioEnv){.memory = rig->memory, .loop = rig->loop, .name = "device0"};
    vmm_virtq_heap_init (&rig->heap, rig->memory, 0x1000, STATE_RIG_MEMORY - 0x1000);
    for (rig->n_queues = 0; rig->n_queues < n_queues; rig->n_queues++)
        rig->queues[rig->n_queues] = vmm_virtq_driver_new (&rig->heap, STATE_RIG_RING, mode);
}

static inline void
state_rig_start (StateRig *rig, VmmVirtioDevice *device, uint64_t features)
{
    if (!vmm_virtio_driver_negotiate (device, vmm_virtq_driver_features (rig->queues[0]) | features))
        abort ();
    for (unsigned i = 0; i < rig->n_queues; i++)
        vmm_virtio_driver_set_queue (device, i, rig->queues[i]);
    if (!vmm_virtio_driver_start (device))
        abort ();
}

static inline void
state_rig_clear (StateRig *rig)
{
    for (unsigned i = 0; i < rig->n_queues; i++)
        vmm_virtq_driver_free (rig->queues[i]);
    vmm_loop_free (rig->loop);
    vmm_guest_memory_free (rig->memory);
}

static inline void
state_rig_kick (StateRig *rig, VmmVirtioDevice *device, unsigned queue)
{
    vmm_virtq_driver_publish (rig->queues[queue]);
    vmm_virtio_device_notify (device, queue);
}

#endif
