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

/* The header is a copy, which the guest cannot change after it was checked; of the frame's contents nothing
 * is believed here. */
static VmmNetSend
send_one (VmmVirtioNet *nic, unsigned pair)
{
    VmmChain *chain = &nic->tx_chain;
    VmmNetHeader header;
    size_t len;
    unsigned n;

    if (vmm_chain_read (chain, &header, sizeof header) != sizeof header)
        return VMM_NET_DROPPED;
    len = chain->readable_left;
    if (len < VMM_NET_FRAME_MIN || len > VMM_NET_FRAME_MAX ||
        !vmm_virtio_net_check_header (&header, len, nic->features))
        return VMM_NET_DROPPED;
    tidy_header (&header);
    nic->tx_iov[0] = (struct iovec){&header, sizeof header};
    n = vmm_chain_take_readable (chain, len, nic->tx_iov + 1, VMM_VIRTIO_NET_IOV_MAX - 1);
    if (chain->readable_left > 0)
        return VMM_NET_DROPPED;
    nic->tx_sent = true;
    return nic->net->ops->send (nic->net, pair % nic->active_pairs, nic->tx_iov, n + 1);
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
    unsigned n = 0;

    if (nic->tx_full[pair] || nic->quiet)
        return false;
    vmm_virtqueue_set_kicks (queue, false);
    for (; n < FRAMES_PER_TURN && vmm_virtqueue_pop (queue, &nic->tx_chain); n++) {
        if (send_one (nic, pair) == VMM_NET_FULL) {
            vmm_virtqueue_unpop (queue, &nic->tx_chain);
            nic->tx_full[pair] = true;
            break;
        }
        vmm_virtqueue_push (queue, &nic->tx_chain);
    }
    vmm_virtqueue_publish (queue);
    if (nic->tx_sent && nic->net->ops->flush != NULL)
        nic->net->ops->flush (nic->net);
    nic->tx_sent = false;
    return n > 0;
}
