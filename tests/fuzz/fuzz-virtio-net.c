/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that talks nonsense to its network card, on a network that does what it likes. Each record of the
 * input is something that the driver, the network or the machine does. What the card gives to the network is
 * always what that can do, each frame that comes in is whole, and an honest driver is served afterwards.
 */
#include <string.h>

#include "devices/virtio/net.h"
#include "fake-net.h"
#include "virtio-driver.h"
#include "virtio-state.h"

#define RECORD 16u
#define RECORDS_MAX 120u
#define MEMORY (16u << 20)
#define HEAP 0x1000u
#define HEAP_SIZE 0x200000u
/* What is sent: everybody's; a guest may send the same memory twice. */
#define PAYLOAD 0x200000u
#define SLOTS 0x300000u
#define SLOT_SIZE 0x12000u
#define RING 32u
#define PAIRS_MAX 3u
#define QUEUES_MAX (2 * PAIRS_MAX + 1)
#define HEADER sizeof (VmmNetHeader)

#define F_GUEST_CSUM (UINT64_C (1) << 1)
#define F_GUEST_ECN (UINT64_C (1) << 9)
#define F_MRG_RXBUF (UINT64_C (1) << 15)
#define F_CTRL_VQ (UINT64_C (1) << 17)
#define F_MQ (UINT64_C (1) << 22)
/* Not those of rings, which are the queues' drivers' to choose. */
#define F_OWN (~(UINT64_C (0x1fff) << 28))

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t len);

typedef struct {
    VmmVirtqDriver *driver;
    uint8_t slot_of[RING]; /* by the chain's id */
    bool taken[RING];
} Queue;

typedef struct {
    VmmGuestMemory *memory;
    VmmLoop *loop;
    FakeNet *net;
    VmmVirtioDevice *device;
    VmmVirtqHeap heap;
    Queue queues[QUEUES_MAX];
    unsigned n_pairs;
    uint32_t offloads;
    bool polled;
    uint64_t features;
    uint64_t wanted; /* that the driver asks for when it is started again */
    bool guilty;     /* the driver did what a card may answer with NEEDS_RESET */
    uint32_t next_name;
    uint8_t frame[HEADER + VMM_NET_FRAME_MAX];
} Fuzz;

static unsigned
n_queues (const Fuzz *fuzz)
{
    return 2 * fuzz->n_pairs + 1;
}

static unsigned
usable_pairs (const Fuzz *fuzz)
{
    return (fuzz->features & F_MQ) != 0 ? fuzz->n_pairs : 1;
}

static VmmVirtioDevice *
make_card (Fuzz *fuzz, FakeNet *net)
{
    const VmmVirtioNetConfig config = {{0x52, 0x54, 0, 0, 0, 1}, 1400};
    VmmVirtioEnv env = {.memory = fuzz->memory, .loop = fuzz->loop, .name = "net0"};

    return vmm_virtio_net_new (&env, &net->net, &config);
}

static FakeNet *
make_net (const Fuzz *fuzz)
{
    return fake_net_new (fuzz->loop, fuzz->n_pairs, fuzz->offloads, fuzz->polled);
}

static void
check_net (const FakeNet *net)
{
    if (net->wrong != NULL) {
        g_printerr ("the card did wrong: %s\n", net->wrong);
        __builtin_trap ();
    }
}

static bool
bring_up (Fuzz *fuzz, uint64_t features)
{
    if (!vmm_virtio_driver_negotiate (fuzz->device, features))
        return false;
    fuzz->features = vmm_virtio_device_accepted (fuzz->device, 0) |
                     (uint64_t)vmm_virtio_device_accepted (fuzz->device, 1) << 32;
    for (unsigned i = 0; i < n_queues (fuzz); i++) {
        vmm_virtq_driver_reset (fuzz->queues[i].driver);
        memset (fuzz->queues[i].taken, 0, sizeof fuzz->queues[i].taken);
        vmm_virtio_driver_set_queue (fuzz->device, i, fuzz->queues[i].driver);
    }
    fuzz->guilty = false;
    return vmm_virtio_driver_start (fuzz->device);
}

/* A choice that section 5.1.3.1 forbids is refused; then the driver takes nothing of the card's own. */
static void
restart (Fuzz *fuzz)
{
    uint64_t ring = vmm_virtq_driver_features (fuzz->queues[0].driver);

    if (bring_up (fuzz, ring | (fuzz->wanted & F_OWN)))
        return;
    fuzz->net->refuses = false;
    if (!bring_up (fuzz, ring))
        __builtin_trap ();
}

