/* SPDX-License-Identifier: Apache-2.0 */
/* Two network cards with a wire between them, each with a driver of its own. */
#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <string.h>

#include "devices/net/socket.h"
#include "devices/virtio/net.h"
#include "virtio-driver.h"

#define MIB (1u << 20)
#define HEADER sizeof (VmmNetHeader)
#define F_CSUM (UINT64_C (1) << 0)
#define F_HOST_TSO4 (UINT64_C (1) << 11)
#define F_MRG_RXBUF (UINT64_C (1) << 15)
#define F_CTRL_VQ (UINT64_C (1) << 17)
#define F_CTRL_MAC_ADDR (UINT64_C (1) << 23)

enum { RX, TX, CTRL, N };

typedef struct {
    VmmNet *net;
    VmmGuestMemory *memory;
    VmmLoop *loop;
    VmmVirtioDevice *device;
    VmmVirtqHeap heap;
    VmmVirtqDriver *queues[N];
} Card;

typedef struct {
    char *folder;
    Card a;
    Card b;
} Wire;

static void
plug (Card *card, VmmNetSocketRole role, const char *path, uint64_t features)
{
    const VmmVirtioNetConfig config = {{0x52, 0x54, 0, 0, 0, (uint8_t)role}, 0};
    VmmVirtioEnv env;

    card->net = vmm_net_socket_open (role, path, NULL);
    cr_assert_not_null (card->net);
    card->memory = vmm_virtq_memory_new (8 * MIB);
    card->loop = vmm_loop_new ("net", NULL);
    env = (VmmVirtioEnv){.memory = card->memory, .loop = card->loop, .name = "net0"};
    card->device = vmm_virtio_net_new (&env, card->net, &config);
    vmm_virtq_heap_init (&card->heap, card->memory, 0x1000, 7 * MIB);
    for (unsigned i = 0; i < N; i++)
        card->queues[i] = vmm_virtq_driver_new (&card->heap, 64, 0);
    cr_assert (
        vmm_virtio_driver_negotiate (card->device, vmm_virtq_driver_features (card->queues[0]) | features));
    for (unsigned i = 0; i < N; i++)
        vmm_virtio_driver_set_queue (card->device, i, card->queues[i]);
    cr_assert (vmm_virtio_driver_start (card->device));
}

static void
unplug (Card *card)
{
    vmm_virtio_device_set_status (card->device, 0);
    vmm_virtio_device_free (card->device);
    for (unsigned i = 0; i < N; i++)
        vmm_virtq_driver_free (card->queues[i]);
    vmm_loop_free (card->loop);
    vmm_net_free (card->net);
    vmm_guest_memory_free (card->memory);
}

static Wire
set_up (uint64_t features)
{
    Wire wire = {.folder = g_dir_make_tmp ("vmm-net-XXXXXX", NULL)};
    g_autofree char *path = g_build_filename (wire.folder, "wire", NULL);

    plug (&wire.a, VMM_NET_SOCKET_LISTEN, path, features);
    plug (&wire.b, VMM_NET_SOCKET_CONNECT, path, features);
    return wire;
}

static void
tear_down (Wire *wire)
{
    g_autofree char *path = g_build_filename (wire->folder, "wire", NULL);

    unplug (&wire->b);
    unplug (&wire->a);
    g_unlink (path);
    cr_assert_eq (g_rmdir (wire->folder), 0, "something stayed in the folder");
    g_free (wire->folder);
}

static bool
wait_used (Card *card, unsigned queue, uint32_t *ret_len)
{
    gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

    while (g_get_monotonic_time () < end) {
        if (vmm_virtq_driver_poll_used (card->queues[queue], NULL, ret_len))
            return true;
        g_usleep (100);
    }
    return false;
}

static void
kick (Card *card, unsigned queue)
{
    vmm_virtq_driver_publish (card->queues[queue]);
    vmm_virtio_device_notify (card->device, queue);
}

