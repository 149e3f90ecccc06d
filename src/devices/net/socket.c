/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A cable between two machines: a Unix stream socket with frames in it. One end listens, the other connects;
 * with one path for both, the first that comes listens. The cable is plugged in while both are there, and the
 * guests see that as their link. When one end goes the other waits: the listener for the next connection,
 * the connecting end by trying again, ever more seldom, up to once in five seconds.
 *
 * Only one peer can be connected; another one is sent away. Who may connect is who may open the socket's
 * file: the user who runs the listener.
 *
 * A peer that does not read has its frames dropped: when the socket is full the guest's frames wait with the
 * guest, but not longer than PATIENCE_NS; from then on they are lost until there is room again.
 */
#include "devices/net/socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/net/socket-stream.h"
#include "vmm/core/unix-listener.h"
#include "vmm/error.h"

#define NS_PER_MS INT64_C (1000000)
#define PATIENCE_NS (200 * NS_PER_MS)
#define RETRY_FIRST_NS (100 * NS_PER_MS)
#define RETRY_MAX_NS (5000 * NS_PER_MS)
/* In bytes; the kernel gives what it allows. */
#define SOCKET_BUFFER (1 << 20)

typedef struct {
    VmmNet net;
    char *path;
    bool listens;
    VmmUnixListener listener;
    int fd; /* the connection; -1: none */
    VmmNetStream stream;
    VmmLoop *loop; /* while attached, as the next three */
    VmmLoopWatch *listen_watch;
    VmmLoopTimer *listen_timer; /* the host had no descriptor left */
    VmmLoopWatch *watch;
    VmmLoopTimer *timer; /* of patience while connected, of the next try while not */
    int64_t retry_ns;
    bool rx_wanted;
    bool tx_full;
    bool stuck; /* the patience is over */
} NetSocket;

static void disconnect (NetSocket *socket);

static uint32_t
events_of (const NetSocket *socket)
{
    bool out = socket->tx_full || socket->stuck || socket->stream.out_end > 0;

    return (socket->rx_wanted ? (uint32_t)EPOLLIN : 0) | (out ? (uint32_t)EPOLLOUT : 0);
}

static void
update_watch (NetSocket *socket)
{
    if (socket->watch != NULL)
        vmm_loop_watch_set (socket->watch, events_of (socket));
}

/* What was full may be tried again. */
static void
let_send (NetSocket *socket)
{
    bool waits = socket->tx_full;

    socket->tx_full = false;
    if (waits)
        socket->net.events->tx_ready (socket->net.user);
}

static void
on_writable (NetSocket *socket)
{
    VmmNetStreamResult result = vmm_net_stream_flush (&socket->stream, socket->fd);

    if (result == VMM_NET_STREAM_END) {
        disconnect (socket);
        return;
    }
    if (result == VMM_NET_STREAM_AGAIN)
        return;
    socket->stuck = false;
    vmm_loop_timer_disarm (socket->timer);
    let_send (socket);
    update_watch (socket);
}

static void
on_ready (void *user, uint32_t events)
{
    NetSocket *socket = user;

    /* What the peer has sent before it went is still there to be read. */
    if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0) {
        disconnect (socket);
        return;
    }
    if ((events & EPOLLIN) != 0 && socket->rx_wanted)
        socket->net.events->rx_ready (socket->net.user, 0);
    else if ((events & (EPOLLERR | EPOLLHUP)) != 0)
        disconnect (socket);
    if ((events & EPOLLOUT) != 0 && socket->fd >= 0)
        on_writable (socket);
}

static void
watch_connection (NetSocket *socket)
{
    if (socket->loop != NULL && socket->fd >= 0 && socket->watch == NULL)
        socket->watch = vmm_loop_watch (socket->loop, socket->fd, events_of (socket), on_ready, socket);
}

