/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * User networking: the guest's TCP, UDP and pings end in this process, which makes connections of its own for
 * them as any program may. It needs no privilege and no interface. libslirp is the TCP/IP stack; it also
 * plays the network: 10.0.2.0/24 and fec0::/64, the host at .2, a name server at .3, and a DHCP server that
 * gives the guest .15.
 *
 * Its frames have no offloads, and each is copied. Those for the guest wait in a queue until the device takes
 * them; while that is long, libslirp's sockets are not looked at, so that senders slow down and no frame is
 * lost. What the guest causes at the moment may still be added, up to a limit.
 *
 * What libslirp waits for is in user-poll.c.
 */
#include "devices/net/user-internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "vmm/error.h"

#define FRAMES_ENOUGH 256u
#define FRAMES_MAX 2048u
/* Not what a watch can wait for. */
#define NEVER UINT32_MAX

static uint32_t
events_of (const VmmNetUser *user)
{
    return g_queue_get_length ((GQueue *)&user->frames) < FRAMES_ENOUGH ? (uint32_t)EPOLLIN : 0;
}

static void
update_watch (VmmNetUser *user, uint32_t before)
{
    if (user->watch != NULL && events_of (user) != before)
        vmm_loop_watch_set (user->watch, events_of (user));
}

/* Afterwards libslirp's wishes may be others, and there may be frames. */
static void
settle (VmmNetUser *user, uint32_t before)
{
    vmm_net_user_sync (user);
    update_watch (user, before);
    if (user->rx_wanted && !g_queue_is_empty (&user->frames))
        user->net.events->rx_ready (user->net.user, 0);
}

static void
on_ready (void *data, uint32_t events)
{
    VmmNetUser *user = data;
    uint32_t before = events_of (user);

    vmm_net_user_run_ready (user);
    settle (user, before);
}

static void
on_timer (void *data)
{
    VmmNetUser *user = data;
    uint32_t before = events_of (user);

    vmm_net_user_run_timers (user);
    settle (user, before);
}

/* A frame of libslirp's, for the guest. */
static ssize_t
on_send_packet (const void *frame, size_t len, void *opaque)
{
    VmmNetUser *user = opaque;

    if (user->loop == NULL || len > VMM_NET_FRAME_MAX || g_queue_get_length (&user->frames) >= FRAMES_MAX)
        return (ssize_t)len;
    g_queue_push_tail (&user->frames, g_bytes_new (frame, len));
    return (ssize_t)len;
}

static void
on_guest_error (const char *message, void *opaque)
{
    /* What a guest sends is its own affair. */
}

static void
drop_frames (VmmNetUser *user)
{
    GBytes *frame;

    while ((frame = g_queue_pop_head (&user->frames)) != NULL)
        g_bytes_unref (frame);
}

static bool
user_attach (VmmNet *net, VmmLoop *loop, GError **error)
{
    VmmNetUser *user = (VmmNetUser *)net;

    user->loop = loop;
    user->rx_wanted = false;
    user->timer = vmm_loop_timer_new (loop, on_timer, user);
    user->watch = vmm_loop_watch (loop, user->epoll_fd, EPOLLIN, on_ready, user);
    vmm_net_user_sync (user);
    return true;
}

static void
user_detach (VmmNet *net)
{
    VmmNetUser *user = (VmmNetUser *)net;

    vmm_loop_unwatch (user->watch);
    user->watch = NULL;
    vmm_loop_timer_free (user->timer);
    user->timer = NULL;
    user->loop = NULL;
    drop_frames (user);
}

static VmmNetSend
user_send (VmmNet *net, unsigned pair, const struct iovec *iov, unsigned n_iov)
{
    VmmNetUser *user = (VmmNetUser *)net;
    size_t len = vmm_net_gather (iov + 1, n_iov - 1, user->frame, sizeof user->frame);

    /* A copy: libslirp looks at some fields more than once, and the guest can write there. */
    user->library.input (user->slirp, user->frame, (int)len);
    return VMM_NET_SENT;
}

static void
user_flush (VmmNet *net)
{
    VmmNetUser *user = (VmmNetUser *)net;

    settle (user, NEVER);
}