/* A frame behind @header, whose bytes count up; it is used when this returns. */
static void
send_frame (Card *card, VmmNetHeader header, uint32_t len)
{
    g_autofree uint8_t *bytes = g_malloc (HEADER + len);
    VmmVirtqSegment out;

    memcpy (bytes, &header, HEADER);
    for (uint32_t i = 0; i < len; i++)
        bytes[HEADER + i] = (uint8_t)i;
    out = vmm_virtq_heap_put (&card->heap, bytes, (uint32_t)HEADER + len);
    cr_assert (vmm_virtq_driver_add (card->queues[TX], &out, 1, NULL, 0) >= 0);
    kick (card, TX);
    cr_assert (wait_used (card, TX, NULL));
}

static VmmVirtqSegment
give_buffer (Card *card, uint32_t len)
{
    VmmVirtqSegment in = vmm_virtq_heap_alloc (&card->heap, len);

    cr_assert (vmm_virtq_driver_add (card->queues[RX], NULL, 0, &in, 1) >= 0);
    return in;
}

static void
wait_link (Wire *wire)
{
    gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

    while (!(vmm_net_link_is_up (wire->a.net) && vmm_net_link_is_up (wire->b.net))) {
        cr_assert_lt (g_get_monotonic_time (), end, "the ends of the wire did not meet");
        g_usleep (100);
    }
}

Test (net, a_frame_arrives_whole)
{
    Wire wire = set_up (0);
    VmmVirtqSegment in = give_buffer (&wire.b, 2048);
    const uint8_t *bytes;
    uint32_t len;

    kick (&wire.b, RX);
    wait_link (&wire);
    send_frame (&wire.a, (VmmNetHeader){0}, 200);
    cr_assert (wait_used (&wire.b, RX, &len));
    cr_assert_eq (len, HEADER + 200);
    bytes = vmm_virtq_heap_bytes (&wire.b.heap, in);
    cr_assert_eq (((const VmmNetHeader *)(const void *)bytes)->num_buffers, 1);
    for (unsigned i = 0; i < 200; i++)
        cr_assert_eq (bytes[HEADER + i], (uint8_t)i);
    tear_down (&wire);
}

Test (net, a_frame_is_spread_over_small_buffers)
{
    Wire wire = set_up (F_MRG_RXBUF);
    VmmVirtqSegment in[40];
    uint32_t total = 0, len;
    unsigned n = 0;
    VmmNetHeader header;

    for (unsigned i = 0; i < G_N_ELEMENTS (in); i++)
        in[i] = give_buffer (&wire.b, 100);
    kick (&wire.b, RX);
    wait_link (&wire);
    send_frame (&wire.a, (VmmNetHeader){0}, 1000);
    for (; total < HEADER + 1000; n++) {
        const uint8_t *bytes = vmm_virtq_heap_bytes (&wire.b.heap, in[n]);

        cr_assert (wait_used (&wire.b, RX, &len));
        for (uint32_t i = n == 0 ? HEADER : 0; i < len; i++)
            cr_assert_eq (bytes[i], (uint8_t)(total + i - HEADER));
        total += len;
    }
    cr_assert_eq (total, HEADER + 1000);
    memcpy (&header, vmm_virtq_heap_bytes (&wire.b.heap, in[0]), sizeof header);
    cr_assert_eq (header.num_buffers, n);
    tear_down (&wire);
}

/* Only the last of them is a frame: it is the one that arrives. */
Test (net, what_is_no_frame_is_not_sent)
{
    Wire wire = set_up (0);
    uint32_t len;

    give_buffer (&wire.b, 2048);
    kick (&wire.b, RX);
    wait_link (&wire);
    send_frame (&wire.a, (VmmNetHeader){0}, 0);
    send_frame (&wire.a, (VmmNetHeader){0}, VMM_NET_FRAME_MIN - 1);
    send_frame (&wire.a, (VmmNetHeader){0}, VMM_NET_FRAME_MAX + 1);
    send_frame (&wire.a, (VmmNetHeader){.flags = VMM_NET_HDR_NEEDS_CSUM}, 100);
    send_frame (&wire.a, (VmmNetHeader){.gso_type = VMM_NET_GSO_TCPV4, .gso_size = 100}, 101);
    send_frame (&wire.a, (VmmNetHeader){0}, 77);
    cr_assert (wait_used (&wire.b, RX, &len));
    cr_assert_eq (len, HEADER + 77);
    tear_down (&wire);
}

