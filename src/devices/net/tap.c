/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A tap is a network interface of the host whose other end is a file: a write is a frame that comes in on
 * the interface, a read one that went out on it. With IFF_VNET_HDR each has the very header in front that
 * virtio has, so that the guest's frames go to the kernel and the kernel's to the guest as they are, without
 * a copy of ours, and a large TCP segment is one frame all the way.
 *
 * Several frames that are sent or received at a time are one system call (tap-ring.c).
 *
 * TUNSETOFFLOAD tells the kernel what the guest can take; what it cannot, the kernel does itself. With
 * several queues the kernel spreads connections over those that are attached (TUNSETQUEUE).
 *
 * Frames that nobody reads wait in the kernel, up to the interface's txqueuelen, and are then dropped there.
 * When the interface is removed while a guest uses it, the guest sees its cable pulled. Its files are woken
 * as for a frame that comes, so a sleeper that wants no frames does not hear of it. With vhost it is the
 * kernel that wants them: there the kernel's news of its links (rtnetlink) make us look, and nothing else.
 */
#include "devices/net/tap-internal.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/error.h"

#ifndef TUN_F_USO4 /* Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* How many old frames a new driver is spared; more than an interface queues by default. */
#define STALE_MAX 4096u

static void
lose (VmmNetTap *tap)
{
    if (tap->gone)
        return;
    tap->gone = true;
    for (unsigned i = 0; i < tap->net.n_pairs; i++) {
        vmm_loop_unwatch (tap->queues[i].watch);
        tap->queues[i].watch = NULL;
    }
    vmm_net_warn (
        &tap->net,
        "the tap interface \"%s\" is gone: the guest's cable is unplugged until vmm is started anew",
        tap->name);
    vmm_net_set_link (&tap->net, false);
}

static uint32_t
events_of (const VmmNetTapQueue *queue)
{
    return (queue->rx_wanted ? (uint32_t)EPOLLIN : 0) | (queue->tx_full ? (uint32_t)EPOLLOUT : 0);
}

static void on_ready (void *user, uint32_t events);

/* Without a watch the kernel does not look for somebody to wake for each frame. */
static void
update_watch (VmmNetTapQueue *queue)
{
    VmmNetTap *tap = queue->tap;
    bool needed = queue->in_use && tap->loop != NULL && !tap->gone && (!tap->busy || queue->tx_full);

    if (needed && queue->watch != NULL) {
        vmm_loop_watch_set (queue->watch, events_of (queue));
    } else if (needed) {
        queue->watch = vmm_loop_watch (tap->loop, queue->fd, events_of (queue), on_ready, queue);
    } else {
        vmm_loop_unwatch (queue->watch);
        queue->watch = NULL;
    }
}

static bool
is_there (const VmmNetTapQueue *queue)
{
    struct ifreq request;

    return ioctl (queue->fd, TUNGETIFF, &request) == 0;
}

/* Some link of the host has changed. */
static void
on_news (void *user, uint32_t events)
{
    VmmNetTap *tap = user;
    char news[4096];

    /* What they say does not matter; nor that some were lost, when there were too many. */
    while (recv (tap->news_fd, news, sizeof news, MSG_DONTWAIT | MSG_TRUNC) >= 0 || errno == ENOBUFS)
        ;
    if (!tap->gone && !is_there (&tap->queues[0]))
        lose (tap);
}

/* Without them, a cable that is pulled is not seen; frames go as ever. */
static void
watch_news (VmmNetTap *tap)
{
    const struct sockaddr_nl links = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};

    tap->news_fd = socket (AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (tap->news_fd < 0)
        return;
    if (bind (tap->news_fd, (const struct sockaddr *)&links, sizeof links) == 0) {
        tap->news = vmm_loop_watch (tap->loop, tap->news_fd, EPOLLIN, on_news, tap);
        on_news (tap, 0);
        return;
    }
    close (tap->news_fd);
    tap->news_fd = -1;
}

static void
end_news (VmmNetTap *tap)
{
    g_clear_pointer (&tap->news, vmm_loop_unwatch);
    if (tap->news_fd >= 0)
        close (tap->news_fd);
    tap->news_fd = -1;
}

