/* SPDX-License-Identifier: Apache-2.0 */
/* The packets for the guest: whose turn it is, and what it says. */
#include "devices/virtio/vsock-internal.h"

static VmmVsockHeader
make_header (VmmVsockConnection *connection, uint16_t op)
{
    /* Whatever the packet is, it tells the credit. */
    connection->told = connection->forwarded;
    connection->pending &= ~VMM_VSOCK_PENDING_CREDIT_UPDATE;
    return (VmmVsockHeader){
        .src_cid = VMM_VSOCK_HOST_CID,
        .dst_cid = connection->mux->config.guest_cid,
        .src_port = vmm_vsock_connection_host_port (connection),
        .dst_port = vmm_vsock_connection_guest_port (connection),
        .type = VMM_VSOCK_TYPE_STREAM,
        .op = op,
        .buf_alloc = connection->buf_alloc,
        .fwd_cnt = connection->forwarded,
    };
}

/* The first of the pending bits that @mask leaves; they are told in this order. */
static bool
send_pending (VmmVsockConnection *connection, unsigned mask, VmmVsockHeader *ret_header)
{
    static const struct {
        unsigned bit;
        uint16_t op;
    } rows[] = {
        {VMM_VSOCK_PENDING_RST, VMM_VSOCK_OP_RST},
        {VMM_VSOCK_PENDING_REQUEST, VMM_VSOCK_OP_REQUEST},
        {VMM_VSOCK_PENDING_RESPONSE, VMM_VSOCK_OP_RESPONSE},
        {VMM_VSOCK_PENDING_SHUTDOWN, VMM_VSOCK_OP_SHUTDOWN},
        {VMM_VSOCK_PENDING_CREDIT_REQUEST, VMM_VSOCK_OP_CREDIT_REQUEST},
        {VMM_VSOCK_PENDING_CREDIT_UPDATE, VMM_VSOCK_OP_CREDIT_UPDATE},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++) {
        if ((connection->pending & mask & rows[i].bit) == 0)
            continue;
        connection->pending &= ~rows[i].bit;
        *ret_header = make_header (connection, rows[i].op);
        if (rows[i].op == VMM_VSOCK_OP_SHUTDOWN)
            ret_header->flags = connection->host_shut;
        return true;
    }
    return false;
}

static bool
send_data (VmmVsockConnection *connection, const struct iovec *room, unsigned n_room,
           VmmVsockHeader *ret_header)
{
    ssize_t n;

    if (connection->state != VMM_VSOCK_STATE_OPEN || !connection->readable ||
        (connection->guest_shut & VMM_VSOCK_SHUTDOWN_RECEIVE) ||
        (connection->host_shut & VMM_VSOCK_SHUTDOWN_SEND))
        return false;
    if (vmm_vsock_connection_credit (connection) == 0) {
        if (!connection->asked)
            connection->pending |= VMM_VSOCK_PENDING_CREDIT_REQUEST;
        connection->asked = true;
        return false;
    }
    n = vmm_vsock_connection_read (connection, room, n_room);
    if (n > 0) {
        *ret_header = make_header (connection, VMM_VSOCK_OP_RW);
        ret_header->len = (uint32_t)n;
        return true;
    }
    if (n == 0)
        vmm_vsock_connection_shut_by_host (connection, connection->hung_up ? VMM_VSOCK_SHUTDOWN_BOTH
                                                                           : VMM_VSOCK_SHUTDOWN_SEND);
    return false;
}

/* False when it turned out to have nothing; it has then left the line. */
static bool
send_for (VmmVsockConnection *connection, const struct iovec *room, unsigned n_room,
          VmmVsockHeader *ret_header)
{
    const unsigned first = ~(VMM_VSOCK_PENDING_CREDIT_REQUEST | VMM_VSOCK_PENDING_CREDIT_UPDATE);
    bool sent = send_pending (connection, first, ret_header) ||
                send_data (connection, room, n_room, ret_header) ||
                send_pending (connection, ~0u, ret_header);

    if (connection->state == VMM_VSOCK_STATE_RESET && connection->pending == 0)
        vmm_vsock_mux_remove (connection);
    else
        vmm_vsock_mux_update (connection);
    return sent;
}

static void
send_reset (VmmVsockMux *mux, VmmVsockHeader *ret_header)
{
    const VmmVsockReset *reset = &mux->resets[mux->first_reset];

    *ret_header = (VmmVsockHeader){
        .src_cid = reset->src_cid,
        .dst_cid = mux->config.guest_cid,
        .src_port = reset->src_port,
        .dst_port = reset->dst_port,
        .type = reset->type,
        .op = VMM_VSOCK_OP_RST,
    };
    mux->first_reset = (mux->first_reset + 1) % VMM_VSOCK_RESETS_MAX;
    mux->n_resets--;
}

/**
 * vmm_vsock_mux_send:
 * @room: (array length=n_room): where the payload goes, at least a byte
 * @ret_header: (out): the packet; @ret_header->len bytes of @room have been filled
 *
 * Makes the next packet for the guest.
 *
 * Returns: false when there is none after all
 */
bool
vmm_vsock_mux_send (VmmVsockMux *mux, const struct iovec *room, unsigned n_room, VmmVsockHeader *ret_header)
{
    GList *link;

    if (mux->n_resets > 0) {
        send_reset (mux, ret_header);
        return true;
    }
    while ((link = g_queue_pop_head_link (&mux->ready)) != NULL) {
        VmmVsockConnection *connection = link->data;

        connection->in_ready = false;
        if (send_for (connection, room, n_room, ret_header))
            return true;
    }
    return false;
}
