/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network cards that are saved in the middle of their work, and others that go on in their place: each frame
 * comes and goes once, and whole.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "devices/virtio/net.h"
#include "fake-net.h"
#include "state-rig.h"

#define N_FRAMES 24u
#define HEADER sizeof (VmmNetHeader)
#define F_NET_ALL                                                                                            \
    (UINT64_C (1) << 15 | UINT64_C (1) << 16 | UINT64_C (1) << 17 | UINT64_C (1) << 22 | UINT64_C (1) << 23)

enum { RX0, TX0, RX1, TX1, CTRL, N_NET_QUEUES };

static VmmVirtioDevice *
make_card (StateRig *rig, FakeNet *net)
{
    const VmmVirtioNetConfig config = {{0x52, 0x54, 0, 0, 0, 1}, 1500};
    VmmVirtioDevice *device = vmm_virtio_net_new (&rig->env, &net->net, &config);

    vmm_virtio_device_set_transport (device, &state_rig_interrupts, rig);
    return device;
}

typedef struct {
    VmmVirtqSegment buffers[STATE_RIG_RING];
    int ids[STATE_RIG_RING];
    unsigned n;
    uint32_t next_name; /* of the frame that is to come */
    unsigned left;      /* buffers of the frame that has begun */
    uint32_t total;
    uint8_t bytes[4096];
} Receiver;

static void
give_buffers (StateRig *rig, Receiver *receiver, unsigned n, uint32_t len)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned at = receiver->n++;

        receiver->buffers[at] = vmm_virtq_heap_alloc (&rig->heap, len);
        receiver->ids[at] = vmm_virtq_driver_add (rig->queues[RX0], NULL, 0, &receiver->buffers[at], 1);
        cr_assert_geq (receiver->ids[at], 0);
    }
}

static void
take_buffer (StateRig *rig, Receiver *receiver, unsigned at, uint32_t len)
{
    VmmNetHeader header;
    uint32_t name;

    receiver->ids[at] = -1;
    cr_assert_leq (receiver->total + len, sizeof receiver->bytes);
    memcpy (receiver->bytes + receiver->total, vmm_virtq_heap_bytes (&rig->heap, receiver->buffers[at]), len);
    receiver->total += len;
    memcpy (&header, receiver->bytes, sizeof header);
    if (receiver->left == 0)
        receiver->left = header.num_buffers;
    if (--receiver->left > 0)
        return;
    cr_assert (fake_net_is_whole (receiver->bytes + HEADER, receiver->total - HEADER, &name),
               "frame %u is torn", receiver->next_name);
    cr_assert_eq (name, receiver->next_name, "frame %u came, and not %u", name, receiver->next_name);
    receiver->next_name++;
    receiver->total = 0;
}

/* Returns how many frames came; they are the next ones. */
static unsigned
receive (StateRig *rig, Receiver *receiver)
{
    uint32_t before = receiver->next_name;
    uint32_t len;
    int id;

    while (vmm_virtq_driver_poll_used (rig->queues[RX0], &id, &len)) {
        unsigned at = 0;

        while (at < receiver->n && receiver->ids[at] != id)
            at++;
        cr_assert_lt (at, receiver->n, "a buffer came twice");
        take_buffer (rig, receiver, at, len);
    }
    cr_assert_eq (receiver->left, 0, "a half of a frame is shown");
    return receiver->next_name - before;
}

