/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A virtio device is three things on top of each other: a transport that decodes registers, this core, and a
 * model that knows its requests. The core is what chapters 2 and 3 of virtio 1.2 say of every device: status,
 * features, queues, configuration space, reset.
 *
 * Two kinds of threads meet here. vCPUs come through the transport, several at once; a mutex makes one of
 * them at a time see and change the registers. The device's loop runs the model. What a register changes for
 * the model is handed over and waited for: when the write of DRIVER_OK returns, the model is at work; when
 * the write of a reset returns, nothing of the device touches the guest's memory any more. The mutex is not
 * held while the loop's thread is waited for, since that thread may want it to tell of a broken ring: a
 * second mutex keeps the hand-overs of several vCPUs apart.
 *
 * Notifications do not come this way: each queue has an eventfd that KVM signals, and the loop watches it. It
 * is edge-triggered and never read: every signal makes it ready again, and a system call for each is saved.
 *
 * A device that must not touch memory, as a PCI function that is no bus master, rests like one that is
 * paused.
 *
 * A ring that breaks the rules sets DEVICE_NEEDS_RESET (section 2.1.2), and the device does nothing more
 * until the driver resets it. The driver's other mistakes in the order of things have no effect.
 */
#include "devices/virtio/device-internal.h"

#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/core/timer.h"

#define CORE_FEATURES                                                                                        \
    (VMM_VIRTIO_F_VERSION_1 | VMM_VIRTIO_F_INDIRECT_DESC | VMM_VIRTIO_F_EVENT_IDX |                          \
     VMM_VIRTIO_F_RING_PACKED | VMM_VIRTIO_F_RING_RESET)
/* A guest must not fill a log: so many warnings, and one more for each further period. */
#define WARN_BURST 5u
#define WARN_PERIOD_NS INT64_C (10000000000)

static void
on_interrupt (void *user, unsigned index)
{
    VmmVirtioDevice *device = user;

    if (device->interrupts != NULL)
        device->interrupts->queue (device->transport, index);
}

/* Loop thread. */
static void
on_broken (void *user, unsigned index, const char *why)
{
    VmmVirtioDevice *device = user;

    vmm_virtio_device_warn (device, "the guest's driver broke queue %u: %s; it must reset the device", index,
                            why);
    vmm_virtio_device_needs_reset (device);
}

static void
on_doorbell (void *user, uint32_t events)
{
    VmmVirtioQueue *queue = user;
    VmmVirtioDevice *device = queue->device;

    /* The watches are there only while the model is at work, and are ended on this thread. */
    if (!device->resting && vmm_virtqueue_is_enabled (queue->ring))
        device->ops->notify (device->model, queue->index);
}

/**
 * vmm_virtio_device_new:
 * @env: what it is made with
 * @ops: the kind of device; outlives it
 * @model: (transfer full): the model, freed by @ops->free with the device, and at once when there is no
 * device
 * @n_queues: at most %VMM_VIRTIO_QUEUES_MAX
 * @queue_size: the most entries that each queue can have, a power of two up to %VMM_VIRTQUEUE_SIZE_LIMIT
 *
 * Returns: (transfer full) (nullable): a device without a transport; NULL when the host has no descriptors
 * left
 */
VmmVirtioDevice *
vmm_virtio_device_new (const VmmVirtioEnv *env, const VmmVirtioModel *ops, void *model, unsigned n_queues,
                       uint16_t queue_size)
{
    g_autoptr (VmmVirtioDevice) device = g_new0 (VmmVirtioDevice, 1);
    VmmVirtqueueEvents events = {on_interrupt, on_broken, device};

    device->name = g_strdup (env->name);
    device->ops = ops;
    device->model = model;
    device->loop = env->loop;
    device->warn = env->warn;
    device->warn_user = env->user;
    device->queue_max = queue_size;
    device->offered = ops->features (model) | CORE_FEATURES;
    if (ops->withheld != NULL)
        device->offered &= ~ops->withheld (model);
    g_mutex_init (&device->handover);
    g_mutex_init (&device->lock);
    device->queues = g_new0 (VmmVirtioQueue, n_queues);
    for (; device->n_queues < n_queues; device->n_queues++) {
        VmmVirtioQueue *queue = &device->queues[device->n_queues];

        queue->device = device;
        queue->index = device->n_queues;
        queue->layout.size = queue_size;
        queue->call = -1;
        queue->ring = vmm_virtqueue_new (env->memory, queue->index, &events);
        queue->doorbell = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (queue->doorbell < 0) {
            device->n_queues++;
            return NULL;
        }
    }
    return g_steal_pointer (&device);
}

static void
stop_watching (VmmVirtioDevice *device)
{
    for (unsigned i = 0; i < device->n_queues; i++) {
        vmm_loop_unwatch (device->queues[i].watch);
        device->queues[i].watch = NULL;
    }
}

static void
notify_all (VmmVirtioDevice *device)
{
    for (unsigned i = 0; i < device->n_queues; i++) {
        if (vmm_virtqueue_is_enabled (device->queues[i].ring) && !device->queues[i].lent)
            device->ops->notify (device->model, i);
    }
}

