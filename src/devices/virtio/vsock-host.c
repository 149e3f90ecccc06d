/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How connections begin. A program of the host connects to the device's socket and says "CONNECT 52" and a
 * newline; when the guest has accepted, it reads "OK 1073741824" and a newline, the number being the port
 * that it was given, and then the guest's bytes. A connection of the guest to a port goes to the Unix socket
 * of the device's path with an underscore and the port behind it.
 */
#include "devices/virtio/vsock-internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_MAX_BYTES 32u
#define NS_PER_S INT64_C (1000000000)
/* Of a program that says nothing; of a guest that does not answer; of a listener without room. */
#define HANDSHAKE_NS (10 * NS_PER_S)
#define ANSWER_NS (30 * NS_PER_S)
#define CONNECT_NS (10 * NS_PER_S)
#define ACCEPTS_AT_ONCE 64u
#define HOST_PORT_MAX 0xfffffffeu

static bool
accept_one (VmmVsockMux *mux)
{
    int fd = accept4 (mux->config.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    VmmVsockConnection *connection;

    if (fd < 0) {
        mux->accept_later = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
        if (mux->accept_later)
            vmm_vsock_mux_ensure_tick (mux);
        return false;
    }
    if (mux->all.length >= VMM_VSOCK_CONNECTIONS_MAX) {
        close (fd);
        mux->config.warn (mux->config.user,
                          "a program of the host was refused: there are too many connections");
        return true;
    }
    connection = vmm_vsock_mux_add (mux, VMM_VSOCK_STATE_HANDSHAKE);
    vmm_vsock_connection_attach (connection, fd);
    vmm_vsock_mux_set_deadline (connection, HANDSHAKE_NS);
    return true;
}

/**
 * vmm_vsock_host_on_listener:
 * @user: the connections
 * @events: not looked at
 *
 * Accepts those who wait.
 */
void
vmm_vsock_host_on_listener (void *user, uint32_t events)
{
    VmmVsockMux *mux = user;

    if (mux->paused)
        return;
    for (unsigned i = 0; i < ACCEPTS_AT_ONCE; i++) {
        if (!accept_one (mux))
            return;
    }
    /* Told once more, after all others had their turn. */
    vmm_loop_watch_set (mux->listen_watch, EPOLLIN | EPOLLET);
}

static bool
parse_line (char *line, size_t len, uint32_t *ret_port)
{
    guint64 port;

    line[len] = '\0';
    if (len > 0 && line[len - 1] == '\r')
        line[--len] = '\0';
    if (strlen (line) != len || g_ascii_strncasecmp (line, "CONNECT ", 8) != 0 ||
        !g_ascii_string_to_unsigned (line + 8, 10, 0, UINT32_MAX, &port, NULL))
        return false;
    *ret_port = (uint32_t)port;
    return true;
}

static uint32_t
choose_host_port (VmmVsockMux *mux, uint32_t guest_port)
{
    uint32_t port;

    do {
        port = mux->next_port;
        mux->next_port = port < HOST_PORT_MAX ? port + 1 : VMM_VSOCK_HOST_PORT_MIN;
    } while (vmm_vsock_mux_find (mux, port, guest_port) != NULL);
    return port;
}

/* The line without its newline, which are taken out of the socket, and nothing behind them; false when there
 * is no whole line: @ret_wait says whether one may come. */
static bool
take_line (VmmVsockConnection *connection, char line[LINE_MAX_BYTES], size_t *ret_len, bool *ret_wait)
{
    ssize_t n = recv (connection->fd, line, LINE_MAX_BYTES, MSG_PEEK | MSG_DONTWAIT);
    const char *newline = n > 0 ? memchr (line, '\n', (size_t)n) : NULL;

    *ret_wait = n < 0 ? errno == EAGAIN || errno == EINTR : n > 0 && n < (ssize_t)LINE_MAX_BYTES;
    if (newline == NULL) {
        connection->readable = false;
        return false;
    }
    *ret_len = (size_t)(newline - line);
    *ret_wait = false;
    return recv (connection->fd, line, *ret_len + 1, MSG_DONTWAIT) == (ssize_t)*ret_len + 1;
}

/**
 * vmm_vsock_host_read_line:
 * @connection: one whose program has said something; may be freed
 *
 * Asks the guest, once the port is known.
 */
void
vmm_vsock_host_read_line (VmmVsockConnection *connection)
{
    VmmVsockMux *mux = connection->mux;
    char line[LINE_MAX_BYTES];
    size_t len;
    bool wait;
    uint32_t port;

    if (!take_line (connection, line, &len, &wait)) {
        if (!wait || connection->hung_up)
            vmm_vsock_mux_remove (connection);
        return;
    }
    if (!parse_line (line, len, &port)) {
        vmm_vsock_mux_remove (connection);
        return;
    }
    vmm_vsock_mux_enter (connection, choose_host_port (mux, port), port);
    connection->state = VMM_VSOCK_STATE_REQUESTED;
    connection->pending = VMM_VSOCK_PENDING_REQUEST;
    vmm_vsock_mux_set_deadline (connection, ANSWER_NS);
    vmm_vsock_mux_update (connection);
}

/**
 * vmm_vsock_host_answer:
 * @connection: one that the guest has accepted
 *
 * Returns: false when its program could not be told
 */
bool
vmm_vsock_host_answer (VmmVsockConnection *connection)
{
    char line[LINE_MAX_BYTES];
    int len = snprintf (line, sizeof line, "OK %u\n", vmm_vsock_connection_host_port (connection));

    connection->state = VMM_VSOCK_STATE_OPEN;
    vmm_vsock_mux_set_deadline (connection, 0);
    /* The first bytes that it is sent: there is room for them. */
    return send (connection->fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) == len;
}

/* 0, or an errno: EAGAIN when its backlog is full. */
static int
connect_to_port (const VmmVsockMux *mux, int fd, uint32_t port)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf (address.sun_path, sizeof address.sun_path, "%s_%u", mux->path, port);

    if (len < 0 || (size_t)len >= sizeof address.sun_path)
        return ENAMETOOLONG;
    return connect (fd, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
}

static void
open_connection (VmmVsockConnection *connection)
{
    connection->state = VMM_VSOCK_STATE_OPEN;
    connection->pending = VMM_VSOCK_PENDING_RESPONSE;
    vmm_vsock_mux_set_deadline (connection, 0);
    vmm_vsock_connection_attach (connection, connection->fd);
    vmm_vsock_mux_update (connection);
}

/**
 * vmm_vsock_host_connect:
 * @request: a REQUEST of the guest's, from and to ports that no connection has
 *
 * Returns: false when it is refused
 */
bool
vmm_vsock_host_connect (VmmVsockMux *mux, const VmmVsockHeader *request)
{
    VmmVsockConnection *connection;
    int wrong;
    int fd;

    if (mux->all.length >= VMM_VSOCK_CONNECTIONS_MAX) {
        mux->config.warn (mux->config.user, "the guest was refused a connection: there are too many");
        return false;
    }
    fd = socket (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    wrong = fd >= 0 ? connect_to_port (mux, fd, request->dst_port) : errno;
    if (wrong != 0 && (wrong != EAGAIN || fd < 0)) {
        if (fd >= 0)
            close (fd);
        return false;
    }
    connection = vmm_vsock_mux_add (mux, VMM_VSOCK_STATE_CONNECTING);
    connection->fd = fd;
    connection->peer_buf_alloc = request->buf_alloc;
    vmm_vsock_mux_enter (connection, request->dst_port, request->src_port);
    if (wrong == 0)
        open_connection (connection);
    else
        vmm_vsock_mux_set_deadline (connection, CONNECT_NS);
    return true;
}

/**
 * vmm_vsock_host_connect_again:
 * @connection: one whose listener had no room
 *
 * Returns: false when that is still so
 */
bool
vmm_vsock_host_connect_again (VmmVsockConnection *connection)
{
    int wrong =
        connect_to_port (connection->mux, connection->fd, vmm_vsock_connection_host_port (connection));

    if (wrong == EAGAIN)
        return false;
    if (wrong == 0)
        open_connection (connection);
    else
        vmm_vsock_mux_reset (connection);
    return true;
}
