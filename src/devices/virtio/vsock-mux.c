/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The socket device (virtio 1.2 section 5.10) carries stream connections between the guest's AF_VSOCK and
 * Unix sockets of the host. Four files know nothing of queues: this one has the table of connections and says
 * what a packet of the guest means and whose turn it is to send the next one; vsock-connection.c moves one
 * connection's bytes; vsock-host.c begins connections; vsock-packet.c has the header. vsock.c puts packets
 * into queues.
 *
 * To the guest nothing is buffered: a packet is made when there is a buffer for it, and its payload is read
 * from the host's socket right into the guest's memory, as much as the guest has given credit for. Who has
 * something for the guest stands in a line; who was served and has more goes to its end. What else is to be
 * told (credit, the end of a direction) is a bit of the connection, so however much happens nothing piles up.
 * Only replies to packets of no connection need a place of their own. There are a few; when all are taken no
 * packets are received until the guest gives room (section 5.10.6.2).
 *
 * From the guest bytes go right to the host's socket, and what finds no room there waits in a bounded buffer.
 * A host's program that does not read stops its own connection, whose guest runs out of credit, and no other
 * one.
 *
 * A connection that breaks a rule is reset and stays in the table until the guest could be told, so that it
 * is not confused with a new one of the same ports. One that the guest is done with leaves the table at once;
 * the rest of its bytes linger until the host's program has read them.
 */
#include "devices/virtio/vsock-internal.h"

#include "vmm/core/timer.h"

#define NS_PER_MS INT64_C (1000000)
#define TICK_NS (1000 * NS_PER_MS)
#define TICK_CONNECTING_NS (20 * NS_PER_MS)
#define CLOSING_NS (10000 * NS_PER_MS)
#define LINGERING_NS (60000 * NS_PER_MS)

static guint
hash_key (gconstpointer key)
{
    uint64_t x = *(const uint64_t *)key;

    /* A guest can choose ports such that a plain sum of them is always the same. */
    x ^= x >> 33;
    x *= UINT64_C (0xff51afd7ed558ccd);
    x ^= x >> 33;
    return (guint)x;
}

/**
 * vmm_vsock_mux_new:
 * @config: copied, and the path too
 *
 * Returns: (transfer full): connections between a guest and its host, none so far
 */
VmmVsockMux *
vmm_vsock_mux_new (const VmmVsockMuxConfig *config)
{
    VmmVsockMux *mux = g_new0 (VmmVsockMux, 1);

    mux->config = *config;
    mux->path = g_strdup (config->path);
    mux->config.path = mux->path;
    mux->table = g_hash_table_new (hash_key, g_int64_equal);
    mux->next_port = VMM_VSOCK_HOST_PORT_MIN;
    return mux;
}

/**
 * vmm_vsock_mux_free:
 * @mux: (nullable): stopped, or never started
 */
void
vmm_vsock_mux_free (VmmVsockMux *mux)
{
    if (mux == NULL)
        return;
    vmm_loop_timer_free (mux->tick);
    g_hash_table_unref (mux->table);
    g_free (mux->path);
    g_free (mux);
}

/**
 * vmm_vsock_mux_start:
 *
 * Connections of the host are accepted from now on.
 */
void
vmm_vsock_mux_start (VmmVsockMux *mux)
{
    if (mux->config.listen_fd >= 0 && mux->listen_watch == NULL)
        mux->listen_watch = vmm_loop_watch (mux->config.loop, mux->config.listen_fd, EPOLLIN | EPOLLET,
                                            vmm_vsock_host_on_listener, mux);
}

/**
 * vmm_vsock_mux_stop:
 *
 * All connections end; the host's programs see that.
 */
void
vmm_vsock_mux_stop (VmmVsockMux *mux)
{
    vmm_loop_unwatch (mux->listen_watch);
    mux->listen_watch = NULL;
    while (mux->all.head != NULL)
        vmm_vsock_mux_remove (mux->all.head->data);
    mux->n_resets = 0;
    mux->paused = false;
    mux->accept_later = false;
    mux->ticking = false;
    if (mux->tick != NULL)
        vmm_loop_timer_disarm (mux->tick);
}

