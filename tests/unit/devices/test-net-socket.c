/* SPDX-License-Identifier: Apache-2.0 */
/* Cables between machines, with a machine at each end, or with somebody at one of them who is none. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/net/socket.h"
#include "fake-net.h"
#include "net-plug.h"
#include "starve.h"
#include "vmm/error.h"

static const VmmNetHeader no_header = {0};
static char *folder;
static char *path;

static void
set_up (void)
{
    folder = g_dir_make_tmp ("vmm-net-XXXXXX", NULL);
    path = g_build_filename (folder, "wire", NULL);
}

static void
tear_down (void)
{
    cr_assert_eq (g_rmdir (folder), 0, "something stayed in the folder");
    g_free (folder);
    g_free (path);
}

TestSuite (net_socket, .init = set_up, .fini = tear_down, .timeout = 60);

static NetPlug *
plug_in (VmmNetSocketRole role)
{
    VmmNet *net = vmm_net_socket_open (role, path, NULL);

    cr_assert_not_null (net);
    return net_plug_new (net);
}

static VmmNetSend
send_named (NetPlug *plug, uint32_t name, uint32_t len)
{
    g_autofree uint8_t *frame = g_malloc (len);

    fake_net_fill (frame, name, len);
    return net_plug_send (plug, &no_header, frame, len);
}

static void
expect_named (NetPlug *plug, uint32_t name, uint32_t len)
{
    uint32_t got;

    cr_assert (net_plug_receive (plug, 10), "frame %u did not come", name);
    cr_assert_eq (plug->len, len);
    cr_assert (fake_net_is_whole (plug->frame, plug->len, &got), "frame %u is torn", name);
    cr_assert_eq (got, name);
    cr_assert_arr_eq (&plug->header, &no_header, sizeof no_header);
}

static void
connect_fd (int fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    g_strlcpy (address.sun_path, path, sizeof address.sun_path);
    cr_assert_eq (connect (fd, (const struct sockaddr *)&address, sizeof address), 0);
}

/* Somebody who is no machine. */
static int
connect_raw (void)
{
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    connect_fd (fd);
    return fd;
}

static void
send_raw (int fd, uint32_t prefix, const void *data, size_t len)
{
    struct iovec iov[] = {{&prefix, sizeof prefix}, {(void *)data, len}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = G_N_ELEMENTS (iov)};

    prefix = htonl (prefix);
    cr_assert_eq (sendmsg (fd, &message, MSG_NOSIGNAL), (ssize_t)(sizeof prefix + len));
}

static bool
is_closed (int fd)
{
    struct timeval wait = {.tv_sec = 10};
    uint8_t byte;

    setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    return recv (fd, &byte, 1, 0) == 0;
}

Test (net_socket, frames_of_every_length_go_both_ways)
{
    static const uint32_t lens[] = {FAKE_NET_NAMED_MIN, 60, 99, 100, 101, 1514, 65535, VMM_NET_FRAME_MAX};
    NetPlug *a = plug_in (VMM_NET_SOCKET_EITHER), *b = plug_in (VMM_NET_SOCKET_EITHER);

    cr_assert (net_plug_wait_link (a, true));
    cr_assert (net_plug_wait_link (b, true));
    cr_assert_str_neq (a->net->identity, b->net->identity, "the ends would have the same address");
    for (uint32_t i = 0; i < G_N_ELEMENTS (lens); i++) {
        cr_assert_eq (send_named (a, i, lens[i]), VMM_NET_SENT);
        cr_assert_eq (send_named (b, 100 + i, lens[i]), VMM_NET_SENT);
        expect_named (b, i, lens[i]);
        expect_named (a, 100 + i, lens[i]);
    }
    net_plug_free (b);
    cr_assert (net_plug_wait_link (a, false), "the cable is not pulled");
    cr_assert_eq (send_named (a, 1, 60), VMM_NET_DROPPED);
    net_plug_free (a);
}

