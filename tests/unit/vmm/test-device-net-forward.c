/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <criterion/criterion.h>

#include "vmm/device-net-forward.h"

Test (device_net_forward, says_what_goes_where)
{
    static const struct {
        const char *text;
        bool udp;
        const char *host;
        unsigned host_port;
        const char *guest;
        unsigned guest_port;
    } rows[] = {
        {"tcp:127.0.0.1:2222-:22", false, "127.0.0.1", 2222, "0.0.0.0", 22},
        {"udp::53-10.0.2.15:5353", true, "0.0.0.0", 53, "10.0.2.15", 5353},
        {"tcp::1-:65535", false, "0.0.0.0", 1, "0.0.0.0", 65535},
        {"tcp:255.255.255.255:65535-0.0.0.0:1", false, "255.255.255.255", 65535, "0.0.0.0", 1},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++) {
        VmmNetForward forward;

        cr_assert (vmm_net_forward_parse (rows[i].text, &forward), "%s", rows[i].text);
        cr_assert_eq (forward.udp, rows[i].udp);
        cr_assert_eq (forward.host.s_addr, inet_addr (rows[i].host), "%s", rows[i].text);
        cr_assert_eq (forward.host_port, rows[i].host_port);
        cr_assert_eq (forward.guest.s_addr, inet_addr (rows[i].guest), "%s", rows[i].text);
        cr_assert_eq (forward.guest_port, rows[i].guest_port);
    }
}

Test (device_net_forward, nothing_else_is_one)
{
    static const char *const texts[] = {
        "",
        "tcp",
        "tcp:",
        "tcp:-",
        "-",
        "tcp:-:22",
        "tcp::2222",
        "tcp::2222-",
        "tcp::2222:22",
        "tcp::2222-22",
        "tcp:2222-:22",
        "tcp::0-:22",
        "tcp::2222-:0",
        "tcp::65536-:22",
        "tcp::2222-:65536",
        "tcp::+1-:22",
        "tcp:: 1-:22",
        "tcp::1 -:22",
        "tcp::0x10-:22",
        "tcp::-1-:22",
        "tcp::1--:22",
        "tcp::1-:2-:3",
        "tcp:localhost:1-:22",
        "tcp:127.0.0:1-:22",
        "tcp:127.0.0.1.1:1-:22",
        "tcp:256.0.0.1:1-:22",
        "tcp:::1:1-:22",
        "tcp:[::1]:1-:22",
        "tcp::1-fec0::15:22",
        "TCP::1-:22",
        "sctp::1-:22",
        "udp-:1:2",
        "tcp::1-:99999999999999999999",
    };

    for (size_t i = 0; i < G_N_ELEMENTS (texts); i++) {
        VmmNetForward forward = {.host_port = 7};

        cr_assert_not (vmm_net_forward_parse (texts[i], &forward), "\"%s\" is taken", texts[i]);
        cr_assert_eq (forward.host_port, 7, "\"%s\" has changed the output", texts[i]);
    }
}