/**
 * vmm_vsock_mux_n_connections:
 *
 * Returns: how many connections there are, in whatever state
 */
unsigned
vmm_vsock_mux_n_connections (const VmmVsockMux *mux)
{
    return mux->all.length;
}

/**
 * vmm_vsock_mux_add:
 *
 * Returns: (transfer none): a connection that is not in the table yet and has no socket
 */
VmmVsockConnection *
vmm_vsock_mux_add (VmmVsockMux *mux, VmmVsockState state)
{
    VmmVsockConnection *connection = g_new0 (VmmVsockConnection, 1);

    connection->mux = mux;
    connection->state = state;
    connection->fd = -1;
    connection->all_link.data = connection;
    connection->ready_link.data = connection;
    connection->buf_alloc =
        mux->all.length < VMM_VSOCK_MANY ? VMM_VSOCK_BUFFER_SIZE : VMM_VSOCK_BUFFER_SIZE_OF_MANY;
    g_queue_push_tail_link (&mux->all, &connection->all_link);
    return connection;
}

/**
 * vmm_vsock_mux_enter:
 *
 * Puts a connection into the table; these ports must not be in it.
 */
void
vmm_vsock_mux_enter (VmmVsockConnection *connection, uint32_t host_port, uint32_t guest_port)
{
    connection->key = (uint64_t)host_port << 32 | guest_port;
    connection->in_table = true;
    g_hash_table_insert (connection->mux->table, &connection->key, connection);
}

/**
 * vmm_vsock_mux_find:
 *
 * Returns: (transfer none) (nullable): the connection of these ports
 */
VmmVsockConnection *
vmm_vsock_mux_find (VmmVsockMux *mux, uint32_t host_port, uint32_t guest_port)
{
    uint64_t key = (uint64_t)host_port << 32 | guest_port;

    return g_hash_table_lookup (mux->table, &key);
}

static void
leave_table (VmmVsockConnection *connection)
{
    if (connection->in_table)
        g_hash_table_remove (connection->mux->table, &connection->key);
    connection->in_table = false;
}

static void
leave_ready (VmmVsockConnection *connection)
{
    if (connection->in_ready)
        g_queue_unlink (&connection->mux->ready, &connection->ready_link);
    connection->in_ready = false;
}

/**
 * vmm_vsock_mux_remove:
 * @connection: (transfer full): is forgotten
 */
void
vmm_vsock_mux_remove (VmmVsockConnection *connection)
{
    vmm_vsock_connection_close (connection);
    leave_table (connection);
    leave_ready (connection);
    g_queue_unlink (&connection->mux->all, &connection->all_link);
    g_free (connection);
}

/**
 * vmm_vsock_mux_reset:
 * @connection: in the table: ends, and the guest will be told
 */
void
vmm_vsock_mux_reset (VmmVsockConnection *connection)
{
    vmm_vsock_connection_close (connection);
    connection->state = VMM_VSOCK_STATE_RESET;
    connection->pending = VMM_VSOCK_PENDING_RST;
    connection->deadline_ns = 0;
    vmm_vsock_mux_update (connection);
}

static void
on_tick (void *user)
{
    VmmVsockMux *mux = user;
    int64_t now = vmm_now_ns ();
    GList *next;

    mux->ticking = false;
    if (mux->accept_later) {
        mux->accept_later = false;
        vmm_vsock_host_on_listener (mux, EPOLLIN);
    }
    for (GList *link = mux->all.head; link != NULL; link = next) {
        VmmVsockConnection *connection = link->data;

        next = link->next;
        if (connection->state == VMM_VSOCK_STATE_CONNECTING && vmm_vsock_host_connect_again (connection))
            continue;
        if (connection->deadline_ns == 0 || connection->deadline_ns > now)
            continue;
        if (connection->in_table)
            vmm_vsock_mux_reset (connection);
        else
            vmm_vsock_mux_remove (connection);
    }
    vmm_vsock_mux_ensure_tick (mux);
    if (vmm_vsock_mux_wants_to_send (mux))
        mux->config.ready (mux->config.user);
}

/**
 * vmm_vsock_mux_ensure_tick:
 *
 * Wakes up while there is something to be looked at from time to time, and not otherwise.
 */
