/* SPDX-License-Identifier: Apache-2.0 */
/* Status, features and the life of queues, as the driver drives them (virtio 1.2 chapter 3). vCPU threads. */
#include "devices/virtio/device-internal.h"

#include <inttypes.h>

/**
 * vmm_virtio_device_status:
 *
 * Returns: the device status (section 2.1)
 */
uint8_t
vmm_virtio_device_status (VmmVirtioDevice *device)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->lock);

    return device->status;
}

/**
 * vmm_virtio_device_forget_driver:
 *
 * A reset, with the hand-over lock.
 */
void
vmm_virtio_device_forget_driver (VmmVirtioDevice *device)
{
    if (device->active)
        vmm_loop_call (device->loop, vmm_virtio_device_do_reset, device);
    g_mutex_lock (&device->lock);
    device->active = false;
    device->accepted = 0;
    device->status = 0;
    device->generation = 0;
    for (unsigned i = 0; i < device->n_queues; i++) {
        device->queues[i].layout = (VmmVirtqueueLayout){.size = device->queue_max};
        device->queues[i].enabled = false;
    }
    g_mutex_unlock (&device->lock);
}

/**
 * vmm_virtio_device_features_are_good:
 *
 * Section 2.2: what was not offered cannot be accepted, and a driver without VERSION_1 is a legacy one.
 *
 * Returns: whether the driver's choice can be
 */
bool
vmm_virtio_device_features_are_good (VmmVirtioDevice *device)
{
    return (device->accepted & ~device->offered) == 0 && (device->accepted & VMM_VIRTIO_F_VERSION_1) != 0 &&
           (device->ops->features_ok == NULL || device->ops->features_ok (device->model, device->accepted));
}

/**
 * vmm_virtio_device_start_ring:
 *
 * The ring of a queue that the driver has enabled begins to be used. With the hand-over lock; while the
 * device is active on the loop's thread, which looks at all rings.
 *
 * Returns: false when there cannot be such a ring
 */
bool
vmm_virtio_device_start_ring (VmmVirtioQueue *queue)
{
    VmmVirtioDevice *device = queue->device;

    if (!queue->enabled || vmm_virtqueue_is_enabled (queue->ring) ||
        vmm_virtqueue_enable (queue->ring, &queue->layout, device->accepted))
        return true;
    vmm_virtio_device_warn (
        device, "the guest's driver gave queue %u a ring that cannot be: %u entries, at 0x%" PRIx64,
        queue->index, queue->layout.size, queue->layout.desc);
    return false;
}

/* False when one of them cannot be. */
static bool
start_rings (VmmVirtioDevice *device)
{
    for (unsigned i = 0; i < device->n_queues; i++) {
        if (!vmm_virtio_device_start_ring (&device->queues[i]))
            return false;
    }
    return true;
}

/**
 * vmm_virtio_device_needs_reset:
 *
 * Any thread, without the core's lock: the driver is told that it has to reset the device (section 2.1.2).
 */
void
vmm_virtio_device_needs_reset (VmmVirtioDevice *device)
{
    g_mutex_lock (&device->lock);
    device->status |= VMM_VIRTIO_STATUS_NEEDS_RESET;
    g_mutex_unlock (&device->lock);
    vmm_virtio_device_raise_config (device);
}

/* With the hand-over lock. */
static void
activate (VmmVirtioDevice *device)
{
    if (!vmm_loop_begin (device->loop)) {
        vmm_virtio_device_warn (device, "the host gives no thread to serve it: raise the limit of processes");
        vmm_virtio_device_needs_reset (device);
        return;
    }
    if (!start_rings (device)) {
        for (unsigned i = 0; i < device->n_queues; i++)
            vmm_virtqueue_disable (device->queues[i].ring);
        vmm_virtio_device_needs_reset (device);
        return;
    }
    device->active = true;
    vmm_loop_call (device->loop, vmm_virtio_device_do_activate, device);
}

/**
 * vmm_virtio_device_set_status:
 * @status: the driver's write; 0 resets the device, and has done so on return
 *
 * The driver only ever adds bits (section 2.1.1), in the order of section 3.1.1: a DRIVER_OK without
 * FEATURES_OK is not taken.
 */
void
vmm_virtio_device_set_status (VmmVirtioDevice *device, uint8_t status)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->handover);
    uint8_t added;
    bool starts;

    if (status == 0) {
        vmm_virtio_device_forget_driver (device);
        return;
    }
    g_mutex_lock (&device->lock);
    added = status & VMM_VIRTIO_STATUS_DRIVER_BITS & (uint8_t)~device->status;
    if ((added & VMM_VIRTIO_STATUS_FEATURES_OK) != 0 && !vmm_virtio_device_features_are_good (device))
        added &= (uint8_t)~VMM_VIRTIO_STATUS_FEATURES_OK;
    if (((device->status | added) & VMM_VIRTIO_STATUS_FEATURES_OK) == 0)
        added &= (uint8_t)~VMM_VIRTIO_STATUS_DRIVER_OK;
    device->status |= added;
    starts = (added & VMM_VIRTIO_STATUS_DRIVER_OK) != 0 && !device->active;
    g_mutex_unlock (&device->lock);
    if (starts)
        activate (device);
}

/**
 * vmm_virtio_device_enable_queue:
 *
 * Before FEATURES_OK and the second time it has no effect. After DRIVER_OK the queue is used at once: that is
 * how a queue that was reset comes back (section 2.6.1).
 */
void
vmm_virtio_device_enable_queue (VmmVirtioDevice *device, unsigned index)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->handover);
    VmmVirtioQueue *queue;

    g_mutex_lock (&device->lock);
    queue = index < device->n_queues ? &device->queues[index] : NULL;
    if (queue != NULL && !queue->enabled && (device->status & VMM_VIRTIO_STATUS_FEATURES_OK) != 0)
        queue->enabled = true;
    else
        queue = NULL;
    g_mutex_unlock (&device->lock);
    if (queue != NULL && device->active)
        vmm_loop_call (device->loop, vmm_virtio_device_do_enable_queue, queue);
}

/**
 * vmm_virtio_device_reset_queue:
 *
 * Nothing of queue @index is in flight on return, and its registers are as after a reset of the device
 * (section 2.6.1).
 */
void
vmm_virtio_device_reset_queue (VmmVirtioDevice *device, unsigned index)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->handover);

    if (index >= device->n_queues)
        return;
    if (device->active)
        vmm_loop_call (device->loop, vmm_virtio_device_do_reset_queue, &device->queues[index]);
    g_mutex_lock (&device->lock);
    device->queues[index].enabled = false;
    device->queues[index].layout = (VmmVirtqueueLayout){.size = device->queue_max};
    g_mutex_unlock (&device->lock);
}
