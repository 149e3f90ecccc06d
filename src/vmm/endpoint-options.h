/* SPDX-License-Identifier: Apache-2.0 */
/* What serial= and console= have in common: where a guest's bytes go to and come from. */
#ifndef VMM_ENDPOINT_OPTIONS_H
#define VMM_ENDPOINT_OPTIONS_H

#include <stdbool.h>

#include "devices/chardev/endpoint.h"
#include "vmm/config.h"
#include "vmm/options.h"

/* For messages: the words that vmm_endpoint_options_take() knows. */
#define VMM_ENDPOINT_WORDS "stdio, null, pty, file=, socket=, fd= and append"

/**
 * VmmEndpointOptions:
 * @stdio: the streams that the program has set for the serial console; @kind is %VMM_ENDPOINT_FDS
 * @kind: what it is
 * @path: of the file or the socket, or NULL
 * @append: the file is continued
 * @fd: with %VMM_ENDPOINT_FDS and not @stdio: a descriptor of the program
 */
typedef struct {
    bool stdio;
    VmmEndpointKind kind;
    char *path;
    bool append;
    int fd;
} VmmEndpointOptions;

bool vmm_endpoint_options_take (VmmEndpointOptions *endpoint, VmmOptions *options, GError **error);
void vmm_endpoint_options_clear (VmmEndpointOptions *endpoint);
VmmEndpointOptions *vmm_endpoint_options_copy (const VmmEndpointOptions *endpoint);
void vmm_endpoint_options_free (VmmEndpointOptions *endpoint);
VmmEndpoint *vmm_endpoint_options_open (const VmmEndpointOptions *endpoint, const char *what,
                                        GMainContext *context, const VmmConfig *config, GError **error);

#endif
