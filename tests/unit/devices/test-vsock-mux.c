/* SPDX-License-Identifier: Apache-2.0 */
/* The socket device's connections, with real Unix sockets of the host and a guest that is played. */
#include "vsock-rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 1234u
#define GUEST_PORT 777u
#define WAIT_MS 5000

/* Waits for a packet of @op for the guest, from and to these ports. */
static void
expect (VsockRig *rig, uint16_t op, uint32_t host_port, uint32_t guest_port)
{
    cr_assert (vsock_rig_send (rig, sizeof rig->payload, WAIT_MS), "no packet, and op %u is due", op);
    cr_assert_eq (rig->header.op, op, "op %u instead of %u", rig->header.op, op);
    cr_assert_eq (rig->header.src_cid, VMM_VSOCK_HOST_CID);
    cr_assert_eq (rig->header.dst_cid, VSOCK_RIG_CID);
    cr_assert_eq (rig->header.type, VMM_VSOCK_TYPE_STREAM);
    cr_assert_eq (rig->header.src_port, host_port);
    cr_assert_eq (rig->header.dst_port, guest_port);
}

static void
expect_nothing (VsockRig *rig)
{
    g_usleep (20000);
    cr_assert_not (vsock_rig_send (rig, sizeof rig->payload, 0), "op %u", rig->header.op);
}

static void
expect_data (VsockRig *rig, uint32_t host_port, uint32_t guest_port, const char *text)
{
    expect (rig, VMM_VSOCK_OP_RW, host_port, guest_port);
    cr_assert_eq (rig->header.len, strlen (text), "%u bytes", rig->header.len);
    cr_assert_arr_eq (rig->payload, text, strlen (text));
}

/* What the host's program reads next; "" at the end. */
static void
expect_read (int fd, const char *text)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    char buf[256] = "";

    cr_assert_eq (poll (&pfd, 1, WAIT_MS), 1, "nothing comes");
    cr_assert_geq (read (fd, buf, sizeof buf - 1), 0, "%s", g_strerror (errno));
    cr_assert_str_eq (buf, text);
}

static void
expect_end (int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    char byte;

    cr_assert_eq (poll (&pfd, 1, WAIT_MS), 1, "it stays open");
    cr_assert_leq (read (fd, &byte, 1), 0, "it says something");
}

/* The guest connects to @port; the host's end. */
static int
connect_guest (VsockRig *rig, int listener, uint32_t port, uint32_t guest_port)
{
    vsock_rig_op (rig, VMM_VSOCK_OP_REQUEST, port, guest_port);
    expect (rig, VMM_VSOCK_OP_RESPONSE, port, guest_port);
    return accept (listener, NULL, NULL);
}

Test (vsock, a_guests_connection_carries_bytes_in_both_directions)
{
    VsockRig *rig = vsock_rig_new ();
    int listener = vsock_rig_listen (rig, PORT, 8);
    int fd = connect_guest (rig, listener, PORT, GUEST_PORT);

    cr_assert_eq (rig->header.buf_alloc, VMM_VSOCK_BUFFER_SIZE);
    vsock_rig_rw (rig, PORT, GUEST_PORT, "from the guest", 14);
    expect_read (fd, "from the guest");
    cr_assert_eq (write (fd, "from the host", 13), 13);
    expect_data (rig, PORT, GUEST_PORT, "from the host");
    cr_assert_eq (rig->header.fwd_cnt, 14);
    expect_nothing (rig);
    vsock_rig_op (rig, VMM_VSOCK_OP_CREDIT_REQUEST, PORT, GUEST_PORT);
    expect (rig, VMM_VSOCK_OP_CREDIT_UPDATE, PORT, GUEST_PORT);
    close (fd);
    close (listener);
    vsock_rig_free (rig);
}

Test (vsock, where_nobody_listens_the_guest_is_refused)
{
    VsockRig *rig = vsock_rig_new ();
    int listener = vsock_rig_listen (rig, PORT, 8);

    vsock_rig_op (rig, VMM_VSOCK_OP_REQUEST, PORT + 1, GUEST_PORT);
    expect (rig, VMM_VSOCK_OP_RST, PORT + 1, GUEST_PORT);
    close (listener);
    vsock_rig_op (rig, VMM_VSOCK_OP_REQUEST, PORT, GUEST_PORT);
    expect (rig, VMM_VSOCK_OP_RST, PORT, GUEST_PORT);
    cr_assert_eq (vsock_rig_n_connections (rig), 0);
    vsock_rig_free (rig);
}

