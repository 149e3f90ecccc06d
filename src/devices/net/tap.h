/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_NET_TAP_H
#define VMM_DEVICES_NET_TAP_H

#include "devices/net/net.h"

/**
 * VmmNetTapVhost:
 * @VMM_NET_TAP_VHOST_AUTO: where it can
 * @VMM_NET_TAP_VHOST_ON: it must
 * @VMM_NET_TAP_VHOST_OFF: it must not
 */
typedef enum {
    VMM_NET_TAP_VHOST_AUTO,
    VMM_NET_TAP_VHOST_ON,
    VMM_NET_TAP_VHOST_OFF,
} VmmNetTapVhost;

/**
 * VmmNetTapConfig:
 * @ifname: (nullable): a tap interface of this host; NULL: take @fds
 * @fds: (array length=n_fds): open taps, the queues of one interface; borrowed, they are duplicated
 * @vhost: whether the kernel is to serve the guest's queues
 * @n_queues: how many queues of @ifname to open: 1 to %VMM_NET_PAIRS_MAX
 */
typedef struct {
    VmmNetTapVhost vhost;
    const char *ifname;
    const int *fds;
    unsigned n_fds;
    unsigned n_queues;
} VmmNetTapConfig;

VmmNet *vmm_net_tap_open (const VmmNetTapConfig *config, GError **error);

#endif
