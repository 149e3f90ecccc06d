/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind a network card: frames go out, and frames come in. A backend belongs to the machine and
 * lives across a guest's reboots; while a guest's driver is there it is attached to one loop and works on
 * that loop's thread alone.
 *
 * Each frame has a header in front of it, that of virtio 1.2 section 5.1.6 with num_buffers: what is left to
 * be done for the frame, a checksum or the cutting of a large one into segments. A backend without offloads
 * ignores it, and gives one of zeroes.
 */
#ifndef VMM_DEVICES_NET_NET_H
#define VMM_DEVICES_NET_NET_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "devices/net/vhost.h"
#include "vmm/core/loop.h"

/* Two addresses and a type. */
#define VMM_NET_FRAME_MIN 14u
/* The largest IP packet behind them, with a VLAN tag. */
#define VMM_NET_FRAME_MAX (65535u + 18u)
#define VMM_NET_MTU_MIN 68u
#define VMM_NET_MTU_MAX 65521u
#define VMM_NET_MTU_DEFAULT 1500u
#define VMM_NET_PAIRS_MAX 8u
/* Frames that are sent or received at a time. */
#define VMM_NET_BATCH_MAX 64u

/* Of VmmNetHeader. */
#define VMM_NET_HDR_NEEDS_CSUM 1u
#define VMM_NET_HDR_DATA_VALID 2u
#define VMM_NET_GSO_NONE 0u
#define VMM_NET_GSO_TCPV4 1u
#define VMM_NET_GSO_TCPV6 4u
#define VMM_NET_GSO_UDP_L4 5u
#define VMM_NET_GSO_ECN 0x80u

/**
 * VmmNetHeader:
 *
 * The header of a frame as it is in the guest's memory, little-endian (virtio 1.2 section 5.1.6).
 */
typedef struct {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t hdr_len;
    uint16_t gso_size;
    uint16_t csum_start;
    uint16_t csum_offset;
    uint16_t num_buffers;
} VmmNetHeader;

/* What a backend can do for a guest, and what a guest can do for a backend; to be or-ed. */
enum {
    VMM_NET_OFFLOAD_CSUM = 1, /* frames without a checksum */
    VMM_NET_OFFLOAD_TSO4 = 2, /* large TCP segments over IPv4 */
    VMM_NET_OFFLOAD_TSO6 = 4,
    VMM_NET_OFFLOAD_ECN = 8,   /* and those with congestion marks */
    VMM_NET_OFFLOAD_USO4 = 16, /* large UDP datagrams that are cut into several */
    VMM_NET_OFFLOAD_USO6 = 32,
};

typedef enum {
    VMM_NET_SENT,
    VMM_NET_DROPPED, /* the frame is lost, as frames are */
    VMM_NET_FULL,    /* not now: tx_ready will say when */
} VmmNetSend;

/**
 * VmmNetFrame:
 * @iov: its VmmNetHeader, and what follows
 *
 * A frame to be sent, or room for one; see VmmNetOps.send and VmmNetOps.receive.
 */
typedef struct {
    const struct iovec *iov;
    unsigned n_iov;
} VmmNetFrame;

/**
 * VmmNetEvents:
 * @rx_ready: there are frames for @pair, and they are wanted; who is told takes them all, or comes back by
 *   itself
 * @tx_ready: what was full is not any more
 * @link_changed: see VmmNet.link_up
 * @warn: something that the user should know: one line
 *
 * What an attached backend tells; the loop's thread. From within send nothing is told but @link_changed and
 * @warn, from within receive nothing but these and @tx_ready.
 */
typedef struct {
    void (*rx_ready) (void *user, unsigned pair);
    void (*tx_ready) (void *user);
    void (*link_changed) (void *user);
    void (*warn) (void *user, const char *text);
} VmmNetEvents;

typedef struct _VmmNet VmmNet;

