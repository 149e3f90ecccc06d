/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Where the backend has a vhost, the host's kernel serves the queues of frames, and this device is left with
 * the configuration and the control queue. Each queue is lent to the kernel when the driver has enabled it,
 * and taken back for a pause, a reset, or the end. What the kernel cannot serve (it has run out of something)
 * the device serves itself, as without vhost.
 */
#include <sys/eventfd.h>

#include "devices/virtio/net-internal.h"

static bool
start (VmmVirtioNet *nic, unsigned index, GError **error)
{
    VmmVirtqueue *queue = vmm_virtio_device_queue (nic->device, index);
    VmmVhostRing ring = {
        .size = (uint16_t)vmm_virtqueue_size (queue),
        .base = vmm_virtqueue_base (queue),
        .kick = vmm_virtio_device_doorbell (nic->device, index),
        .call = vmm_virtio_device_lend_queue (nic->device, index),
    };

    vmm_virtqueue_addresses (queue, &ring.desc, &ring.driver, &ring.device);
    if (ring.call < 0) {
        g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_MFILE, "there are no file descriptors left");
        return false;
    }
    if (!vmm_vhost_net_start (nic->net->vhost, index, &ring, nic->net->ops->fd (nic->net, index / 2),
                              error)) {
        vmm_virtio_device_take_queue_back (nic->device, index);
        return false;
    }
    nic->vhost_started |= 1u << index;
    /* What the driver has said before. */
    eventfd_write (ring.kick, 1);
    return true;
}

/* The device goes on by itself. */
static void
give_up (VmmVirtioNet *nic, const char *why)
{
    vmm_virtio_device_warn (nic->device, "vhost-net cannot serve it, and vmm does so itself: %s", why);
    vmm_virtio_net_vhost_stop (nic);
    nic->vhost = false;
}

/**
 * vmm_virtio_net_vhost_begin:
 *
 * From activate, before anything is started: decides whether the kernel is to serve this driver.
 */
void
vmm_virtio_net_vhost_begin (VmmVirtioNet *nic)
{
    g_autoptr (GError) error = NULL;

    nic->vhost_started = 0;
    nic->vhost = nic->net->vhost != NULL;
    if (nic->vhost && !vmm_vhost_net_set_up (nic->net->vhost, nic->memory, nic->features, &error))
        give_up (nic, error->message);
}

/**
 * vmm_virtio_net_vhost_start:
 *
 * Lends to the kernel all that is enabled and not lent yet.
 *
 * Returns: false when the kernel does not serve this driver
 */
bool
vmm_virtio_net_vhost_start (VmmVirtioNet *nic)
{
    for (unsigned i = 0; nic->vhost && i < 2 * nic->usable_pairs; i++) {
        g_autoptr (GError) error = NULL;

        if ((nic->vhost_started >> i & 1) != 0 ||
            !vmm_virtqueue_is_enabled (vmm_virtio_device_queue (nic->device, i)))
            continue;
        if (!start (nic, i, &error))
            give_up (nic, error->message);
    }
    return nic->vhost;
}

/**
 * vmm_virtio_net_vhost_stop_queue:
 * @index: of a queue; one that is not lent stays as it is
 */
void
vmm_virtio_net_vhost_stop_queue (VmmVirtioNet *nic, unsigned index)
{
    VmmVirtqueue *queue = vmm_virtio_device_queue (nic->device, index);
    uint32_t base;

    if ((nic->vhost_started >> index & 1) == 0)
        return;
    nic->vhost_started &= ~(1u << index);
    if (!vmm_vhost_net_stop (nic->net->vhost, index, &base) || !vmm_virtqueue_set_base (queue, base))
        vmm_virtqueue_fail (queue, "the host's kernel does not tell where it was");
    vmm_virtio_device_take_queue_back (nic->device, index);
}

/**
 * vmm_virtio_net_vhost_stop:
 *
 * Takes all back; nothing is in flight on return.
 */
void
vmm_virtio_net_vhost_stop (VmmVirtioNet *nic)
{
    for (unsigned i = 0; nic->vhost_started != 0 && i < 2 * nic->n_pairs; i++)
        vmm_virtio_net_vhost_stop_queue (nic, i);
}
