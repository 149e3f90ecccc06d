/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taps, in a network namespace of the test's own; and what is said to those who have none. The former needs
 * /dev/net/tun, and the right to make a namespace (root, as it is in CI).
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/net/tap.h"
#include "fake-net.h"
#include "net-plug.h"
#include "vmm/error.h"

#define NAME "vmmtest0"

static const VmmNetHeader no_header = {0};

TestSuite (net_tap, .timeout = 60);

static void
check_refused (const VmmNetTapConfig *config, const char *what, const char *way_out)
{
    g_autoptr (GError) error = NULL;

    cr_assert_null (vmm_net_tap_open (config, &error), "%s is taken", what);
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE), "%s", error->message);
    cr_assert_not_null (strstr (error->message, what), "%s", error->message);
    cr_assert_not_null (strstr (error->message, way_out), "%s", error->message);
    cr_assert_null (strchr (error->message, '\n'));
}

Test (net_tap, what_is_no_tap_is_refused)
{
    int fds[2] = {open ("/dev/null", O_RDWR | O_CLOEXEC), 12345};

    check_refused (&(VmmNetTapConfig){.ifname = "vmm-no-such-if", .n_queues = 1}, "vmm-no-such-if",
                   "ip tuntap add vmm-no-such-if mode tap");
    check_refused (&(VmmNetTapConfig){.ifname = "vmm-no-such-if", .n_queues = 2}, "vmm-no-such-if",
                   "multi_queue");
    check_refused (&(VmmNetTapConfig){.ifname = "a-name-that-is-too-long", .n_queues = 1},
                   "a-name-that-is-too-long", "at most 15 bytes");
    check_refused (&(VmmNetTapConfig){.fds = &fds[0], .n_fds = 1}, "fd ", "no tap");
    check_refused (&(VmmNetTapConfig){.fds = &fds[1], .n_fds = 1}, "fd 12345", "no such open descriptor");
    close (fds[0]);
}

/* A tap that goes with its descriptors; -1 and a skipped test where there cannot be one. */
static int
make_tap (short flags)
{
    struct ifreq request = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags)};
    int fd;

    if (if_nametoindex (NAME) == 0 && unshare (CLONE_NEWNET) != 0)
        cr_skip_test ("a network namespace of its own needs root (CAP_SYS_ADMIN): %s", g_strerror (errno));
    fd = open ("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        cr_skip_test ("/dev/net/tun: %s: it needs the module tun, and the right to open it",
                      g_strerror (errno));
    g_strlcpy (request.ifr_name, NAME, sizeof request.ifr_name);
    if (ioctl (fd, TUNSETIFF, &request) != 0)
        cr_skip_test ("a tap cannot be made here: %s: it needs CAP_NET_ADMIN", g_strerror (errno));
    return fd;
}

static void
set_up_interface (bool up)
{
    struct ifreq request = {.ifr_flags = (short)(up ? IFF_UP | IFF_NOARP : IFF_NOARP)};
    int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    g_strlcpy (request.ifr_name, NAME, sizeof request.ifr_name);
    cr_assert_eq (ioctl (fd, SIOCSIFFLAGS, &request), 0);
    close (fd);
}