Test (vsock, a_listener_without_room_gets_the_connection_when_it_has_some)
{
    VsockRig *rig = vsock_rig_new ();
    int listener = vsock_rig_listen (rig, PORT, 0);

    vsock_rig_op (rig, VMM_VSOCK_OP_REQUEST, PORT, 1);
    expect (rig, VMM_VSOCK_OP_RESPONSE, PORT, 1);
    vsock_rig_op (rig, VMM_VSOCK_OP_REQUEST, PORT, 2);
    expect_nothing (rig);
    close (accept (listener, NULL, NULL));
    cr_assert (vsock_rig_send (rig, 4096, WAIT_MS));
    while (rig->header.op != VMM_VSOCK_OP_RESPONSE)
        cr_assert (vsock_rig_send (rig, 4096, WAIT_MS));
    cr_assert_eq (rig->header.dst_port, 2);
    close (listener);
    vsock_rig_free (rig);
}

Test (vsock, a_program_of_the_host_connects_by_a_line_and_loses_nothing_behind_it)
{
    VsockRig *rig = vsock_rig_new ();
    int fd = vsock_rig_connect (rig);
    g_autofree char *ok = NULL;
    uint32_t port;

    cr_assert_eq (write (fd, "CONN", 4), 4);
    expect_nothing (rig);
    cr_assert_eq (write (fd, "ECT 52\nearly", 12), 12);
    cr_assert (vsock_rig_send (rig, 4096, WAIT_MS));
    cr_assert_eq (rig->header.op, VMM_VSOCK_OP_REQUEST);
    cr_assert_eq (rig->header.dst_port, 52);
    port = rig->header.src_port;
    expect_nothing (rig);
    vsock_rig_op (rig, VMM_VSOCK_OP_RESPONSE, port, 52);
    ok = g_strdup_printf ("OK %u\n", port);
    expect_read (fd, ok);
    expect_data (rig, port, 52, "early");
    vsock_rig_rw (rig, port, 52, "hello", 5);
    expect_read (fd, "hello");
    close (fd);
    vsock_rig_free (rig);
}

Test (vsock, a_program_that_the_guest_refuses_is_closed)
{
    VsockRig *rig = vsock_rig_new ();
    int fd = vsock_rig_connect (rig);

    cr_assert_eq (write (fd, "connect 9\r\n", 11), 11);
    cr_assert (vsock_rig_send (rig, 4096, WAIT_MS));
    vsock_rig_op (rig, VMM_VSOCK_OP_RST, rig->header.src_port, 9);
    expect_end (fd);
    cr_assert_eq (vsock_rig_n_connections (rig), 0);
    close (fd);
    vsock_rig_free (rig);
}

Test (vsock, a_line_that_is_none_is_the_end)
{
    static const char *const lines[] = {
        "HELLO 52\n",   "CONNECT\n",     "CONNECT \n",  "CONNECT 4294967296\n",
        "CONNECT -1\n", "CONNECT 1 2\n", "CONNECT x\n", "CONNECT 00000000000000000000000000000000000052\n",
        "\n",
    };
    VsockRig *rig = vsock_rig_new ();

    for (size_t i = 0; i < G_N_ELEMENTS (lines); i++) {
        int fd = vsock_rig_connect (rig);

        cr_assert_eq (write (fd, lines[i], strlen (lines[i])), (ssize_t)strlen (lines[i]));
        expect_end (fd);
        close (fd);
    }
    expect_nothing (rig);
    vsock_rig_free (rig);
}