/**
 * vmm_virtio_device_watch_queue:
 * @queue: one whose notifications are for the loop, unless somebody else has it
 *
 * Loop thread.
 */
void
vmm_virtio_device_watch_queue (VmmVirtioQueue *queue)
{
    if (queue->enabled && queue->watch == NULL && !queue->lent)
        queue->watch =
            vmm_loop_watch (queue->device->loop, queue->doorbell, EPOLLIN | EPOLLET, on_doorbell, queue);
}

static void
start_watching (VmmVirtioDevice *device)
{
    for (unsigned i = 0; i < device->n_queues; i++)
        vmm_virtio_device_watch_queue (&device->queues[i]);
}

/* Brings the model to rest, or back to work, where that has changed. By vmm_loop_call(). */
static void
update_rest (void *user)
{
    VmmVirtioDevice *device = user;
    bool rest = device->paused || device->no_dma;

    if (!device->active || rest == device->resting)
        return;
    device->resting = rest;
    if (rest) {
        device->ops->quiesce (device->model);
        return;
    }
    device->ops->resume (device->model);
    notify_all (device);
}

/**
 * vmm_virtio_device_do_activate:
 * @user: a device: the model begins
 *
 * Loop thread, by vmm_loop_call().
 */
void
vmm_virtio_device_do_activate (void *user)
{
    VmmVirtioDevice *device = user;

    device->ops->activate (device->model);
    device->resting = false;
    start_watching (device);
    update_rest (device);
    /* The driver may have filled a queue before DRIVER_OK. */
    if (!device->resting)
        notify_all (device);
}

/**
 * vmm_virtio_device_do_reset:
 * @user: a device: the model ends
 *
 * Loop thread, by vmm_loop_call().
 */
void
vmm_virtio_device_do_reset (void *user)
{
    VmmVirtioDevice *device = user;

    if (device->active) {
        if (!device->resting)
            device->ops->quiesce (device->model);
        device->ops->reset (device->model);
    }
    stop_watching (device);
    for (unsigned i = 0; i < device->n_queues; i++)
        vmm_virtqueue_disable (device->queues[i].ring);
}

/**
 * vmm_virtio_device_do_reset_queue:
 * @user: a queue that the driver resets
 *
 * Loop thread, by vmm_loop_call().
 */
void
vmm_virtio_device_do_reset_queue (void *user)
{
    VmmVirtioQueue *queue = user;
    VmmVirtioDevice *device = queue->device;

    if (device->active && device->ops->queue_reset != NULL)
        device->ops->queue_reset (device->model, queue->index);
    else if (device->active && !device->resting) {
        device->ops->quiesce (device->model);
        device->ops->resume (device->model);
    }
    vmm_loop_unwatch (queue->watch);
    queue->watch = NULL;
    vmm_virtqueue_disable (queue->ring);
}

/**
 * vmm_virtio_device_do_enable_queue:
 * @user: a queue of a running device that was enabled
 *
 * Loop thread, by vmm_loop_call().
 */
void
vmm_virtio_device_do_enable_queue (void *user)
{
    VmmVirtioQueue *queue = user;

    if (!vmm_virtio_device_start_ring (queue)) {
        vmm_virtio_device_needs_reset (queue->device);
        return;
    }
    start_watching (queue->device);
    if (!queue->device->resting && !queue->lent)
        queue->device->ops->notify (queue->device->model, queue->index);
}

/**
 * vmm_virtio_device_free:
 * @device: (nullable): no transport and no vCPU uses it any more
 *
 * Any thread but the loop's.
 */
void
vmm_virtio_device_free (VmmVirtioDevice *device)
{
    if (device == NULL)
        return;
    if (device->active)
        vmm_loop_call (device->loop, vmm_virtio_device_do_reset, device);
    device->ops->free (device->model);
    vmm_virtio_device_end_lending (device);
    for (unsigned i = 0; i < device->n_queues; i++) {
        vmm_virtqueue_free (device->queues[i].ring);
        if (device->queues[i].doorbell >= 0)
            close (device->queues[i].doorbell);
    }
    g_free (device->queues);
    g_mutex_clear (&device->handover);
    g_mutex_clear (&device->lock);
    g_free (device->name);
    g_free (device);
}

/**
 * vmm_virtio_device_queue:
 * @index: below the number that it was made with
 *
 * Returns: (transfer none): the queue; the loop thread's
 */
VmmVirtqueue *
vmm_virtio_device_queue (VmmVirtioDevice *device, unsigned index)
{
    return device->queues[index].ring;
}

/**
 * vmm_virtio_device_features:
 *
 * Returns: the features that the driver accepted; from features_ok until the next reset
 */
uint64_t
vmm_virtio_device_features (const VmmVirtioDevice *device)
{
    return device->accepted;
}

/**
 * vmm_virtio_device_loop:
 *
 * Returns: (transfer none): where the model works
 */