/* The card holds buffers that it has taken when it is saved; the one after it finds them again, in order. */
static void
move_card_that_receives (unsigned mode)
{
    StateRig rig;
    Receiver receiver = {0};
    FakeNet *net, *other;
    VmmVirtioDevice *device, *moved;
    g_autoptr (GBytes) state = NULL;

    state_rig_init (&rig, N_NET_QUEUES, mode);
    net = fake_net_new (rig.loop, 2, 0, false);
    device = make_card (&rig, net);
    state_rig_start (&rig, device, F_NET_ALL);
    /* Each frame takes several of them, and they end before the frames do. */
    give_buffers (&rig, &receiver, 60, 300);
    state_rig_kick (&rig, device, RX0);
    for (unsigned i = 0; i < N_FRAMES / 2; i++)
        fake_net_give (net, 0, (VmmNetHeader){0}, i, 700);
    cr_assert_eq (receive (&rig, &receiver), N_FRAMES / 2);
    state = vmm_virtio_state_save (device);
    /* What comes now is for nobody: the network loses it. */
    fake_net_give (net, 0, (VmmNetHeader){0}, 99, 700);
    fake_net_settle (net);
    cr_assert_eq (receive (&rig, &receiver), 0, "a frame came while the machine was paused");
    other = fake_net_new (rig.loop, 2, 0, false);
    moved = make_card (&rig, other);
    for (unsigned i = N_FRAMES / 2; i < N_FRAMES; i++)
        fake_net_give (other, 0, (VmmNetHeader){0}, i, 700);
    cr_assert (vmm_virtio_state_load (moved, state));
    /* A network need not tell of what was there before it was asked to: the card looks by itself. */
    fake_net_settle (other);
    vmm_virtio_device_free (device);
    /* 60 buffers are 20 frames; for the last one the card waits a while whether it gets more. */
    for (unsigned i = 0; receiver.next_name < 20 && i < 100000; i++) {
        receive (&rig, &receiver);
        g_usleep (100);
    }
    cr_assert_eq (receiver.next_name, 20);
    receiver.n = 0;
    give_buffers (&rig, &receiver, 40, 300);
    state_rig_kick (&rig, moved, RX0);
    fake_net_settle (other);
    cr_assert_eq (receive (&rig, &receiver), N_FRAMES - 20);
    cr_assert_null (net->wrong, "%s", net->wrong);
    cr_assert_null (other->wrong, "%s", other->wrong);
    vmm_virtio_device_free (moved);
    fake_net_free (net);
    fake_net_free (other);
    state_rig_clear (&rig);
}

Test (virtio_state_net, a_cards_frames_come_whole_and_in_order)
{
    for (size_t i = 0; i < G_N_ELEMENTS (state_rig_modes); i++)
        move_card_that_receives (state_rig_modes[i]);
}

static unsigned
count_used (VmmVirtqDriver *driver)
{
    unsigned n = 0;

    while (vmm_virtq_driver_poll_used (driver, NULL, NULL))
        n++;
    return n;
}

/* The network was full, and some frames wait with the guest: they are sent by the next card, and only they.
 */
static void
move_card_that_sends (unsigned mode)
{
    StateRig rig;
    FakeNet *net, *other;
    VmmVirtioDevice *device, *moved;
    VmmVirtqSegment out;
    g_autoptr (GBytes) state = NULL;

    state_rig_init (&rig, N_NET_QUEUES, mode);
    net = fake_net_new (rig.loop, 2, 0, false);
    device = make_card (&rig, net);
    state_rig_start (&rig, device, F_NET_ALL);
    out = vmm_virtq_heap_alloc (&rig.heap, HEADER + 100);
    for (unsigned i = 0; i < 20; i++) {
        if (i == 7) {
            state_rig_kick (&rig, device, TX0);
            fake_net_settle (net);
            fake_net_set_full (net, 0, true);
        }
        cr_assert_geq (vmm_virtq_driver_add (rig.queues[TX0], &out, 1, NULL, 0), 0);
    }
    state_rig_kick (&rig, device, TX0);
    fake_net_settle (net);
    cr_assert_eq (net->n_sent, 7);
    state = vmm_virtio_state_save (device);
    fake_net_set_full (net, 0, false);
    cr_assert_eq (net->n_sent, 7, "a frame was sent while the machine was paused");
    cr_assert_eq (count_used (rig.queues[TX0]), 7);
    other = fake_net_new (rig.loop, 2, 0, false);
    moved = make_card (&rig, other);
    cr_assert (vmm_virtio_state_load (moved, state));
    fake_net_settle (other);
    vmm_virtio_device_free (device);
    cr_assert_eq (other->n_sent, 13);
    cr_assert_eq (count_used (rig.queues[TX0]), 13);
    vmm_virtio_device_free (moved);
    fake_net_free (net);
    fake_net_free (other);
    state_rig_clear (&rig);
}

Test (virtio_state_net, a_cards_frames_go_once)
{
    for (size_t i = 0; i < G_N_ELEMENTS (state_rig_modes); i++)
        move_card_that_sends (state_rig_modes[i]);
}

static uint8_t
command (StateRig *rig, VmmVirtioDevice *device, const void *data, uint32_t len)
{
    VmmVirtqSegment out = vmm_virtq_heap_put (&rig->heap, data, len);
    VmmVirtqSegment in = vmm_virtq_heap_put (&rig->heap, "\xee", 1);

    cr_assert_geq (vmm_virtq_driver_add (rig->queues[CTRL], &out, 1, &in, 1), 0);
    state_rig_kick (rig, device, CTRL);
    for (unsigned i = 0; i < 100000 && !vmm_virtq_driver_poll_used (rig->queues[CTRL], NULL, NULL); i++)
        g_usleep (100);
    return *(uint8_t *)vmm_virtq_heap_bytes (&rig->heap, in);
}

