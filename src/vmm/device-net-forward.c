/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/device-net-forward.h"

#include <arpa/inet.h>
#include <string.h>

/* [ADDRESS]:PORT; without an address: any. */
static bool
parse_end (const char *text, struct in_addr *ret_address, uint16_t *ret_port)
{
    const char *colon = strrchr (text, ':');
    g_autofree char *address = NULL;
    struct in_addr parsed = {INADDR_ANY};
    guint64 port;

    if (colon == NULL || !g_ascii_string_to_unsigned (colon + 1, 10, 1, 65535, &port, NULL))
        return false;
    address = g_strndup (text, (gsize)(colon - text));
    if (*address != '\0' && inet_pton (AF_INET, address, &parsed) != 1)
        return false;
    *ret_address = parsed;
    *ret_port = (uint16_t)port;
    return true;
}

/**
 * vmm_net_forward_parse:
 * @text: PROTOCOL:[ADDRESS]:PORT-[ADDRESS]:PORT, the host's end first: "tcp:127.0.0.1:2222-:22"
 * @ret_forward: (out): what it says
 *
 * Returns: false, with the output untouched, for anything else
 */
bool
vmm_net_forward_parse (const char *text, VmmNetForward *ret_forward)
{
    VmmNetForward forward = {.udp = g_str_has_prefix (text, "udp:")};
    const char *dash = strchr (text, '-');
    g_autofree char *host = NULL;

    if ((!forward.udp && !g_str_has_prefix (text, "tcp:")) || dash == NULL)
        return false;
    host = g_strndup (text + strlen ("tcp:"), (gsize)(dash - text) - strlen ("tcp:"));
    if (!parse_end (host, &forward.host, &forward.host_port) ||
        !parse_end (dash + 1, &forward.guest, &forward.guest_port))
        return false;
    *ret_forward = forward;
    return true;
}
