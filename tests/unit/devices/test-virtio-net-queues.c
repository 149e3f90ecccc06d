/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network card on a network that the test plays: what is negotiated, how frames get into buffers, several
 * pairs of queues, and what waits for what.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "devices/virtio/net.h"
#include "fake-net.h"
#include "state-rig.h"

#define HEADER sizeof (VmmNetHeader)
#define BIT(n) (UINT64_C (1) << (n))
#define F_CSUM BIT (0)
#define F_GUEST_CSUM BIT (1)
#define F_CTRL_GUEST_OFFLOADS BIT (2)
#define F_GUEST_TSO4 BIT (7)
#define F_GUEST_ECN BIT (9)
#define F_HOST_TSO4 BIT (11)
#define F_HOST_ECN BIT (13)
#define F_MRG_RXBUF BIT (15)
#define F_CTRL_VQ BIT (17)
#define F_MQ BIT (22)
#define F_HOST_USO BIT (56)
#define ALL_OFFLOADS                                                                                         \
    (VMM_NET_OFFLOAD_CSUM | VMM_NET_OFFLOAD_TSO4 | VMM_NET_OFFLOAD_TSO6 | VMM_NET_OFFLOAD_ECN |              \
     VMM_NET_OFFLOAD_USO4 | VMM_NET_OFFLOAD_USO6)

static const VmmNetHeader no_header = {0};

typedef struct {
    StateRig rig;
    FakeNet *net;
    VmmVirtioDevice *device;
} Card;

static void
card_init (Card *card, unsigned n_pairs, uint32_t offloads)
{
    const VmmVirtioNetConfig config = {{0x52, 0x54, 0, 0, 0, 1}, 0};

    state_rig_init (&card->rig, 2 * n_pairs + 1, 0);
    card->net = fake_net_new (card->rig.loop, n_pairs, offloads, false);
    card->device = vmm_virtio_net_new (&card->rig.env, &card->net->net, &config);
    vmm_virtio_device_set_transport (card->device, &state_rig_interrupts, &card->rig);
}

static void
card_clear (Card *card)
{
    cr_assert_null (card->net->wrong, "%s", card->net->wrong);
    vmm_virtio_device_free (card->device);
    fake_net_free (card->net);
    state_rig_clear (&card->rig);
}

static VmmVirtqSegment
give_buffer (Card *card, unsigned queue, uint32_t len)
{
    VmmVirtqSegment in = vmm_virtq_heap_alloc (&card->rig.heap, len);

    cr_assert_geq (vmm_virtq_driver_add (card->rig.queues[queue], NULL, 0, &in, 1), 0);
    state_rig_kick (&card->rig, card->device, queue);
    return in;
}

static void
send_frame (Card *card, unsigned queue, const VmmNetHeader *header, uint32_t len)
{
    VmmVirtqSegment out[2] = {vmm_virtq_heap_put (&card->rig.heap, header, HEADER),
                              vmm_virtq_heap_alloc (&card->rig.heap, len)};

    cr_assert_geq (vmm_virtq_driver_add (card->rig.queues[queue], out, 2, NULL, 0), 0);
    state_rig_kick (&card->rig, card->device, queue);
    fake_net_settle (card->net);
}

/* How many chains came back; the length of the last one. */
static unsigned
take_used (Card *card, unsigned queue, uint32_t *ret_len)
{
    unsigned n = 0;

    fake_net_settle (card->net);
    while (vmm_virtq_driver_poll_used (card->rig.queues[queue], NULL, ret_len))
        n++;
    return n;
}

/* The answer of the control queue, which is the last one that there is. */
static uint8_t
command (Card *card, unsigned queue, const void *data, uint32_t len)
{
    VmmVirtqSegment out = vmm_virtq_heap_put (&card->rig.heap, data, len);
    VmmVirtqSegment in = vmm_virtq_heap_put (&card->rig.heap, "\xee", 1);

    cr_assert_geq (vmm_virtq_driver_add (card->rig.queues[queue], &out, 1, &in, 1), 0);
    state_rig_kick (&card->rig, card->device, queue);
    cr_assert_eq (take_used (card, queue, NULL), 1);
    return *(uint8_t *)vmm_virtq_heap_bytes (&card->rig.heap, in);
}

static bool
is_offered (Card *card, uint64_t feature)
{
    return (vmm_virtio_device_offered (card->device, 0) & (uint32_t)feature) != 0 ||
           (vmm_virtio_device_offered (card->device, 1) & (uint32_t)(feature >> 32)) != 0;
}

