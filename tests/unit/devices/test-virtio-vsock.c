/* SPDX-License-Identifier: Apache-2.0 */
/* The socket device as a guest's driver meets it: its queues, its configuration, its end and its new
 * beginning. */
#include "devices/virtio/vsock.h"

#include "virtio-driver.h"
#include "vmm/core/unix-listener.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CID 33u
#define PORT 1024u
#define QUEUE_SIZE 64u
#define ROOM 4096u
#define WAIT_MS 5000

enum { RX, TX, EVENT, N_QUEUES };

typedef struct {
    VmmGuestMemory *memory;
    VmmVirtqHeap heap;
    VmmLoop *loop;
    VmmVirtioDevice *device;
    VmmVirtqDriver *queues[N_QUEUES];
    VmmVirtqSegment rooms[1024]; /* of buffers that were given to RX, by id */
    char *folder;
    char *path;
    VmmUnixListener listener; /* the device's */
    VmmUnixListener service;  /* where the guest connects to */
    VmmVsockHeader header;    /* the last packet from the device */
    uint8_t payload[ROOM];
} Rig;

static VmmVirtioDevice *
make_device (Rig *rig)
{
    VmmVirtioEnv env = {.memory = rig->memory, .loop = rig->loop, .name = "vsock0"};
    VmmVirtioDevice *device = vmm_virtio_vsock_new (&env, CID, rig->listener.fd, rig->path);

    cr_assert_not_null (device);
    return device;
}

static void
start (Rig *rig)
{
    cr_assert (vmm_virtio_driver_negotiate (rig->device, vmm_virtq_driver_features (rig->queues[0])));
    for (unsigned i = 0; i < N_QUEUES; i++)
        vmm_virtio_driver_set_queue (rig->device, i, rig->queues[i]);
    cr_assert (vmm_virtio_driver_start (rig->device));
}

static void
set_up (Rig *rig, unsigned flags)
{
    g_autofree char *service = NULL;

    memset (rig, 0, sizeof *rig);
    rig->memory = vmm_virtq_memory_new (16 << 20);
    vmm_virtq_heap_init (&rig->heap, rig->memory, 0x10000, 15 << 20);
    rig->loop = vmm_loop_new ("vsock", NULL);
    rig->folder = g_dir_make_tmp ("vsock-XXXXXX", NULL);
    rig->path = g_build_filename (rig->folder, "v", NULL);
    service = g_strdup_printf ("%s_%u", rig->path, PORT);
    cr_assert (vmm_unix_listener_open (&rig->listener, "vsock", rig->path, NULL));
    cr_assert (vmm_unix_listener_open (&rig->service, "vsock", service, NULL));
    for (unsigned i = 0; i < N_QUEUES; i++)
        rig->queues[i] = vmm_virtq_driver_new (&rig->heap, QUEUE_SIZE, flags);
    rig->device = make_device (rig);
    start (rig);
}

static void
tear_down (Rig *rig)
{
    vmm_virtio_device_free (rig->device);
    vmm_loop_free (rig->loop);
    for (unsigned i = 0; i < N_QUEUES; i++)
        vmm_virtq_driver_free (rig->queues[i]);
    vmm_unix_listener_close (&rig->listener);
    vmm_unix_listener_close (&rig->service);
    g_rmdir (rig->folder);
    g_free (rig->folder);
    g_free (rig->path);
    vmm_guest_memory_free (rig->memory);
}

static void
publish (Rig *rig, unsigned queue)
{
    if (vmm_virtq_driver_publish (rig->queues[queue]))
        vmm_virtio_device_notify (rig->device, queue);
}

/* Gives the device @n buffers, each in pieces that cut the header and the payload. */
static void
give_room (Rig *rig, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        VmmVirtqSegment room = vmm_virtq_heap_alloc (&rig->heap, ROOM);
        VmmVirtqSegment pieces[3] = {{room.gpa, 17}, {room.gpa + 17, 40}, {room.gpa + 57, ROOM - 57}};
        int id = vmm_virtq_driver_add (rig->queues[RX], NULL, 0, pieces, 3);

        cr_assert_geq (id, 0);
        rig->rooms[id] = room;
    }
    publish (rig, RX);
}

static bool
poll_used (Rig *rig, unsigned queue, int *ret_id, uint32_t *ret_len, int wait_ms)
{
    gint64 end = g_get_monotonic_time () + wait_ms * 1000;

    while (!vmm_virtq_driver_poll_used (rig->queues[queue], ret_id, ret_len)) {
        if (g_get_monotonic_time () >= end)
            return false;
        g_usleep (100);
    }
    return true;
}