static void
on_ready (void *user, uint32_t events)
{
    VmmNetTapQueue *queue = user;
    VmmNetTap *tap = queue->tap;

    if ((events & (EPOLLERR | EPOLLHUP)) != 0 && !is_there (queue)) {
        lose (tap);
        return;
    }
    if ((events & EPOLLOUT) != 0 && queue->tx_full) {
        queue->tx_full = false;
        update_watch (queue);
        tap->net.events->tx_ready (tap->net.user);
    }
    if ((events & EPOLLIN) != 0 && queue->rx_wanted)
        tap->net.events->rx_ready (tap->net.user, queue->index);
}

static unsigned
tun_flags (uint32_t offloads)
{
    unsigned flags = 0;

    if ((offloads & VMM_NET_OFFLOAD_CSUM) == 0)
        return 0;
    flags |= TUN_F_CSUM;
    flags |= (offloads & VMM_NET_OFFLOAD_TSO4) != 0 ? TUN_F_TSO4 : 0;
    flags |= (offloads & VMM_NET_OFFLOAD_TSO6) != 0 ? TUN_F_TSO6 : 0;
    if ((offloads & VMM_NET_OFFLOAD_ECN) != 0 && (flags & (TUN_F_TSO4 | TUN_F_TSO6)) != 0)
        flags |= TUN_F_TSO_ECN;
    /* The kernel takes both or none. */
    if ((offloads & VMM_NET_OFFLOAD_USO4) != 0 && (offloads & VMM_NET_OFFLOAD_USO6) != 0)
        flags |= TUN_F_USO4 | TUN_F_USO6;
    return flags;
}

static void
tap_set_offloads (VmmNet *net, uint32_t offloads)
{
    VmmNetTap *tap = (VmmNetTap *)net;

    if (tap->has_header && !tap->gone)
        ioctl (tap->queues[0].fd, TUNSETOFFLOAD, (unsigned long)tun_flags (offloads & net->offloads));
}

/* What the kernel can do; leaves everything off. */
static uint32_t
probe_offloads (const VmmNetTap *tap)
{
    static const uint32_t sets[] = {
        VMM_NET_OFFLOAD_CSUM | VMM_NET_OFFLOAD_TSO4 | VMM_NET_OFFLOAD_TSO6 | VMM_NET_OFFLOAD_ECN |
            VMM_NET_OFFLOAD_USO4 | VMM_NET_OFFLOAD_USO6,
        VMM_NET_OFFLOAD_CSUM | VMM_NET_OFFLOAD_TSO4 | VMM_NET_OFFLOAD_TSO6 | VMM_NET_OFFLOAD_ECN,
        VMM_NET_OFFLOAD_CSUM,
    };
    uint32_t found = 0;

    for (size_t i = 0; found == 0 && tap->has_header && i < G_N_ELEMENTS (sets); i++) {
        if (ioctl (tap->queues[0].fd, TUNSETOFFLOAD, (unsigned long)tun_flags (sets[i])) == 0)
            found = sets[i];
    }
    if (tap->has_header)
        ioctl (tap->queues[0].fd, TUNSETOFFLOAD, 0ul);
    return found;
}

static void
use_queue (VmmNetTapQueue *queue, bool use)
{
    VmmNetTap *tap = queue->tap;
    struct ifreq request = {.ifr_flags = use ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};

    if (queue->in_use != use && tap->net.n_pairs > 1)
        ioctl (queue->fd, TUNSETQUEUE, &request);
    queue->in_use = use;
    if (!use || tap->loop == NULL)
        queue->tx_full = false;
    /* A detached queue would be told to be faulty again and again. */
    update_watch (queue);
}

static void
tap_set_pairs (VmmNet *net, unsigned n)
{
    VmmNetTap *tap = (VmmNetTap *)net;

    for (unsigned i = 0; i < net->n_pairs; i++)
        use_queue (&tap->queues[i], i < n);
}

/* What waits was meant for the driver before this one, and may be in a form that this one cannot take. */
static void
drop_stale (const VmmNetTap *tap)
{
    uint8_t bytes[sizeof (VmmNetHeader) + 1];
    unsigned n = 0;

    while (n < STALE_MAX && read (tap->queues[0].fd, bytes, sizeof bytes) > 0)
        n++;
}

static bool
tap_attach (VmmNet *net, VmmLoop *loop, GError **error)
{
    VmmNetTap *tap = (VmmNetTap *)net;

    tap->loop = loop;
    tap->down = false;
    tap->busy = false;
    for (unsigned i = 0; i < net->n_pairs; i++)
        tap->queues[i].rx_wanted = false;
    tap_set_offloads (net, 0);
    drop_stale (tap);
    tap_set_pairs (net, 1);
    if (net->vhost != NULL && !tap->gone)
        watch_news (tap);
    return true;
}