/* Section 5.1.3: what the network cannot do is not offered. */
Test (virtio_net_queues, offers_what_the_network_can)
{
    Card plain, able;

    card_init (&plain, 1, 0);
    card_init (&able, 2, ALL_OFFLOADS);
    cr_assert_not (is_offered (&plain, F_CSUM | F_GUEST_CSUM | F_HOST_TSO4 | F_GUEST_TSO4 | F_HOST_USO));
    cr_assert_not (is_offered (&plain, F_MQ | F_CTRL_GUEST_OFFLOADS));
    cr_assert (is_offered (&plain, F_MRG_RXBUF));
    cr_assert (is_offered (&able, F_CSUM));
    cr_assert (is_offered (&able, F_HOST_TSO4));
    cr_assert (is_offered (&able, F_HOST_USO));
    cr_assert (is_offered (&able, F_MQ));
    card_clear (&plain);
    card_clear (&able);
}

/* Section 5.1.3.1. */
Test (virtio_net_queues, features_that_need_others)
{
    static const struct {
        uint64_t features;
        bool good;
    } rows[] = {
        {F_HOST_TSO4, false},
        {F_HOST_TSO4 | F_CSUM, true},
        {F_HOST_USO, false},
        {F_HOST_USO | F_CSUM, true},
        {F_HOST_ECN | F_CSUM, false},
        {F_HOST_ECN | F_CSUM | F_HOST_TSO4, true},
        {F_GUEST_TSO4, false},
        {F_GUEST_TSO4 | F_GUEST_CSUM, true},
        {F_GUEST_ECN | F_GUEST_CSUM, false},
        {F_MQ, false},
        {F_MQ | F_CTRL_VQ, true},
        {F_CTRL_GUEST_OFFLOADS, false},
        {F_CTRL_GUEST_OFFLOADS | F_CTRL_VQ, true},
        {BIT (18), false},
        {BIT (20), false},
        {BIT (23), false},
    };
    Card card;

    card_init (&card, 2, ALL_OFFLOADS);
    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++)
        cr_assert_eq (vmm_virtio_driver_negotiate (card.device, VMM_VIRTIO_F_VERSION_1 | rows[i].features),
                      rows[i].good, "row %zu", i);
    card_clear (&card);
}

/* A driver without mergeable buffers gets a frame in one, or not at all. */
Test (virtio_net_queues, a_frame_that_does_not_fit_is_lost)
{
    Card card;
    uint32_t len;

    card_init (&card, 1, 0);
    state_rig_start (&card.rig, card.device, 0);
    give_buffer (&card, 0, HEADER + 100);
    fake_net_give (card.net, 0, no_header, 1, 101);
    cr_assert_eq (take_used (&card, 0, &len), 0);
    fake_net_give (card.net, 0, no_header, 2, 100);
    cr_assert_eq (take_used (&card, 0, &len), 1);
    cr_assert_eq (len, HEADER + 100);
    cr_assert_eq (card.net->n_received, 2);
    card_clear (&card);
}

/* Room for the largest frame is what a card waits for; but not for ever. */
Test (virtio_net_queues, a_driver_with_few_buffers_gets_its_frames)
{
    Card card;
    uint32_t len;

    card_init (&card, 1, ALL_OFFLOADS);
    state_rig_start (&card.rig, card.device, F_MRG_RXBUF | F_GUEST_CSUM | F_GUEST_TSO4);
    give_buffer (&card, 0, HEADER + 200);
    fake_net_give (card.net, 0, no_header, 1, 150);
    for (unsigned i = 0; take_used (&card, 0, &len) == 0; i++) {
        cr_assert_lt (i, 10000, "the frame waits for ever");
        g_usleep (1000);
    }
    cr_assert_eq (len, HEADER + 150);
    card_clear (&card);
}

