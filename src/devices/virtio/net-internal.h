/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the virtio network device share; see net.c. */
#ifndef VMM_DEVICES_VIRTIO_NET_INTERNAL_H
#define VMM_DEVICES_VIRTIO_NET_INTERNAL_H

#include "devices/virtio/net.h"

/* Feature bits (virtio 1.2 section 5.1.3). */
#define VMM_NET_F_CSUM (UINT64_C (1) << 0)
#define VMM_NET_F_GUEST_CSUM (UINT64_C (1) << 1)
#define VMM_NET_F_CTRL_GUEST_OFFLOADS (UINT64_C (1) << 2)
#define VMM_NET_F_MTU (UINT64_C (1) << 3)
#define VMM_NET_F_MAC (UINT64_C (1) << 5)
#define VMM_NET_F_GUEST_TSO4 (UINT64_C (1) << 7)
#define VMM_NET_F_GUEST_TSO6 (UINT64_C (1) << 8)
#define VMM_NET_F_GUEST_ECN (UINT64_C (1) << 9)
#define VMM_NET_F_HOST_TSO4 (UINT64_C (1) << 11)
#define VMM_NET_F_HOST_TSO6 (UINT64_C (1) << 12)
#define VMM_NET_F_HOST_ECN (UINT64_C (1) << 13)
#define VMM_NET_F_MRG_RXBUF (UINT64_C (1) << 15)
#define VMM_NET_F_STATUS (UINT64_C (1) << 16)
#define VMM_NET_F_CTRL_VQ (UINT64_C (1) << 17)
#define VMM_NET_F_CTRL_RX (UINT64_C (1) << 18)
#define VMM_NET_F_CTRL_RX_EXTRA (UINT64_C (1) << 20)
#define VMM_NET_F_MQ (UINT64_C (1) << 22)
#define VMM_NET_F_CTRL_MAC_ADDR (UINT64_C (1) << 23)
#define VMM_NET_F_GUEST_USO4 (UINT64_C (1) << 54)
#define VMM_NET_F_GUEST_USO6 (UINT64_C (1) << 55)
#define VMM_NET_F_HOST_USO (UINT64_C (1) << 56)

/* Those of what the guest takes, which it may change while it runs (section 5.1.6.5.6). */
#define VMM_NET_F_GUEST_OFFLOADS                                                                             \
    (VMM_NET_F_GUEST_CSUM | VMM_NET_F_GUEST_TSO4 | VMM_NET_F_GUEST_TSO6 | VMM_NET_F_GUEST_ECN |              \
     VMM_NET_F_GUEST_USO4 | VMM_NET_F_GUEST_USO6)
#define VMM_NET_F_GUEST_GSO (VMM_NET_F_GUEST_OFFLOADS & ~(VMM_NET_F_GUEST_CSUM | VMM_NET_F_GUEST_ECN))

#define VMM_VIRTIO_NET_QUEUE_SIZE 512u
/* Chains that wait for frames: enough for the largest in buffers of 700 bytes. */
#define VMM_VIRTIO_NET_HELD_MAX 96u
/* Buffers in one of them: 64 KiB in pages, and some. */
#define VMM_VIRTIO_NET_RX_IOV_MAX 80u
/* Frames that are received at a time. */
#define VMM_VIRTIO_NET_RX_BATCH 16u
/* What one system call takes: IOV_MAX. */
#define VMM_VIRTIO_NET_IOV_MAX 1024u

typedef struct _VmmVirtioNet VmmVirtioNet;

/* After so many bytes the guest is shown what is done: it can go on while the device does. */
#define VMM_VIRTIO_NET_SHOW_BYTES 65536u

/**
 * VmmVirtioNetRx:
 * @held: a ring of chains that were popped and wait for a frame, @n of them from @first on
 * @room: bytes in them
 * @n_iov: buffers in them
 * @small: frames in a row, at most 255, that are small
 * @n_taken: chains that the last frame took
 * @alike: frames in a row before it, at most 255, that took as many
 * @expected: frames that there were the last time: a guess at how many there will be
 * @unshown: bytes of frames since the guest was shown some
 * @starved: the guest has to give buffers, and will tell
 * @tight: it gives no more; so frames are taken that may turn out to be too large
 * @more: there may be frames that were not taken, since others are to have their turn
 */