Test (vsock, the_guest_gets_no_more_than_it_has_credit_for)
{
    VsockRig *rig = vsock_rig_new ();
    int listener = vsock_rig_listen (rig, PORT, 8);
    VmmVsockHeader header = vsock_rig_header (VMM_VSOCK_OP_REQUEST, PORT, GUEST_PORT);
    char data[1000];
    int fd;

    memset (data, 'x', sizeof data);
    header.buf_alloc = 100;
    vsock_rig_receive (rig, &header, NULL, 0);
    expect (rig, VMM_VSOCK_OP_RESPONSE, PORT, GUEST_PORT);
    fd = accept (listener, NULL, NULL);
    cr_assert_eq (write (fd, data, sizeof data), (ssize_t)sizeof data);
    expect (rig, VMM_VSOCK_OP_RW, PORT, GUEST_PORT);
    cr_assert_eq (rig->header.len, 100);
    expect (rig, VMM_VSOCK_OP_CREDIT_REQUEST, PORT, GUEST_PORT);
    expect_nothing (rig);
    header.op = VMM_VSOCK_OP_CREDIT_UPDATE;
    header.fwd_cnt = 30;
    vsock_rig_receive (rig, &header, NULL, 0);
    expect (rig, VMM_VSOCK_OP_RW, PORT, GUEST_PORT);
    cr_assert_eq (rig->header.len, 30);
    header.buf_alloc = 2000;
    vsock_rig_receive (rig, &header, NULL, 0);
    cr_assert (vsock_rig_send (rig, 4096, WAIT_MS));
    while (rig->header.op != VMM_VSOCK_OP_RW)
        cr_assert (vsock_rig_send (rig, 4096, WAIT_MS));
    cr_assert_eq (rig->header.len, 870);
    /* More was read than was sent: a lie. */
    header.fwd_cnt = 1001;
    vsock_rig_receive (rig, &header, NULL, 0);
    expect (rig, VMM_VSOCK_OP_RST, PORT, GUEST_PORT);
    expect_end (fd);
    close (fd);
    close (listener);
    vsock_rig_free (rig);
}

/* Sends until the connection's buffer is full too; how much that was. */
static size_t
fill (VsockRig *rig, uint32_t guest_port)
{
    static const char data[16384];
    size_t credit = VMM_VSOCK_BUFFER_SIZE;
    size_t sent = 0;

    while (sent + sizeof data <= credit) {
        vsock_rig_rw (rig, PORT, guest_port, data, sizeof data);
        sent += sizeof data;
        while (vsock_rig_send (rig, 4096, 0)) {
            cr_assert_eq (rig->header.op, VMM_VSOCK_OP_CREDIT_UPDATE);
            credit = VMM_VSOCK_BUFFER_SIZE + rig->header.fwd_cnt;
        }
    }
    return sent;
}

Test (vsock, a_program_that_does_not_read_stops_only_its_own_connection, .timeout = 60)
{
    VsockRig *rig = vsock_rig_new ();
    int listener = vsock_rig_listen (rig, PORT, 8);
    int stuck = connect_guest (rig, listener, PORT, 1);
    int other = connect_guest (rig, listener, PORT, 2);
    size_t sent = fill (rig, 1);
    size_t got = 0;
    char data[65536];

    cr_assert_geq (sent, VMM_VSOCK_BUFFER_SIZE);
    vsock_rig_rw (rig, PORT, 2, "hello", 5);
    expect_read (other, "hello");
    /* It reads again: all of it comes, and the guest hears that there is room. */
    while (got < sent) {
        ssize_t n = read (stuck, data, sizeof data);

        cr_assert_gt (n, 0);
        got += (size_t)n;
    }
    cr_assert_eq (got, sent);
    do {
        expect (rig, VMM_VSOCK_OP_CREDIT_UPDATE, PORT, 1);
    } while (rig->header.fwd_cnt + VMM_VSOCK_BUFFER_SIZE / 4 <= sent);
    close (stuck);
    close (other);
    close (listener);
    vsock_rig_free (rig);
}

Test (vsock, more_than_there_is_credit_for_is_the_end, .timeout = 60)
{
    VsockRig *rig = vsock_rig_new ();
    int listener = vsock_rig_listen (rig, PORT, 8);
    int fd = connect_guest (rig, listener, PORT, 1);
    static const char data[32768];

    fill (rig, 1);
    vsock_rig_rw (rig, PORT, 1, data, sizeof data);
    expect (rig, VMM_VSOCK_OP_RST, PORT, 1);
    cr_assert_eq (vsock_rig_n_connections (rig), 0);
    close (fd);
    close (listener);
    vsock_rig_free (rig);
}

