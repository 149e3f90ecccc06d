/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames for the guest (virtio 1.2 sections 5.1.6.3 and 5.1.6.4).
 *
 * How large the next frame is nobody knows before it is read, and what was read cannot be put back. So a
 * number of chains with room for the largest is held, the frame is read straight into their buffers, and
 * those that it did not fill are held for the next one. Where the room ends before the largest frame does a
 * buffer of our own follows, from which the rest is copied into further chains, or the frame is dropped. That
 * buffer follows earlier, too, while all frames are small: a list of many buffers costs more to read into.
 *
 * Without enough room nothing is read: frames wait in the backend until the guest gives buffers. Should it
 * give no more for a while, which a driver with few buffers may, frames are read all the same.
 */
#include <string.h>

#include "devices/virtio/net-internal.h"

#define FRAMES_PER_TURN 64u
#define STALL_NS INT64_C (20000000)
/* Frames are small up to here, and a large one is not expected after so many of them. */
#define SMALL_BYTES 8192u
#define SMALL_FRAMES 64u
#define HEADER sizeof (VmmNetHeader)

static VmmChain *
held (VmmVirtioNetRx *rx, unsigned i)
{
    return &rx->held[(rx->first + i) % VMM_VIRTIO_NET_HELD_MAX];
}

/* The room in which the frames that are to be expected fit for certain. */
static size_t
room_wanted (const VmmVirtioNet *nic)
{
    if (!vmm_virtio_net_has (nic, VMM_NET_F_MRG_RXBUF))
        return 1;
    if ((nic->guest_offloads & VMM_NET_F_GUEST_GSO) != 0)
        return HEADER + VMM_NET_FRAME_MAX;
    /* An address pair, a type and a VLAN tag come on top. */
    return HEADER + MAX (nic->mtu, VMM_NET_MTU_DEFAULT) + 18;
}

/* Pops one more chain; false when there is none. */
static bool
hold_one (VmmVirtioNetRx *rx)
{
    VmmVirtqueue *queue = vmm_virtio_net_rx_queue (rx->nic, rx->pair);
    VmmChain *chain = held (rx, rx->n);

    if (chain->iov == NULL)
        vmm_chain_init (chain, VMM_VIRTIO_NET_RX_IOV_MAX);
    if (!vmm_virtqueue_pop (queue, chain))
        return false;
    if (chain->writable_left <= HEADER) {
        vmm_virtqueue_fail (queue, "a receive buffer that is not larger than a header");
        return false;
    }
    rx->n++;
    rx->room += chain->writable_left;
    rx->n_iov += chain->n_writable;
    return true;
}

static bool
can_hold_more (const VmmVirtioNetRx *rx)
{
    return rx->n < VMM_VIRTIO_NET_HELD_MAX &&
           rx->n_iov + VMM_VIRTIO_NET_RX_IOV_MAX + 2 <= VMM_VIRTIO_NET_IOV_MAX;
}

/* Whether there is room enough for the next frame; otherwise the guest tells when it gives more. */
static bool
hold_enough (VmmVirtioNetRx *rx)
{
    VmmVirtqueue *queue = vmm_virtio_net_rx_queue (rx->nic, rx->pair);
    size_t wanted = room_wanted (rx->nic);

    for (;;) {
        while (rx->room < wanted && can_hold_more (rx) && hold_one (rx))
            ;
        if (rx->room >= wanted || !can_hold_more (rx) || (rx->tight && rx->n > 0))
            return true;
        if (vmm_virtqueue_arm (queue))
            return false;
    }
}

/* The last @n that are held are not any more, and forget what was put into them. */
static void
let_go (VmmVirtioNetRx *rx, unsigned n)
{
    while (n-- > 0) {
        const VmmChain *chain = held (rx, --rx->n);

        vmm_virtqueue_unpop (vmm_virtio_net_rx_queue (rx->nic, rx->pair), chain);
        rx->room -= chain->writable_left;
        rx->n_iov -= chain->n_writable;
    }
}

/* As much of what is held as the next frame is likely to need, without the place of the header, and the
 * buffer of our own; how many elements. */
