/* SPDX-License-Identifier: Apache-2.0 */
#include "fake-net.h"

#include <string.h>

#include "vmm/error.h"

/* Addresses and a type that is no protocol's, before the name. */
#define NAME_AT 14u

typedef struct {
    VmmNetHeader header;
    uint32_t name;
    uint32_t len;
} Frame;

/* For what runs on the loop's thread. */
typedef struct {
    FakeNet *fake;
    unsigned pair;
    const Frame *frame;
    bool on;
} Call;

static void
wrong (FakeNet *fake, const char *what)
{
    if (fake->wrong == NULL)
        fake->wrong = what;
}

void
fake_net_fill (uint8_t *frame, uint32_t name, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        frame[i] = (uint8_t)(name * 31 + i * 7 + i / 251);
    if (len >= NAME_AT + sizeof name)
        memcpy (frame + NAME_AT, &name, sizeof name);
}

bool
fake_net_is_whole (const uint8_t *frame, size_t len, uint32_t *ret_name)
{
    uint32_t name;

    if (len < FAKE_NET_NAMED_MIN)
        return false;
    memcpy (&name, frame + NAME_AT, sizeof name);
    *ret_name = name;
    for (size_t i = 0; i < len; i++) {
        if (i >= NAME_AT && i < NAME_AT + sizeof name)
            continue;
        if (frame[i] != (uint8_t)(name * 31 + i * 7 + i / 251))
            return false;
    }
    return true;
}

static bool
fake_attach (VmmNet *net, VmmLoop *loop, GError **error)
{
    FakeNet *fake = (FakeNet *)net;

    if (fake->attached || !vmm_loop_is_current (loop))
        wrong (fake, "attached twice, or not on the loop's thread");
    if (fake->refuses) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "net fake: it was told to refuse");
        return false;
    }
    fake->attached = true;
    fake->pairs = 1;
    fake->guest_offloads = 0;
    for (unsigned i = 0; i < net->n_pairs; i++)
        fake->wanted[i] = fake->owes_ready[i] = false;
    return true;
}

static void
fake_detach (VmmNet *net)
{
    FakeNet *fake = (FakeNet *)net;

    if (!fake->attached)
        wrong (fake, "detached twice");
    fake->attached = false;
}

static void
fake_set_offloads (VmmNet *net, uint32_t offloads)
{
    FakeNet *fake = (FakeNet *)net;

    if (!fake->attached || (offloads & ~net->offloads) != 0)
        wrong (fake, "offloads that the network does not have, or while detached");
    fake->guest_offloads = offloads;
}

static void
fake_set_pairs (VmmNet *net, unsigned n)
{
    FakeNet *fake = (FakeNet *)net;

    if (!fake->attached || n < 1 || n > net->n_pairs)
        wrong (fake, "a number of pairs that cannot be, or while detached");
    fake->pairs = n;
    /* As a tap's: of a queue that is not used nothing is told any more. */
    for (unsigned i = n; i < net->n_pairs; i++)
        fake->owes_ready[i] = false;
}

/* What net.h promises to a backend of each frame. */
static void
check_sent (FakeNet *fake, const VmmNetHeader *header, size_t len)
{
    uint8_t gso = header->gso_type & (uint8_t)~VMM_NET_GSO_ECN;

    if (len < VMM_NET_FRAME_MIN || len > VMM_NET_FRAME_MAX)
        wrong (fake, "a frame that is too short, or too long");
    if (header->num_buffers != 0 || (header->flags & ~VMM_NET_HDR_NEEDS_CSUM) != 0)
        wrong (fake, "a header with something that is not for a backend");
    if (header->flags != 0 && ((fake->net.offloads & VMM_NET_OFFLOAD_CSUM) == 0 ||
                               (size_t)header->csum_start + header->csum_offset + 2 > len))
        wrong (fake, "a checksum that the network cannot make");
    if (gso == VMM_NET_GSO_NONE && header->gso_type != 0)
        wrong (fake, "marks of congestion on what is not to be cut");
    if (gso != VMM_NET_GSO_NONE && (header->flags == 0 || header->gso_size == 0 || header->hdr_len > len))
        wrong (fake, "segments that cannot be cut");
    if ((gso == VMM_NET_GSO_TCPV4 && (fake->net.offloads & VMM_NET_OFFLOAD_TSO4) == 0) ||
        (gso == VMM_NET_GSO_TCPV6 && (fake->net.offloads & VMM_NET_OFFLOAD_TSO6) == 0) ||
        (gso == VMM_NET_GSO_UDP_L4 &&
         (fake->net.offloads & (VMM_NET_OFFLOAD_USO4 | VMM_NET_OFFLOAD_USO6)) == 0) ||
        (gso != VMM_NET_GSO_NONE && gso != VMM_NET_GSO_TCPV4 && gso != VMM_NET_GSO_TCPV6 &&
         gso != VMM_NET_GSO_UDP_L4))
        wrong (fake, "segments of a kind that the network does not know");
}

