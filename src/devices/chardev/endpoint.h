/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_CHARDEV_ENDPOINT_H
#define VMM_DEVICES_CHARDEV_ENDPOINT_H

#include "devices/chardev/chardev.h"

/**
 * VmmEndpointKind:
 * @VMM_ENDPOINT_NULL: all output is taken and goes nowhere, and there is no input
 * @VMM_ENDPOINT_FDS: descriptors of the program
 * @VMM_ENDPOINT_FILE: output goes into a file
 * @VMM_ENDPOINT_SOCKET: a Unix socket that programs connect to, one at a time
 * @VMM_ENDPOINT_PTY: a new pseudo-terminal
 */
typedef enum {
    VMM_ENDPOINT_NULL,
    VMM_ENDPOINT_FDS,
    VMM_ENDPOINT_FILE,
    VMM_ENDPOINT_SOCKET,
    VMM_ENDPOINT_PTY,
} VmmEndpointKind;

/**
 * VmmEndpointConfig:
 * @kind: what it is
 * @path: of the file or the socket
 * @append: the file is continued, not begun anew
 * @in_fd: with %VMM_ENDPOINT_FDS: to read from, or -1; borrowed
 * @out_fd: with %VMM_ENDPOINT_FDS: to write to, or -1; borrowed
 */
typedef struct {
    VmmEndpointKind kind;
    const char *path;
    bool append;
    int in_fd;
    int out_fd;
} VmmEndpointConfig;

typedef struct _VmmEndpoint VmmEndpoint;

VmmEndpoint *vmm_endpoint_open (GMainContext *context, const char *what, const VmmEndpointConfig *config,
                                GError **error);
void vmm_endpoint_free (VmmEndpoint *endpoint);
VmmChardev *vmm_endpoint_chardev (VmmEndpoint *endpoint);
const char *vmm_endpoint_terminal (const VmmEndpoint *endpoint);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmEndpoint, vmm_endpoint_free)

#endif