void
vmm_vsock_mux_ensure_tick (VmmVsockMux *mux)
{
    int64_t after = mux->accept_later ? TICK_NS : 0;

    for (GList *link = mux->all.head; link != NULL && after != TICK_CONNECTING_NS; link = link->next) {
        const VmmVsockConnection *connection = link->data;

        if (connection->state == VMM_VSOCK_STATE_CONNECTING)
            after = TICK_CONNECTING_NS;
        else if (connection->deadline_ns != 0)
            after = TICK_NS;
    }
    if (after == 0 || mux->paused)
        return;
    if (mux->tick == NULL)
        mux->tick = vmm_loop_timer_new (mux->config.loop, on_tick, mux);
    mux->ticking = true;
    vmm_loop_timer_arm (mux->tick, after);
}

/**
 * vmm_vsock_mux_set_deadline:
 * @after_ns: when the present state ends by itself, within a second; 0: never
 */
void
vmm_vsock_mux_set_deadline (VmmVsockConnection *connection, int64_t after_ns)
{
    VmmVsockMux *mux = connection->mux;

    connection->deadline_ns = after_ns > 0 ? vmm_now_ns () + after_ns : 0;
    if (after_ns > 0 && (!mux->ticking || connection->state == VMM_VSOCK_STATE_CONNECTING))
        vmm_vsock_mux_ensure_tick (mux);
}

/* Whether the host's program has, or may have, something that the guest can take. */
static bool
has_data (const VmmVsockConnection *connection)
{
    return connection->state == VMM_VSOCK_STATE_OPEN && connection->readable &&
           !(connection->guest_shut & VMM_VSOCK_SHUTDOWN_RECEIVE) &&
           !(connection->host_shut & VMM_VSOCK_SHUTDOWN_SEND) &&
           (!connection->asked || vmm_vsock_connection_credit (connection) > 0);
}

/**
 * vmm_vsock_mux_update:
 *
 * After a change: finds out whether the connection is over for the host, and puts it into the line if it has
 * something for the guest.
 */
void
vmm_vsock_mux_update (VmmVsockConnection *connection)
{
    bool unread = !((connection->guest_shut & VMM_VSOCK_SHUTDOWN_RECEIVE) ||
                    (connection->host_shut & VMM_VSOCK_SHUTDOWN_SEND));

    if (connection->state == VMM_VSOCK_STATE_OPEN && connection->hung_up && !unread)
        vmm_vsock_connection_shut_by_host (connection, VMM_VSOCK_SHUTDOWN_BOTH);
    if (connection->state == VMM_VSOCK_STATE_OPEN && connection->host_shut == VMM_VSOCK_SHUTDOWN_BOTH) {
        /* The guest answers with RST (section 5.10.6.6), and has time for that. */
        vmm_vsock_connection_close (connection);
        connection->state = VMM_VSOCK_STATE_CLOSING;
        vmm_vsock_mux_set_deadline (connection, CLOSING_NS);
    }
    if (!connection->in_ready && (connection->pending != 0 || has_data (connection))) {
        connection->in_ready = true;
        g_queue_push_tail_link (&connection->mux->ready, &connection->ready_link);
    }
}

static void
work (VmmVsockConnection *connection)
{
    if (connection->state == VMM_VSOCK_STATE_HANDSHAKE) {
        if (connection->readable)
            vmm_vsock_host_read_line (connection);
        return;
    }
    if (connection->state == VMM_VSOCK_STATE_REQUESTED && connection->hung_up) {
        vmm_vsock_mux_reset (connection);
        return;
    }
    if (connection->fd >= 0 && vmm_vsock_connection_flush (connection) &&
        connection->state == VMM_VSOCK_STATE_LINGERING)
        vmm_vsock_mux_set_deadline (connection, LINGERING_NS);
    if (connection->state == VMM_VSOCK_STATE_LINGERING) {
        if (connection->out_len == 0)
            vmm_vsock_mux_remove (connection);
        return;
    }
    vmm_vsock_mux_update (connection);
}

/**
 * vmm_vsock_mux_on_event:
 * @user: a connection
 * @events: what is new at its host's end
 */