/* Offloads are not for a cable: whatever a header says, the other end sees none. */
Test (net_socket, headers_stay_here)
{
    const VmmNetHeader header = {.flags = 3, .gso_type = 1, .gso_size = 9, .num_buffers = 77};
    NetPlug *a = plug_in (VMM_NET_SOCKET_LISTEN), *b = plug_in (VMM_NET_SOCKET_CONNECT);
    uint8_t frame[60];

    cr_assert_eq (a->net->offloads, 0);
    cr_assert (net_plug_wait_link (a, true));
    fake_net_fill (frame, 5, sizeof frame);
    cr_assert_eq (net_plug_send (a, &header, frame, sizeof frame), VMM_NET_SENT);
    expect_named (b, 5, sizeof frame);
    net_plug_free (a);
    net_plug_free (b);
}

Test (net_socket, the_file_is_the_owners_and_goes_with_it)
{
    NetPlug *a = plug_in (VMM_NET_SOCKET_LISTEN);
    g_autoptr (GError) error = NULL;
    struct stat st;

    cr_assert_eq (g_stat (path, &st), 0);
    cr_assert_eq (st.st_mode & 077, 0);
    cr_assert_null (vmm_net_socket_open (VMM_NET_SOCKET_LISTEN, path, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE), "%s", error->message);
    cr_assert_not_null (strstr (error->message, path), "%s", error->message);
    net_plug_free (a);
    cr_assert_neq (g_access (path, F_OK), 0);
}

Test (net_socket, who_connects_may_come_first_and_comes_back)
{
    NetPlug *b = plug_in (VMM_NET_SOCKET_CONNECT);

    cr_assert_not (vmm_net_link_is_up (b->net));
    for (unsigned i = 0; i < 2; i++) {
        NetPlug *a = plug_in (VMM_NET_SOCKET_LISTEN);

        cr_assert (net_plug_wait_link (b, true), "round %u", i);
        cr_assert (net_plug_wait_link (a, true));
        send_named (b, i, 60);
        expect_named (a, i, 60);
        net_plug_free (a);
        cr_assert (net_plug_wait_link (b, false));
    }
    net_plug_free (b);
}

Test (net_socket, a_frame_in_pieces_is_one_and_a_short_one_is_none)
{
    NetPlug *a = plug_in (VMM_NET_SOCKET_LISTEN);
    uint8_t bytes[4 + 60] = {0, 0, 0, 60};
    int fd = connect_raw ();

    fake_net_fill (bytes + 4, 9, 60);
    for (size_t i = 0; i < sizeof bytes; i++) {
        cr_assert_eq (send (fd, bytes + i, 1, MSG_NOSIGNAL), 1);
        if (i % 16 == 0)
            cr_assert_not (net_plug_receive (a, 0), "after %zu bytes", i + 1);
    }
    expect_named (a, 9, 60);
    send_raw (fd, VMM_NET_FRAME_MIN - 1, bytes, VMM_NET_FRAME_MIN - 1);
    send_raw (fd, 60, bytes + 4, 60);
    expect_named (a, 9, 60);
    /* Half a frame when the peer goes is none. */
    send_raw (fd, 60, bytes + 4, 59);
    close (fd);
    cr_assert_not (net_plug_receive (a, 0));
    cr_assert (net_plug_wait_link (a, false));
    net_plug_free (a);
}

Test (net_socket, what_are_no_frames_ends_the_connection)
{
    static const uint32_t prefixes[] = {0, VMM_NET_FRAME_MAX + 1, UINT32_MAX, 0x47455420};
    NetPlug *a = plug_in (VMM_NET_SOCKET_LISTEN);

    for (size_t i = 0; i < G_N_ELEMENTS (prefixes); i++) {
        int fd = connect_raw ();

        cr_assert (net_plug_wait_link (a, true));
        send_raw (fd, prefixes[i], "/ HTTP", 6);
        for (unsigned n = 0; n < 10000 && vmm_net_link_is_up (a->net); n++)
            net_plug_receive (a, 0);
        cr_assert_not (vmm_net_link_is_up (a->net), "a prefix of %u is taken", prefixes[i]);
        cr_assert (is_closed (fd));
        close (fd);
    }
    cr_assert_not_null (strstr (a->warning, path), "%s", a->warning);
    net_plug_free (a);
}

