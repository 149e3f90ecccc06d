/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control queue of the network device (virtio 1.2 section 5.1.6.5): a class, a command, data, and room
 * for one byte, which says how it went.
 *
 * Which frames the guest wants to see it may say; all that the backend has are given to it all the same,
 * which the specification allows.
 */
#include "devices/virtio/net-internal.h"

#include "vmm/core/bytes.h"

enum { ACK_OK = 0, ACK_ERR = 1 };

enum {
    CLASS_RX = 0,
    CLASS_MAC = 1,
    CLASS_MQ = 4,
    CLASS_GUEST_OFFLOADS = 5,
};

enum {
    RX_ALLMULTI = 1,
    RX_LAST = 5,
    MAC_TABLE_SET = 0,
    MAC_ADDR_SET = 1,
    MQ_VQ_PAIRS_SET = 0,
    GUEST_OFFLOADS_SET = 0,
};

#define COMMANDS_PER_WAKE 64u
/* A longer table of addresses is not looked at any further: it changes nothing. */
#define TABLE_BYTES_MAX 65536u

static bool
set_rx_mode (VmmVirtioNet *nic, uint8_t command)
{
    uint64_t feature = command <= RX_ALLMULTI ? VMM_NET_F_CTRL_RX : VMM_NET_F_CTRL_RX_EXTRA;
    uint8_t on;

    return command <= RX_LAST && vmm_virtio_net_has (nic, feature) && nic->ctrl_chain.readable_left == 1 &&
           vmm_chain_read (&nic->ctrl_chain, &on, 1) == 1;
}

/* One of the two lists of addresses; false when it is not all there. */
static bool
skip_table (VmmChain *chain)
{
    uint8_t bytes[60 * VMM_VIRTIO_NET_MAC_SIZE];
    uint32_t entries;
    size_t left;

    if (vmm_chain_read (chain, &entries, sizeof entries) != sizeof entries ||
        entries > chain->readable_left / VMM_VIRTIO_NET_MAC_SIZE)
        return false;
    left = (size_t)entries * VMM_VIRTIO_NET_MAC_SIZE;
    if (left > TABLE_BYTES_MAX)
        return true;
    while (left > 0)
        left -= vmm_chain_read (chain, bytes, MIN (left, sizeof bytes));
    return true;
}

static bool
set_mac (VmmVirtioNet *nic)
{
    uint8_t bytes[sizeof (uint64_t)] = {0};

    if (!vmm_virtio_net_has (nic, VMM_NET_F_CTRL_MAC_ADDR) ||
        nic->ctrl_chain.readable_left != VMM_VIRTIO_NET_MAC_SIZE)
        return false;
    vmm_chain_read (&nic->ctrl_chain, bytes, VMM_VIRTIO_NET_MAC_SIZE);
    __atomic_store_n (&nic->mac, vmm_get_u64 (bytes), __ATOMIC_RELAXED);
    return true;
}

static bool
set_pairs (VmmVirtioNet *nic)
{
    uint16_t n;

    if (!vmm_virtio_net_has (nic, VMM_NET_F_MQ) || nic->ctrl_chain.readable_left != sizeof n)
        return false;
    vmm_chain_read (&nic->ctrl_chain, &n, sizeof n);
    if (n < 1 || n > nic->n_pairs)
        return false;
    vmm_virtio_net_set_pairs (nic, n);
    return true;
}

static bool
set_offloads (VmmVirtioNet *nic)
{
    uint64_t offloads;

    if (!vmm_virtio_net_has (nic, VMM_NET_F_CTRL_GUEST_OFFLOADS) ||
        nic->ctrl_chain.readable_left != sizeof offloads)
        return false;
    vmm_chain_read (&nic->ctrl_chain, &offloads, sizeof offloads);
    if ((offloads & ~(nic->features & VMM_NET_F_GUEST_OFFLOADS)) != 0)
        return false;
    vmm_virtio_net_set_guest_offloads (nic, offloads);
    return true;
}

static bool
run (VmmVirtioNet *nic)
{
    VmmChain *chain = &nic->ctrl_chain;
    uint8_t head[2];

    if (vmm_chain_read (chain, head, sizeof head) != sizeof head)
        return false;
    switch (head[0]) {
    case CLASS_RX:
        return set_rx_mode (nic, head[1]);
    case CLASS_MAC:
        if (head[1] == MAC_TABLE_SET)
            return vmm_virtio_net_has (nic, VMM_NET_F_CTRL_RX) && skip_table (chain) && skip_table (chain);
        return head[1] == MAC_ADDR_SET && set_mac (nic);
    case CLASS_MQ:
        return head[1] == MQ_VQ_PAIRS_SET && set_pairs (nic);
    case CLASS_GUEST_OFFLOADS:
        return head[1] == GUEST_OFFLOADS_SET && set_offloads (nic);
    default:
        return false;
    }
}

/**
 * vmm_virtio_net_control:
 * @queue: the control queue
 *
 * Does what the guest has asked for.
 */
void
vmm_virtio_net_control (VmmVirtioNet *nic, VmmVirtqueue *queue)
{
    unsigned n = 0;

    vmm_virtqueue_set_kicks (queue, true);
    for (; n < COMMANDS_PER_WAKE && vmm_virtqueue_pop (queue, &nic->ctrl_chain); n++) {
        uint8_t ack;

        if (nic->ctrl_chain.writable_left == 0) {
            vmm_virtqueue_fail (queue, "a command without room for its answer");
            break;
        }
        ack = run (nic) ? ACK_OK : ACK_ERR;
        vmm_chain_write (&nic->ctrl_chain, &ack, 1);
        vmm_virtqueue_push (queue, &nic->ctrl_chain);
    }
    vmm_virtqueue_publish (queue);
    nic->control_more = n == COMMANDS_PER_WAKE;
}