static unsigned
make_iov (VmmVirtioNetRx *rx, VmmNetHeader *header, size_t *ret_room)
{
    struct iovec *iov = rx->nic->rx_iov;
    size_t likely = HEADER + (rx->small >= SMALL_FRAMES ? SMALL_BYTES : VMM_NET_FRAME_MAX);
    size_t skip = HEADER, room = 0;
    unsigned n = 0;

    iov[n++] = (struct iovec){header, HEADER};
    for (rx->n_direct = 0; rx->n_direct < rx->n && room < likely; rx->n_direct++) {
        const VmmChain *chain = held (rx, rx->n_direct);

        room += chain->writable_left;
        for (unsigned j = 0; j < chain->n_writable; j++) {
            struct iovec part = chain->iov[chain->n_readable + j];
            size_t cut = MIN (skip, part.iov_len);

            skip -= cut;
            if (part.iov_len > cut)
                iov[n++] = (struct iovec){(uint8_t *)part.iov_base + cut, part.iov_len - cut};
        }
    }
    room -= HEADER;
    if (room < VMM_NET_FRAME_MAX)
        iov[n++] = (struct iovec){rx->nic->overflow, VMM_NET_FRAME_MAX - room};
    *ret_room = room;
    return n;
}

/* The end of a frame, which is in the buffer of our own, goes into further chains; false when there are too
 * few. */
static bool
spread_overflow (VmmVirtioNetRx *rx, size_t len)
{
    const uint8_t *from = rx->nic->overflow;
    unsigned before = rx->n;
    size_t left = len;

    if (!vmm_virtio_net_has (rx->nic, VMM_NET_F_MRG_RXBUF))
        return false;
    for (unsigned i = rx->n_direct; left > 0 && (i < rx->n || (i < VMM_VIRTIO_NET_HELD_MAX && hold_one (rx)));
         i++)
        left -= MIN (left, held (rx, i)->writable_left);
    if (left > 0) {
        let_go (rx, rx->n - before);
        return false;
    }
    for (unsigned i = rx->n_direct; len > 0; i++) {
        const VmmChain *chain = held (rx, i);
        size_t run = MIN (len, chain->writable_left);

        vmm_net_scatter (chain->iov + chain->n_readable, chain->n_writable, from, run);
        from += run;
        len -= run;
    }
    return true;
}

/* Section 5.1.6.4.1: nothing in the header that the guest did not ask for. False when the frame itself would
 * be such a thing: one from before it changed its mind. */
static bool
fit_header (const VmmVirtioNet *nic, VmmNetHeader *header)
{
    static const struct {
        uint8_t type;
        uint64_t feature;
    } types[] = {
        {VMM_NET_GSO_TCPV4, VMM_NET_F_GUEST_TSO4},
        {VMM_NET_GSO_TCPV6, VMM_NET_F_GUEST_TSO6},
        {VMM_NET_GSO_UDP_L4, VMM_NET_F_GUEST_USO4 | VMM_NET_F_GUEST_USO6},
    };
    uint8_t type = header->gso_type & (uint8_t)~VMM_NET_GSO_ECN;
    bool ecn = (header->gso_type & VMM_NET_GSO_ECN) != 0;
    bool ok = header->gso_type == VMM_NET_GSO_NONE;

    if ((nic->guest_offloads & VMM_NET_F_GUEST_CSUM) == 0) {
        ok = ok && (header->flags & VMM_NET_HDR_NEEDS_CSUM) == 0;
        *header = (VmmNetHeader){0};
        return ok;
    }
    header->flags &= VMM_NET_HDR_NEEDS_CSUM | VMM_NET_HDR_DATA_VALID;
    for (size_t i = 0; i < G_N_ELEMENTS (types); i++)
        ok = ok || (type == types[i].type && (nic->guest_offloads & types[i].feature) != 0);
    return ok && (!ecn || (nic->guest_offloads & VMM_NET_F_GUEST_ECN) != 0);
}

static void
show (VmmVirtioNetRx *rx)
{
    vmm_virtqueue_publish (vmm_virtio_net_rx_queue (rx->nic, rx->pair));
    rx->unshown = 0;
}