VmmLoop *
vmm_virtio_device_loop (VmmVirtioDevice *device)
{
    return device->loop;
}

/**
 * vmm_virtio_device_name:
 *
 * Returns: (transfer none): what the user calls it
 */
const char *
vmm_virtio_device_name (const VmmVirtioDevice *device)
{
    return device->name;
}

/**
 * vmm_virtio_device_model:
 *
 * Returns: (transfer none): what was given to vmm_virtio_device_new(); for those who know its type
 */
void *
vmm_virtio_device_model (VmmVirtioDevice *device)
{
    return device->model;
}

/**
 * vmm_virtio_device_id:
 *
 * Returns: the device type
 */
uint16_t
vmm_virtio_device_id (const VmmVirtioDevice *device)
{
    return device->ops->id;
}

/**
 * vmm_virtio_device_config_changed:
 *
 * Any thread, without the core's lock: the configuration space reads differently now (virtio 1.2
 * section 2.5).
 */
void
vmm_virtio_device_config_changed (VmmVirtioDevice *device)
{
    bool ready;

    g_mutex_lock (&device->lock);
    device->generation++;
    ready = (device->status & VMM_VIRTIO_STATUS_DRIVER_OK) != 0;
    g_mutex_unlock (&device->lock);
    /* Before DRIVER_OK the device sends no notifications (section 3.1.1). */
    if (ready)
        vmm_virtio_device_raise_config (device);
}

/* Whether one more warning may be told now, and how many were not since the last one. */
static bool
may_warn (VmmVirtioDevice *device, unsigned *ret_unsaid)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->lock);
    int64_t now = vmm_now_ns ();

    if (device->n_warnings >= WARN_BURST && now < device->warn_from_ns) {
        device->n_unsaid += device->n_unsaid < G_MAXUINT;
        return false;
    }
    device->n_warnings += device->n_warnings < WARN_BURST;
    device->warn_from_ns = now + WARN_PERIOD_NS;
    *ret_unsaid = device->n_unsaid;
    device->n_unsaid = 0;
    return true;
}

/**
 * vmm_virtio_device_warn:
 * @format: one line, without the device's name
 *
 * Any thread, without the core's lock: tells the user something; a guest that causes it again and again is
 * heard once in ten seconds, with the number of times that it was not.
 */
void
vmm_virtio_device_warn (VmmVirtioDevice *device, const char *format, ...)
{
    g_autofree char *text = NULL;
    g_autofree char *line = NULL;
    unsigned unsaid = 0;
    va_list args;

    if (device->warn == NULL || !may_warn (device, &unsaid))
        return;
    va_start (args, format);
    text = g_strdup_vprintf (format, args);
    va_end (args);
    if (unsaid > 0)
        line = g_strdup_printf ("%s: %s (and %u more before, not told)", device->name, text, unsaid);
    else
        line = g_strdup_printf ("%s: %s", device->name, text);
    device->warn (device->warn_user, line);
}

/**
 * vmm_virtio_device_tell_rest:
 *
 * Any thread, without the core's lock, at the end: of how many warnings the user was not told.
 */
void
vmm_virtio_device_tell_rest (VmmVirtioDevice *device)
{
    g_autofree char *line = NULL;
    unsigned unsaid;

    g_mutex_lock (&device->lock);
    unsaid = device->n_unsaid;
    device->n_unsaid = 0;
    g_mutex_unlock (&device->lock);
    if (unsaid == 0 || device->warn == NULL)
        return;
    line = g_strdup_printf ("%s: there were %u more warnings that were not told", device->name, unsaid);
    device->warn (device->warn_user, line);
}

/**
 * vmm_virtio_device_pause:
 *
 * The machine's thread, vCPUs at rest: returns when nothing is in flight.
 */
void
vmm_virtio_device_pause (VmmVirtioDevice *device)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->handover);

    device->paused = true;
    if (device->active)
        vmm_loop_call (device->loop, update_rest, device);
}

/**
 * vmm_virtio_device_resume:
 *
 * The machine's thread: ends a pause.
 */
void
vmm_virtio_device_resume (VmmVirtioDevice *device)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->handover);

    device->paused = false;
    if (device->active)
        vmm_loop_call (device->loop, update_rest, device);
}

/**
 * vmm_virtio_device_set_dma:
 * @allowed: whether the device may touch the guest's memory, as it may from the beginning
 *
 * vCPU threads, and the machine's: when it may not any more, nothing is in flight on return.
 */
void
vmm_virtio_device_set_dma (VmmVirtioDevice *device, bool allowed)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&device->handover);

    device->no_dma = !allowed;
    if (device->active)
        vmm_loop_call (device->loop, update_rest, device);
}

/**
 * vmm_virtio_device_set_transport:
 * @interrupts: outlives the device
 * @transport: what they get
 *
 * While the machine is built.
 */
void
vmm_virtio_device_set_transport (VmmVirtioDevice *device, const VmmVirtioInterrupts *interrupts,
                                 void *transport)
{
    device->interrupts = interrupts;
    device->transport = transport;
}
