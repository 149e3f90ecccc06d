/* SPDX-License-Identifier: Apache-2.0 */
/* User networking, with a guest that is a few frames: what a stock guest asks first, and what the host sends.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/net/user.h"
#include "net-plug.h"
#include "vmm/error.h"

#define IP_AT 14u
#define TYPE_ARP 0x0806
#define TYPE_IP 0x0800

static const VmmNetHeader no_header = {0};
static const uint8_t guest_mac[6] = {0x52, 0x54, 0, 0, 0, 9};
static const uint8_t guest_ip[4] = {10, 0, 2, 15}, host_ip[4] = {10, 0, 2, 2};

TestSuite (net_user, .timeout = 60);

/* Skips the test where there is no libslirp. */
static NetPlug *
plug_in (const VmmNetUserConfig *config)
{
    g_autoptr (GError) error = NULL;
    VmmNet *net = vmm_net_user_open (config, &error);

    if (net == NULL) {
        cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_HOST), "%s", error->message);
        cr_assert_not_null (strstr (error->message, "libslirp"), "%s", error->message);
        cr_skip_test ("%s", error->message);
    }
    return net_plug_new (net);
}

static void
begin_frame (uint8_t *frame, uint16_t type)
{
    memset (frame, 0xff, 6);
    memcpy (frame + 6, guest_mac, 6);
    frame[12] = (uint8_t)(type >> 8);
    frame[13] = (uint8_t)type;
}

static void
send_frame (NetPlug *plug, const uint8_t *frame, size_t len)
{
    cr_assert_eq (net_plug_send (plug, &no_header, frame, len), VMM_NET_SENT);
}

/* ARP (RFC 826): @op 1 asks who has @ip, 2 says that it is us. */
static void
send_arp (NetPlug *plug, uint8_t op, const uint8_t *ip)
{
    uint8_t frame[60] = {0};
    const uint8_t head[] = {0, 1, 8, 0, 6, 4, 0, op};

    begin_frame (frame, TYPE_ARP);
    memcpy (frame + IP_AT, head, sizeof head);
    memcpy (frame + IP_AT + 8, guest_mac, 6);
    memcpy (frame + IP_AT + 14, guest_ip, 4);
    memcpy (frame + IP_AT + 24, ip, 4);
    send_frame (plug, frame, sizeof frame);
}

static bool
is_arp (const NetPlug *plug, uint8_t op)
{
    return plug->len >= 42 && plug->frame[12] == 0x08 && plug->frame[13] == 0x06 &&
           plug->frame[IP_AT + 7] == op;
}

static bool
is_ip (const NetPlug *plug, uint8_t protocol)
{
    return plug->len >= 34 && plug->frame[12] == 0x08 && plug->frame[13] == 0x00 &&
           plug->frame[IP_AT + 9] == protocol;
}

static uint16_t
sum_of (const uint8_t *data, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)(data[i] << 8 | data[i + 1]);
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* A UDP packet (RFC 768) without a checksum, which it need not have. */
static void
send_udp (NetPlug *plug, const uint8_t *from, const uint8_t *to, uint16_t from_port, uint16_t to_port,
          const void *data, uint16_t len)
{
    uint8_t frame[600] = {0};
    uint8_t *ip = frame + IP_AT, *udp = ip + 20;
    uint16_t sum, total = (uint16_t)(28 + len);

    begin_frame (frame, TYPE_IP);
    ip[0] = 0x45;
    ip[2] = (uint8_t)(total >> 8);
    ip[3] = (uint8_t)total;
    ip[8] = 64;
    ip[9] = 17;
    memcpy (ip + 12, from, 4);
    memcpy (ip + 16, to, 4);
    sum = sum_of (ip, 20);
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
    udp[0] = (uint8_t)(from_port >> 8);
    udp[1] = (uint8_t)from_port;
    udp[2] = (uint8_t)(to_port >> 8);
    udp[3] = (uint8_t)to_port;
    udp[4] = (uint8_t)((8 + len) >> 8);
    udp[5] = (uint8_t)(8 + len);
    memcpy (udp + 8, data, len);
    send_frame (plug, frame, IP_AT + total);
}