Test (vsock, each_direction_can_end_by_itself)
{
    VsockRig *rig = vsock_rig_new ();
    int listener = vsock_rig_listen (rig, PORT, 8);
    VmmVsockHeader header = vsock_rig_header (VMM_VSOCK_OP_SHUTDOWN, PORT, 1);
    int fd = connect_guest (rig, listener, PORT, 1);

    header.flags = VMM_VSOCK_SHUTDOWN_SEND;
    vsock_rig_receive (rig, &header, NULL, 0);
    expect_read (fd, "");
    cr_assert_eq (write (fd, "still here", 10), 10);
    expect_data (rig, PORT, 1, "still here");
    shutdown (fd, SHUT_WR);
    expect (rig, VMM_VSOCK_OP_SHUTDOWN, PORT, 1);
    cr_assert (rig->header.flags & VMM_VSOCK_SHUTDOWN_SEND);
    vsock_rig_op (rig, VMM_VSOCK_OP_RST, PORT, 1);
    close (fd);

    fd = connect_guest (rig, listener, PORT, 2);
    shutdown (fd, SHUT_WR);
    expect (rig, VMM_VSOCK_OP_SHUTDOWN, PORT, 2);
    cr_assert_eq (rig->header.flags, VMM_VSOCK_SHUTDOWN_SEND);
    vsock_rig_rw (rig, PORT, 2, "go on", 5);
    expect_read (fd, "go on");
    close (fd);
    expect (rig, VMM_VSOCK_OP_SHUTDOWN, PORT, 2);
    cr_assert_eq (rig->header.flags, VMM_VSOCK_SHUTDOWN_BOTH);

    /* It reads no more: what the host's program writes fails. */
    fd = connect_guest (rig, listener, PORT, 3);
    header = vsock_rig_header (VMM_VSOCK_OP_SHUTDOWN, PORT, 3);
    header.flags = VMM_VSOCK_SHUTDOWN_RECEIVE;
    vsock_rig_receive (rig, &header, NULL, 0);
    cr_assert_eq (send (fd, "x", 1, MSG_NOSIGNAL), -1);
    cr_assert_eq (errno, EPIPE);
    vsock_rig_rw (rig, PORT, 3, "one way", 7);
    expect_read (fd, "one way");
    close (fd);
    close (listener);
    vsock_rig_free (rig);
}

Test (vsock, a_program_that_ends_is_told_to_the_guest_after_its_last_bytes)
{
    VsockRig *rig = vsock_rig_new ();
    int listener = vsock_rig_listen (rig, PORT, 8);
    int fd = connect_guest (rig, listener, PORT, 1);

    cr_assert_eq (write (fd, "last words", 10), 10);
    close (fd);
    expect_data (rig, PORT, 1, "last words");
    expect (rig, VMM_VSOCK_OP_SHUTDOWN, PORT, 1);
    cr_assert_eq (rig->header.flags, VMM_VSOCK_SHUTDOWN_BOTH);
    /* What was under way is no fault, and the answer ends it. */
    vsock_rig_rw (rig, PORT, 1, "late", 4);
    expect_nothing (rig);
    vsock_rig_op (rig, VMM_VSOCK_OP_RST, PORT, 1);
    cr_assert_eq (vsock_rig_n_connections (rig), 0);
    close (listener);
    vsock_rig_free (rig);
}

Test (vsock, a_guest_that_closes_is_answered_at_once_and_its_bytes_arrive, .timeout = 60)
{
    VsockRig *rig = vsock_rig_new ();
    int listener = vsock_rig_listen (rig, PORT, 8);
    int fd = connect_guest (rig, listener, PORT, 1);
    VmmVsockHeader header = vsock_rig_header (VMM_VSOCK_OP_SHUTDOWN, PORT, 1);
    size_t sent = fill (rig, 1);
    size_t got = 0;
    char data[65536];
    ssize_t n;

    header.flags = VMM_VSOCK_SHUTDOWN_BOTH;
    vsock_rig_receive (rig, &header, NULL, 0);
    expect (rig, VMM_VSOCK_OP_RST, PORT, 1);
    /* The ports are free again. */
    close (connect_guest (rig, listener, PORT, 1));
    while ((n = read (fd, data, sizeof data)) > 0)
        got += (size_t)n;
    cr_assert_eq (n, 0);
    cr_assert_eq (got, sent);
    close (fd);
    close (listener);
    vsock_rig_free (rig);
}