static uint64_t
slot_gpa (unsigned queue, unsigned slot)
{
    return SLOTS + ((uint64_t)(queue / 2) * RING + slot) * SLOT_SIZE + (queue % 2 == 0 ? 0 : SLOT_SIZE - 64);
}

static unsigned
find_slot (const Queue *queue)
{
    unsigned slot = 0;

    while (slot < RING && queue->taken[slot])
        slot++;
    return slot;
}

/* A chain that takes one of the queue's slots. */
static void
add (Fuzz *fuzz, unsigned index, unsigned slot, const VmmVirtqSegment *out, unsigned n_out,
     const VmmVirtqSegment *in, unsigned n_in)
{
    Queue *queue = &fuzz->queues[index];
    int id = vmm_virtq_driver_add (queue->driver, out, n_out, in, n_in);

    if (id < 0)
        return;
    queue->slot_of[id] = (uint8_t)slot;
    queue->taken[slot] = true;
}

static void
notify (Fuzz *fuzz, unsigned index)
{
    vmm_virtq_driver_publish (fuzz->queues[index].driver);
    vmm_virtio_device_notify (fuzz->device, index);
    fake_net_settle (fuzz->net);
}

static uint16_t
u16_of (const uint8_t *record)
{
    return (uint16_t)(record[0] | record[1] << 8);
}

static VmmNetHeader
header_of (const uint8_t *record)
{
    static const uint8_t types[] = {VMM_NET_GSO_NONE, VMM_NET_GSO_NONE, VMM_NET_GSO_TCPV4, VMM_NET_GSO_TCPV6,
                                    VMM_NET_GSO_UDP_L4};

    return (VmmNetHeader){
        .flags = record[0] & 0x80 ? record[0] : record[0] & 3,
        .gso_type =
            record[1] & 0x40 ? record[1] : (uint8_t)(types[record[1] % sizeof types] | (record[1] & 0x80)),
        .hdr_len = record[2],
        .gso_size = (uint16_t)(record[3] << 4),
        .csum_start = record[4] & 0x80 ? (uint16_t)(record[4] << 8) : record[4],
        .csum_offset = record[5],
        .num_buffers = record[6],
    };
}

/* A frame's length, seldom one that no frame has. */
static uint32_t
len_of (const uint8_t *record)
{
    uint16_t len = u16_of (record);

    return len % 8 == 0 ? VMM_NET_FRAME_MAX - 8 + len / 8 % 16 : len % 8 == 1 ? len : len % 2000;
}

static void
play_send (Fuzz *fuzz, const uint8_t *record)
{
    unsigned index = 2 * (record[1] % usable_pairs (fuzz)) + 1;
    unsigned slot = find_slot (&fuzz->queues[index]);
    VmmNetHeader header = header_of (record + 2);
    uint32_t len = len_of (record + 10);
    uint32_t cut = record[12] % 2 == 0 ? 0 : MIN (record[13] * 64u, len);
    VmmVirtqSegment out[4];
    unsigned n = 0;

    if (slot == RING)
        return;
    memcpy (vmm_guest_memory_ptr (fuzz->memory, slot_gpa (index, slot), HEADER), &header, HEADER);
    if (record[12] % 4 == 3) {
        out[n++] = (VmmVirtqSegment){slot_gpa (index, slot), 5};
        out[n++] = (VmmVirtqSegment){slot_gpa (index, slot) + 5, HEADER - 5};
    } else {
        out[n++] = (VmmVirtqSegment){slot_gpa (index, slot), HEADER};
    }
    if (cut > 0)
        out[n++] = (VmmVirtqSegment){PAYLOAD, cut};
    if (len > cut)
        out[n++] = (VmmVirtqSegment){PAYLOAD + cut, len - cut};
    add (fuzz, index, slot, out, n, NULL, 0);
    if (record[14] % 4 != 0)
        notify (fuzz, index);
}

static void
play_buffers (Fuzz *fuzz, const uint8_t *record)
{
    unsigned index = 2 * (record[1] % usable_pairs (fuzz));

    for (unsigned i = 0; i <= record[2] % 16u; i++) {
        unsigned slot = find_slot (&fuzz->queues[index]);
        uint32_t len = record[3] % 4 == 0 ? 65600u : HEADER + 1 + u16_of (record + 4) % 4000u;
        uint32_t cut = record[6] % 3 == 0 ? 0 : MIN (record[7] + 1u, len - 1);
        VmmVirtqSegment in[2] = {{slot_gpa (index, slot), len - cut},
                                 {slot_gpa (index, slot) + len - cut, cut}};

        if (slot == RING)
            break;
        add (fuzz, index, slot, NULL, 0, in, cut > 0 ? 2 : 1);
    }
    if (record[14] % 4 != 0)
        notify (fuzz, index);
}