typedef struct {
    VmmVirtioNet *nic;
    unsigned pair;
    VmmChain held[VMM_VIRTIO_NET_HELD_MAX];
    unsigned first;
    unsigned n;
    size_t room;
    unsigned n_iov;
    uint8_t small;
    unsigned n_taken;
    uint8_t alike;
    unsigned expected;
    size_t unshown;
    bool starved;
    bool tight;
    bool more;
} VmmVirtioNetRx;

/**
 * VmmVirtioNetTx:
 * @frames: that are to be sent at a time, @n of them
 * @headers: theirs: copies, which the guest cannot change after they were checked
 * @chains: theirs, for the queue; what buffers they have is in @iov
 * @iov: of all of them, @n_iov elements
 * @bytes: in all of them
 */
typedef struct {
    VmmNetFrame frames[VMM_NET_BATCH_MAX];
    VmmNetHeader headers[VMM_NET_BATCH_MAX];
    VmmChain chains[VMM_NET_BATCH_MAX];
    struct iovec iov[VMM_VIRTIO_NET_IOV_MAX];
    unsigned n;
    unsigned n_iov;
    size_t bytes;
} VmmVirtioNetTx;

struct _VmmVirtioNet {
    VmmVirtioDevice *device;
    VmmNet *net;
    VmmGuestMemory *memory;
    unsigned n_pairs;
    unsigned mtu;
    uint64_t own_mac;
    uint64_t mac; /* the first byte lowest; atomic: vCPU threads read it */
    bool attached;
    bool quiet; /* between quiesce and resume */

    /* While it is attached. */
    uint64_t features;
    uint64_t guest_offloads; /* of VMM_NET_F_GUEST_OFFLOADS: those that are on */
    unsigned usable_pairs;   /* that were negotiated */
    unsigned active_pairs;   /* of these, that the driver uses */
    bool loaded;             /* from saved state: the line before holds, as does guest_offloads */
    bool vhost;              /* the host's kernel serves the queues of frames */
    uint32_t vhost_started;  /* bits by queue: those that it has */
    bool link_was_up;        /* as the guest has seen it, with @loaded */
    VmmLoopTimer *stall_timer;
    unsigned busy; /* how often in a row there was work, at most BUSY_POLLS */
    bool tx_full[VMM_NET_PAIRS_MAX];
    bool control_more; /* there may be commands that were not done, as others are to have their turn */
    VmmVirtioNetRx rx[VMM_NET_PAIRS_MAX];
    VmmChain tx_chain;
    VmmVirtioNetTx tx;
    VmmChain ctrl_chain;
    struct iovec rx_iov[VMM_VIRTIO_NET_IOV_MAX];
    uint8_t rx_own[VMM_VIRTIO_NET_RX_BATCH][sizeof (VmmNetHeader) + VMM_NET_FRAME_MAX];
};

static inline bool
vmm_virtio_net_has (const VmmVirtioNet *nic, uint64_t feature)
{
    return (nic->features & feature) != 0;
}

static inline VmmVirtqueue *
vmm_virtio_net_rx_queue (const VmmVirtioNet *nic, unsigned pair)
{
    return vmm_virtio_device_queue (nic->device, 2 * pair);
}

static inline VmmVirtqueue *
vmm_virtio_net_tx_queue (const VmmVirtioNet *nic, unsigned pair)
{
    return vmm_virtio_device_queue (nic->device, 2 * pair + 1);
}

/* net-rx.c; the loop's thread, as all below */
bool vmm_virtio_net_receive (VmmVirtioNetRx *rx);
void vmm_virtio_net_refilled (VmmVirtioNetRx *rx);
void vmm_virtio_net_stop_receiving (VmmVirtioNetRx *rx);
void vmm_virtio_net_forget_held (VmmVirtioNetRx *rx);
void vmm_virtio_net_on_stall (void *nic);

/* net-tx.c */
bool vmm_virtio_net_transmit (VmmVirtioNet *nic, unsigned pair);

/* net-vhost.c */
void vmm_virtio_net_vhost_begin (VmmVirtioNet *nic);
bool vmm_virtio_net_vhost_start (VmmVirtioNet *nic);
void vmm_virtio_net_vhost_stop_queue (VmmVirtioNet *nic, unsigned index);
void vmm_virtio_net_vhost_stop (VmmVirtioNet *nic);

/* net-ctrl.c */
void vmm_virtio_net_control (VmmVirtioNet *nic, VmmVirtqueue *queue);

/* net.c */
void vmm_virtio_net_set_guest_offloads (VmmVirtioNet *nic, uint64_t offloads);
void vmm_virtio_net_set_pairs (VmmVirtioNet *nic, unsigned n);

#endif
