/* SPDX-License-Identifier: Apache-2.0 */
/* The registers that only hold what was written, and the configuration space. vCPU threads. */
#include "devices/virtio/device-internal.h"

#include <sys/eventfd.h>

/**
 * vmm_virtio_device_offered:
 * @word: which 32 bits
 *
 * Returns: features that the device offers
 */
uint32_t
vmm_virtio_device_offered (VmmVirtioDevice *device, uint32_t word)
{
    return word < 2 ? (uint32_t)(device->offered >> (32 * word)) : 0;
}

/**
 * vmm_virtio_device_accepted:
 * @word: which 32 bits
 *
 * Returns: features that the driver has accepted so far
 */
uint32_t
vmm_virtio_device_accepted (VmmVirtioDevice *device, uint32_t word)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->lock);

    return word < 2 ? (uint32_t)(device->accepted >> (32 * word)) : 0;
}

/**
 * vmm_virtio_device_accept:
 * @word: which 32 bits
 * @bits: what the driver wants of them
 *
 * After FEATURES_OK and before DRIVER it has no effect (section 3.1.1).
 */
void
vmm_virtio_device_accept (VmmVirtioDevice *device, uint32_t word, uint32_t bits)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->lock);
    const uint64_t mask = word < 2 ? UINT64_C (0xffffffff) << (32 * word) : 0;

    if ((device->status & VMM_VIRTIO_STATUS_DRIVER) == 0 ||
        (device->status & VMM_VIRTIO_STATUS_FEATURES_OK) != 0 || word >= 2)
        return;
    device->accepted = (device->accepted & ~mask) | (uint64_t)bits << (32 * word);
}

/**
 * vmm_virtio_device_n_queues:
 *
 * Returns: how many queues there are
 */
unsigned
vmm_virtio_device_n_queues (const VmmVirtioDevice *device)
{
    return device->n_queues;
}

/**
 * vmm_virtio_device_queue_max:
 *
 * Returns: the most entries that queue @index can have; 0: there is no such queue
 */
uint16_t
vmm_virtio_device_queue_max (const VmmVirtioDevice *device, unsigned index)
{
    return index < device->n_queues ? device->queue_max : 0;
}

/**
 * vmm_virtio_device_queue_size:
 *
 * Returns: how many entries queue @index has, as the driver has set it
 */
uint16_t
vmm_virtio_device_queue_size (VmmVirtioDevice *device, unsigned index)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->lock);

    return index < device->n_queues ? device->queues[index].layout.size : 0;
}

/* A queue's registers may be written while it is not enabled (section 4.1.4.3.2). */
static VmmVirtioQueue *
writable_queue_locked (VmmVirtioDevice *device, unsigned index)
{
    return index < device->n_queues && !device->queues[index].enabled ? &device->queues[index] : NULL;
}

/**
 * vmm_virtio_device_set_queue_size:
 * @size: what cannot be is found out when the queue is enabled; more than the most has no effect
 */
void
vmm_virtio_device_set_queue_size (VmmVirtioDevice *device, unsigned index, uint16_t size)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->lock);
    VmmVirtioQueue *queue = writable_queue_locked (device, index);

    if (queue != NULL && size <= device->queue_max)
        queue->layout.size = size;
}

static uint64_t *
address_field (VmmVirtqueueLayout *layout, VmmVirtioQueueAddress which)
{
    if (which == VMM_VIRTIO_QUEUE_DESC)
        return &layout->desc;
    return which == VMM_VIRTIO_QUEUE_DRIVER ? &layout->driver : &layout->device;
}

/**
 * vmm_virtio_device_queue_address:
 * @which: one of the three
 *
 * Returns: a gpa, as the driver has set it
 */
uint64_t
vmm_virtio_device_queue_address (VmmVirtioDevice *device, unsigned index, VmmVirtioQueueAddress which)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->lock);

    return index < device->n_queues ? *address_field (&device->queues[index].layout, which) : 0;
}

/**
 * vmm_virtio_device_set_queue_address:
 * @which: one of the three
 * @mask: which bits of the address are written
 * @bits: their contents
 */
void
vmm_virtio_device_set_queue_address (VmmVirtioDevice *device, unsigned index, VmmVirtioQueueAddress which,
                                     uint64_t mask, uint64_t bits)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->lock);
    VmmVirtioQueue *queue = writable_queue_locked (device, index);
    uint64_t *address;

    if (queue == NULL)
        return;
    address = address_field (&queue->layout, which);
    *address = (*address & ~mask) | (bits & mask);
}

/**
 * vmm_virtio_device_queue_enabled:
 *
 * Returns: whether the driver has enabled queue @index
 */
bool
vmm_virtio_device_queue_enabled (VmmVirtioDevice *device, unsigned index)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->lock);

    return index < device->n_queues && device->queues[index].enabled;
}

/**
 * vmm_virtio_device_doorbell:
 * @index: below vmm_virtio_device_n_queues()
 *
 * Returns: the eventfd that notifies queue @index; the device's
 */
int
vmm_virtio_device_doorbell (const VmmVirtioDevice *device, unsigned index)
{
    return device->queues[index].doorbell;
}

/**
 * vmm_virtio_device_notify:
 *
 * The guest's notification of queue @index, where it came as an exit.
 */
void
vmm_virtio_device_notify (VmmVirtioDevice *device, unsigned index)
{
    if (index < device->n_queues)
        eventfd_write (device->queues[index].doorbell, 1);
}

/**
 * vmm_virtio_device_config_generation:
 *
 * Returns: a number that changes with the configuration space (section 2.5)
 */
uint32_t
vmm_virtio_device_config_generation (VmmVirtioDevice *device)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->lock);

    return device->generation;
}

/**
 * vmm_virtio_device_config_read:
 * @size: 1, 2, 4 or 8
 *
 * Returns: the guest's read of the configuration space; what lies beyond its end is 0
 */
uint64_t
vmm_virtio_device_config_read (VmmVirtioDevice *device, unsigned offset, unsigned size)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->lock);
    unsigned end = device->ops->config_size;
    uint64_t value = 0;

    if (size <= sizeof value && offset < end)
        device->ops->config_read (device->model, offset, &value, MIN (size, end - offset));
    return value;
}

/**
 * vmm_virtio_device_config_write:
 * @size: 1, 2, 4 or 8
 * @value: the low @size bytes are used; those beyond the end of the space have no effect
 */
void
vmm_virtio_device_config_write (VmmVirtioDevice *device, unsigned offset, unsigned size, uint64_t value)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->lock);
    unsigned end = device->ops->config_size;

    if (device->ops->config_write != NULL && size <= sizeof value && offset < end)
        device->ops->config_write (device->model, offset, &value, MIN (size, end - offset));
}