Test (vsock, the_end_of_a_direction_comes_after_the_bytes_that_wait, .timeout = 60)
{
    VsockRig *rig = vsock_rig_new ();
    int listener = vsock_rig_listen (rig, PORT, 8);
    int fd = connect_guest (rig, listener, PORT, 1);
    VmmVsockHeader header = vsock_rig_header (VMM_VSOCK_OP_SHUTDOWN, PORT, 1);
    struct timeval patience = {.tv_sec = 5};
    size_t sent = fill (rig, 1);
    size_t got = 0;
    char data[65536];
    ssize_t n;

    header.flags = VMM_VSOCK_SHUTDOWN_SEND;
    vsock_rig_receive (rig, &header, NULL, 0);
    setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    while ((n = read (fd, data, sizeof data)) > 0)
        got += (size_t)n;
    cr_assert_eq (n, 0, "no end");
    cr_assert_eq (got, sent);
    cr_assert_eq (write (fd, "back", 4), 4);
    while (vsock_rig_send (rig, 4096, WAIT_MS) && rig->header.op != VMM_VSOCK_OP_RW)
        cr_assert_eq (rig->header.op, VMM_VSOCK_OP_CREDIT_UPDATE);
    cr_assert_arr_eq (rig->payload, "back", 4);
    close (fd);
    close (listener);
    vsock_rig_free (rig);
}

static VmmVsockHeader
bad_packet (unsigned which)
{
    VmmVsockHeader header = vsock_rig_header (VMM_VSOCK_OP_RW, PORT, 1);

    switch (which) {
    case 0:
        header.op = VMM_VSOCK_OP_RESPONSE;
        break;
    case 1:
        header.op = VMM_VSOCK_OP_REQUEST; /* the ports are in use */
        break;
    case 2:
        header.op = 0;
        break;
    case 3:
        header.op = 0xffff;
        break;
    case 4:
        header.len = 5; /* and there are none */
        break;
    case 5:
        header.len = UINT32_MAX;
        break;
    default:
        header.op = VMM_VSOCK_OP_CREDIT_UPDATE;
        header.fwd_cnt = UINT32_MAX;
        break;
    }
    return header;
}

Test (vsock, a_packet_that_cannot_be_resets_its_connection)
{
    VsockRig *rig = vsock_rig_new ();
    int listener = vsock_rig_listen (rig, PORT, 8);

    for (unsigned i = 0; i < 7; i++) {
        int fd = connect_guest (rig, listener, PORT, 1);
        VmmVsockHeader header = bad_packet (i);

        vsock_rig_receive (rig, &header, NULL, 0);
        expect (rig, VMM_VSOCK_OP_RST, PORT, 1);
        expect_end (fd);
        cr_assert_eq (vsock_rig_n_connections (rig), 0, "%u", i);
        close (fd);
    }
    close (listener);
    vsock_rig_free (rig);
}

Test (vsock, a_packet_of_no_connection_is_answered_with_a_reset)
{
    VsockRig *rig = vsock_rig_new ();
    int listener = vsock_rig_listen (rig, PORT, 8);
    VmmVsockHeader header = vsock_rig_header (VMM_VSOCK_OP_RW, PORT, 5);

    vsock_rig_receive (rig, &header, NULL, 0);
    expect (rig, VMM_VSOCK_OP_RST, PORT, 5);
    header = vsock_rig_header (VMM_VSOCK_OP_REQUEST, PORT, 5);
    header.type = 2;
    vsock_rig_receive (rig, &header, NULL, 0);
    cr_assert (vsock_rig_send (rig, 4096, 0));
    cr_assert_eq (rig->header.op, VMM_VSOCK_OP_RST);
    cr_assert_eq (rig->header.type, 2);
    header.type = VMM_VSOCK_TYPE_STREAM;
    header.dst_cid = 77;
    vsock_rig_receive (rig, &header, NULL, 0);
    cr_assert (vsock_rig_send (rig, 4096, 0));
    cr_assert_eq (rig->header.op, VMM_VSOCK_OP_RST);
    cr_assert_eq (rig->header.src_cid, 77);
    header = vsock_rig_header (VMM_VSOCK_OP_REQUEST, PORT, 5);
    header.src_cid = 99;
    vsock_rig_receive (rig, &header, NULL, 0);
    expect (rig, VMM_VSOCK_OP_RST, PORT, 5);
    /* But never a reset for a reset. */
    vsock_rig_op (rig, VMM_VSOCK_OP_RST, PORT, 5);
    expect_nothing (rig);
    close (listener);
    vsock_rig_free (rig);
}