Test (net, a_buffer_without_room_breaks_the_queue)
{
    Wire wire = set_up (0);
    gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

    give_buffer (&wire.b, HEADER);
    kick (&wire.b, RX);
    wait_link (&wire);
    send_frame (&wire.a, (VmmNetHeader){0}, 60);
    while ((vmm_virtio_device_status (wire.b.device) & VMM_VIRTIO_STATUS_NEEDS_RESET) == 0) {
        cr_assert_lt (g_get_monotonic_time (), end);
        g_usleep (100);
    }
    tear_down (&wire);
}

static uint8_t
command (Card *card, const void *data, uint32_t len)
{
    VmmVirtqSegment out = vmm_virtq_heap_put (&card->heap, data, len);
    VmmVirtqSegment in = vmm_virtq_heap_alloc (&card->heap, 1);

    cr_assert (vmm_virtq_driver_add (card->queues[CTRL], &out, 1, &in, 1) >= 0);
    kick (card, CTRL);
    cr_assert (wait_used (card, CTRL, NULL));
    return *(const uint8_t *)vmm_virtq_heap_bytes (&card->heap, in);
}

Test (net, commands)
{
    static const uint8_t set_mac[] = {1, 1, 2, 3, 4, 5, 6, 7}, short_mac[] = {1, 1, 2, 3};
    static const uint8_t unknown[] = {77, 0, 1}, half[] = {1}, pairs[] = {4, 0, 2, 0};
    static const uint8_t promiscuous[] = {0, 0, 1}, table[] = {1, 0, 255, 255, 255, 255, 0, 0, 0, 0};
    Wire wire = set_up (F_CTRL_VQ | F_CTRL_MAC_ADDR | (UINT64_C (1) << 18));
    uint64_t mac = 0;

    /* With one pair the third queue is the control queue (section 5.1.2). */
    cr_assert_eq (command (&wire.a, set_mac, sizeof set_mac), 0);
    for (unsigned i = 0; i < VMM_VIRTIO_NET_MAC_SIZE; i++)
        mac |= (uint64_t)vmm_virtio_device_config_read (wire.a.device, i, 1) << (8 * i);
    cr_assert_eq (mac, UINT64_C (0x070605040302));
    cr_assert_eq (command (&wire.a, promiscuous, sizeof promiscuous), 0);
    cr_assert_eq (command (&wire.a, short_mac, sizeof short_mac), 1);
    cr_assert_eq (command (&wire.a, unknown, sizeof unknown), 1);
    cr_assert_eq (command (&wire.a, half, sizeof half), 1);
    cr_assert_eq (command (&wire.a, pairs, sizeof pairs), 1, "it has one pair");
    cr_assert_eq (command (&wire.a, table, sizeof table), 1, "the table is not there");
    tear_down (&wire);
}

Test (net, headers_that_lead_out_of_the_frame)
{
    const uint64_t all = F_CSUM | F_HOST_TSO4;
    VmmNetHeader header = {.flags = VMM_NET_HDR_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16};

    cr_assert (vmm_virtio_net_check_header (&header, 60, all));
    cr_assert_not (vmm_virtio_net_check_header (&header, 51, all));
    cr_assert_not (vmm_virtio_net_check_header (&header, 60, 0));
    header.csum_start = header.csum_offset = UINT16_MAX;
    cr_assert_not (vmm_virtio_net_check_header (&header, 60, all));
    header = (VmmNetHeader){.flags = VMM_NET_HDR_NEEDS_CSUM,
                            .gso_type = VMM_NET_GSO_TCPV4,
                            .gso_size = 1448,
                            .hdr_len = 54,
                            .csum_start = 34,
                            .csum_offset = 16};
    cr_assert (vmm_virtio_net_check_header (&header, 60000, all));
    cr_assert_not (vmm_virtio_net_check_header (&header, 60000, F_CSUM));
    header.gso_size = 0;
    cr_assert_not (vmm_virtio_net_check_header (&header, 60000, all));
}