/* The next frame of that protocol; ARP questions are answered on the way. */
static bool
receive_ip (NetPlug *plug, uint8_t protocol, unsigned seconds)
{
    while (net_plug_receive (plug, seconds)) {
        if (is_arp (plug, 1) && memcmp (plug->frame + IP_AT + 24, guest_ip, 4) == 0)
            send_arp (plug, 2, plug->frame + IP_AT + 14);
        else if (is_ip (plug, protocol))
            return true;
    }
    return false;
}

/* A socket of the host's on a free port of 127.0.0.1, which is told. */
static int
bind_somewhere (int type, uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket (AF_INET, type | SOCK_CLOEXEC, 0);

    cr_assert_eq (bind (fd, (const struct sockaddr *)&address, len), 0);
    cr_assert_eq (getsockname (fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs (address.sin_port);
    return fd;
}

static VmmNetForward
forward_of (bool udp, uint16_t port, uint16_t guest_port)
{
    return (VmmNetForward){
        .udp = udp, .host.s_addr = htonl (INADDR_LOOPBACK), .host_port = port, .guest_port = guest_port};
}

Test (net_user, the_host_is_there)
{
    NetPlug *plug = plug_in (&(VmmNetUserConfig){0});

    cr_assert (vmm_net_link_is_up (plug->net));
    send_arp (plug, 1, host_ip);
    do
        cr_assert (net_plug_receive (plug, 10));
    while (!is_arp (plug, 2));
    cr_assert_arr_eq (plug->frame + IP_AT + 14, host_ip, 4);
    cr_assert_arr_eq (plug->frame, guest_mac, 6);
    cr_assert_arr_eq (&plug->header, &no_header, sizeof no_header);
    net_plug_free (plug);
}

/* RFC 2131: a discover is answered by an offer of 10.0.2.15, with a router and a name server. */
Test (net_user, dhcp_gives_an_address)
{
    static const uint8_t everybody[4] = {255, 255, 255, 255}, nobody[4] = {0};
    static const uint8_t options[] = {0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255};
    NetPlug *plug = plug_in (&(VmmNetUserConfig){0});
    uint8_t discover[300] = {1, 1, 6, 0, 1, 2, 3, 4};

    memcpy (discover + 28, guest_mac, 6);
    memcpy (discover + 236, options, sizeof options);
    send_udp (plug, nobody, everybody, 68, 67, discover, sizeof discover);
    cr_assert (receive_ip (plug, 17, 10));
    cr_assert_eq (plug->frame[IP_AT + 28], 2, "it is no answer");
    cr_assert_arr_eq (plug->frame + IP_AT + 28 + 4, discover + 4, 4, "it is to somebody else");
    cr_assert_arr_eq (plug->frame + IP_AT + 28 + 16, guest_ip, 4);
    net_plug_free (plug);
}

Test (net_user, the_guest_reaches_the_hosts_ports)
{
    uint16_t port;
    int fd = bind_somewhere (SOCK_DGRAM, &port);
    struct timeval wait = {.tv_sec = 10};
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    char got[16] = "";
    NetPlug *plug = plug_in (&(VmmNetUserConfig){0});

    setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    send_udp (plug, guest_ip, host_ip, 1234, port, "hello", 5);
    cr_assert_eq (recvfrom (fd, got, sizeof got, 0, (struct sockaddr *)&from, &len), 5);
    cr_assert_arr_eq (got, "hello", 5);
    cr_assert_eq (sendto (fd, "you", 3, 0, (const struct sockaddr *)&from, len), 3);
    cr_assert (receive_ip (plug, 17, 10), "the answer did not come");
    cr_assert_arr_eq (plug->frame + IP_AT + 28, "you", 3);
    close (fd);
    net_plug_free (plug);
}

Test (net_user, a_restricted_guest_reaches_nothing)
{
    uint16_t port;
    int fd = bind_somewhere (SOCK_DGRAM, &port);
    char byte;
    NetPlug *plug = plug_in (&(VmmNetUserConfig){.restricted = true});

    send_udp (plug, guest_ip, host_ip, 1234, port, "hello", 5);
    g_usleep (100000);
    cr_assert_eq (recv (fd, &byte, 1, MSG_DONTWAIT), -1, "it came through");
    close (fd);
    net_plug_free (plug);
}

/* What comes to the host's port is the guest's: a datagram, and the beginning of a TCP connection. */
Test (net_user, forwards_reach_the_guest)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK)};
    uint16_t ports[2];
    int fds[2] = {bind_somewhere (SOCK_DGRAM, &ports[0]), bind_somewhere (SOCK_STREAM, &ports[1])};
    VmmNetForward forwards[] = {forward_of (true, ports[0], 53), forward_of (false, ports[1], 22)};
    const VmmNetUserConfig config = {.forwards = forwards, .n_forwards = 2, .restricted = true};
    NetPlug *plug;

    close (fds[0]);
    close (fds[1]);
    plug = plug_in (&config);
    fds[0] = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    fds[1] = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    address.sin_port = htons (ports[0]);
    cr_assert_eq (sendto (fds[0], "hi", 2, 0, (const struct sockaddr *)&address, sizeof address), 2);
    cr_assert (receive_ip (plug, 17, 10), "the datagram did not come");
    cr_assert_eq (plug->frame[IP_AT + 23], 53);
    cr_assert_arr_eq (plug->frame + IP_AT + 28, "hi", 2);
    address.sin_port = htons (ports[1]);
    connect (fds[1], (const struct sockaddr *)&address, sizeof address);
    cr_assert (receive_ip (plug, 6, 10), "the connection did not come");
    cr_assert_eq (plug->frame[IP_AT + 23], 22);
    cr_assert_eq (plug->frame[IP_AT + 20 + 13] & 0x3f, 2, "it is no SYN");
    close (fds[0]);
    close (fds[1]);
    net_plug_free (plug);
}