static void
tap_detach (VmmNet *net)
{
    VmmNetTap *tap = (VmmNetTap *)net;

    end_news (tap);
    tap->loop = NULL;
    vmm_net_tap_ring_close (tap);
    tap_set_pairs (net, 1);
    tap_set_offloads (net, 0);
}

static void
tap_want_receive (VmmNet *net, unsigned pair, bool wanted)
{
    VmmNetTapQueue *queue = &((VmmNetTap *)net)->queues[pair];

    if (queue->rx_wanted == wanted)
        return;
    queue->rx_wanted = wanted;
    update_watch (queue);
}

static void
tap_set_busy (VmmNet *net, bool busy)
{
    VmmNetTap *tap = (VmmNetTap *)net;

    tap->busy = busy;
    for (unsigned i = 0; i < net->n_pairs; i++)
        update_watch (&tap->queues[i]);
}

/* An interface that is down takes no frames; it may come up again. */
static void
tell_down (VmmNetTap *tap)
{
    if (!tap->down)
        vmm_net_warn (&tap->net,
                      "the tap interface \"%s\" is down, and loses what the guest sends: ip link "
                      "set %s up",
                      tap->name, tap->name);
    tap->down = true;
}

/* What came of a write: 0 or an errno. */
static VmmNetSend
note_sent (VmmNetTapQueue *queue, int wrong)
{
    VmmNetTap *tap = queue->tap;

    if (wrong == 0) {
        tap->down = false;
        return VMM_NET_SENT;
    }
    if (wrong == EAGAIN) {
        queue->tx_full = true;
        update_watch (queue);
        return VMM_NET_FULL;
    }
    if (wrong == EBADFD)
        lose (tap);
    else if (wrong == EIO)
        tell_down (tap);
    return VMM_NET_DROPPED;
}

/* The first element is the header. */
static unsigned
iov_to_skip (const VmmNetTap *tap)
{
    return tap->has_header ? 0 : 1;
}

static VmmNetSend
tap_send (VmmNet *net, unsigned pair, const struct iovec *iov, unsigned n_iov)
{
    VmmNetTap *tap = (VmmNetTap *)net;
    VmmNetTapQueue *queue = &tap->queues[pair];
    unsigned skip = iov_to_skip (tap);

    if (tap->gone)
        return VMM_NET_DROPPED;
    return note_sent (queue, writev (queue->fd, iov + skip, (int)(n_iov - skip)) >= 0 ? 0 : errno);
}

typedef unsigned (*OnRing) (VmmNetTap *tap, int fd, const VmmNetFrame *frames, unsigned n, int *ret_results);

/* By the ring; returns how many were tried, from the first on. */
static unsigned
try_batch (VmmNetTapQueue *queue, OnRing on_ring, const VmmNetFrame *frames, unsigned n, int *ret_results)
{
    unsigned skip = iov_to_skip (queue->tap);
    VmmNetFrame as_kernel_has[VMM_NET_BATCH_MAX];

    /* For a single one it is not worth it. */
    if (n < 2 || queue->tap->gone)
        return 0;
    for (unsigned i = 0; i < n; i++)
        as_kernel_has[i] = (VmmNetFrame){frames[i].iov + skip, frames[i].n_iov - skip};
    return on_ring (queue->tap, queue->fd, as_kernel_has, n, ret_results);
}

static unsigned
tap_send_batch (VmmNet *net, unsigned pair, const VmmNetFrame *frames, unsigned n)
{
    VmmNetTapQueue *queue = &((VmmNetTap *)net)->queues[pair];
    int results[VMM_NET_BATCH_MAX];
    unsigned tried = try_batch (queue, vmm_net_tap_ring_write, frames, n, results), done = tried;

    /* Those at the end that found it full can be kept. One before others that did not is lost: it would come
     * after them. */
    while (done > 0 && results[done - 1] == -EAGAIN)
        done--;
    for (unsigned i = 0; i < done; i++) {
        if (results[i] != -EAGAIN)
            note_sent (queue, MAX (-results[i], 0));
    }
    if (done < tried)
        note_sent (queue, EAGAIN);
    while (done >= tried && done < n &&
           tap_send (net, pair, frames[done].iov, frames[done].n_iov) != VMM_NET_FULL)
        done++;
    return done;
}

