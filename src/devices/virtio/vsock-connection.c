/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of the socket device: bytes in both directions, credit, and how each direction ends. */
#include "devices/virtio/vsock-internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A packet for the guest is not longer, so that connections take turns. */
#define PACKET_MAX (64u * 1024)
#define PIECES_MAX 64u
#define OUT_SIZE_MIN 4096u

/**
 * vmm_vsock_connection_attach:
 * @fd: the host's end, which does not block; taken over
 */
void
vmm_vsock_connection_attach (VmmVsockConnection *connection, int fd)
{
    connection->fd = fd;
    /* Each edge is told once; what it said is remembered until a system call says otherwise. */
    connection->watch =
        vmm_loop_watch (connection->mux->config.loop, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                        vmm_vsock_mux_on_event, connection);
}

/**
 * vmm_vsock_connection_close:
 *
 * Closes the host's end, if it is open, and forgets what was for it.
 */
void
vmm_vsock_connection_close (VmmVsockConnection *connection)
{
    vmm_vsock_connection_drop_output (connection);
    vmm_loop_unwatch (connection->watch);
    connection->watch = NULL;
    if (connection->fd >= 0)
        close (connection->fd);
    connection->fd = -1;
    connection->readable = false;
}

/* @len bytes left for the host's program, or never will. */
static void
forward (VmmVsockConnection *connection, uint32_t len)
{
    connection->forwarded += len;
    if (connection->forwarded - connection->told >= connection->buf_alloc / 4)
        connection->pending |= VMM_VSOCK_PENDING_CREDIT_UPDATE;
}

static void
release_output (VmmVsockConnection *connection)
{
    g_clear_pointer (&connection->out, g_free);
    connection->out_size = 0;
    connection->out_head = 0;
    connection->out_len = 0;
}

/**
 * vmm_vsock_connection_drop_output:
 *
 * The host's program will not take what is left for it.
 */
void
vmm_vsock_connection_drop_output (VmmVsockConnection *connection)
{
    if (connection->out_len > 0)
        forward (connection, connection->out_len);
    release_output (connection);
}

static void
grow_output (VmmVsockConnection *connection, uint32_t len)
{
    uint32_t size = MAX (connection->out_size, OUT_SIZE_MIN);
    uint32_t first = MIN (connection->out_len, connection->out_size - connection->out_head);
    uint8_t *out;

    while (size < connection->out_len + len)
        size *= 2;
    if (size == connection->out_size)
        return;
    out = g_malloc (size);
    if (connection->out_len > 0) {
        memcpy (out, connection->out + connection->out_head, first);
        memcpy (out + first, connection->out, connection->out_len - first);
    }
    g_free (connection->out);
    connection->out = out;
    connection->out_size = size;
    connection->out_head = 0;
}

static void
append_output (VmmVsockConnection *connection, const uint8_t *data, uint32_t len)
{
    uint32_t tail;
    uint32_t first;

    if (len == 0)
        return;
    grow_output (connection, len);
    tail = (connection->out_head + connection->out_len) % connection->out_size;
    first = MIN (len, connection->out_size - tail);
    memcpy (connection->out + tail, data, first);
    memcpy (connection->out, data + first, len - first);
    connection->out_len += len;
}

/* What the host's program took, 0 when it has no room; the end of that direction when it never will. */
static uint32_t
send_some (VmmVsockConnection *connection, const struct iovec *pieces, unsigned n_pieces)
{
    struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = n_pieces};
    ssize_t n;

    do {
        n = sendmsg (connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM)
        vmm_vsock_connection_shut_by_host (connection, VMM_VSOCK_SHUTDOWN_RECEIVE);
    return n > 0 ? (uint32_t)n : 0;
}

/**
 * vmm_vsock_connection_flush:
 *
 * Gives the host's program what waits for it, as far as it has room. After the last of it the direction ends,
 * if the guest has said so.
 *
 * Returns: whether some of it went
 */
bool
vmm_vsock_connection_flush (VmmVsockConnection *connection)
{
    bool moved = false;

    while (connection->out_len > 0) {
        uint32_t first = MIN (connection->out_len, connection->out_size - connection->out_head);
        struct iovec pieces[2] = {{connection->out + connection->out_head, first},
                                  {connection->out, connection->out_len - first}};
        uint32_t n = send_some (connection, pieces, 2);

        if (n == 0)
            break;
        moved = true;
        connection->out_head = (connection->out_head + n) % connection->out_size;
        connection->out_len -= n;
        forward (connection, n);
    }
    if (moved && connection->out_len == 0) {
        release_output (connection);
        if (connection->guest_shut & VMM_VSOCK_SHUTDOWN_SEND)
            shutdown (connection->fd, SHUT_WR);
    }
    return moved;
}

