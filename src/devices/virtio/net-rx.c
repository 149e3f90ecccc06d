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
/* After so many frames that took as many chains each, and no more than these, several are read at a time. */
#define ALIKE_FRAMES 32u
#define ALIKE_CHAINS 4u
#define HEADER sizeof (VmmNetHeader)

/* Where a frame is read to: @n_chains of what is held, with room for @direct bytes with the header and for
 * @least without the last of them, and for the rest a buffer of our own that has its beginning at @own. */
typedef struct {
    VmmNetHeader header;
    const struct iovec *iov;
    unsigned n_iov;
    unsigned n_chains;
    size_t direct;
    size_t least;
    uint8_t *own;
} Slot;

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
           rx->n_iov + VMM_VIRTIO_NET_RX_IOV_MAX + 2 * VMM_VIRTIO_NET_RX_BATCH <= VMM_VIRTIO_NET_IOV_MAX;
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

/* Makes a slot for a frame out of what is held from @first on: at most @max chains, and no more than it takes
 * for @likely bytes with the header. Its iov goes to @iov. */
static void
make_slot (VmmVirtioNetRx *rx, Slot *slot, unsigned first, unsigned max, size_t likely, struct iovec *iov)
{
    unsigned n = first;
    size_t skip = HEADER;

    slot->direct = slot->least = 0;
    slot->iov = iov;
    *iov++ = (struct iovec){&slot->header, HEADER};
    for (; n < first + max && slot->direct < likely; n++) {
        const VmmChain *chain = held (rx, n);

        slot->least = slot->direct;
        slot->direct += chain->writable_left;
        for (unsigned j = 0; j < chain->n_writable; j++) {
            struct iovec part = chain->iov[chain->n_readable + j];
            size_t cut = MIN (skip, part.iov_len);

            skip -= cut;
            if (part.iov_len > cut)
                *iov++ = (struct iovec){(uint8_t *)part.iov_base + cut, part.iov_len - cut};
        }
    }
    if (slot->direct < HEADER + VMM_NET_FRAME_MAX)
        *iov++ = (struct iovec){slot->own + slot->direct, HEADER + VMM_NET_FRAME_MAX - slot->direct};
    slot->n_chains = n - first;
    slot->n_iov = (unsigned)(iov - slot->iov);
}

/* The @len bytes at @from, of a frame whose beginning is in the first @first chains, go into further ones;
 * false when there are too few. */
static bool
spread (VmmVirtioNetRx *rx, unsigned first, const uint8_t *from, size_t len)
{
    unsigned before = rx->n;
    unsigned max = vmm_virtio_net_has (rx->nic, VMM_NET_F_MRG_RXBUF) ? VMM_VIRTIO_NET_HELD_MAX : 1;
    size_t left = len;

    for (unsigned i = first; left > 0 && i < max && (i < rx->n || hold_one (rx)); i++)
        left -= MIN (left, held (rx, i)->writable_left);
    if (left > 0) {
        let_go (rx, rx->n - before);
        return false;
    }
    for (unsigned i = first; len > 0; i++) {
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
    rx->alike = (uint8_t)(n == rx->n_taken ? MIN (rx->alike + 1u, UINT8_MAX) : 0);
    rx->n_taken = n;
}

/* A frame of @len bytes was read into the slot, whose chains are the first that are held. It is dropped where
 * there are too few of them. */
static void
deliver (VmmVirtioNetRx *rx, Slot *slot, size_t len)
{
    size_t all = HEADER + len;

    if (all <= slot->direct || spread (rx, slot->n_chains, slot->own + slot->direct, all - slot->direct))
        hand_over (rx, &slot->header, len);
}

/* One frame; false when there is none. */
static bool
receive_one (VmmVirtioNetRx *rx)
{
    VmmNet *net = rx->nic->net;
    Slot slot = {.own = rx->nic->rx_own[0]};
    size_t likely = HEADER + (rx->small >= SMALL_FRAMES ? SMALL_BYTES : VMM_NET_FRAME_MAX);
    unsigned n_chains = vmm_virtio_net_has (rx->nic, VMM_NET_F_MRG_RXBUF) ? rx->n : 1;
    size_t len;

    make_slot (rx, &slot, 0, n_chains, likely, rx->nic->rx_iov);
    len = net->ops->receive (net, rx->pair, slot.iov, slot.n_iov);
    if (len == 0)
        return false;
    rx->small = (uint8_t)(len <= SMALL_BYTES ? MIN (rx->small + 1u, UINT8_MAX) : 0);
    if (fit_header (rx->nic, &slot.header))
        deliver (rx, &slot, len);
    return true;
}

/* What was read into the slots goes into buffers of our own as a whole: their chains are needed for what
 * comes before. */
static void
lift (Slot *slots, const size_t *lens, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (lens[i] > 0)
            vmm_net_gather (slots[i].iov, slots[i].n_iov, slots[i].own,
                            MIN (HEADER + lens[i], slots[i].direct));
        slots[i].direct = 0;
        slots[i].n_chains = 0;
    }
}

