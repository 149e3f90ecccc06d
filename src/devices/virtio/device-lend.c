/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues that somebody else works: a model whose rings the host's kernel serves (vhost) lends them out.
 * Whoever has a queue reads its doorbell and signals its call eventfd; the device's own loop does not touch
 * it meanwhile.
 *
 * A call's signals are interrupts. Where the transport can it connects them to the guest inside KVM, and
 * there is nothing to do here. When it cannot (the guest has masked the vector, uses the pin, or the
 * transport has no such thing) the loop watches the eventfd and raises them like its own. The transport may
 * change its mind on any thread; the loop follows a moment later. Until then a signal can be told twice, and
 * never is lost: it stays in the eventfd.
 *
 * Loop thread, but for what says otherwise.
 */
#include "devices/virtio/device-internal.h"

#include <sys/eventfd.h>
#include <unistd.h>

static void
take_signals (VmmVirtioQueue *queue)
{
    VmmVirtioDevice *device = queue->device;
    eventfd_t n;

    if (eventfd_read (queue->call, &n) == 0 && device->interrupts != NULL)
        device->interrupts->queue (device->transport, queue->index);
}

static void
on_call (void *user, uint32_t events)
{
    take_signals (user);
}

/* Watches the call eventfd while the transport does not. */
static void
follow (void *user)
{
    VmmVirtioQueue *queue = user;
    bool watch = queue->lent && !__atomic_load_n (&queue->direct, __ATOMIC_ACQUIRE);

    if (watch == (queue->call_watch != NULL))
        return;
    if (watch) {
        queue->call_watch = vmm_loop_watch (queue->device->loop, queue->call, EPOLLIN, on_call, queue);
    } else {
        vmm_loop_unwatch (queue->call_watch);
        queue->call_watch = NULL;
    }
}

/**
 * vmm_virtio_device_call_is_direct:
 * @index: a queue that the transport was given a call eventfd for
 * @direct: whether its signals reach the guest without the loop
 *
 * For transports: any thread, any lock of theirs held.
 */
void
vmm_virtio_device_call_is_direct (VmmVirtioDevice *device, unsigned index, bool direct)
{
    VmmVirtioQueue *queue = &device->queues[index];

    if (__atomic_exchange_n (&queue->direct, direct, __ATOMIC_ACQ_REL) != direct)
        vmm_loop_post (device->loop, follow, queue);
}

/**
 * vmm_virtio_device_lend_queue:
 * @index: a queue that is enabled; not lent yet, or else nothing changes
 *
 * From activate, resume or notify: the queue is somebody else's until vmm_virtio_device_take_queue_back().
 * They are notified by vmm_virtio_device_doorbell(), which may already be signalled, and begin at
 * vmm_virtqueue_base().
 *
 * Returns: an eventfd, the device's, each signal of which is an interrupt of the queue; -1 when the host has
 * no descriptors left, and the queue is not lent then
 */
int
vmm_virtio_device_lend_queue (VmmVirtioDevice *device, unsigned index)
{
    VmmVirtioQueue *queue = &device->queues[index];

    if (queue->lent)
        return queue->call;
    if (queue->call < 0)
        queue->call = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue->call < 0)
        return -1;
    vmm_loop_unwatch (queue->watch);
    queue->watch = NULL;
    queue->lent = true;
    if (device->interrupts != NULL && device->interrupts->call != NULL)
        device->interrupts->call (device->transport, index, queue->call);
    follow (queue);
    return queue->call;
}

/**
 * vmm_virtio_device_take_queue_back:
 * @index: any queue; one that is not lent stays as it is
 *
 * From quiesce, queue_reset or reset, after whoever had the queue has stopped, and after
 * vmm_virtqueue_set_base(): the loop serves it again.
 */
void
vmm_virtio_device_take_queue_back (VmmVirtioDevice *device, unsigned index)
{
    VmmVirtioQueue *queue = &device->queues[index];

    if (!queue->lent)
        return;
    if (device->interrupts != NULL && device->interrupts->call != NULL)
        device->interrupts->call (device->transport, index, -1);
    __atomic_store_n (&queue->direct, false, __ATOMIC_RELEASE);
    queue->lent = false;
    follow (queue);
    take_signals (queue);
    vmm_virtio_device_watch_queue (queue);
}

/**
 * vmm_virtio_device_end_lending:
 *
 * The device ends: no thread of a vCPU runs, nothing is lent. Any thread but the loop's.
 */
void
vmm_virtio_device_end_lending (VmmVirtioDevice *device)
{
    for (unsigned i = 0; i < device->n_queues; i++) {
        VmmVirtioQueue *queue = &device->queues[i];

        if (queue->call < 0)
            continue;
        /* What was posted has run after this. */
        vmm_loop_call (device->loop, follow, queue);
        close (queue->call);
    }
}