Test (net_user, a_port_that_is_taken_is_named)
{
    g_autoptr (GError) error = NULL;
    uint16_t port;
    int fd = bind_somewhere (SOCK_STREAM, &port);
    VmmNetForward forward = forward_of (false, port, 22);
    const VmmNetUserConfig config = {.forwards = &forward, .n_forwards = 1};
    g_autofree char *name = g_strdup_printf ("hostfwd=tcp:127.0.0.1:%u", port);

    net_plug_free (plug_in (&(VmmNetUserConfig){0}));
    cr_assert_eq (listen (fd, 1), 0);
    cr_assert_null (vmm_net_user_open (&config, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_not_null (strstr (error->message, name), "%s", error->message);
    cr_assert_not_null (strstr (error->message, "another port"), "%s", error->message);
    close (fd);
}

/* The driver goes and comes back: nothing of before is told, and everything works. */
Test (net_user, a_driver_that_comes_back)
{
    NetPlug *plug = plug_in (&(VmmNetUserConfig){0});

    for (unsigned i = 0; i < 3; i++) {
        send_arp (plug, 1, host_ip);
        do
            cr_assert (net_plug_receive (plug, 10), "round %u", i);
        while (!is_arp (plug, 2));
        net_plug_want (plug, false);
        send_arp (plug, 1, host_ip);
        net_plug_pull (plug);
        net_plug_put (plug);
    }
    net_plug_free (plug);
}

/* Frames of any bytes: libslirp is a parser of what a guest sends. */
Test (net_user, nonsense_is_survived)
{
    NetPlug *plug = plug_in (&(VmmNetUserConfig){.restricted = true});
    uint8_t frame[400];
    uint32_t random = 1;

    for (unsigned i = 0; i < 2000; i++) {
        for (size_t j = 0; j < sizeof frame; j++) {
            random = random * 1664525u + 1013904223u;
            frame[j] = (uint8_t)(random >> 24);
        }
        begin_frame (frame, i % 3 == 0 ? TYPE_ARP : i % 3 == 1 ? TYPE_IP : 0x86dd);
        if (i % 3 == 1) {
            frame[IP_AT] = 0x45;
            frame[IP_AT + 9] = (uint8_t)(i % 2 == 0 ? 6 : 1);
        }
        send_frame (plug, frame, VMM_NET_FRAME_MIN + random % (sizeof frame - VMM_NET_FRAME_MIN));
    }
    send_arp (plug, 1, host_ip);
    do
        cr_assert (net_plug_receive (plug, 10));
    while (!is_arp (plug, 2));
    net_plug_free (plug);
}