static VmmNetSend
fake_send (VmmNet *net, unsigned pair, const struct iovec *iov, unsigned n_iov)
{
    FakeNet *fake = (FakeNet *)net;

    if (!fake->attached || pair >= fake->pairs || n_iov < 2 || iov[0].iov_len != sizeof fake->last_sent) {
        wrong (fake, "a frame on a pair that is not used, or without its header");
        return VMM_NET_DROPPED;
    }
    if (fake->full[pair]) {
        fake->owes_ready[pair] = true;
        return VMM_NET_FULL;
    }
    memcpy (&fake->last_sent, iov[0].iov_base, sizeof fake->last_sent);
    fake->last_len = 0;
    for (unsigned i = 1; i < n_iov; i++)
        fake->last_len += iov[i].iov_len;
    vmm_net_gather (iov + 1, n_iov - 1, fake->frame, sizeof fake->frame);
    check_sent (fake, &fake->last_sent, fake->last_len);
    fake->n_sent++;
    return VMM_NET_SENT;
}

static size_t
fake_receive (VmmNet *net, unsigned pair, const struct iovec *iov, unsigned n_iov)
{
    FakeNet *fake = (FakeNet *)net;
    g_autofree Frame *frame = NULL;
    size_t room = 0;

    for (unsigned i = 1; i < n_iov; i++)
        room += iov[i].iov_len;
    if (!fake->attached || pair >= fake->pairs || iov[0].iov_len != sizeof (VmmNetHeader) ||
        room < VMM_NET_FRAME_MAX || n_iov > 1024) {
        wrong (fake, "frames are taken from a pair that is not used, or without room for the largest");
        return 0;
    }
    frame = fake->held ? NULL : g_queue_pop_head (&fake->frames[pair]);
    if (frame == NULL)
        return 0;
    fake_net_fill (fake->frame, frame->name, frame->len);
    memcpy (iov[0].iov_base, &frame->header, sizeof frame->header);
    vmm_net_scatter (iov + 1, n_iov - 1, fake->frame, frame->len);
    fake->n_received++;
    return frame->len;
}

static void
fake_receive_batch (VmmNet *net, unsigned pair, const VmmNetFrame *rooms, unsigned n, size_t *ret_lens)
{
    FakeNet *fake = (FakeNet *)net;

    if (n == 0 || n > VMM_NET_BATCH_MAX)
        wrong (fake, "a batch without a room, or with too many");
    for (unsigned i = 0; i < n; i++) {
        bool late = i < 32 && (fake->late >> i & 1) != 0;

        ret_lens[i] = late ? 0 : fake_receive (net, pair, rooms[i].iov, rooms[i].n_iov);
    }
    fake->late = 0;
    fake->n_batches++;
}

static void
fake_want_receive (VmmNet *net, unsigned pair, bool wanted)
{
    FakeNet *fake = (FakeNet *)net;

    if (!fake->attached || pair >= net->n_pairs)
        wrong (fake, "frames are wanted from a pair that there is not, or while detached");
    else
        fake->wanted[pair] = wanted;
}

