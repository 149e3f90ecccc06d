/* SPDX-License-Identifier: Apache-2.0 */
/* Saved state of the virtio core. What is loaded is hostile. */
#include "devices/virtio/device-internal.h"

static void
save_queue (const VmmVirtioQueue *queue, VmmStateWriter *writer)
{
    vmm_state_put_bool (writer, queue->enabled);
    vmm_state_put_u16 (writer, queue->layout.size);
    vmm_state_put_u64 (writer, queue->layout.desc);
    vmm_state_put_u64 (writer, queue->layout.driver);
    vmm_state_put_u64 (writer, queue->layout.device);
    vmm_virtqueue_save (queue->ring, writer);
}

/**
 * vmm_virtio_device_save:
 * @writer: inside a section that the caller opened
 *
 * While paused.
 */
void
vmm_virtio_device_save (VmmVirtioDevice *device, VmmStateWriter *writer)
{
    /* The host may change the configuration at any time. */
    g_mutex_lock (&device->lock);
    vmm_state_put_u8 (writer, device->status);
    vmm_state_put_u64 (writer, device->accepted);
    vmm_state_put_u32 (writer, device->generation);
    vmm_state_put_bool (writer, device->active);
    vmm_state_put_u16 (writer, (uint16_t)device->n_queues);
    for (unsigned i = 0; i < device->n_queues; i++)
        save_queue (&device->queues[i], writer);
    g_mutex_unlock (&device->lock);
    device->ops->save (device->model, writer);
}

/* Only what the driver has enabled of a device at work has a ring, which is no larger than it can be, and of
 * the kind that was negotiated: the host's kernel, which may serve it, knows one kind only. */
static bool
is_ring_good (const VmmVirtioQueue *queue, bool active)
{
    return !vmm_virtqueue_is_enabled (queue->ring) ||
           (active && queue->enabled && vmm_virtqueue_size (queue->ring) <= queue->device->queue_max &&
            vmm_virtqueue_is_of (queue->ring, queue->device->accepted));
}

static bool
load_queue (VmmVirtioQueue *queue, VmmStateReader *reader, bool active)
{
    VmmVirtqueueLayout *layout = &queue->layout;

    return vmm_state_get_bool (reader, &queue->enabled) && vmm_state_get_u16 (reader, &layout->size) &&
           layout->size <= queue->device->queue_max && vmm_state_get_u64 (reader, &layout->desc) &&
           vmm_state_get_u64 (reader, &layout->driver) && vmm_state_get_u64 (reader, &layout->device) &&
           vmm_virtqueue_load (queue->ring, reader) && is_ring_good (queue, active);
}

static bool
load_core (VmmVirtioDevice *device, VmmStateReader *reader, bool *ret_active)
{
    uint8_t status;
    uint64_t accepted;
    uint32_t generation;
    uint16_t n_queues;

    if (!vmm_state_get_u8 (reader, &status) || !vmm_state_get_u64 (reader, &accepted) ||
        !vmm_state_get_u32 (reader, &generation) || !vmm_state_get_bool (reader, ret_active) ||
        !vmm_state_get_u16 (reader, &n_queues) || n_queues != device->n_queues)
        return false;
    device->status = status & (VMM_VIRTIO_STATUS_DRIVER_BITS | VMM_VIRTIO_STATUS_NEEDS_RESET);
    device->accepted = accepted;
    device->generation = generation;
    if (*ret_active && (~status & (VMM_VIRTIO_STATUS_DRIVER_OK | VMM_VIRTIO_STATUS_FEATURES_OK)) != 0)
        return false;
    return (status & VMM_VIRTIO_STATUS_FEATURES_OK) == 0 || vmm_virtio_device_features_are_good (device);
}

static bool
load (VmmVirtioDevice *device, VmmStateReader *reader, uint32_t version)
{
    bool active = false;

    if (!load_core (device, reader, &active))
        return false;
    for (unsigned i = 0; i < device->n_queues; i++) {
        if (!load_queue (&device->queues[i], reader, active))
            return false;
    }
    if (!device->ops->load (device->model, reader, version) || (active && !vmm_loop_begin (device->loop)))
        return false;
    device->active = active;
    if (active)
        vmm_loop_call (device->loop, vmm_virtio_device_do_activate, device);
    return true;
}

/**
 * vmm_virtio_device_load:
 * @reader: inside the device's section; hostile
 * @version: of the section
 *
 * A device that no guest uses yet, of the same configuration as the one that was saved. It goes on where that
 * one stopped.
 *
 * Returns: false for what cannot be; the device is then as after a reset
 */
bool
vmm_virtio_device_load (VmmVirtioDevice *device, VmmStateReader *reader, uint32_t version)
{
    if (load (device, reader, version))
        return true;
    device->active = false;
    vmm_loop_call (device->loop, vmm_virtio_device_do_reset, device);
    device->ops->reset (device->model);
    vmm_virtio_device_forget_driver (device);
    return false;
}