static void
use_connection (NetSocket *socket, int fd)
{
    const int size = SOCKET_BUFFER;

    setsockopt (fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    socket->fd = fd;
    socket->tx_full = false;
    socket->stuck = false;
    vmm_net_stream_reset (&socket->stream);
    watch_connection (socket);
    vmm_net_set_link (&socket->net, true);
}

static void
retry_later (NetSocket *socket)
{
    vmm_loop_timer_arm (socket->timer, socket->retry_ns);
    socket->retry_ns = MIN (2 * socket->retry_ns, RETRY_MAX_NS);
}

static void
disconnect (NetSocket *socket)
{
    if (socket->fd < 0)
        return;
    vmm_loop_unwatch (socket->watch);
    socket->watch = NULL;
    close (socket->fd);
    socket->fd = -1;
    vmm_net_stream_reset (&socket->stream);
    if (socket->loop != NULL)
        vmm_loop_timer_disarm (socket->timer);
    vmm_net_set_link (&socket->net, false);
    /* They are dropped now. */
    if (socket->loop != NULL) {
        let_send (socket);
        if (!socket->listens)
            retry_later (socket);
    }
}

static int
connect_to (const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    g_strlcpy (address.sun_path, path, sizeof address.sun_path);
    if (connect (fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close (fd);
    return -1;
}

static void
try_connect (NetSocket *socket)
{
    int fd = connect_to (socket->path);

    if (fd >= 0) {
        use_connection (socket, fd);
        return;
    }
    retry_later (socket);
}

static void
on_timer (void *user)
{
    NetSocket *socket = user;

    if (socket->fd < 0) {
        try_connect (socket);
        return;
    }
    socket->stuck = true;
    let_send (socket);
}

/* Whether the peer has hung up, and nothing is left to be read. */
static bool
is_over (int fd)
{
    uint8_t byte;

    return recv (fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void
on_connection (void *user, uint32_t events)
{
    NetSocket *socket = user;
    gboolean exhausted;
    int fd = vmm_unix_listener_accept (&socket->listener, &exhausted);

    if (exhausted) {
        vmm_loop_watch_set (socket->listen_watch, 0);
        vmm_loop_timer_arm (socket->listen_timer, VMM_UNIX_LISTENER_RETRY_MS * NS_PER_MS);
    }
    if (fd < 0)
        return;
    /* The old peer's end may not have been seen yet. */
    if (socket->fd >= 0 && is_over (socket->fd))
        disconnect (socket);
    if (socket->fd < 0)
        use_connection (socket, fd);
    else
        close (fd);
}

static void
on_listen_timer (void *user)
{
    vmm_loop_watch_set (((NetSocket *)user)->listen_watch, EPOLLIN);
}

static bool
socket_attach (VmmNet *net, VmmLoop *loop, GError **error)
{
    NetSocket *socket = (NetSocket *)net;

    socket->loop = loop;
    socket->rx_wanted = false;
    socket->tx_full = false;
    socket->retry_ns = RETRY_FIRST_NS;
    socket->timer = vmm_loop_timer_new (loop, on_timer, socket);
    socket->listen_timer = vmm_loop_timer_new (loop, on_listen_timer, socket);
    if (socket->listens)
        socket->listen_watch = vmm_loop_watch (loop, socket->listener.fd, EPOLLIN, on_connection, socket);
    if (socket->fd >= 0)
        watch_connection (socket);
    else if (!socket->listens)
        try_connect (socket);
    return true;
}

static void
socket_detach (VmmNet *net)
{
    NetSocket *socket = (NetSocket *)net;

    socket->loop = NULL;
    vmm_loop_unwatch (socket->listen_watch);
    socket->listen_watch = NULL;
    vmm_loop_unwatch (socket->watch);
    socket->watch = NULL;
    vmm_loop_timer_free (socket->timer);
    socket->timer = NULL;
    vmm_loop_timer_free (socket->listen_timer);
    socket->listen_timer = NULL;
}

static void
socket_want_receive (VmmNet *net, unsigned pair, bool wanted)
{
    NetSocket *socket = (NetSocket *)net;

    if (socket->rx_wanted == wanted)
        return;
    socket->rx_wanted = wanted;
    update_watch (socket);
}

/* There is no room: for how long that may be depends on whether it is the first time. */
static VmmNetSend
wait_for_room (NetSocket *socket)
{
    if (socket->stuck)
        return VMM_NET_DROPPED;
    if (!socket->tx_full) {
        socket->tx_full = true;
        vmm_loop_timer_arm (socket->timer, PATIENCE_NS);
        update_watch (socket);
    }
    return VMM_NET_FULL;
}

static VmmNetSend
socket_send (VmmNet *net, unsigned pair, const struct iovec *iov, unsigned n_iov)
{
    NetSocket *socket = (NetSocket *)net;
    VmmNetStreamResult result;

    if (socket->fd < 0)
        return VMM_NET_DROPPED;
    result = vmm_net_stream_flush (&socket->stream, socket->fd);
    if (result == VMM_NET_STREAM_OK) {
        result = vmm_net_stream_send (&socket->stream, socket->fd, iov, n_iov);
        if (result == VMM_NET_STREAM_OK && socket->stream.out_end > 0)
            update_watch (socket);
    }
    if (result == VMM_NET_STREAM_OK)
        return VMM_NET_SENT;
    if (result == VMM_NET_STREAM_AGAIN)
        return wait_for_room (socket);
    /* Who sends does not wait, even if it did before; and must not be told of room from in here. */
    socket->tx_full = false;
    disconnect (socket);
    return VMM_NET_DROPPED;
}

static size_t
socket_receive (VmmNet *net, unsigned pair, const struct iovec *iov, unsigned n_iov)
{
    NetSocket *socket = (NetSocket *)net;
    VmmNetStreamResult result;
    const uint8_t *frame;
    size_t len;

    if (socket->fd < 0)
        return 0;
    do {
        result = vmm_net_stream_next (&socket->stream, socket->fd, &frame, &len);
    } while (result == VMM_NET_STREAM_OK && len < VMM_NET_FRAME_MIN);
    if (result == VMM_NET_STREAM_OK) {
        *(VmmNetHeader *)iov[0].iov_base = (VmmNetHeader){0};
        /* A peer that talks: should it go, it is tried again soon. */
        socket->retry_ns = RETRY_FIRST_NS;
        return vmm_net_scatter (iov + 1, n_iov - 1, frame, len);
    }
    if (result == VMM_NET_STREAM_BAD)
        vmm_net_warn (net,
                      "what comes from \"%s\" are not frames behind their lengths: is the other end a "
                      "vmm, or QEMU's -netdev stream?",
                      socket->path);
    if (result != VMM_NET_STREAM_AGAIN)
        disconnect (socket);
    return 0;
}

static void
socket_free (VmmNet *net)
{
    NetSocket *socket = (NetSocket *)net;

    vmm_unix_listener_close (&socket->listener);
    if (socket->fd >= 0)
        close (socket->fd);
    g_free (socket->path);
    g_free (socket);
}

static const VmmNetOps socket_ops = {
    .name = "socket",
    .attach = socket_attach,
    .detach = socket_detach,
    .send = socket_send,
    .receive = socket_receive,
    .want_receive = socket_want_receive,
    .free = socket_free,
};

/* Listens, or connects where somebody listens already and that is what is wanted. */
static bool
open_path (NetSocket *socket, VmmNetSocketRole role, GError **error)
{
    int fd = role == VMM_NET_SOCKET_LISTEN ? -1 : connect_to (socket->path);

    if (fd >= 0) {
        use_connection (socket, fd);
        return true;
    }
    /* The other end may come later. */
    if (role == VMM_NET_SOCKET_CONNECT)
        return true;
    socket->listens = true;
    return vmm_unix_listener_open (&socket->listener, "net socket", socket->path, error);
}

/**
 * vmm_net_socket_open:
 * @path: of a Unix socket, at most %VMM_NET_SOCKET_PATH_MAX bytes
 *
 * Returns: (transfer full) (nullable): an end of the cable; NULL with %VMM_ERROR_USAGE or %VMM_ERROR_HOST
 * when it cannot listen
 */
VmmNet *
vmm_net_socket_open (VmmNetSocketRole role, const char *path, GError **error)
{
    NetSocket *socket = g_new0 (NetSocket, 1);
    g_autoptr (VmmNet) net = &socket->net;

    net->ops = &socket_ops;
    net->n_pairs = 1;
    socket->path = g_strdup (path);
    socket->listener.fd = -1;
    socket->fd = -1;
    if (!open_path (socket, role, error))
        return NULL;
    net->identity = g_strdup_printf ("%s:%s", socket->listens ? "listen" : "connect", path);
    return g_steal_pointer (&net);
}