static bool
receive (Rig *rig, int wait_ms)
{
    uint32_t len;
    uint8_t *bytes;
    int id;

    if (!poll_used (rig, RX, &id, &len, wait_ms))
        return false;
    bytes = vmm_virtq_heap_bytes (&rig->heap, rig->rooms[id]);
    vmm_vsock_header_decode (bytes, &rig->header);
    cr_assert_eq (len, VMM_VSOCK_HEADER_SIZE + rig->header.len);
    memcpy (rig->payload, bytes + VMM_VSOCK_HEADER_SIZE, rig->header.len);
    return true;
}

static void
expect (Rig *rig, uint16_t op)
{
    cr_assert (receive (rig, WAIT_MS), "no packet, and op %u is due", op);
    cr_assert_eq (rig->header.op, op, "op %u instead of %u", rig->header.op, op);
    cr_assert_eq (rig->header.dst_cid, CID);
}

static VmmVsockHeader
make_header (uint16_t op, uint32_t guest_port)
{
    return (VmmVsockHeader){.src_cid = CID,
                            .dst_cid = VMM_VSOCK_HOST_CID,
                            .src_port = guest_port,
                            .dst_port = PORT,
                            .type = VMM_VSOCK_TYPE_STREAM,
                            .op = op,
                            .buf_alloc = 65536};
}

static int
add_packet (Rig *rig, const VmmVsockHeader *header, const void *data, uint32_t len)
{
    uint8_t bytes[VMM_VSOCK_HEADER_SIZE];
    VmmVirtqSegment out[2];

    vmm_vsock_header_encode (header, bytes);
    out[0] = vmm_virtq_heap_put (&rig->heap, bytes, sizeof bytes);
    if (len > 0)
        out[1] = vmm_virtq_heap_put (&rig->heap, data, len);
    return vmm_virtq_driver_add (rig->queues[TX], out, len > 0 ? 2 : 1, NULL, 0);
}

static void
send_packet (Rig *rig, const VmmVsockHeader *header, const void *data, uint32_t len)
{
    uint32_t used;
    int id;

    cr_assert_geq (add_packet (rig, header, data, len), 0);
    publish (rig, TX);
    cr_assert (poll_used (rig, TX, &id, &used, WAIT_MS), "the packet is not taken");
    cr_assert_eq (used, 0);
}

static void
send_op (Rig *rig, uint16_t op, uint32_t guest_port)
{
    VmmVsockHeader header = make_header (op, guest_port);

    send_packet (rig, &header, NULL, 0);
}

static void
send_data (Rig *rig, uint32_t guest_port, const char *text)
{
    VmmVsockHeader header = make_header (VMM_VSOCK_OP_RW, guest_port);

    header.len = (uint32_t)strlen (text);
    send_packet (rig, &header, text, header.len);
}

static int
connect_guest (Rig *rig, uint32_t guest_port)
{
    send_op (rig, VMM_VSOCK_OP_REQUEST, guest_port);
    expect (rig, VMM_VSOCK_OP_RESPONSE);
    return accept (rig->service.fd, NULL, NULL);
}

static void
expect_read (int fd, const char *text)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    char buf[256] = "";

    cr_assert_eq (poll (&pfd, 1, WAIT_MS), 1, "nothing comes");
    cr_assert_geq (read (fd, buf, sizeof buf - 1), 0);
    cr_assert_str_eq (buf, text);
}

static bool
needs_reset (Rig *rig)
{
    for (unsigned i = 0; i < WAIT_MS; i++) {
        if (vmm_virtio_device_status (rig->device) & VMM_VIRTIO_STATUS_NEEDS_RESET)
            return true;
        g_usleep (1000);
    }
    return false;
}

ParameterizedTestParameters (vsock, packets_go_through_queues_of_every_kind)
{
    static unsigned flags[] = {0, VMM_VIRTQ_EVENT_IDX | VMM_VIRTQ_INDIRECT, VMM_VIRTQ_PACKED,
                               VMM_VIRTQ_PACKED | VMM_VIRTQ_EVENT_IDX | VMM_VIRTQ_INDIRECT};

    return cr_make_param_array (unsigned, flags, G_N_ELEMENTS (flags));
}

ParameterizedTest (unsigned *flags, vsock, packets_go_through_queues_of_every_kind)
{
    Rig rig;
    int fd;

    set_up (&rig, *flags);
    give_room (&rig, 16);
    fd = connect_guest (&rig, 9);
    for (unsigned i = 0; i < 100; i++) {
        send_data (&rig, 9, "ping");
        expect_read (fd, "ping");
        cr_assert_eq (write (fd, "pong!", 5), 5);
        give_room (&rig, 1);
        expect (&rig, VMM_VSOCK_OP_RW);
        cr_assert_eq (rig.header.len, 5);
        cr_assert_arr_eq (rig.payload, "pong!", 5);
    }
    close (fd);
    tear_down (&rig);
}