/* Of slots that follow each other: while each frame takes the chains of its slot, no more and no fewer, all
 * are where they have to be. After one that does not the others are copied. How many there were. */
static unsigned
deliver_all (VmmVirtioNetRx *rx, Slot *slots, const size_t *lens, unsigned n)
{
    bool lifted = false;
    unsigned done = 0;

    for (unsigned i = 0; i < n; i++) {
        size_t all = HEADER + lens[i];
        bool good = lens[i] > 0 && fit_header (rx->nic, &slots[i].header);

        if (!lifted && !(good && all > slots[i].least && all <= slots[i].direct)) {
            lift (slots + i + 1, lens + i + 1, n - i - 1);
            lifted = true;
        }
        if (lens[i] > 0) {
            rx->small = (uint8_t)(lens[i] <= SMALL_BYTES ? MIN (rx->small + 1u, UINT8_MAX) : 0);
            done++;
        }
        if (good)
            deliver (rx, &slots[i], lens[i]);
    }
    return done;
}

/* How many of up to @max frames can be read at a time, if all are like those before. */
static unsigned
batch_size (VmmVirtioNetRx *rx, unsigned max)
{
    unsigned n = MIN (max, VMM_VIRTIO_NET_RX_BATCH);

    if (n < 2 || rx->alike < ALIKE_FRAMES || rx->n_taken > ALIKE_CHAINS ||
        rx->nic->net->ops->receive_batch == NULL)
        return 1;
    while (rx->n < n * rx->n_taken && can_hold_more (rx) && hold_one (rx))
        ;
    return MIN (n, rx->n / rx->n_taken);
}

static unsigned
receive_batch (VmmVirtioNetRx *rx, unsigned n)
{
    VmmNet *net = rx->nic->net;
    Slot slots[VMM_VIRTIO_NET_RX_BATCH];
    VmmNetFrame rooms[VMM_VIRTIO_NET_RX_BATCH] = {0};
    size_t lens[VMM_VIRTIO_NET_RX_BATCH];
    struct iovec *iov = rx->nic->rx_iov;

    for (unsigned i = 0; i < n; i++) {
        slots[i].own = rx->nic->rx_own[i];
        make_slot (rx, &slots[i], i * rx->n_taken, rx->n_taken, SIZE_MAX, iov);
        iov += slots[i].n_iov;
        rooms[i] = (VmmNetFrame){slots[i].iov, slots[i].n_iov};
    }
    net->ops->receive_batch (net, rx->pair, rooms, n, lens);
    return deliver_all (rx, slots, lens, n);
}

/* Up to @max frames. Returns whether there may be more. */
static bool
receive_some (VmmVirtioNetRx *rx, unsigned max, unsigned *inout_n)
{
    unsigned n = batch_size (rx, max), done;

    done = n >= 2 ? receive_batch (rx, n) : receive_one (rx);
    *inout_n += done;
    return done == MAX (n, 1);
}

/* How many frames to ask for when there were @n in this turn: those that are expected. Then there may be
 * none, and with each that is there all the same it becomes likelier that there are many. */
static unsigned
next_ask (const VmmVirtioNetRx *rx, unsigned n)
{
    return n < rx->expected ? rx->expected - n : MAX (n - rx->expected, 1);
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
    bool more;

    rx->more = false;
    if (rx->starved || rx->nic->quiet || rx->pair >= rx->nic->active_pairs)
        return false;
    vmm_virtqueue_set_kicks (queue, false);
    do {
        if (!hold_enough (rx)) {
            starve (rx);
            break;
        }
        more = receive_some (rx, MIN (next_ask (rx, n), FRAMES_PER_TURN - n), &n);
    } while (more && n < FRAMES_PER_TURN);
    rx->expected = MAX (n, rx->expected / 2);
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
    rx->n_taken = 0;
    rx->alike = 0;
    rx->room = 0;
    rx->n_iov = 0;
    rx->starved = true;
    rx->tight = false;
    rx->more = false;
}
