/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_NET_SOCKET_H
#define VMM_DEVICES_NET_SOCKET_H

#include "devices/net/net.h"

/**
 * VmmNetSocketRole:
 * @VMM_NET_SOCKET_EITHER: listen, unless somebody does already: then connect
 */
typedef enum {
    VMM_NET_SOCKET_EITHER,
    VMM_NET_SOCKET_LISTEN,
    VMM_NET_SOCKET_CONNECT,
} VmmNetSocketRole;

/* How many bytes the path of a Unix socket may have. */
#define VMM_NET_SOCKET_PATH_MAX 107u

VmmNet *vmm_net_socket_open (VmmNetSocketRole role, const char *path, GError **error);

#endif