static size_t
user_receive (VmmNet *net, unsigned pair, const struct iovec *iov, unsigned n_iov)
{
    VmmNetUser *user = (VmmNetUser *)net;
    uint32_t before = events_of (user);
    GBytes *frame = g_queue_pop_head (&user->frames);
    const void *data;
    size_t len;

    if (frame == NULL)
        return 0;
    data = g_bytes_get_data (frame, &len);
    *(VmmNetHeader *)iov[0].iov_base = (VmmNetHeader){0};
    len = vmm_net_scatter (iov + 1, n_iov - 1, data, len);
    g_bytes_unref (frame);
    update_watch (user, before);
    return len;
}

static void
user_want_receive (VmmNet *net, unsigned pair, bool wanted)
{
    ((VmmNetUser *)net)->rx_wanted = wanted;
}

static void
user_free (VmmNet *net)
{
    VmmNetUser *user = (VmmNetUser *)net;

    if (user->slirp != NULL)
        user->library.cleanup (user->slirp);
    vmm_net_user_library_close (&user->library);
    vmm_net_user_poll_clear (user);
    drop_frames (user);
    g_free (user);
}

static const VmmNetOps user_ops = {
    .name = "user",
    .attach = user_attach,
    .detach = user_detach,
    .send = user_send,
    .flush = user_flush,
    .receive = user_receive,
    .want_receive = user_want_receive,
    .free = user_free,
};

static const SlirpCb *
callbacks_of (VmmNetUser *user)
{
    user->callbacks.send_packet = on_send_packet;
    user->callbacks.guest_error = on_guest_error;
    return &user->callbacks;
}

static bool
start (VmmNetUser *user, const VmmNetUserConfig *config, GError **error)
{
    SlirpConfig slirp = {
        .version = 1,
        .restricted = config->restricted,
        .in_enabled = true,
        .in6_enabled = true,
        .vprefix_len = 64,
        .if_mtu = config->mtu,
        .if_mru = config->mtu,
    };

    inet_pton (AF_INET, "10.0.2.0", &slirp.vnetwork);
    inet_pton (AF_INET, "255.255.255.0", &slirp.vnetmask);
    inet_pton (AF_INET, "10.0.2.2", &slirp.vhost);
    inet_pton (AF_INET, "10.0.2.15", &slirp.vdhcp_start);
    inet_pton (AF_INET, "10.0.2.3", &slirp.vnameserver);
    inet_pton (AF_INET6, "fec0::", &slirp.vprefix_addr6);
    inet_pton (AF_INET6, "fec0::2", &slirp.vhost6);
    inet_pton (AF_INET6, "fec0::3", &slirp.vnameserver6);
    user->slirp = user->library.make (&slirp, callbacks_of (user), user);
    if (user->slirp != NULL && user->epoll_fd >= 0)
        return true;
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                 "net user: libslirp could not be started: are there file descriptors left (ulimit -n)?");
    return false;
}

static bool
add_forward (VmmNetUser *user, const VmmNetForward *forward, GError **error)
{
    char address[INET_ADDRSTRLEN];
    int result;

    user->adding_forward = true;
    result = user->library.add_hostfwd (user->slirp, forward->udp, forward->host, forward->host_port,
                                        forward->guest, forward->guest_port);
    user->adding_forward = false;
    if (result == 0)
        return true;
    inet_ntop (AF_INET, &forward->host, address, sizeof address);
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "net user: hostfwd=%s:%s:%u: %s%s",
                 forward->udp ? "udp" : "tcp", address, forward->host_port, g_strerror (errno),
                 errno == EADDRINUSE ? ": name another port"
                 : errno == EACCES   ? ": only root may use a port below 1024"
                                     : "");
    return false;
}

/**
 * vmm_net_user_open:
 * @config: what to forward
 *
 * Returns: (transfer full) (nullable): a network; NULL with %VMM_ERROR_USAGE when an address of the host
 * cannot be had, with %VMM_ERROR_HOST when there is no libslirp
 */
VmmNet *
vmm_net_user_open (const VmmNetUserConfig *config, GError **error)
{
    VmmNetUser *user = g_new0 (VmmNetUser, 1);
    g_autoptr (VmmNet) net = &user->net;
    bool ok;

    net->ops = &user_ops;
    net->identity = g_strdup ("user");
    net->n_pairs = 1;
    net->mtu = config->mtu;
    net->link_up = true;
    vmm_net_user_poll_init (user, &user->callbacks);
    ok = vmm_net_user_library_open (&user->library, error) && start (user, config, error);
    for (unsigned i = 0; ok && i < config->n_forwards; i++)
        ok = add_forward (user, &config->forwards[i], error);
    return ok ? g_steal_pointer (&net) : NULL;
}