static void
fake_free (VmmNet *net)
{
    FakeNet *fake = (FakeNet *)net;

    for (unsigned i = 0; i < VMM_NET_PAIRS_MAX; i++)
        g_queue_clear_full (&fake->frames[i], g_free);
    g_free (fake);
}

static const VmmNetOps fake_ops[] = {
    {
        .name = "fake",
        .attach = fake_attach,
        .detach = fake_detach,
        .set_offloads = fake_set_offloads,
        .set_pairs = fake_set_pairs,
        .send = fake_send,
        .receive = fake_receive,
        .receive_batch = fake_receive_batch,
        .want_receive = fake_want_receive,
        .free = fake_free,
    },
    {
        .name = "fake-polled",
        .polled = true,
        .attach = fake_attach,
        .detach = fake_detach,
        .set_offloads = fake_set_offloads,
        .set_pairs = fake_set_pairs,
        .send = fake_send,
        .receive = fake_receive,
        .receive_batch = fake_receive_batch,
        .want_receive = fake_want_receive,
        .free = fake_free,
    },
};

FakeNet *
fake_net_new (VmmLoop *loop, unsigned n_pairs, uint32_t offloads, bool polled)
{
    FakeNet *fake = g_new0 (FakeNet, 1);

    fake->net.ops = &fake_ops[polled];
    fake->net.identity = g_strdup ("fake");
    fake->net.n_pairs = n_pairs;
    fake->net.offloads = offloads;
    fake->net.link_up = true;
    fake->loop = loop;
    for (unsigned i = 0; i < VMM_NET_PAIRS_MAX; i++)
        g_queue_init (&fake->frames[i]);
    return fake;
}

void
fake_net_free (FakeNet *fake)
{
    vmm_net_free (fake != NULL ? &fake->net : NULL);
}

static void
do_give (void *user)
{
    Call *call = user;
    FakeNet *fake = call->fake;

    g_queue_push_tail (&fake->frames[call->pair], g_memdup2 (call->frame, sizeof *call->frame));
    if (!fake->held && fake->attached && call->pair < fake->pairs && fake->wanted[call->pair])
        fake->net.events->rx_ready (fake->net.user, call->pair);
}

void
fake_net_give (FakeNet *fake, unsigned pair, VmmNetHeader header, uint32_t name, uint32_t len)
{
    const Frame frame = {header, name, len};
    Call call = {.fake = fake, .pair = pair, .frame = &frame};

    vmm_loop_call (fake->loop, do_give, &call);
}

static void
do_hold (void *user)
{
    Call *call = user;
    FakeNet *fake = call->fake;

    fake->held = call->on;
    for (unsigned i = 0; i < fake->pairs && fake->attached && !fake->held; i++) {
        while (fake->wanted[i] && !g_queue_is_empty (&fake->frames[i]))
            fake->net.events->rx_ready (fake->net.user, i);
    }
}

void
fake_net_hold (FakeNet *fake, bool on)
{
    Call call = {.fake = fake, .on = on};

    vmm_loop_call (fake->loop, do_hold, &call);
}

static void
do_set_full (void *user)
{
    Call *call = user;
    FakeNet *fake = call->fake;

    fake->full[call->pair] = call->on;
    if (call->on || !fake->owes_ready[call->pair])
        return;
    fake->owes_ready[call->pair] = false;
    if (fake->attached)
        fake->net.events->tx_ready (fake->net.user);
}

void
fake_net_set_full (FakeNet *fake, unsigned pair, bool full)
{
    Call call = {.fake = fake, .pair = pair, .on = full};

    vmm_loop_call (fake->loop, do_set_full, &call);
}

static void
do_set_link (void *user)
{
    Call *call = user;

    vmm_net_set_link (&call->fake->net, call->on);
}

void
fake_net_set_link (FakeNet *fake, bool up)
{
    Call call = {.fake = fake, .on = up};

    vmm_loop_call (fake->loop, do_set_link, &call);
}

static void
nothing (void *user)
{
}

void
fake_net_settle (FakeNet *fake)
{
    /* What was ready before the first has been served by the second. */
    vmm_loop_call (fake->loop, nothing, NULL);
    vmm_loop_call (fake->loop, nothing, NULL);
}