Test (net_socket, one_peer_at_a_time)
{
    NetPlug *a = plug_in (VMM_NET_SOCKET_LISTEN);
    uint8_t frame[60];
    int first = connect_raw (), second;

    fake_net_fill (frame, 3, sizeof frame);
    cr_assert (net_plug_wait_link (a, true));
    second = connect_raw ();
    cr_assert (is_closed (second), "a second one may stay");
    close (second);
    send_raw (first, sizeof frame, frame, sizeof frame);
    expect_named (a, 3, sizeof frame);
    close (first);
    first = connect_raw ();
    send_raw (first, sizeof frame, frame, sizeof frame);
    expect_named (a, 3, sizeof frame);
    close (first);
    net_plug_free (a);
}

static unsigned
fill_up (NetPlug *plug)
{
    unsigned n = 0;

    while (send_named (plug, n, 60000) == VMM_NET_SENT)
        n++;
    return n;
}

/* The frames wait, then some are lost, and then they go again; those that went are whole. */
Test (net_socket, who_does_not_read_does_not_stop_the_guest)
{
    NetPlug *a = plug_in (VMM_NET_SOCKET_LISTEN), *b = plug_in (VMM_NET_SOCKET_CONNECT);
    unsigned n;

    cr_assert (net_plug_wait_link (a, true));
    net_plug_want (b, false);
    n = fill_up (a);
    cr_assert_gt (n, 0);
    cr_assert_eq (send_named (a, n, 60), VMM_NET_FULL);
    cr_assert_eq (net_plug_n_tx_ready (a), 0);
    for (unsigned i = 0; i < 10000 && net_plug_n_tx_ready (a) == 0; i++)
        g_usleep (1000);
    cr_assert_eq (net_plug_n_tx_ready (a), 1, "the guest waits for ever");
    cr_assert_eq (send_named (a, n, 60), VMM_NET_DROPPED);
    net_plug_want (b, true);
    for (unsigned i = 0; i < n; i++)
        expect_named (b, i, 60000);
    for (unsigned i = 0; i < 10000 && send_named (a, 77, 60) != VMM_NET_SENT; i++)
        g_usleep (1000);
    expect_named (b, 77, 60);
    net_plug_free (a);
    net_plug_free (b);
}

/* A driver that resets its queue may send although it was told that there is no room; and just then the peer
 * goes. */
Test (net_socket, a_peer_that_goes_while_there_is_no_room)
{
    NetPlug *a = plug_in (VMM_NET_SOCKET_LISTEN);
    int fd = connect_raw ();
    uint8_t frame[60] = {0};

    cr_assert (net_plug_wait_link (a, true));
    fill_up (a);
    cr_assert_eq (net_plug_close_and_send (a, fd, frame, sizeof frame), VMM_NET_DROPPED);
    cr_assert_not (vmm_net_link_is_up (a->net));
    cr_assert_eq (send_named (a, 1, 60), VMM_NET_DROPPED);
    net_plug_free (a);
}

/* The connection outlives the driver. */
Test (net_socket, a_driver_that_comes_back_finds_its_cable)
{
    NetPlug *a = plug_in (VMM_NET_SOCKET_LISTEN), *b = plug_in (VMM_NET_SOCKET_CONNECT);

    cr_assert (net_plug_wait_link (a, true));
    for (unsigned i = 0; i < 3; i++) {
        net_plug_pull (b);
        net_plug_put (b);
        send_named (a, i, 200);
        expect_named (b, i, 200);
        send_named (b, i, 200);
        expect_named (a, i, 200);
    }
    net_plug_pull (b);
    net_plug_free (a);
    net_plug_put (b);
    cr_assert (net_plug_wait_link (b, false));
    net_plug_free (b);
}

/* Who cannot be let in stays at the door: that must not keep the loop busy. */
Test (net_socket, a_host_without_descriptors_is_tried_again_later)
{
    NetPlug *a = plug_in (VMM_NET_SOCKET_LISTEN);
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit limit = starve_begin ();
    int64_t spent = starve_cpu_ms ();

    connect_fd (fd);
    g_usleep (500000);
    cr_assert_lt (starve_cpu_ms () - spent, 20);
    starve_end (limit);
    cr_assert (net_plug_wait_link (a, true));
    close (fd);
    net_plug_free (a);
}
