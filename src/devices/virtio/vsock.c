/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device (virtio 1.2 section 5.10): puts packets into queues and takes them out. What they mean is
 * the affair of vsock-mux.c.
 */
#include "devices/virtio/vsock.h"

#include <string.h>

#include "devices/virtio/vsock-mux.h"
#include "vmm/core/bytes.h"

enum {
    QUEUE_RX,
    QUEUE_TX,
    QUEUE_EVENT,
    N_QUEUES,
};

#define QUEUE_SIZE 256u
#define FEATURE_STREAM UINT64_C (1)
#define EVENT_TRANSPORT_RESET 0u
/* The loop has other things to do, too: so many packets of a direction, then it goes round. */
#define PACKETS_AT_ONCE 128u

typedef struct {
    VmmVirtioDevice *device;
    VmmVsockMux *mux;
    VmmLoop *loop;
    uint64_t cid;
    VmmChain chain;
    struct iovec pieces[VMM_CHAIN_IOV_MAX];
    VmmLoopTimer *again;
    bool running;       /* may use the queues */
    bool working;       /* in the middle of that */
    bool event_pending; /* the driver is to forget its connections */
} Vsock;

static uint64_t
features (void *model)
{
    return FEATURE_STREAM;
}

static void
config_read (void *model, unsigned offset, void *buf, unsigned len)
{
    const Vsock *vsock = model;
    uint8_t config[sizeof vsock->cid];

    vmm_put_u64 (config, vsock->cid);
    memcpy (buf, config + offset, len);
}

static void
receive_chain (Vsock *vsock)
{
    uint8_t bytes[VMM_VSOCK_HEADER_SIZE];
    VmmVsockHeader header;
    unsigned n;

    /* Who sent a part of a header cannot be told. */
    if (vmm_chain_read (&vsock->chain, bytes, sizeof bytes) != sizeof bytes)
        return;
    vmm_vsock_header_decode (bytes, &header);
    n = vmm_chain_take_readable (&vsock->chain, header.len, vsock->pieces, VMM_CHAIN_IOV_MAX);
    vmm_vsock_mux_receive (vsock->mux, &header, vsock->pieces, n);
}

/* Whether there may be more to do. */
static bool
work_tx (Vsock *vsock)
{
    VmmVirtqueue *queue = vmm_virtio_device_queue (vsock->device, QUEUE_TX);
    unsigned n = 0;

    vmm_virtqueue_set_kicks (queue, false);
    while (n < PACKETS_AT_ONCE && vmm_vsock_mux_can_receive (vsock->mux) &&
           vmm_virtqueue_pop (queue, &vsock->chain)) {
        receive_chain (vsock);
        vmm_virtqueue_push (queue, &vsock->chain);
        n++;
    }
    if (n > 0)
        vmm_virtqueue_publish (queue);
    if (n == PACKETS_AT_ONCE)
        return true;
    /* When no reply can be kept, this goes on after the next one has gone. */
    return vmm_vsock_mux_can_receive (vsock->mux) && !vmm_virtqueue_arm (queue);
}

static void
scatter (const struct iovec *pieces, unsigned n_pieces, const uint8_t *bytes)
{
    for (unsigned i = 0; i < n_pieces; i++) {
        memcpy (pieces[i].iov_base, bytes, pieces[i].iov_len);
        bytes += pieces[i].iov_len;
    }
}

/* Fills a buffer of the guest's; false when there was nothing to be put into it. */
static bool
fill_chain (Vsock *vsock, VmmVirtqueue *queue)
{
    struct iovec head[VMM_VSOCK_HEADER_SIZE];
    uint8_t bytes[VMM_VSOCK_HEADER_SIZE];
    VmmVsockHeader header;
    unsigned n_head;
    unsigned n;

    if (vsock->chain.writable_left <= sizeof bytes) {
        vmm_virtqueue_fail (queue, "a buffer has no room for a packet");
        return false;
    }
    n_head = vmm_chain_take_writable (&vsock->chain, sizeof bytes, head, G_N_ELEMENTS (head));
    n = vmm_chain_take_writable (&vsock->chain, vsock->chain.writable_left, vsock->pieces, VMM_CHAIN_IOV_MAX);
    if (!vmm_vsock_mux_send (vsock->mux, vsock->pieces, n, &header)) {
        vmm_virtqueue_unpop (queue, &vsock->chain);
        return false;
    }
    vmm_vsock_header_encode (&header, bytes);
    scatter (head, n_head, bytes);
    /* Not all that was taken was filled. */
    vsock->chain.written = sizeof bytes + header.len;
    vmm_virtqueue_push (queue, &vsock->chain);
    return true;
}

/* Whether there may be more to do. */
static bool
work_rx (Vsock *vsock)
{
    VmmVirtqueue *queue = vmm_virtio_device_queue (vsock->device, QUEUE_RX);
    unsigned n = 0;

    while (n < PACKETS_AT_ONCE && vmm_vsock_mux_wants_to_send (vsock->mux) &&
           vmm_virtqueue_pop (queue, &vsock->chain) && fill_chain (vsock, queue))
        n++;
    if (n > 0)
        vmm_virtqueue_publish (queue);
    if (n == PACKETS_AT_ONCE)
        return true;
    if (vmm_vsock_mux_wants_to_send (vsock->mux))
        return !vmm_virtqueue_arm (queue);
    /* Of buffers that nobody waits for one does not want to hear. */
    vmm_virtqueue_set_kicks (queue, false);
    return false;
}

