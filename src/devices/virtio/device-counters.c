/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went through a device. Each queue counts for itself on the loop's thread. Kicks nobody counts: a
 * doorbell is an eventfd that is never read (see device.c), so its value is how often the guest has rung it,
 * at no cost for who is rung.
 */
#include "devices/virtio/device-internal.h"

#include <sys/eventfd.h>

/* To look at an eventfd's value is to take it and to put it back. Who waits for it and looked in between is
 * woken by the latter, so that no kick is lost. With the device's lock: another one would see nothing. */
static uint64_t
look_at_locked (int doorbell)
{
    eventfd_t n;

    if (eventfd_read (doorbell, &n) < 0)
        return 0;
    eventfd_write (doorbell, n);
    return n;
}

/**
 * vmm_virtio_device_get_counters:
 * @ret_counters: (out): since the device was made, over all resets
 *
 * Any thread, without the core's lock. Of a queue that is lent only kicks are counted.
 */
void
vmm_virtio_device_get_counters (VmmVirtioDevice *device, VmmVirtioCounters *ret_counters)
{
    *ret_counters = (VmmVirtioCounters){0};
    for (unsigned i = 0; i < device->n_queues; i++) {
        vmm_virtqueue_add_counters (device->queues[i].ring, &ret_counters->queues);
        g_mutex_lock (&device->lock);
        ret_counters->kicks += look_at_locked (device->queues[i].doorbell);
        g_mutex_unlock (&device->lock);
    }
}