static uint64_t
mac_of (VmmVirtioDevice *device)
{
    return vmm_virtio_device_config_read (device, 0, 8) & UINT64_C (0xffffffffffff);
}

/* Pairs, address and offloads are what the driver has made of them; the link may be another one. */
Test (virtio_state_net, a_card_is_as_the_driver_set_it)
{
    static const uint8_t pairs[] = {4, 0, 2, 0}, mac[] = {1, 1, 2, 3, 4, 5, 6, 7};
    static const uint8_t offloads[] = {5, 0, 2, 0, 0, 0, 0, 0, 0, 0};
    const uint64_t guest_csum_and_tso4 = UINT64_C (1) << 1 | UINT64_C (1) << 2 | UINT64_C (1) << 7;
    StateRig rig;
    FakeNet *net, *other;
    VmmVirtioDevice *device, *moved;
    g_autoptr (GBytes) state = NULL;

    state_rig_init (&rig, N_NET_QUEUES, 0);
    net = fake_net_new (rig.loop, 2, VMM_NET_OFFLOAD_CSUM | VMM_NET_OFFLOAD_TSO4, false);
    device = make_card (&rig, net);
    state_rig_start (&rig, device, F_NET_ALL | guest_csum_and_tso4);
    cr_assert_eq (net->guest_offloads, VMM_NET_OFFLOAD_CSUM | VMM_NET_OFFLOAD_TSO4);
    cr_assert_eq (command (&rig, device, pairs, sizeof pairs), 0);
    cr_assert_eq (command (&rig, device, mac, sizeof mac), 0);
    cr_assert_eq (command (&rig, device, offloads, sizeof offloads), 0);
    fake_net_set_link (net, false);
    state = vmm_virtio_state_save (device);
    rig.n_config = 0;
    other = fake_net_new (rig.loop, 2, VMM_NET_OFFLOAD_CSUM | VMM_NET_OFFLOAD_TSO4, false);
    moved = make_card (&rig, other);
    cr_assert (vmm_virtio_state_load (moved, state));
    cr_assert_eq (other->pairs, 2);
    cr_assert_eq (other->guest_offloads, VMM_NET_OFFLOAD_CSUM);
    cr_assert_eq (mac_of (moved), UINT64_C (0x070605040302));
    cr_assert_eq (rig.n_config, 1, "the driver is not told that the link is up again");
    /* A reset is one for what was loaded, too. */
    vmm_virtio_device_set_status (moved, 0);
    cr_assert_eq (mac_of (moved), UINT64_C (0x010000005452));
    vmm_virtio_device_free (moved);
    vmm_virtio_device_free (device);
    fake_net_free (net);
    fake_net_free (other);
    state_rig_clear (&rig);
}

/* A machine is loaded while it is paused: until it goes on, nothing touches its memory. */
Test (virtio_state_net, a_card_that_is_loaded_waits_for_the_machine)
{
    static const uint8_t pairs[] = {4, 0, 2, 0};
    StateRig rig;
    FakeNet *net, *other;
    VmmVirtioDevice *device, *moved;
    VmmVirtqSegment in;
    g_autoptr (GBytes) state = NULL;

    state_rig_init (&rig, N_NET_QUEUES, 0);
    net = fake_net_new (rig.loop, 2, 0, false);
    device = make_card (&rig, net);
    state_rig_start (&rig, device, F_NET_ALL);
    cr_assert_eq (command (&rig, device, pairs, sizeof pairs), 0);
    in = vmm_virtq_heap_alloc (&rig.heap, 4000);
    cr_assert_geq (vmm_virtq_driver_add (rig.queues[RX1], NULL, 0, &in, 1), 0);
    state_rig_kick (&rig, device, RX1);
    state = vmm_virtio_state_save (device);
    vmm_virtio_device_free (device);
    other = fake_net_new (rig.loop, 2, 0, false);
    moved = make_card (&rig, other);
    fake_net_give (other, 1, (VmmNetHeader){0}, 0, 700);
    vmm_virtio_device_pause (moved);
    cr_assert (vmm_virtio_state_load (moved, state));
    fake_net_settle (other);
    cr_assert_eq (count_used (rig.queues[RX1]), 0, "a frame came while the machine was paused");
    vmm_virtio_device_resume (moved);
    fake_net_settle (other);
    cr_assert_eq (count_used (rig.queues[RX1]), 1);
    cr_assert_null (other->wrong, "%s", other->wrong);
    vmm_virtio_device_free (moved);
    fake_net_free (net);
    fake_net_free (other);
    state_rig_clear (&rig);
}