/* Where only small frames came for a while, fewer buffers are read into. */
Test (virtio_net_queues, a_large_frame_after_small_ones_is_whole)
{
    enum { BUFFER = 4096, SMALL = 100, LARGE = 30000, GIVEN = 20 };
    const VmmNetHeader tso = {
        .flags = VMM_NET_HDR_NEEDS_CSUM, .gso_type = VMM_NET_GSO_TCPV4, .gso_size = 1000};
    g_autofree uint8_t *bytes = g_malloc0 (LARGE + BUFFER);
    VmmVirtqSegment given[GIVEN + SMALL];
    VmmNetHeader header;
    uint32_t name;
    Card card;

    card_init (&card, 1, ALL_OFFLOADS);
    state_rig_start (&card.rig, card.device, F_MRG_RXBUF | F_GUEST_CSUM | F_GUEST_TSO4);
    for (unsigned i = 0; i < GIVEN; i++)
        given[i] = give_buffer (&card, 0, BUFFER);
    for (unsigned i = 0; i < SMALL; i++) {
        fake_net_give (card.net, 0, no_header, i, 60);
        cr_assert_eq (take_used (&card, 0, NULL), 1);
        given[GIVEN + i] = give_buffer (&card, 0, BUFFER);
    }
    fake_net_give (card.net, 0, tso, 1000, LARGE);
    cr_assert_eq (take_used (&card, 0, NULL), (LARGE + HEADER + BUFFER - 1) / BUFFER);
    memcpy (&header, vmm_virtq_heap_bytes (&card.rig.heap, given[SMALL]), HEADER);
    cr_assert_eq (header.num_buffers, (LARGE + HEADER + BUFFER - 1) / BUFFER);
    for (unsigned i = 0; i < header.num_buffers; i++)
        memcpy (bytes + (size_t)i * BUFFER, vmm_virtq_heap_bytes (&card.rig.heap, given[SMALL + i]), BUFFER);
    cr_assert (fake_net_is_whole (bytes + HEADER, LARGE, &name));
    cr_assert_eq (name, 1000);
    card_clear (&card);
}

enum { TOGETHER = 12, BUFFER_BYTES = 1000 };

/* Takes the frames that came, all of which have to be whole, and gives new buffers; their names as bits. They
 * have to come in their order. */
static uint32_t
take_frames (Card *card, VmmVirtqSegment *buffers)
{
    uint8_t frame[TOGETHER * BUFFER_BYTES];
    uint32_t found = 0, len, name, last = 0;
    int id;

    fake_net_settle (card->net);
    while (vmm_virtq_driver_poll_used (card->rig.queues[0], &id, &len)) {
        size_t size = 0;
        uint16_t left = 0;

        do {
            const uint8_t *bytes = vmm_virtq_heap_bytes (&card->rig.heap, buffers[id]);
            VmmVirtqSegment again = buffers[id];

            if (size == 0)
                left = ((const VmmNetHeader *)(const void *)bytes)->num_buffers;
            cr_assert_leq (size + len, sizeof frame);
            memcpy (frame + size, bytes, len);
            size += len;
            id = vmm_virtq_driver_add (card->rig.queues[0], NULL, 0, &again, 1);
            cr_assert_geq (id, 0);
            buffers[id] = again;
        } while (--left > 0 && vmm_virtq_driver_poll_used (card->rig.queues[0], &id, &len));
        cr_assert_eq (left, 0, "a frame that is not all there");
        cr_assert (fake_net_is_whole (frame + HEADER, size - HEADER, &name));
        cr_assert_geq (name, last, "frames in another order");
        last = name;
        found |= 1u << name;
    }
    state_rig_kick (&card->rig, card->device, 0);
    return found;
}

/* Frames that are read at a time are expected to be like those before them. Some are not. */
Test (virtio_net_queues, frames_that_come_together_are_whole)
{
    static const struct {
        uint32_t late;
        uint32_t bad; /* names of those that the driver cannot take */
        uint32_t len[TOGETHER];
    } rows[] = {
        {0, 0, {60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60}},
        {0, 0, {60, 60, 988, 989, 60, 60, 60, 60, 60, 60, 60, 60}},
        {0, 0, {2500, 700, 60, 60, 60, 5000, 60, 60, 60, 60, 60, 60}},
        {0, 0, {60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 5000}},
        {8, 0, {60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71}},
        {0, 16, {60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71}},
        {1, 34, {60, 61, 62, 63, 1064, 65, 66, 67, 68, 69, 70, 71}},
    };
    const VmmNetHeader tso6 = {
        .flags = VMM_NET_HDR_NEEDS_CSUM, .gso_type = VMM_NET_GSO_TCPV6, .gso_size = 1000};

    for (unsigned row = 0; row < 2 * G_N_ELEMENTS (rows); row++) {
        VmmVirtqSegment buffers[STATE_RIG_RING];
        uint32_t bad = rows[row / 2].bad, all = (1u << TOGETHER) - 1;
        uint32_t usual = row % 2 == 0 ? 60 : 1500; /* one buffer each, or two */
        unsigned n_batches;
        Card card;

        card_init (&card, 1, 0);
        state_rig_start (&card.rig, card.device, F_MRG_RXBUF);
        for (unsigned i = 0; i < STATE_RIG_RING; i++)
            buffers[i] = give_buffer (&card, 0, BUFFER_BYTES);
        for (unsigned i = 0; i < 100; i++) {
            fake_net_hold (card.net, true);
            fake_net_give (card.net, 0, no_header, 0, usual);
            fake_net_hold (card.net, i % 10 != 9);
            take_frames (&card, buffers);
        }
        fake_net_hold (card.net, true);
        for (unsigned i = 0; i < TOGETHER; i++)
            fake_net_give (card.net, 0, (bad >> i & 1) != 0 ? tso6 : no_header, i, rows[row / 2].len[i]);
        n_batches = card.net->n_batches;
        card.net->late = rows[row / 2].late;
        fake_net_hold (card.net, false);
        cr_assert_eq (take_frames (&card, buffers), all & ~bad, "row %u", row);
        cr_assert_gt (card.net->n_batches, n_batches);
        card_clear (&card);
    }
}