/* What is no command, too. */
static void
play_command (Fuzz *fuzz, const uint8_t *record)
{
    unsigned index = 2 * usable_pairs (fuzz);
    unsigned slot = find_slot (&fuzz->queues[index]);
    uint64_t gpa = slot_gpa (0, 0) - 0x10000 + slot * 64;
    uint32_t len = 2 + record[1] % 11u;
    VmmVirtqSegment out[2] = {{gpa, 1}, {gpa + 1, len - 1}};
    VmmVirtqSegment in = {gpa + 32, 1};

    if (slot == RING)
        return;
    memcpy (vmm_guest_memory_ptr (fuzz->memory, gpa, len), record + 2, len);
    add (fuzz, index, slot, out, 2, &in, 1);
    notify (fuzz, index);
}

/* A chain of any form for any queue. */
static void
play_chain (Fuzz *fuzz, const uint8_t *record)
{
    unsigned index = record[1] % n_queues (fuzz);
    unsigned slot = find_slot (&fuzz->queues[index]);
    unsigned n_out = record[2] % 4, n_in = record[3] % 4, room = 0;
    unsigned control = 2 * usable_pairs (fuzz);
    VmmVirtqSegment out[3], in[3];

    if (n_out + n_in == 0 || slot == RING)
        return;
    for (unsigned i = 0; i < 3; i++) {
        out[i] = (VmmVirtqSegment){PAYLOAD, record[4 + i]};
        in[i] = (VmmVirtqSegment){PAYLOAD + 0x20000, record[7 + i]};
    }
    for (unsigned i = 0; i < n_in; i++)
        room += record[7 + i];
    /* Frames in it are seen by nobody, and an answer needs room. */
    if (index % 2 == 0 && (index < control || room == 0))
        fuzz->guilty = true;
    add (fuzz, index, slot, out, n_out, in, n_in);
    notify (fuzz, index);
}

static void
play_bad (Fuzz *fuzz, const uint8_t *record)
{
    unsigned index = record[1] % n_queues (fuzz);

    fuzz->guilty = true;
    if (vmm_virtq_driver_play_bad (fuzz->queues[index].driver, record[2] % VMM_VIRTQ_BAD_LAST))
        notify (fuzz, index);
    fake_net_give (fuzz->net, index / 2 % fuzz->n_pairs, (VmmNetHeader){0}, 0, 60);
    restart (fuzz);
}

static void
play_network (Fuzz *fuzz, const uint8_t *record)
{
    unsigned pair = record[2] % fuzz->n_pairs;

    switch (record[1] % 8) {
    case 0:
        fake_net_set_full (fuzz->net, pair, record[3] & 1);
        break;
    case 1:
        fake_net_set_link (fuzz->net, record[3] & 1);
        break;
    case 2:
        fuzz->net->refuses = record[3] % 4 == 0;
        break;
    default:
        for (unsigned i = 0; i <= record[3] % 4u; i++)
            fake_net_give (fuzz->net, pair, header_of (record + 4), fuzz->next_name++,
                           CLAMP (len_of (record + 12), FAKE_NET_NAMED_MIN, VMM_NET_FRAME_MAX));
    }
}

static void
play_queue_reset (Fuzz *fuzz, const uint8_t *record)
{
    unsigned index = record[1] % n_queues (fuzz);
    Queue *queue = &fuzz->queues[index];

    vmm_virtio_device_reset_queue (fuzz->device, index);
    vmm_virtq_driver_reset (queue->driver);
    memset (queue->taken, 0, sizeof queue->taken);
    vmm_virtio_driver_set_queue (fuzz->device, index, queue->driver);
}

/* Another card goes on where this one is, and the guest notices nothing. */
static void
play_move (Fuzz *fuzz)
{
    g_autoptr (GBytes) state = vmm_virtio_state_save (fuzz->device);
    FakeNet *net = make_net (fuzz);
    VmmVirtioDevice *device = make_card (fuzz, net);

    check_net (fuzz->net);
    vmm_virtio_device_free (fuzz->device);
    fake_net_free (fuzz->net);
    fuzz->device = device;
    fuzz->net = net;
    if (!vmm_virtio_state_load (device, state))
        __builtin_trap ();
    fake_net_settle (net);
}

