/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the guest (virtio 1.2 sections 5.1.6.1 and 5.1.6.2). */
#include "devices/virtio/net-internal.h"

#define FRAMES_PER_TURN 128u

static bool
check_gso (const VmmNetHeader *header, size_t frame_len, uint64_t features)
{
    static const struct {
        uint8_t type;
        uint64_t feature;
    } types[] = {
        {VMM_NET_GSO_TCPV4, VMM_NET_F_HOST_TSO4},
        {VMM_NET_GSO_TCPV6, VMM_NET_F_HOST_TSO6},
        {VMM_NET_GSO_UDP_L4, VMM_NET_F_HOST_USO},
    };
    uint8_t type = header->gso_type & (uint8_t)~VMM_NET_GSO_ECN;
    bool ecn = (header->gso_type & VMM_NET_GSO_ECN) != 0;

    if ((header->flags & VMM_NET_HDR_NEEDS_CSUM) == 0 || header->gso_size == 0 ||
        header->hdr_len > frame_len || (ecn && (features & VMM_NET_F_HOST_ECN) == 0))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS (types); i++) {
        if (types[i].type == type)
            return (features & types[i].feature) != 0;
    }
    return false;
}

/**
 * vmm_virtio_net_check_header:
 * @header: the guest's, of a frame of @frame_len bytes
 * @features: that were negotiated
 *
 * Whether it keeps to section 5.1.6.2: nothing that was not negotiated, and no offset that leads out of the
 * frame.
 *
 * Returns: whether the frame can be sent
 */
bool
vmm_virtio_net_check_header (const VmmNetHeader *header, size_t frame_len, uint64_t features)
{
    bool csum = (header->flags & VMM_NET_HDR_NEEDS_CSUM) != 0;

    if (csum && ((features & VMM_NET_F_CSUM) == 0 ||
                 (size_t)header->csum_start + header->csum_offset + sizeof (uint16_t) > frame_len))
        return false;
    return header->gso_type == VMM_NET_GSO_NONE || check_gso (header, frame_len, features);
}

/* What the backend is not to wonder about. */
static void
tidy_header (VmmNetHeader *header)
{
    header->flags &= VMM_NET_HDR_NEEDS_CSUM;
    header->num_buffers = 0;
    if (header->gso_type == VMM_NET_GSO_NONE) {
        header->gso_size = 0;
        header->hdr_len = 0;
    }
    if (header->flags == 0)
        header->csum_start = header->csum_offset = 0;
}

/* The frame of the chain that was popped joins the batch, which has room for it. Of the frame's contents
 * nothing is believed here. False when it is none that can be sent. */
static bool
add_frame (VmmVirtioNet *nic)
{
    VmmVirtioNetTx *tx = &nic->tx;
    VmmChain *chain = &nic->tx_chain;
    VmmNetHeader *header = &tx->headers[tx->n];
    struct iovec *iov = tx->iov + tx->n_iov;
    size_t len;
    unsigned n;

    if (vmm_chain_read (chain, header, sizeof *header) != sizeof *header)
        return false;
    len = chain->readable_left;
    if (len < VMM_NET_FRAME_MIN || len > VMM_NET_FRAME_MAX ||
        !vmm_virtio_net_check_header (header, len, nic->features))
        return false;
    tidy_header (header);
    iov[0] = (struct iovec){header, sizeof *header};
    n = 1 + vmm_chain_take_readable (chain, len, iov + 1, VMM_VIRTIO_NET_IOV_MAX - tx->n_iov - 1);
    if (chain->readable_left > 0)
        return false;
    tx->frames[tx->n] = (VmmNetFrame){iov, n};
    tx->chains[tx->n++] = *chain;
    tx->n_iov += n;
    tx->bytes += len;
    return true;
}

/* Makes a batch of up to @max frames. Returns whether a chain was popped after them that holds none. */
static bool
collect (VmmVirtioNet *nic, VmmVirtqueue *queue, unsigned max)
{
    VmmVirtioNetTx *tx = &nic->tx;

    tx->n = 0;
    tx->n_iov = 0;
    tx->bytes = 0;
    while (tx->n < max && tx->bytes < VMM_VIRTIO_NET_SHOW_BYTES &&
           vmm_virtqueue_pop (queue, &nic->tx_chain)) {
        if (tx->n > 0 && tx->n_iov + nic->tx_chain.n_readable + 1 > VMM_VIRTIO_NET_IOV_MAX) {
            vmm_virtqueue_unpop (queue, &nic->tx_chain);
            break;
        }
        if (!add_frame (nic))
            return true;
    }
    return false;
}

/* One batch of up to @max frames; how many chains are done with. */
static unsigned
send_some (VmmVirtioNet *nic, unsigned pair, unsigned max)
{
    VmmVirtioNetTx *tx = &nic->tx;
    VmmVirtqueue *queue = vmm_virtio_net_tx_queue (nic, pair);
    bool bad = collect (nic, queue, max);
    unsigned done = 0;

    if (tx->n > 0)
        done = vmm_net_send_batch (nic->net, pair % nic->active_pairs, tx->frames, tx->n);
    for (unsigned i = 0; i < done; i++)
        vmm_virtqueue_push (queue, &tx->chains[i]);
    nic->tx_full[pair] = done < tx->n;
    if (bad && done == tx->n) {
        vmm_virtqueue_push (queue, &nic->tx_chain);
        return done + 1;
    }
    if (bad)
        vmm_virtqueue_unpop (queue, &nic->tx_chain);
    for (unsigned i = tx->n; i > done; i--)
        vmm_virtqueue_unpop (queue, &tx->chains[i - 1]);
    return done;
}

/**
 * vmm_virtio_net_transmit:
 *
 * Sends what the guest has put into a queue, but not all its time.
 *
 * Returns: whether there was something
 */
bool
vmm_virtio_net_transmit (VmmVirtioNet *nic, unsigned pair)
{
    VmmVirtqueue *queue = vmm_virtio_net_tx_queue (nic, pair);
    unsigned n = 0, last;

    if (nic->tx_full[pair] || nic->quiet)
        return false;
    vmm_virtqueue_set_kicks (queue, false);
    do {
        last = send_some (nic, pair, MIN (FRAMES_PER_TURN - n, VMM_NET_BATCH_MAX));
        n += last;
        vmm_virtqueue_publish (queue);
    } while (last > 0 && n < FRAMES_PER_TURN && !nic->tx_full[pair]);
    if ((n > 0 || nic->tx_full[pair]) && nic->net->ops->flush != NULL)
        nic->net->ops->flush (nic->net);
    return n > 0;
}