void
vmm_vsock_mux_on_event (void *user, uint32_t events)
{
    VmmVsockConnection *connection = user;
    VmmVsockMux *mux = connection->mux;

    connection->readable = connection->readable || (events & ~(uint32_t)EPOLLOUT) != 0;
    connection->hung_up = connection->hung_up || (events & (EPOLLHUP | EPOLLERR)) != 0;
    if (mux->paused)
        return;
    work (connection);
    if (vmm_vsock_mux_wants_to_send (mux))
        mux->config.ready (mux->config.user);
}

/**
 * vmm_vsock_mux_pause:
 *
 * Nothing happens until vmm_vsock_mux_resume(), and no time passes.
 */
void
vmm_vsock_mux_pause (VmmVsockMux *mux)
{
    if (mux->paused)
        return;
    mux->paused = true;
    mux->paused_ns = vmm_now_ns ();
    mux->ticking = false;
    if (mux->tick != NULL)
        vmm_loop_timer_disarm (mux->tick);
}

/**
 * vmm_vsock_mux_resume:
 *
 * Ends a pause: what came meanwhile is looked at.
 */
void
vmm_vsock_mux_resume (VmmVsockMux *mux)
{
    int64_t slept = vmm_now_ns () - mux->paused_ns;
    GList *next;

    if (!mux->paused)
        return;
    mux->paused = false;
    for (GList *link = mux->all.head; link != NULL; link = next) {
        VmmVsockConnection *connection = link->data;

        next = link->next;
        if (connection->deadline_ns != 0)
            connection->deadline_ns += slept;
        work (connection);
    }
    if (mux->listen_watch != NULL)
        vmm_vsock_host_on_listener (mux, EPOLLIN);
    vmm_vsock_mux_ensure_tick (mux);
}

/**
 * vmm_vsock_mux_can_receive:
 *
 * Returns: whether a packet of the guest can be answered; if not, the guest must first take what is for it
 */
bool
vmm_vsock_mux_can_receive (const VmmVsockMux *mux)
{
    return mux->n_resets < VMM_VSOCK_RESETS_MAX;
}

/**
 * vmm_vsock_mux_wants_to_send:
 *
 * Returns: whether there is, or may be, something for the guest
 */
bool
vmm_vsock_mux_wants_to_send (const VmmVsockMux *mux)
{
    return mux->n_resets > 0 || mux->ready.length > 0;
}

/* An RST for what belongs to no connection; it is of the type of the packet, or its sender would not know. */
static void
refuse (VmmVsockMux *mux, const VmmVsockHeader *header)
{
    unsigned last = (mux->first_reset + mux->n_resets) % VMM_VSOCK_RESETS_MAX;

    if (header->op == VMM_VSOCK_OP_RST || mux->n_resets == VMM_VSOCK_RESETS_MAX)
        return;
    mux->resets[last] = (VmmVsockReset){header->dst_cid, header->dst_port, header->src_port, header->type};
    mux->n_resets++;
}

static void
receive_shutdown (VmmVsockConnection *connection, const VmmVsockHeader *header)
{
    vmm_vsock_connection_shut_by_guest (connection, header->flags);
    if (connection->guest_shut != VMM_VSOCK_SHUTDOWN_BOTH) {
        vmm_vsock_mux_update (connection);
        return;
    }
    if (connection->out_len == 0) {
        vmm_vsock_mux_reset (connection);
        return;
    }
    refuse (connection->mux, header);
    leave_table (connection);
    leave_ready (connection);
    connection->pending = 0;
    connection->state = VMM_VSOCK_STATE_LINGERING;
    vmm_vsock_mux_set_deadline (connection, LINGERING_NS);
}

static void
receive_data (VmmVsockConnection *connection, const VmmVsockHeader *header, const struct iovec *payload,
              unsigned n_payload)
{
    size_t len = 0;

    for (unsigned i = 0; i < n_payload; i++)
        len += payload[i].iov_len;
    /* It says that it sends no more, sends more than it has, or more than there is credit for. */
    if ((connection->guest_shut & VMM_VSOCK_SHUTDOWN_SEND) || len != header->len ||
        header->len > connection->buf_alloc - connection->out_len) {
        vmm_vsock_mux_reset (connection);
        return;
    }
    vmm_vsock_connection_write (connection, payload, n_payload, header->len);
    vmm_vsock_mux_update (connection);
}