/* A card is loaded with what no card has saved. Whatever comes of it, it goes away again. */
static void
play_load (Fuzz *fuzz, const uint8_t *record)
{
    g_autoptr (GBytes) state = vmm_virtio_state_save (fuzz->device);
    g_autoptr (GBytes) bad = vmm_virtio_state_spoil (state, record);
    FakeNet *net = make_net (fuzz);
    VmmVirtioDevice *device = make_card (fuzz, net);

    fake_net_give (net, 0, header_of (record + 4), 1, 100);
    if (vmm_virtio_state_load (device, bad)) {
        for (unsigned i = 0; i < n_queues (fuzz); i++)
            vmm_virtio_device_notify (device, i);
        fake_net_settle (net);
        vmm_virtio_device_config_read (device, 0, 8);
        /* And it may be asked to begin from the beginning. */
        if (!vmm_virtio_driver_negotiate (device, vmm_virtq_driver_features (fuzz->queues[0].driver)))
            __builtin_trap ();
    }
    check_net (net);
    vmm_virtio_device_free (device);
    fake_net_free (net);
    restart (fuzz);
    vmm_virtio_device_resume (fuzz->device);
}

static void
play_machine (Fuzz *fuzz, const uint8_t *record)
{
    switch (record[1] % 8) {
    case 0:
        memcpy (&fuzz->wanted, record + 2, sizeof fuzz->wanted);
        restart (fuzz);
        break;
    case 1:
        fuzz->wanted = ~(UINT64_C (1) << record[2] % 64);
        restart (fuzz);
        break;
    case 2:
        play_move (fuzz);
        break;
    case 3:
        play_load (fuzz, record);
        break;
    case 4:
        play_queue_reset (fuzz, record + 1);
        break;
    case 5:
        vmm_virtio_device_config_write (fuzz->device, record[2], 1u << record[3] % 4, record[4]);
        vmm_virtio_device_config_read (fuzz->device, record[2] % 20, 1u << record[3] % 4);
        break;
    case 6:
        vmm_virtio_device_set_status (fuzz->device, record[2] | 1);
        break;
    default:
        vmm_virtio_device_pause (fuzz->device);
        fake_net_give (fuzz->net, 0, (VmmNetHeader){0}, fuzz->next_name++, 60);
        vmm_virtio_device_resume (fuzz->device);
    }
}

/* Section 5.1.6.4.1: what the driver has not negotiated it does not see. */
static void
check_header (const Fuzz *fuzz, const VmmNetHeader *header)
{
    const VmmNetHeader plain = {.num_buffers = header->num_buffers};

    if (header->num_buffers == 0 || ((fuzz->features & F_MRG_RXBUF) == 0 && header->num_buffers != 1) ||
        ((fuzz->features & F_GUEST_CSUM) == 0 && memcmp (header, &plain, sizeof plain) != 0) ||
        ((fuzz->features & F_GUEST_ECN) == 0 && (header->gso_type & VMM_NET_GSO_ECN) != 0))
        __builtin_trap ();
}

/* The frames that came in on a queue: all that is shown belongs to whole ones. */
static void
collect_frames (Fuzz *fuzz, unsigned index)
{
    uint8_t *frame = fuzz->frame;
    Queue *queue = &fuzz->queues[index];
    unsigned buffers_left = 0;
    uint32_t len, total = 0, name;
    int id;

    while (vmm_virtq_driver_poll_used (queue->driver, &id, &len)) {
        uint64_t gpa = slot_gpa (index, queue->slot_of[id]);

        queue->taken[queue->slot_of[id]] = false;
        if (fuzz->guilty)
            continue;
        if (len == 0 || len > sizeof fuzz->frame - total)
            __builtin_trap ();
        memcpy (frame + total, vmm_guest_memory_ptr (fuzz->memory, gpa, len), len);
        total += len;
        if (buffers_left == 0) {
            VmmNetHeader header;

            memcpy (&header, frame, sizeof header);
            check_header (fuzz, &header);
            buffers_left = header.num_buffers;
        }
        if (--buffers_left > 0)
            continue;
        if (!fake_net_is_whole (frame + HEADER, total - HEADER, &name))
            __builtin_trap ();
        total = 0;
    }
    if (buffers_left > 0)
        __builtin_trap ();
}

