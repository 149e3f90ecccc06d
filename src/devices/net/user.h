/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_NET_USER_H
#define VMM_DEVICES_NET_USER_H

#include <netinet/in.h>

#include "devices/net/net.h"

/* Its guest's address, the host's, and the name server's. */
#define VMM_NET_USER_GUEST "10.0.2.15/24 10.0.2.2 10.0.2.3"

/**
 * VmmNetForward:
 * @udp: otherwise TCP
 * @host: an address of this host; INADDR_ANY: all of them
 * @guest: an address of the guest's network; INADDR_ANY: the one that DHCP gives the guest
 * @host_port, @guest_port: in host order
 *
 * Connections to an address of the host that the guest gets.
 */
typedef struct {
    bool udp;
    struct in_addr host;
    struct in_addr guest;
    uint16_t host_port;
    uint16_t guest_port;
} VmmNetForward;

/**
 * VmmNetUserConfig:
 * @forwards: (array length=n_forwards)
 * @restricted: the guest reaches nothing; only @forwards are there
 * @mtu: of the guest's network; 0: %VMM_NET_MTU_DEFAULT
 */
typedef struct {
    const VmmNetForward *forwards;
    unsigned n_forwards;
    bool restricted;
    unsigned mtu;
} VmmNetUserConfig;

VmmNet *vmm_net_user_open (const VmmNetUserConfig *config, GError **error);

#endif
