/* SPDX-License-Identifier: Apache-2.0 */
/* vsock=cid=N,path=PATH: AF_VSOCK in the guest, Unix sockets on the host. */
#include <string.h>
#include <sys/un.h>

#include "devices/virtio/vsock.h"
#include "vmm/core/unix-listener.h"
#include "vmm/device-kind.h"
#include "vmm/error.h"
#include "vmm/options.h"

/* Of the sockets that the guest connects to: an underscore and a port. */
#define SUFFIX_MAX (sizeof "_4294967295" - 1)

typedef struct {
    uint64_t cid;
    char *path;
} Description;

static void
free_description (void *data)
{
    Description *description = data;

    g_free (description->path);
    g_free (description);
}

static bool
parse_words (VmmOptions *options, Description *description, GError **error)
{
    if (!vmm_options_take_unsigned (options, "cid", VMM_VSOCK_CID_MIN, VMM_VSOCK_CID_MAX, &description->cid,
                                    error))
        return false;
    description->path = vmm_options_take (options, "path");
    if (!vmm_options_finish (options, "cid= and path=", error))
        return false;
    if (description->cid == 0)
        return vmm_options_refuse (options, error, "give the guest's address, such as cid=3");
    if (description->path == NULL || *description->path == '\0')
        return vmm_options_refuse (options, error, "give the path of the host's socket: path=PATH");
    if (strlen (description->path) + SUFFIX_MAX >= sizeof ((struct sockaddr_un *)NULL)->sun_path)
        return vmm_options_refuse (
            options, error, "the path may have at most %zu bytes, for the ports that are put behind it",
            sizeof ((struct sockaddr_un *)NULL)->sun_path - 1 - SUFFIX_MAX);
    return true;
}

static void *
parse (const char *value, GError **error)
{
    g_auto (VmmOptions) options = {0};
    Description *description = g_new0 (Description, 1);

    vmm_options_init (&options, "vsock", value);
    if (parse_words (&options, description, error))
        return description;
    free_description (description);
    return NULL;
}

static void *
open_backend (const void *data, const VmmDeviceHost *host, GError **error)
{
    const Description *description = data;
    VmmUnixListener *listener = g_new0 (VmmUnixListener, 1);

    if (vmm_unix_listener_open (listener, "vsock", description->path, error))
        return listener;
    g_free (listener);
    return NULL;
}

static void
close_backend (void *backend)
{
    vmm_unix_listener_close (backend);
    g_free (backend);
}

static VmmVirtioDevice *
make (const void *data, void *backend, const VmmVirtioEnv *env, GError **error)
{
    const Description *description = data;
    const VmmUnixListener *listener = backend;
    VmmVirtioDevice *device = vmm_virtio_vsock_new (env, description->cid, listener->fd, description->path);

    if (device == NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "%s: %s", env->name,
                     "there are no file descriptors left: raise the limit (ulimit -n)");
    return device;
}

const VmmDeviceKind vmm_device_kind_vsock = {
    .key = "vsock",
    .driver = "vmw_vsock_virtio_transport",
    .repeats = false,
    .own_loop = true,
    .parse = parse,
    .free_description = free_description,
    .open = open_backend,
    .close = close_backend,
    .make = make,
};