static void
work_event (Vsock *vsock)
{
    VmmVirtqueue *queue = vmm_virtio_device_queue (vsock->device, QUEUE_EVENT);
    uint8_t event[4];

    if (!vsock->event_pending)
        return;
    while (!vmm_virtqueue_pop (queue, &vsock->chain)) {
        if (vmm_virtqueue_arm (queue))
            return;
    }
    vmm_put_u32 (event, EVENT_TRANSPORT_RESET);
    if (vmm_chain_write (&vsock->chain, event, sizeof event) != sizeof event) {
        vmm_virtqueue_fail (queue, "a buffer has no room for an event");
        return;
    }
    vmm_virtqueue_push (queue, &vsock->chain);
    vmm_virtqueue_publish (queue);
    vsock->event_pending = false;
}

static bool
may_work (const Vsock *vsock, unsigned queue)
{
    return vmm_virtqueue_is_enabled (vmm_virtio_device_queue (vsock->device, queue)) &&
           !vmm_virtqueue_is_broken (vmm_virtio_device_queue (vsock->device, queue));
}

static void work (Vsock *vsock);

static void
on_again (void *user)
{
    work (user);
}

static void
work (Vsock *vsock)
{
    bool more;

    if (!vsock->running || vsock->working)
        return;
    vsock->working = true;
    if (may_work (vsock, QUEUE_EVENT))
        work_event (vsock);
    more = may_work (vsock, QUEUE_TX) && work_tx (vsock);
    if (may_work (vsock, QUEUE_RX)) {
        bool waited = !vmm_vsock_mux_can_receive (vsock->mux);

        more = work_rx (vsock) || more;
        more = more || (waited && vmm_vsock_mux_can_receive (vsock->mux));
    }
    vsock->working = false;
    if (!more)
        return;
    if (vsock->again == NULL)
        vsock->again = vmm_loop_timer_new (vsock->loop, on_again, vsock);
    vmm_loop_timer_arm (vsock->again, 0);
}

static void
on_ready (void *user)
{
    work (user);
}

static void
on_warn (void *user, const char *text)
{
    Vsock *vsock = user;

    vmm_virtio_device_warn (vsock->device, "%s", text);
}

static void
notify (void *model, unsigned index)
{
    work (model);
}

static void
activate (void *model)
{
    Vsock *vsock = model;

    vsock->running = true;
    vmm_vsock_mux_start (vsock->mux);
}

/* No chain is held between two calls. */
static void
queue_reset (void *model, unsigned index)
{
}

static void
quiesce (void *model)
{
    Vsock *vsock = model;

    vsock->running = false;
    if (vsock->again != NULL)
        vmm_loop_timer_disarm (vsock->again);
    vmm_vsock_mux_pause (vsock->mux);
}

static void
resume (void *model)
{
    Vsock *vsock = model;

    vsock->running = true;
    vmm_vsock_mux_resume (vsock->mux);
    work (vsock);
}

static void
reset (void *model)
{
    Vsock *vsock = model;

    vsock->running = false;
    vsock->event_pending = false;
    vmm_vsock_mux_stop (vsock->mux);
}

/* Connections are not saved: their other ends are programs, which are not saved either. */
static void
save (void *model, VmmStateWriter *writer)
{
    const Vsock *vsock = model;

    vmm_state_put_u64 (writer, vsock->cid);
}

/* The address may be another one than before: the driver asks for it again after a TRANSPORT_RESET
 * (virtio 1.2 section 5.10.6.7). */
static bool
load (void *model, VmmStateReader *reader, uint32_t version)
{
    Vsock *vsock = model;
    uint64_t cid;

    if (!vmm_state_get_u64 (reader, &cid) || cid < VMM_VSOCK_CID_MIN || cid > VMM_VSOCK_CID_MAX)
        return false;
    vsock->event_pending = true;
    return true;
}

static void
free_model (void *model)
{
    Vsock *vsock = model;

    vmm_loop_timer_free (vsock->again);
    vmm_vsock_mux_free (vsock->mux);
    vmm_chain_clear (&vsock->chain);
    g_free (vsock);
}

static const VmmVirtioModel vsock_model = {
    .name = "vsock",
    .id = VMM_VIRTIO_ID_VSOCK,
    .features = features,
    .config_size = sizeof (uint64_t),
    .config_read = config_read,
    .activate = activate,
    .notify = notify,
    .queue_reset = queue_reset,
    .quiesce = quiesce,
    .resume = resume,
    .reset = reset,
    .save = save,
    .load = load,
    .free = free_model,
};

/**
 * vmm_virtio_vsock_new:
 * @env: what it is made with
 * @cid: the guest's address, from %VMM_VSOCK_CID_MIN to %VMM_VSOCK_CID_MAX
 * @listen_fd: a listening Unix socket that does not block; borrowed; or -1
 * @path: of the sockets that the guest can connect to, without the underscore and the port; copied
 *
 * Returns: (transfer full) (nullable): a socket device; NULL when the host has no descriptors left
 */
VmmVirtioDevice *
vmm_virtio_vsock_new (const VmmVirtioEnv *env, uint64_t cid, int listen_fd, const char *path)
{
    Vsock *vsock = g_new0 (Vsock, 1);
    VmmVsockMuxConfig config = {env->loop, cid, listen_fd, path, on_ready, on_warn, vsock};
    VmmVirtioDevice *device;

    vsock->loop = env->loop;
    vsock->cid = cid;
    vsock->mux = vmm_vsock_mux_new (&config);
    vmm_chain_init (&vsock->chain, VMM_CHAIN_IOV_MAX);
    device = vmm_virtio_device_new (env, &vsock_model, vsock, N_QUEUES, QUEUE_SIZE);
    if (device != NULL)
        vsock->device = device;
    return device;
}