static void
collect (Fuzz *fuzz)
{
    int id;

    for (unsigned i = 0; i < n_queues (fuzz); i++) {
        Queue *queue = &fuzz->queues[i];

        if (i % 2 == 0 && i < 2 * usable_pairs (fuzz)) {
            collect_frames (fuzz, i);
            continue;
        }
        while (vmm_virtq_driver_poll_used (queue->driver, &id, NULL))
            queue->taken[queue->slot_of[id]] = false;
    }
}

static void
check (Fuzz *fuzz)
{
    uint8_t status = vmm_virtio_device_status (fuzz->device);

    fake_net_settle (fuzz->net);
    check_net (fuzz->net);
    if ((status & VMM_VIRTIO_STATUS_NEEDS_RESET) != 0 && !fuzz->guilty)
        __builtin_trap ();
    if ((status & VMM_VIRTIO_STATUS_NEEDS_RESET) != 0)
        restart (fuzz);
    else
        collect (fuzz);
}

static void
step (Fuzz *fuzz, const uint8_t *record)
{
    static void (*const plays[]) (Fuzz * fuzz, const uint8_t *record) = {
        play_send,    play_send,    play_buffers, play_buffers, play_network, play_network,
        play_network, play_command, play_chain,   play_bad,     play_machine, play_machine,
    };

    plays[record[0] % G_N_ELEMENTS (plays)](fuzz, record);
    check (fuzz);
}

/* Once the network takes frames again nothing of the guest's is left lying, whatever was before. */
static void
check_drained (Fuzz *fuzz)
{
    for (unsigned i = 0; i < fuzz->n_pairs; i++)
        fake_net_set_full (fuzz->net, i, false);
    for (unsigned i = 0; i <= 2 * usable_pairs (fuzz); i++) {
        if (i % 2 == 0 && i < 2 * usable_pairs (fuzz))
            continue;
        notify (fuzz, i);
    }
    check (fuzz);
    for (unsigned i = 1; i <= 2 * usable_pairs (fuzz); i += 2) {
        if (vmm_virtq_driver_in_flight (fuzz->queues[i].driver) > 0)
            __builtin_trap ();
    }
    if (vmm_virtq_driver_in_flight (fuzz->queues[2 * usable_pairs (fuzz)].driver) > 0)
        __builtin_trap ();
}

static void
check_honest (Fuzz *fuzz)
{
    static const uint8_t buffers[RECORD] = {[1] = 0, [2] = 1, [14] = 1};
    static const uint8_t frame[RECORD] = {[10] = 66, [14] = 1};
    unsigned n_sent, n_received;

    fuzz->wanted = F_MRG_RXBUF | F_CTRL_VQ;
    restart (fuzz);
    n_sent = fuzz->net->n_sent;
    n_received = fuzz->net->n_received;
    play_buffers (fuzz, buffers);
    fake_net_give (fuzz->net, 0, (VmmNetHeader){0}, 1, 60);
    play_send (fuzz, frame);
    check (fuzz);
    if (fuzz->net->n_sent != n_sent + 1 || fuzz->net->n_received == n_received)
        __builtin_trap ();
}

static void
set_up (Fuzz *fuzz, const uint8_t *head)
{
    fuzz->memory = vmm_virtq_memory_new (MEMORY);
    fuzz->loop = vmm_loop_new ("fuzz", NULL);
    fuzz->n_pairs = head[1] % PAIRS_MAX + 1;
    fuzz->offloads = head[2];
    fuzz->polled = head[3] & 1;
    fuzz->wanted = UINT64_MAX;
    fuzz->net = make_net (fuzz);
    fuzz->device = make_card (fuzz, fuzz->net);
    vmm_virtq_heap_init (&fuzz->heap, fuzz->memory, HEAP, HEAP_SIZE - HEAP);
    for (unsigned i = 0; i < n_queues (fuzz); i++)
        fuzz->queues[i].driver = vmm_virtq_driver_new (&fuzz->heap, RING, head[0] % 16);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t len)
{
    Fuzz fuzz = {0};

    if (len < 4)
        return 0;
    set_up (&fuzz, data);
    restart (&fuzz);
    for (size_t i = 4; i + RECORD <= len && i < RECORD * RECORDS_MAX; i += RECORD)
        step (&fuzz, data + i);
    check_drained (&fuzz);
    check_honest (&fuzz);
    vmm_virtio_device_free (fuzz.device);
    fake_net_free (fuzz.net);
    for (unsigned i = 0; i < n_queues (&fuzz); i++)
        vmm_virtq_driver_free (fuzz.queues[i].driver);
    vmm_loop_free (fuzz.loop);
    vmm_guest_memory_free (fuzz.memory);
    return 0;
}