/* What came of a read into @iov: bytes or a negative errno. */
static size_t
note_received (VmmNetTap *tap, const struct iovec *iov, ssize_t result)
{
    ssize_t header = tap->has_header ? (ssize_t)sizeof (VmmNetHeader) : 0;

    if (result == -EBADFD)
        lose (tap);
    if (result <= header)
        return 0;
    if (!tap->has_header)
        *(VmmNetHeader *)iov[0].iov_base = (VmmNetHeader){0};
    return (size_t)(result - header);
}

static size_t
tap_receive (VmmNet *net, unsigned pair, const struct iovec *iov, unsigned n_iov)
{
    VmmNetTap *tap = (VmmNetTap *)net;
    unsigned skip = iov_to_skip (tap);
    ssize_t len;

    if (tap->gone)
        return 0;
    len = readv (tap->queues[pair].fd, iov + skip, (int)(n_iov - skip));
    return note_received (tap, iov, len >= 0 ? len : -errno);
}

static void
tap_receive_batch (VmmNet *net, unsigned pair, const VmmNetFrame *rooms, unsigned n, size_t *ret_lens)
{
    VmmNetTap *tap = (VmmNetTap *)net;
    int results[VMM_NET_BATCH_MAX];
    unsigned tried = try_batch (&tap->queues[pair], vmm_net_tap_ring_read, rooms, n, results);
    bool more = tried == 0;

    for (unsigned i = 0; i < n; i++) {
        if (i < tried)
            ret_lens[i] = note_received (tap, rooms[i].iov, results[i]);
        else
            ret_lens[i] = more ? tap_receive (net, pair, rooms[i].iov, rooms[i].n_iov) : 0;
        more = more && ret_lens[i] > 0;
    }
}

static int
tap_fd (VmmNet *net, unsigned pair)
{
    return ((VmmNetTap *)net)->queues[pair].fd;
}

static void
tap_free (VmmNet *net)
{
    VmmNetTap *tap = (VmmNetTap *)net;

    for (unsigned i = 0; i < VMM_NET_PAIRS_MAX; i++) {
        if (tap->queues[i].fd >= 0)
            close (tap->queues[i].fd);
    }
    vmm_vhost_net_free (net->vhost);
    g_free (tap->name);
    g_free (tap);
}

static const VmmNetOps tap_ops = {
    .name = "tap",
    .polled = true,
    .attach = tap_attach,
    .detach = tap_detach,
    .set_offloads = tap_set_offloads,
    .set_pairs = tap_set_pairs,
    .send = tap_send,
    .send_batch = tap_send_batch,
    .receive = tap_receive,
    .receive_batch = tap_receive_batch,
    .want_receive = tap_want_receive,
    .set_busy = tap_set_busy,
    .fd = tap_fd,
    .free = tap_free,
};

/* Frames without headers are not for it. */
static bool
open_vhost (VmmNetTap *tap, VmmNetTapVhost wanted, GError **error)
{
    g_autoptr (GError) wrong = NULL;

    if (wanted == VMM_NET_TAP_VHOST_OFF)
        return true;
    if (tap->has_header)
        tap->net.vhost = vmm_vhost_net_open (tap->net.n_pairs, &wrong);
    else
        g_set_error (&wrong, VMM_ERROR, VMM_ERROR_USAGE, "open the tap with IFF_VNET_HDR");
    if (tap->net.vhost != NULL || wanted == VMM_NET_TAP_VHOST_AUTO)
        return true;
    g_set_error (error, VMM_ERROR, wrong->code, "net \"%s\": vhost=on: %s", tap->name, wrong->message);
    return false;
}

/**
 * vmm_net_tap_open:
 * @config: which interface
 *
 * Returns: (transfer full) (nullable): the interface; NULL with %VMM_ERROR_USAGE or %VMM_ERROR_HOST
 */
VmmNet *
vmm_net_tap_open (const VmmNetTapConfig *config, GError **error)
{
    VmmNetTap *tap = g_new0 (VmmNetTap, 1);
    g_autoptr (VmmNet) net = &tap->net;

    net->ops = &tap_ops;
    tap->news_fd = -1;
    for (unsigned i = 0; i < VMM_NET_PAIRS_MAX; i++)
        tap->queues[i] = (VmmNetTapQueue){.tap = tap, .index = i, .fd = -1};
    if (!vmm_net_tap_open_queues (tap, config, error))
        return NULL;
    net->identity = g_strdup (tap->name);
    net->offloads = probe_offloads (tap);
    net->link_up = true;
    if (!open_vhost (tap, config->vhost, error))
        return NULL;
    return g_steal_pointer (&net);
}