/* A frame of @len bytes is in the chains: the driver gets those that it filled. */
static void
hand_over (VmmVirtioNetRx *rx, VmmNetHeader *header, size_t len)
{
    VmmVirtqueue *queue = vmm_virtio_net_rx_queue (rx->nic, rx->pair);
    size_t left = HEADER + len;
    unsigned n = 0;

    for (size_t there = 0; there < left; n++)
        there += held (rx, n)->writable_left;
    header->num_buffers = (uint16_t)n;
    vmm_net_scatter (held (rx, 0)->iov + held (rx, 0)->n_readable, held (rx, 0)->n_writable, header, HEADER);
    for (unsigned i = 0; i < n; i++) {
        VmmChain *chain = held (rx, i);

        rx->room -= chain->writable_left;
        rx->n_iov -= chain->n_writable;
        chain->written = MIN (left, chain->writable_left);
        left -= chain->written;
        vmm_virtqueue_push (queue, chain);
    }
    rx->unshown += len;
    if (rx->unshown >= VMM_VIRTIO_NET_SHOW_BYTES)
        show (rx);
    rx->first = (rx->first + n) % VMM_VIRTIO_NET_HELD_MAX;
    rx->n -= n;
}

/* One frame; false when there is none. */
static bool
receive_one (VmmVirtioNetRx *rx)
{
    VmmNet *net = rx->nic->net;
    VmmNetHeader header = {0};
    size_t room;
    unsigned n_iov = make_iov (rx, &header, &room);
    size_t len = net->ops->receive (net, rx->pair, rx->nic->rx_iov, n_iov);

    if (len == 0)
        return false;
    rx->small = (uint8_t)(len <= SMALL_BYTES ? MIN (rx->small + 1u, UINT8_MAX) : 0);
    if (!fit_header (rx->nic, &header))
        return true;
    if (len > room && !spread_overflow (rx, len - room))
        return true;
    hand_over (rx, &header, len);
    return true;
}

static void
starve (VmmVirtioNetRx *rx)
{
    VmmNet *net = rx->nic->net;

    rx->starved = true;
    net->ops->want_receive (net, rx->pair, false);
    /* What is held may have to do. */
    if (rx->n > 0)
        vmm_loop_timer_arm (rx->nic->stall_timer, STALL_NS);
}

/**
 * vmm_virtio_net_receive:
 *
 * Takes frames from the backend, as long as there are and the guest has buffers, but not all its time.
 *
 * Returns: whether there was one
 */
bool
vmm_virtio_net_receive (VmmVirtioNetRx *rx)
{
    VmmVirtqueue *queue = vmm_virtio_net_rx_queue (rx->nic, rx->pair);
    unsigned n = 0;

    rx->more = false;
    if (rx->starved || rx->nic->quiet || rx->pair >= rx->nic->active_pairs)
        return false;
    vmm_virtqueue_set_kicks (queue, false);
    while (n < FRAMES_PER_TURN) {
        if (!hold_enough (rx)) {
            starve (rx);
            break;
        }
        if (!receive_one (rx))
            break;
        n++;
    }
    rx->more = n == FRAMES_PER_TURN;
    show (rx);
    return n > 0;
}

static void
wake (VmmVirtioNetRx *rx)
{
    VmmNet *net = rx->nic->net;

    rx->starved = false;
    if (rx->pair >= rx->nic->active_pairs)
        return;
    net->ops->want_receive (net, rx->pair, true);
    vmm_virtio_net_receive (rx);
}

/**
 * vmm_virtio_net_refilled:
 *
 * The guest has given buffers, or the queue begins to be used.
 */
void
vmm_virtio_net_refilled (VmmVirtioNetRx *rx)
{
    rx->tight = false;
    wake (rx);
}

/**
 * vmm_virtio_net_on_stall:
 * @user: the device: it has waited for more buffers in vain
 */
void
vmm_virtio_net_on_stall (void *user)
{
    VmmVirtioNet *nic = user;

    for (unsigned i = 0; i < nic->active_pairs && !nic->quiet; i++) {
        if (!nic->rx[i].starved || nic->rx[i].n == 0)
            continue;
        nic->rx[i].tight = true;
        wake (&nic->rx[i]);
    }
}

/**
 * vmm_virtio_net_stop_receiving:
 *
 * What is held goes back into the queue, and nothing is taken from the backend.
 */
void
vmm_virtio_net_stop_receiving (VmmVirtioNetRx *rx)
{
    VmmNet *net = rx->nic->net;

    let_go (rx, rx->n);
    rx->starved = true;
    rx->more = false;
    net->ops->want_receive (net, rx->pair, false);
}

/**
 * vmm_virtio_net_forget_held:
 *
 * The queue is at its end.
 */
void
vmm_virtio_net_forget_held (VmmVirtioNetRx *rx)
{
    rx->first = 0;
    rx->n = 0;
    rx->room = 0;
    rx->n_iov = 0;
    rx->starved = true;
    rx->tight = false;
    rx->more = false;
}