Test (vsock, configuration_and_features)
{
    Rig rig;

    set_up (&rig, 0);
    cr_assert_eq (vmm_virtio_device_config_read (rig.device, 0, 8), CID);
    cr_assert_eq (vmm_virtio_device_config_read (rig.device, 0, 4), CID);
    cr_assert_eq (vmm_virtio_device_config_read (rig.device, 4, 4), 0);
    cr_assert_eq (vmm_virtio_device_offered (rig.device, 0) & 3u, 1u, "STREAM, and not SEQPACKET");
    cr_assert_eq (vmm_virtio_device_id (rig.device), 19);
    tear_down (&rig);
}

Test (vsock, what_finds_no_buffer_waits)
{
    Rig rig;
    int fd;

    set_up (&rig, 0);
    give_room (&rig, 1);
    fd = connect_guest (&rig, 1);
    cr_assert_eq (write (fd, "patience", 8), 8);
    cr_assert_not (receive (&rig, 30));
    give_room (&rig, 1);
    expect (&rig, VMM_VSOCK_OP_RW);
    cr_assert_arr_eq (rig.payload, "patience", 8);
    close (fd);
    tear_down (&rig);
}

Test (vsock, a_buffer_without_room_for_a_packet_breaks_the_device)
{
    Rig rig;
    VmmVirtqSegment room;

    set_up (&rig, 0);
    room = vmm_virtq_heap_alloc (&rig.heap, VMM_VSOCK_HEADER_SIZE);
    cr_assert_geq (vmm_virtq_driver_add (rig.queues[RX], NULL, 0, &room, 1), 0);
    publish (&rig, RX);
    send_op (&rig, VMM_VSOCK_OP_RW, 1);
    cr_assert (needs_reset (&rig));
    tear_down (&rig);
}

Test (vsock, half_a_header_is_taken_and_forgotten)
{
    Rig rig;
    VmmVirtqSegment half;
    uint32_t len;
    int id;

    set_up (&rig, 0);
    give_room (&rig, 4);
    half = vmm_virtq_heap_alloc (&rig.heap, VMM_VSOCK_HEADER_SIZE - 1);
    cr_assert_geq (vmm_virtq_driver_add (rig.queues[TX], &half, 1, NULL, 0), 0);
    publish (&rig, TX);
    cr_assert (poll_used (&rig, TX, &id, &len, WAIT_MS));
    cr_assert_not (receive (&rig, 20));
    close (connect_guest (&rig, 1));
    tear_down (&rig);
}

Test (vsock, a_packet_that_promises_more_than_it_has_resets_its_connection)
{
    Rig rig;
    VmmVsockHeader header = make_header (VMM_VSOCK_OP_RW, 1);
    int fd;

    set_up (&rig, 0);
    give_room (&rig, 8);
    fd = connect_guest (&rig, 1);
    header.len = 100;
    send_packet (&rig, &header, "short", 5);
    expect (&rig, VMM_VSOCK_OP_RST);
    expect_read (fd, "");
    close (fd);
    tear_down (&rig);
}

Test (vsock, replies_that_have_no_place_make_the_guest_wait_and_then_come)
{
    Rig rig;
    uint32_t len;
    unsigned sent = 0;
    unsigned replies = 0;
    int id;

    set_up (&rig, 0);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < QUEUE_SIZE; i++) {
            VmmVsockHeader header = make_header (VMM_VSOCK_OP_RW, i);

            if (add_packet (&rig, &header, NULL, 0) >= 0)
                sent++;
        }
        publish (&rig, TX);
        while (poll_used (&rig, TX, &id, &len, 10))
            ;
    }
    cr_assert_lt (sent, 20 * QUEUE_SIZE, "the device keeps any number of replies");
    cr_assert_gt (vmm_virtq_driver_in_flight (rig.queues[TX]), 0);
    while (replies < sent) {
        give_room (&rig, 16);
        for (unsigned i = 0; i < 16 && replies < sent; i++, replies++)
            expect (&rig, VMM_VSOCK_OP_RST);
    }
    cr_assert_not (receive (&rig, 20));
    tear_down (&rig);
}