/* Section 5.1.6.4.1: nothing that the driver did not negotiate, or has turned off since. */
Test (virtio_net_queues, headers_are_what_the_driver_takes)
{
    const VmmNetHeader csum = {.flags = VMM_NET_HDR_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16};
    VmmNetHeader tso = {.flags = VMM_NET_HDR_NEEDS_CSUM, .gso_type = VMM_NET_GSO_TCPV4, .gso_size = 100};
    static const uint8_t only_csum[] = {5, 0, 2, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t unknown[] = {5, 0, 0, 8, 0, 0, 0, 0, 0, 0};
    Card card;
    VmmNetHeader header;
    VmmVirtqSegment in;

    card_init (&card, 1, ALL_OFFLOADS);
    state_rig_start (&card.rig, card.device, F_GUEST_CSUM | F_GUEST_TSO4 | F_CTRL_VQ | F_CTRL_GUEST_OFFLOADS);
    in = give_buffer (&card, 0, 2000);
    fake_net_give (card.net, 0, csum, 1, 100);
    cr_assert_eq (take_used (&card, 0, NULL), 1);
    memcpy (&header, vmm_virtq_heap_bytes (&card.rig.heap, in), HEADER);
    cr_assert_eq (header.flags, VMM_NET_HDR_NEEDS_CSUM);
    cr_assert_eq (header.csum_start, 34);
    cr_assert_eq (header.num_buffers, 1);
    give_buffer (&card, 0, 2000);
    tso.gso_type |= VMM_NET_GSO_ECN;
    fake_net_give (card.net, 0, tso, 2, 1000);
    cr_assert_eq (take_used (&card, 0, NULL), 0, "it has marks of congestion, which were not negotiated");
    tso.gso_type = VMM_NET_GSO_TCPV6;
    fake_net_give (card.net, 0, tso, 3, 1000);
    cr_assert_eq (take_used (&card, 0, NULL), 0, "TSO6 was not negotiated");
    tso.gso_type = VMM_NET_GSO_TCPV4;
    fake_net_give (card.net, 0, tso, 4, 1000);
    cr_assert_eq (take_used (&card, 0, NULL), 1);
    cr_assert_eq (command (&card, 2, unknown, sizeof unknown), 1);
    cr_assert_eq (command (&card, 2, only_csum, sizeof only_csum), 0);
    cr_assert_eq (card.net->guest_offloads, VMM_NET_OFFLOAD_CSUM);
    give_buffer (&card, 0, 2000);
    fake_net_give (card.net, 0, tso, 5, 1000);
    cr_assert_eq (take_used (&card, 0, NULL), 0, "one from before the driver changed its mind");
    card_clear (&card);
}

Test (virtio_net_queues, as_many_pairs_as_the_driver_wants)
{
    static const uint8_t two[] = {4, 0, 2, 0}, three[] = {4, 0, 3, 0}, four[] = {4, 0, 4, 0},
                         none[] = {4, 0, 0, 0};
    Card card;

    card_init (&card, 3, 0);
    state_rig_start (&card.rig, card.device, F_CTRL_VQ | F_MQ);
    cr_assert_eq (card.net->pairs, 1);
    for (unsigned i = 0; i < 3; i++)
        give_buffer (&card, 2 * i, 2000);
    cr_assert_not (card.net->wanted[1], "a pair that is not used yet");
    cr_assert_eq (command (&card, 6, three, sizeof three), 0);
    cr_assert_eq (card.net->pairs, 3);
    cr_assert_eq (command (&card, 6, four, sizeof four), 1);
    cr_assert_eq (command (&card, 6, none, sizeof none), 1);
    cr_assert_eq (card.net->pairs, 3);
    for (unsigned i = 0; i < 3; i++) {
        fake_net_give (card.net, i, no_header, i, 100);
        cr_assert_eq (take_used (&card, 2 * i, NULL), 1, "pair %u", i);
        send_frame (&card, 2 * i + 1, &no_header, 60);
        cr_assert_eq (take_used (&card, 2 * i + 1, NULL), 1, "pair %u", i);
    }
    cr_assert_eq (card.net->n_sent, 3);
    cr_assert_eq (command (&card, 6, two, sizeof two), 0);
    cr_assert_not (card.net->wanted[2]);
    /* A driver may still use its third queue until it hears that it should not: its frames go by another. */
    send_frame (&card, 5, &no_header, 60);
    cr_assert_eq (take_used (&card, 5, NULL), 1);
    card_clear (&card);
}

/* The network says no more of a pair that was given up when it has room. */
Test (virtio_net_queues, what_waits_on_a_pair_that_is_given_up_is_sent)
{
    static const uint8_t one[] = {4, 0, 1, 0}, two[] = {4, 0, 2, 0};
    Card card;

    card_init (&card, 2, 0);
    state_rig_start (&card.rig, card.device, F_CTRL_VQ | F_MQ);
    cr_assert_eq (command (&card, 4, two, sizeof two), 0);
    fake_net_set_full (card.net, 1, true);
    send_frame (&card, 3, &no_header, 60);
    cr_assert_eq (take_used (&card, 3, NULL), 0);
    cr_assert_eq (command (&card, 4, one, sizeof one), 0);
    cr_assert_eq (take_used (&card, 3, NULL), 1);
    fake_net_set_full (card.net, 1, false);
    cr_assert_eq (command (&card, 4, two, sizeof two), 0);
    send_frame (&card, 3, &no_header, 60);
    cr_assert_eq (take_used (&card, 3, NULL), 1);
    cr_assert_eq (card.net->n_sent, 2);
    card_clear (&card);
}

Test (virtio_net_queues, a_full_network_makes_the_driver_wait)
{
    Card card;

    card_init (&card, 1, 0);
    state_rig_start (&card.rig, card.device, 0);
    fake_net_set_full (card.net, 0, true);
    for (unsigned i = 0; i < 5; i++)
        send_frame (&card, 1, &no_header, 60);
    cr_assert_eq (take_used (&card, 1, NULL), 0);
    fake_net_set_full (card.net, 0, false);
    cr_assert_eq (take_used (&card, 1, NULL), 5);
    cr_assert_eq (card.net->n_sent, 5);
    card_clear (&card);
}

/* Section 2.6.1: buffers of before the reset are forgotten, and none of them is written any more. */
Test (virtio_net_queues, a_receive_queue_that_is_reset_gives_its_buffers_up)
{
    Card card;
    VmmVirtqSegment old;
    uint32_t len;

    card_init (&card, 1, 0);
    state_rig_start (&card.rig, card.device, 0);
    old = give_buffer (&card, 0, 2000);
    fake_net_settle (card.net);
    vmm_virtio_device_reset_queue (card.device, 0);
    fake_net_give (card.net, 0, no_header, 1, 100);
    cr_assert_eq (take_used (&card, 0, NULL), 0);
    cr_assert_eq (*(uint32_t *)vmm_virtq_heap_bytes (&card.rig.heap, old), 0, "it was written");
    vmm_virtq_driver_reset (card.rig.queues[0]);
    vmm_virtio_driver_set_queue (card.device, 0, card.rig.queues[0]);
    give_buffer (&card, 0, 2000);
    cr_assert_eq (take_used (&card, 0, &len), 1);
    cr_assert_eq (len, HEADER + 100);
    card_clear (&card);
}

Test (virtio_net_queues, a_host_that_cannot_serve_says_so)
{
    Card card;

    card_init (&card, 1, 0);
    card.net->refuses = true;
    cr_assert (vmm_virtio_driver_negotiate (card.device, vmm_virtq_driver_features (card.rig.queues[0])));
    for (unsigned i = 0; i < 3; i++)
        vmm_virtio_driver_set_queue (card.device, i, card.rig.queues[i]);
    cr_assert_not (vmm_virtio_driver_start (card.device));
    cr_assert_gt (card.rig.n_config, 0);
    send_frame (&card, 1, &no_header, 60);
    card.net->refuses = false;
    for (unsigned i = 0; i < 3; i++)
        vmm_virtq_driver_reset (card.rig.queues[i]);
    state_rig_start (&card.rig, card.device, 0);
    send_frame (&card, 1, &no_header, 60);
    cr_assert_eq (card.net->n_sent, 1);
    card_clear (&card);
}