Test (vsock, replies_without_a_place_make_the_guest_wait)
{
    VsockRig *rig = vsock_rig_new ();
    unsigned n = 0;

    for (unsigned i = 0; i < 5000; i++)
        vsock_rig_op (rig, VMM_VSOCK_OP_RW, PORT, i);
    cr_assert_not (vmm_vsock_mux_can_receive (rig->mux));
    while (vsock_rig_send (rig, 4096, 0))
        n++;
    cr_assert_gt (n, 0);
    cr_assert_lt (n, 5000);
    cr_assert (vmm_vsock_mux_can_receive (rig->mux));
    vsock_rig_free (rig);
}

Test (vsock, connections_take_turns)
{
    VsockRig *rig = vsock_rig_new ();
    int listener = vsock_rig_listen (rig, PORT, 8);
    int fds[3];
    char data[4096];
    unsigned counts[4] = {0};

    memset (data, 'x', sizeof data);
    for (unsigned i = 0; i < 3; i++)
        fds[i] = connect_guest (rig, listener, PORT, i + 1);
    for (unsigned i = 0; i < 24; i++)
        cr_assert_eq (write (fds[i % 3], data, sizeof data), (ssize_t)sizeof data);
    g_usleep (20000);
    for (unsigned i = 0; i < 12; i++) {
        cr_assert (vsock_rig_send (rig, 512, WAIT_MS));
        counts[rig->header.dst_port]++;
    }
    for (unsigned i = 1; i <= 3; i++)
        cr_assert_eq (counts[i], 4, "connection %u had %u turns", i, counts[i]);
    for (unsigned i = 0; i < 3; i++)
        close (fds[i]);
    close (listener);
    vsock_rig_free (rig);
}

Test (vsock, a_thousand_connections_are_kept_apart, .timeout = 60)
{
    enum { N = 1000 };
    VsockRig *rig = vsock_rig_new ();
    int listener = vsock_rig_listen (rig, PORT, 64);
    struct rlimit limit;
    int fds[N];
    g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);

    getrlimit (RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 2 * N + 64)
        cr_skip_test ("only %lu descriptors", (unsigned long)limit.rlim_max);
    limit.rlim_cur = limit.rlim_max;
    setrlimit (RLIMIT_NOFILE, &limit);
    for (unsigned i = 0; i < N; i++)
        fds[i] = connect_guest (rig, listener, PORT, i);
    cr_assert_eq (vsock_rig_n_connections (rig), N);
    for (unsigned i = 0; i < N; i++) {
        vsock_rig_rw (rig, PORT, i, &i, sizeof i);
        cr_assert_eq (write (fds[i], &i, sizeof i), (ssize_t)sizeof i);
    }
    for (unsigned i = 0; i < N; i++) {
        unsigned word;

        cr_assert_eq (read (fds[i], &word, sizeof word), (ssize_t)sizeof word);
        cr_assert_eq (word, i);
        cr_assert (vsock_rig_send (rig, 4096, WAIT_MS));
        cr_assert_eq (rig->header.op, VMM_VSOCK_OP_RW);
        cr_assert_eq (rig->header.len, sizeof word);
        memcpy (&word, rig->payload, sizeof word);
        cr_assert_eq (word, rig->header.dst_port);
        cr_assert (g_hash_table_add (seen, GUINT_TO_POINTER (word + 1)), "%u came twice", word);
    }
    for (unsigned i = 0; i < N; i++)
        close (fds[i]);
    for (unsigned i = 0; i < N; i++)
        vsock_rig_op (rig, VMM_VSOCK_OP_RST, PORT, i);
    cr_assert_eq (vsock_rig_n_connections (rig), 0);
    close (listener);
    vsock_rig_free (rig);
}

Test (vsock, nothing_moves_in_a_pause)
{
    VsockRig *rig = vsock_rig_new ();
    int listener = vsock_rig_listen (rig, PORT, 8);
    int fd = connect_guest (rig, listener, PORT, 1);
    int late;

    vsock_rig_pause (rig, true);
    cr_assert_eq (write (fd, "during", 6), 6);
    late = vsock_rig_connect (rig);
    cr_assert_eq (write (late, "CONNECT 3\n", 10), 10);
    expect_nothing (rig);
    cr_assert_eq (vsock_rig_n_connections (rig), 1);
    vsock_rig_pause (rig, false);
    expect_data (rig, PORT, 1, "during");
    cr_assert (vsock_rig_send (rig, 4096, WAIT_MS));
    cr_assert_eq (rig->header.op, VMM_VSOCK_OP_REQUEST);
    cr_assert_eq (rig->header.dst_port, 3);
    close (fd);
    close (late);
    close (listener);
    vsock_rig_free (rig);
}