/**
 * VmmNetOps:
 * @name: "tap"
 * @polled: receive is cheap enough to be tried without a sign that there is something
 * @attach: begins to work on @loop, whose thread this is; nothing is wanted yet, one pair, no offloads
 * @detach: leaves the loop; it may be attached to another one
 * @set_offloads: (nullable): what the guest can take, a subset of @offloads
 * @set_pairs: (nullable): frames come on the first @n pairs only, and are sent on those only
 * @send: one frame: @iov[0] is its VmmNetHeader and no more, and what follows is the frame, of
 *   %VMM_NET_FRAME_MIN to %VMM_NET_FRAME_MAX bytes. Never blocks
 * @send_batch: (nullable): sends up to %VMM_NET_BATCH_MAX frames in their order, as @send does each. How
 * many, from the first on, are sent or dropped: the rest found it full, and is not looked at any more
 * @flush: (nullable): there are no more to send for now
 * @receive: one frame into @iov, whose first element is for its VmmNetHeader and whose others have room for
 *   %VMM_NET_FRAME_MAX bytes. Returns the bytes of the frame; 0: there is none
 * @receive_batch: (nullable): up to %VMM_NET_BATCH_MAX frames in their order, each into a room of its own as
 * by @receive; of each room the bytes of its frame, 0: there is none in it. Rooms may be left out anywhere.
 * When some were and there are more frames, rx_ready is told if it is wanted
 * @want_receive: whether rx_ready is wanted for @pair; for frames that are there already it may not be told
 * @set_busy: (nullable): whether the device looks for frames all the time, so that rx_ready need not be told;
 * not while detached, and off at first
 * @fd: with a vhost: the descriptor of a pair that it moves frames from and to
 * @free: ends it, attached to no loop
 */
typedef struct {
    const char *name;
    bool polled;
    bool (*attach) (VmmNet *net, VmmLoop *loop, GError **error);
    void (*detach) (VmmNet *net);
    void (*set_offloads) (VmmNet *net, uint32_t offloads);
    void (*set_pairs) (VmmNet *net, unsigned n);
    VmmNetSend (*send) (VmmNet *net, unsigned pair, const struct iovec *iov, unsigned n_iov);
    unsigned (*send_batch) (VmmNet *net, unsigned pair, const VmmNetFrame *frames, unsigned n);
    void (*flush) (VmmNet *net);
    size_t (*receive) (VmmNet *net, unsigned pair, const struct iovec *iov, unsigned n_iov);
    void (*receive_batch) (VmmNet *net, unsigned pair, const VmmNetFrame *rooms, unsigned n,
                           size_t *ret_lens);
    void (*want_receive) (VmmNet *net, unsigned pair, bool wanted);
    void (*set_busy) (VmmNet *net, bool busy);
    int (*fd) (VmmNet *net, unsigned pair);
    void (*free) (VmmNet *net);
} VmmNetOps;

/**
 * VmmNet:
 * @ops: what it does
 * @identity: what distinguishes it from others on the host, such as the interface's name; owned
 * @n_pairs: of queues: 1 to %VMM_NET_PAIRS_MAX
 * @offloads: in both directions
 * @mtu: of the network; 0: nobody knows
 * @link_up: whether a cable is plugged in; atomic, written by the loop's thread
 * @vhost: (nullable): the kernel can serve the guest's queues; owned
 * @events: whom to tell; NULL while detached
 * @user: what they get
 *
 * The head of each backend's own structure.
 */
struct _VmmNet {
    const VmmNetOps *ops;
    char *identity;
    unsigned n_pairs;
    uint32_t offloads;
    unsigned mtu;
    bool link_up;
    VmmVhostNet *vhost;
    const VmmNetEvents *events;
    void *user;
};

/* For devices; the loop's thread. */
bool vmm_net_attach (VmmNet *net, VmmLoop *loop, const VmmNetEvents *events, void *user, GError **error);
void vmm_net_detach (VmmNet *net);

unsigned vmm_net_send_batch (VmmNet *net, unsigned pair, const VmmNetFrame *frames, unsigned n);

/* Any thread. */
bool vmm_net_link_is_up (const VmmNet *net);

/* For backends. */
void vmm_net_set_link (VmmNet *net, bool up);
void vmm_net_warn (VmmNet *net, const char *format, ...) G_GNUC_PRINTF (2, 3);
size_t vmm_net_scatter (const struct iovec *iov, unsigned n_iov, const void *data, size_t len);
size_t vmm_net_gather (const struct iovec *iov, unsigned n_iov, void *buf, size_t max);

void vmm_net_free (VmmNet *net);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmNet, vmm_net_free)

#endif