/* False when the guest says that it has read more than it was sent. */
static bool
take_credit (VmmVsockConnection *connection, const VmmVsockHeader *header)
{
    if (header->fwd_cnt - connection->peer_forwarded > connection->sent - connection->peer_forwarded)
        return false;
    connection->peer_forwarded = header->fwd_cnt;
    connection->peer_buf_alloc = header->buf_alloc;
    if (vmm_vsock_connection_credit (connection) > 0)
        connection->asked = false;
    return true;
}

static void
receive_open (VmmVsockConnection *connection, const VmmVsockHeader *header, const struct iovec *payload,
              unsigned n_payload)
{
    switch (header->op) {
    case VMM_VSOCK_OP_RW:
        receive_data (connection, header, payload, n_payload);
        break;
    case VMM_VSOCK_OP_SHUTDOWN:
        receive_shutdown (connection, header);
        break;
    case VMM_VSOCK_OP_CREDIT_REQUEST:
        connection->pending |= VMM_VSOCK_PENDING_CREDIT_UPDATE;
        vmm_vsock_mux_update (connection);
        break;
    case VMM_VSOCK_OP_CREDIT_UPDATE:
        vmm_vsock_mux_update (connection);
        break;
    default:
        vmm_vsock_mux_reset (connection);
        break;
    }
}

static void
receive_for (VmmVsockConnection *connection, const VmmVsockHeader *header, const struct iovec *payload,
             unsigned n_payload)
{
    bool good;

    if (header->op == VMM_VSOCK_OP_RST) {
        vmm_vsock_mux_remove (connection);
        return;
    }
    switch (connection->state) {
    case VMM_VSOCK_STATE_OPEN:
        if (take_credit (connection, header))
            receive_open (connection, header, payload, n_payload);
        else
            vmm_vsock_mux_reset (connection);
        break;
    case VMM_VSOCK_STATE_REQUESTED:
        good = header->op == VMM_VSOCK_OP_RESPONSE && connection->pending == 0 &&
               take_credit (connection, header) && vmm_vsock_host_answer (connection);
        if (good)
            vmm_vsock_mux_update (connection);
        else
            vmm_vsock_mux_reset (connection);
        break;
    case VMM_VSOCK_STATE_CLOSING:
        /* What was under way when it was told is no fault of the guest's. */
        if (header->op == VMM_VSOCK_OP_REQUEST || header->op == VMM_VSOCK_OP_RESPONSE ||
            (header->op == VMM_VSOCK_OP_SHUTDOWN &&
             (header->flags & VMM_VSOCK_SHUTDOWN_BOTH) == VMM_VSOCK_SHUTDOWN_BOTH))
            vmm_vsock_mux_reset (connection);
        break;
    case VMM_VSOCK_STATE_RESET:
        break;
    default:
        vmm_vsock_mux_reset (connection);
        break;
    }
}

/**
 * vmm_vsock_mux_receive:
 * @header: as the guest wrote it
 * @payload: (array length=n_payload): @header->len bytes, or fewer when the guest's packet has not more
 *
 * A packet of the guest's; while vmm_vsock_mux_can_receive().
 */
void
vmm_vsock_mux_receive (VmmVsockMux *mux, const VmmVsockHeader *header, const struct iovec *payload,
                       unsigned n_payload)
{
    VmmVsockConnection *connection;

    if (header->src_cid != mux->config.guest_cid || header->dst_cid != VMM_VSOCK_HOST_CID ||
        header->type != VMM_VSOCK_TYPE_STREAM) {
        refuse (mux, header);
        return;
    }
    connection = vmm_vsock_mux_find (mux, header->dst_port, header->src_port);
    if (connection != NULL)
        receive_for (connection, header, payload, n_payload);
    else if (header->op != VMM_VSOCK_OP_REQUEST || !vmm_vsock_host_connect (mux, header))
        refuse (mux, header);
}