Test (vsock, a_reset_ends_all_connections_and_the_next_driver_begins_anew)
{
    Rig rig;
    int fd;

    set_up (&rig, 0);
    give_room (&rig, 8);
    fd = connect_guest (&rig, 1);
    vmm_virtio_device_set_status (rig.device, 0);
    expect_read (fd, "");
    close (fd);
    for (unsigned i = 0; i < N_QUEUES; i++)
        vmm_virtq_driver_reset (rig.queues[i]);
    start (&rig);
    give_room (&rig, 8);
    fd = connect_guest (&rig, 1);
    send_data (&rig, 1, "again");
    expect_read (fd, "again");
    close (fd);
    tear_down (&rig);
}

Test (vsock, a_pause_loses_nothing)
{
    Rig rig;
    int fd;
    VmmVsockHeader header = make_header (VMM_VSOCK_OP_RW, 1);

    set_up (&rig, 0);
    give_room (&rig, 8);
    fd = connect_guest (&rig, 1);
    vmm_virtio_device_pause (rig.device);
    cr_assert_eq (write (fd, "host", 4), 4);
    header.len = 5;
    add_packet (&rig, &header, "guest", 5);
    publish (&rig, TX);
    cr_assert_not (receive (&rig, 20));
    vmm_virtio_device_resume (rig.device);
    expect (&rig, VMM_VSOCK_OP_RW);
    cr_assert_arr_eq (rig.payload, "host", 4);
    expect_read (fd, "guest");
    close (fd);
    tear_down (&rig);
}

static GBytes *
save (VmmVirtioDevice *device)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();

    vmm_state_writer_begin (writer, "vsock", 1);
    vmm_virtio_device_save (device, writer);
    vmm_state_writer_end (writer);
    return vmm_state_writer_finish (writer);
}

static bool
load (VmmVirtioDevice *device, GBytes *state)
{
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (state);
    uint32_t version;

    return vmm_state_reader_enter (reader, "vsock", 1, &version, NULL) &&
           vmm_virtio_device_load (device, reader, version) && vmm_state_reader_leave (reader, NULL);
}

Test (vsock, a_loaded_guest_is_told_to_forget_its_connections)
{
    Rig rig;
    VmmVirtqSegment room;
    g_autoptr (GBytes) state = NULL;
    uint32_t len;
    int fd;
    int id;

    set_up (&rig, 0);
    give_room (&rig, 8);
    room = vmm_virtq_heap_alloc (&rig.heap, 8);
    memset (vmm_virtq_heap_bytes (&rig.heap, room), 0xff, 8);
    cr_assert_geq (vmm_virtq_driver_add (rig.queues[EVENT], NULL, 0, &room, 1), 0);
    publish (&rig, EVENT);
    fd = connect_guest (&rig, 1);
    cr_assert_not (poll_used (&rig, EVENT, &id, &len, 10), "an event without a reason");
    vmm_virtio_device_pause (rig.device);
    state = save (rig.device);
    vmm_virtio_device_free (rig.device);
    expect_read (fd, "");
    close (fd);
    rig.device = make_device (&rig);
    cr_assert (load (rig.device, state));
    cr_assert (poll_used (&rig, EVENT, &id, &len, WAIT_MS), "no event");
    cr_assert_eq (len, 4);
    cr_assert_arr_eq (vmm_virtq_heap_bytes (&rig.heap, room), "\0\0\0\0", 4);
    /* What it had is not known any more, and new ones work. */
    send_data (&rig, 1, "old");
    expect (&rig, VMM_VSOCK_OP_RST);
    fd = connect_guest (&rig, 2);
    send_data (&rig, 2, "new");
    expect_read (fd, "new");
    close (fd);
    tear_down (&rig);
}

Test (vsock, a_state_that_cannot_be_is_refused)
{
    Rig rig;
    g_autoptr (GBytes) state = NULL;
    const uint8_t *bytes;
    gsize len;
    unsigned refused = 0;

    set_up (&rig, 0);
    vmm_virtio_device_pause (rig.device);
    state = save (rig.device);
    bytes = g_bytes_get_data (state, &len);
    for (gsize i = 0; i < len; i++) {
        VmmVirtioDevice *device = make_device (&rig);
        g_autoptr (GBytes) cut = g_bytes_new (bytes, i);
        g_autofree uint8_t *copy = g_memdup2 (bytes, len);
        g_autoptr (GBytes) bad = NULL;

        cr_assert_not (load (device, cut));
        copy[i] ^= 0xff;
        bad = g_bytes_new (copy, len);
        refused += !load (device, bad);
        vmm_virtio_device_free (device);
    }
    cr_assert_gt (refused, 0);
    tear_down (&rig);
}