/**
 * vmm_vsock_connection_write:
 * @payload: (array length=n_payload): @len bytes of the guest's memory, which may change meanwhile
 * @len: at most what the guest may send
 *
 * Passes on what the guest sent; what finds no room waits.
 */
void
vmm_vsock_connection_write (VmmVsockConnection *connection, const struct iovec *payload, unsigned n_payload,
                            uint32_t len)
{
    uint32_t sent = 0;
    uint32_t skip;

    connection->received += len;
    if (connection->out_len == 0 && len > 0 && !(connection->host_shut & VMM_VSOCK_SHUTDOWN_RECEIVE)) {
        sent = send_some (connection, payload, MIN (n_payload, (unsigned)IOV_MAX));
        forward (connection, sent);
    }
    if (connection->host_shut & VMM_VSOCK_SHUTDOWN_RECEIVE) {
        forward (connection, len - sent);
        return;
    }
    skip = sent;
    for (unsigned i = 0; i < n_payload; i++) {
        uint32_t gone = (uint32_t)MIN (skip, payload[i].iov_len);

        append_output (connection, (const uint8_t *)payload[i].iov_base + gone,
                       (uint32_t)payload[i].iov_len - gone);
        skip -= gone;
    }
}

/**
 * vmm_vsock_connection_credit:
 *
 * Returns: how many bytes the guest has room for (virtio 1.2 section 5.10.6.3)
 */
uint32_t
vmm_vsock_connection_credit (const VmmVsockConnection *connection)
{
    uint32_t in_flight = connection->sent - connection->peer_forwarded;

    return in_flight < connection->peer_buf_alloc ? connection->peer_buf_alloc - in_flight : 0;
}

/**
 * vmm_vsock_connection_read:
 * @room: (array length=n_room): memory of the guest, at least a byte of it
 *
 * Takes from the host's program as much as the guest has credit and room for; there must be credit.
 *
 * Returns: how many bytes were read; 0: it sends no more; -1: there is nothing now
 */
ssize_t
vmm_vsock_connection_read (VmmVsockConnection *connection, const struct iovec *room, unsigned n_room)
{
    struct iovec pieces[PIECES_MAX];
    size_t left = MIN (vmm_vsock_connection_credit (connection), PACKET_MAX);
    unsigned n_pieces = 0;
    ssize_t n;

    for (; n_pieces < MIN (n_room, PIECES_MAX) && left > 0; n_pieces++) {
        pieces[n_pieces] = (struct iovec){room[n_pieces].iov_base, MIN (room[n_pieces].iov_len, left)};
        left -= pieces[n_pieces].iov_len;
    }
    do {
        n = readv (connection->fd, pieces, (int)n_pieces);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        connection->sent += (uint32_t)n;
        return n;
    }
    if (n < 0 && (errno == EAGAIN || errno == ENOMEM)) {
        connection->readable = false;
        return -1;
    }
    /* An error, such as ECONNRESET, is the end of both directions. */
    connection->hung_up = connection->hung_up || n < 0;
    return 0;
}

/**
 * vmm_vsock_connection_shut_by_guest:
 * @flags: of VMM_VSOCK_SHUTDOWN_*: what the guest does no more
 *
 * Carries it over to the host's program, after all that was sent before.
 */
void
vmm_vsock_connection_shut_by_guest (VmmVsockConnection *connection, uint32_t flags)
{
    uint32_t added = flags & VMM_VSOCK_SHUTDOWN_BOTH & ~connection->guest_shut;

    connection->guest_shut |= added;
    if ((added & VMM_VSOCK_SHUTDOWN_SEND) && connection->out_len == 0)
        shutdown (connection->fd, SHUT_WR);
    if (added & VMM_VSOCK_SHUTDOWN_RECEIVE)
        shutdown (connection->fd, SHUT_RD);
}

/**
 * vmm_vsock_connection_shut_by_host:
 * @flags: of VMM_VSOCK_SHUTDOWN_*: what the host's program does no more
 *
 * The guest is told.
 */
void
vmm_vsock_connection_shut_by_host (VmmVsockConnection *connection, uint32_t flags)
{
    if ((flags & ~connection->host_shut) == 0)
        return;
    connection->host_shut |= flags;
    connection->pending |= VMM_VSOCK_PENDING_SHUTDOWN;
    if (flags & VMM_VSOCK_SHUTDOWN_RECEIVE)
        vmm_vsock_connection_drop_output (connection);
}