/* The host's end of the interface. */
static int
open_host (void)
{
    struct timeval wait = {.tv_sec = 10};
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons (ETH_P_ALL),
                                  .sll_ifindex = (int)if_nametoindex (NAME)};
    int fd = socket (AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons (ETH_P_ALL));

    cr_assert_geq (fd, 0);
    setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    cr_assert_eq (bind (fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Others speak on a new interface, too. */
static void
expect_on_host (int host, uint32_t name, size_t len)
{
    uint8_t frame[2048];
    uint32_t got;
    ssize_t n;

    do
        n = recv (host, frame, sizeof frame, 0);
    while (n > 0 && !((size_t)n == len && fake_net_is_whole (frame, (size_t)n, &got) && got == name));
    cr_assert_eq (n, (ssize_t)len, "frame %u did not come", name);
}

static void
expect_on_plug (NetPlug *plug, uint32_t name, size_t len)
{
    uint32_t got;

    do
        cr_assert (net_plug_receive (plug, 10), "frame %u did not come", name);
    while (!(plug->len == len && fake_net_is_whole (plug->frame, plug->len, &got) && got == name));
    cr_assert_eq (plug->header.gso_type, VMM_NET_GSO_NONE);
}

static void
talk (NetPlug *plug, int host)
{
    static const uint32_t lens[] = {60, 99, 100, 101, 1514};
    uint8_t frame[2048];

    for (uint32_t i = 0; i < G_N_ELEMENTS (lens); i++) {
        fake_net_fill (frame, i, lens[i]);
        cr_assert_eq (net_plug_send (plug, &no_header, frame, lens[i]), VMM_NET_SENT);
        expect_on_host (host, i, lens[i]);
        fake_net_fill (frame, 100 + i, lens[i]);
        cr_assert_eq (send (host, frame, lens[i], 0), (ssize_t)lens[i]);
        expect_on_plug (plug, 100 + i, lens[i]);
    }
}

#define BATCH 20u

typedef struct {
    VmmNet *net;
    uint32_t first; /* its name */
    size_t spoilt;  /* the one that is too short to be a frame, or none */
    unsigned done;
} Batch;

static void
do_send_batch (void *user)
{
    Batch *batch = user;
    VmmNetHeader headers[BATCH] = {0};
    uint8_t bytes[BATCH][200];
    struct iovec iov[BATCH][2];
    VmmNetFrame frames[BATCH];

    for (uint32_t i = 0; i < BATCH; i++) {
        size_t len = i == batch->spoilt ? 5 : 100 + i;

        fake_net_fill (bytes[i], batch->first + i, 100 + i);
        iov[i][0] = (struct iovec){&headers[i], sizeof headers[i]};
        iov[i][1] = (struct iovec){bytes[i], len};
        frames[i] = (VmmNetFrame){iov[i], 2};
    }
    batch->done = vmm_net_send_batch (batch->net, 0, frames, BATCH);
}

/* What the kernel refuses is lost, and what comes after it is not. */
static void
talk_in_batches (VmmNet *net, NetPlug *plug, int host)
{
    Batch batch = {.net = net, .first = 1000, .spoilt = 3};

    for (unsigned round = 0; round < 3; round++, batch.first += BATCH) {
        vmm_loop_call (plug->loop, do_send_batch, &batch);
        cr_assert_eq (batch.done, BATCH);
        for (uint32_t i = 0; i < BATCH; i++) {
            if (i != batch.spoilt)
                expect_on_host (host, batch.first + i, 100 + i);
        }
    }
}

/* With the kernel's header in front of each frame and without, as whoever opened it wanted it. */
static void
talk_through (short flags, uint32_t offloads)
{
    int fd = make_tap (flags), host;
    VmmNet *net = vmm_net_tap_open (&(VmmNetTapConfig){.fds = &fd, .n_fds = 1}, NULL);
    NetPlug *plug;

    cr_assert_not_null (net);
    close (fd);
    cr_assert_str_eq (net->identity, NAME);
    cr_assert_eq (net->offloads & VMM_NET_OFFLOAD_CSUM, offloads);
    cr_assert (vmm_net_link_is_up (net));
    set_up_interface (true);
    host = open_host ();
    plug = net_plug_new (net);
    talk (plug, host);
    talk_in_batches (net, plug, host);
    net_plug_pull (plug);
    net_plug_put (plug);
    talk (plug, host);
    talk_in_batches (net, plug, host);
    close (host);
    net_plug_free (plug);
    cr_assert_eq (if_nametoindex (NAME), 0, "the interface is left");
}

Test (net_tap, frames_go_both_ways)
{
    talk_through (IFF_VNET_HDR, VMM_NET_OFFLOAD_CSUM);
}

Test (net_tap, frames_go_both_ways_without_headers)
{
    talk_through (0, 0);
}

Test (net_tap, old_frames_are_not_for_a_new_driver)
{
    int fd = make_tap (IFF_VNET_HDR), host;
    VmmNet *net = vmm_net_tap_open (&(VmmNetTapConfig){.fds = &fd, .n_fds = 1}, NULL);
    NetPlug *plug;
    uint8_t frame[60];

    close (fd);
    set_up_interface (true);
    host = open_host ();
    fake_net_fill (frame, 1, sizeof frame);
    cr_assert_eq (send (host, frame, sizeof frame, 0), sizeof frame);
    plug = net_plug_new (net);
    fake_net_fill (frame, 2, sizeof frame);
    cr_assert_eq (send (host, frame, sizeof frame, 0), sizeof frame);
    cr_assert (net_plug_receive (plug, 10));
    while (plug->len != sizeof frame || memcmp (plug->frame, frame, sizeof frame) != 0) {
        uint32_t name;

        cr_assert_not (fake_net_is_whole (plug->frame, plug->len, &name) && name == 1, "it came");
        cr_assert (net_plug_receive (plug, 10));
    }
    close (host);
    net_plug_free (plug);
}

Test (net_tap, an_interface_that_is_down_is_told_of_once)
{
    int fd = make_tap (IFF_VNET_HDR);
    VmmNet *net = vmm_net_tap_open (&(VmmNetTapConfig){.fds = &fd, .n_fds = 1}, NULL);
    NetPlug *plug = net_plug_new (net);
    uint8_t frame[60] = {0};

    close (fd);
    cr_assert_eq (net_plug_send (plug, &no_header, frame, sizeof frame), VMM_NET_DROPPED);
    cr_assert_not_null (plug->warning);
    cr_assert_not_null (strstr (plug->warning, "ip link set " NAME " up"), "%s", plug->warning);
    g_clear_pointer (&plug->warning, g_free);
    cr_assert_eq (net_plug_send (plug, &no_header, frame, sizeof frame), VMM_NET_DROPPED);
    cr_assert_null (plug->warning);
    set_up_interface (true);
    cr_assert_eq (net_plug_send (plug, &no_header, frame, sizeof frame), VMM_NET_SENT);
    net_plug_free (plug);
}

/* The tap outlives its descriptors, so that it can be opened by name, and be taken away. */
static void
make_persistent (int fd)
{
    cr_assert_eq (ioctl (fd, TUNSETPERSIST, 1ul), 0);
    close (fd);
}

static void
delete_interface (void)
{
    g_autofree char *command = g_strdup_printf ("ip link del %s", NAME);

    if (g_spawn_command_line_sync (command, NULL, NULL, NULL, NULL) && if_nametoindex (NAME) == 0)
        return;
    cr_skip_test ("an interface cannot be taken away without ip (iproute2)");
}

Test (net_tap, an_interface_that_goes_away_pulls_the_cable)
{
    VmmNet *net;
    NetPlug *plug;
    uint8_t frame[60] = {0};

    make_persistent (make_tap (IFF_VNET_HDR));
    net = vmm_net_tap_open (&(VmmNetTapConfig){.ifname = NAME, .n_queues = 1}, NULL);
    cr_assert_not_null (net);
    cr_assert_eq (net->mtu, 1500);
    check_refused (&(VmmNetTapConfig){.ifname = NAME, .n_queues = 1}, NAME, "another program uses it");
    set_up_interface (true);
    plug = net_plug_new (net);
    cr_assert_eq (net_plug_send (plug, &no_header, frame, sizeof frame), VMM_NET_SENT);
    delete_interface ();
    cr_assert (net_plug_wait_link (plug, false));
    cr_assert_not_null (strstr (plug->warning, "is gone"), "%s", plug->warning);
    cr_assert_eq (net_plug_send (plug, &no_header, frame, sizeof frame), VMM_NET_DROPPED);
    cr_assert_not (net_plug_receive (plug, 0));
    net_plug_pull (plug);
    net_plug_put (plug);
    cr_assert_eq (net_plug_send (plug, &no_header, frame, sizeof frame), VMM_NET_DROPPED);
    net_plug_free (plug);
}

static void
want_nothing (void *user)
{
    NetPlug *plug = user;

    plug->net->ops->want_receive (plug->net, 0, false);
}

/* Where the kernel serves the queues nobody else waits for frames, and yet it is heard of. */
Test (net_tap, an_interface_that_goes_away_is_missed_with_vhost)
{
    VmmNet *net;
    NetPlug *plug;

    make_persistent (make_tap (IFF_VNET_HDR));
    net = vmm_net_tap_open (&(VmmNetTapConfig){.ifname = NAME, .n_queues = 1}, NULL);
    cr_assert_not_null (net);
    set_up_interface (true);
    /* Hosts without /dev/vhost-net are to run this, too; nobody looks at what it is. */
    net->vhost = (VmmVhostNet *)net;
    plug = net_plug_new (net);
    vmm_loop_call (plug->loop, want_nothing, plug);
    delete_interface ();
    cr_assert (net_plug_wait_link (plug, false));
    cr_assert_not_null (strstr (plug->warning, "is gone"), "%s", plug->warning);
    net_plug_pull (plug);
    net_plug_put (plug);
    net->vhost = NULL;
    net_plug_free (plug);
}

Test (net_tap, a_tap_with_one_queue_has_no_two)
{
    make_persistent (make_tap (IFF_VNET_HDR));
    check_refused (&(VmmNetTapConfig){.ifname = NAME, .n_queues = 2}, NAME, "multi_queue");
    check_refused (&(VmmNetTapConfig){.ifname = "lo", .n_queues = 1}, "lo", "no tap");
    delete_interface ();
}

Test (net_tap, several_queues)
{
    VmmNet *net;
    NetPlug *plug;
    int host;

    make_persistent (make_tap (IFF_VNET_HDR | IFF_MULTI_QUEUE));
    net = vmm_net_tap_open (&(VmmNetTapConfig){.ifname = NAME, .n_queues = 4}, NULL);
    cr_assert_not_null (net);
    cr_assert_eq (net->n_pairs, 4);
    set_up_interface (true);
    host = open_host ();
    /* One is used as long as nobody asks for more: all frames come there. */
    plug = net_plug_new (net);
    talk (plug, host);
    close (host);
    net_plug_free (plug);
    delete_interface ();
}
