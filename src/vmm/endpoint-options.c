/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/endpoint-options.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "vmm/config-internal.h"
#include "vmm/error.h"

static bool
take_fd (VmmEndpointOptions *endpoint, const char *text, VmmOptions *options, GError **error)
{
    guint64 number;

    if (!g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT, &number, NULL))
        return vmm_options_refuse (options, error, "fd=%s: give the number of an open descriptor", text);
    endpoint->fd = (int)number;
    return true;
}

/**
 * vmm_endpoint_options_take:
 * @endpoint: (out): zeroes
 * @options: words, of which those are taken that say where bytes go: one of stdio, null, pty, file=PATH,
 *   socket=PATH and fd=N; with a file also append
 *
 * Returns: false with %VMM_ERROR_USAGE
 */
bool
vmm_endpoint_options_take (VmmEndpointOptions *endpoint, VmmOptions *options, GError **error)
{
    static const struct {
        const char *name;
        VmmEndpointKind kind;
    } words[] = {
        {"stdio", VMM_ENDPOINT_FDS}, {"null", VMM_ENDPOINT_NULL},     {"pty", VMM_ENDPOINT_PTY},
        {"file", VMM_ENDPOINT_FILE}, {"socket", VMM_ENDPOINT_SOCKET}, {"fd", VMM_ENDPOINT_FDS},
    };
    g_autofree char *first = vmm_options_take_first (options);
    const char *value = first != NULL ? strchr (first, '=') : NULL;
    size_t len = value != NULL ? (size_t)(value - first) : first != NULL ? strlen (first) : 0;
    bool found = false;

    for (size_t i = 0; i < G_N_ELEMENTS (words) && !found; i++) {
        bool takes_value = words[i].kind == VMM_ENDPOINT_FILE || words[i].kind == VMM_ENDPOINT_SOCKET ||
                           strcmp (words[i].name, "fd") == 0;

        found = strlen (words[i].name) == len && strncmp (words[i].name, first, len) == 0 &&
                takes_value == (value != NULL);
        endpoint->kind = words[i].kind;
        endpoint->stdio = words[i].kind == VMM_ENDPOINT_FDS && !takes_value;
    }
    if (!found)
        return vmm_options_refuse (
            options, error, "begin with where it goes: stdio, null, pty, file=PATH, socket=PATH or fd=N");
    if (endpoint->kind == VMM_ENDPOINT_FDS && !endpoint->stdio)
        return take_fd (endpoint, value + 1, options, error);
    if (value != NULL && value[1] == '\0')
        return vmm_options_refuse (options, error, "%s: give a path", first);
    endpoint->path = value != NULL ? g_strdup (value + 1) : NULL;
    return endpoint->kind != VMM_ENDPOINT_FILE ||
           vmm_options_take_flag (options, "append", &endpoint->append, error);
}

/**
 * vmm_endpoint_options_clear:
 *
 * Frees what is inside.
 */
void
vmm_endpoint_options_clear (VmmEndpointOptions *endpoint)
{
    g_clear_pointer (&endpoint->path, g_free);
}

/**
 * vmm_endpoint_options_copy:
 * @endpoint: (nullable)
 *
 * Returns: (transfer full) (nullable): another one; NULL for NULL
 */
VmmEndpointOptions *
vmm_endpoint_options_copy (const VmmEndpointOptions *endpoint)
{
    VmmEndpointOptions *copy = endpoint != NULL ? g_memdup2 (endpoint, sizeof *endpoint) : NULL;

    if (copy != NULL)
        copy->path = g_strdup (endpoint->path);
    return copy;
}

/**
 * vmm_endpoint_options_free:
 * @endpoint: (nullable)
 */
void
vmm_endpoint_options_free (VmmEndpointOptions *endpoint)
{
    if (endpoint == NULL)
        return;
    vmm_endpoint_options_clear (endpoint);
    g_free (endpoint);
}

/* A descriptor is used in the directions in which it is open. */
static bool
look_at_fd (int fd, const char *what, VmmEndpointConfig *config, GError **error)
{
    int flags = fcntl (fd, F_GETFL);

    if (flags < 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s \"fd=%d\": %s", what, fd, g_strerror (errno));
        return false;
    }
    config->in_fd = (flags & O_ACCMODE) == O_WRONLY ? -1 : fd;
    config->out_fd = (flags & O_ACCMODE) == O_RDONLY ? -1 : fd;
    return true;
}

/**
 * vmm_endpoint_options_open:
 * @what: the option's name, for messages
 * @context: the loop that serves it
 * @config: the machine's, which knows its standard streams
 *
 * Returns: (transfer full) (nullable): the open endpoint; NULL with an error
 */
VmmEndpoint *
vmm_endpoint_options_open (const VmmEndpointOptions *endpoint, const char *what, GMainContext *context,
                           const VmmConfig *config, GError **error)
{
    VmmEndpointConfig end = {
        .kind = endpoint->kind,
        .path = endpoint->path,
        .append = endpoint->append,
        .in_fd = config->serial_in,
        .out_fd = config->serial_out,
    };
    VmmEndpoint *open;

    if (end.kind == VMM_ENDPOINT_FDS && !endpoint->stdio && !look_at_fd (endpoint->fd, what, &end, error))
        return NULL;
    open = vmm_endpoint_open (context, what, &end, error);
    if (open != NULL && endpoint->stdio)
        vmm_chardev_set_filter (vmm_endpoint_chardev (open), config->filter, config->filter_user);
    return open;
}
