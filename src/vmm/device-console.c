/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console=stdio|null|pty|file=PATH|socket=PATH|fd=N[,name=NAME]: a console of the guest, hvc0 for the first
 * one; or, with a name, a port for programs. All named ones are ports of one device.
 */
#include "devices/virtio/console.h"

#include <string.h>

#include "vmm/config-internal.h"
#include "vmm/console-watch.h"
#include "vmm/device-kind.h"
#include "vmm/endpoint-options.h"
#include "vmm/error.h"

#define FLUSH_PATIENCE_MS 2000

typedef struct {
    VmmEndpointOptions endpoint;
    char *name; /* NULL: a console */
} Description;

typedef struct {
    char *name;
    VmmEndpoint *endpoint;
    VmmConsoleWatch watch;
    VmmKernelLog *log; /* NULL: nobody wants to know what is in it */
    void (*output) (void *user, size_t len);
    void (*takes_stdio) (void *user);
    void *user;
    bool waits; /* for its first output, to take the program's streams; atomic */
} Backend;

static void
free_description (void *data)
{
    Description *description = data;

    vmm_endpoint_options_clear (&description->endpoint);
    g_free (description->name);
    g_free (description);
}

/* It becomes the name of a file in the guest. */
static bool
is_good_name (const char *name)
{
    size_t len = strlen (name);

    return len > 0 && len <= VMM_VIRTIO_PORT_NAME_MAX && name[0] != '.' &&
           strspn (name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-") == len;
}

static bool
parse_words (VmmOptions *options, Description *description, GError **error)
{
    if (!vmm_endpoint_options_take (&description->endpoint, options, error))
        return false;
    description->name = vmm_options_take (options, "name");
    if (!vmm_options_finish (options, VMM_ENDPOINT_WORDS " and name=", error))
        return false;
    if (description->name != NULL && !is_good_name (description->name))
        return vmm_options_refuse (options, error,
                                   "name=%s: give letters, digits, \".\", \"_\" and \"-\", at most %u",
                                   description->name, VMM_VIRTIO_PORT_NAME_MAX);
    return true;
}

static void *
parse (const char *value, GError **error)
{
    g_auto (VmmOptions) options = {0};
    Description *description = g_new0 (Description, 1);

    vmm_options_init (&options, "console", value);
    if (parse_words (&options, description, error))
        return description;
    free_description (description);
    return NULL;
}

static bool
takes_stdio (const void *data)
{
    return ((const Description *)data)->endpoint.stdio;
}

static const char *
cmdline (const void *data)
{
    return ((const Description *)data)->name == NULL ? "console=hvc0" : NULL;
}

static bool
is_shared (const void *data)
{
    return ((const Description *)data)->name != NULL;
}

/* Its first output shows that somebody listens there. */
static void
on_port_output (void *user, const uint8_t *data, size_t len)
{
    Backend *backend = user;

    if (__atomic_load_n (&backend->waits, __ATOMIC_RELAXED) &&
        __atomic_exchange_n (&backend->waits, false, __ATOMIC_RELAXED))
        backend->takes_stdio (backend->user);
}

static void
on_output (void *user, const uint8_t *data, size_t len)
{
    Backend *backend = user;

    backend->output (backend->user, len);
    on_port_output (backend, data, len);
    vmm_console_watch_feed (&backend->watch, data, len);
    if (backend->log != NULL)
        vmm_kernel_log_feed (backend->log, data, len);
}

static void
give_stdio (void *data, int in_fd)
{
    Backend *backend = data;

    vmm_chardev_set_input (vmm_endpoint_chardev (backend->endpoint), in_fd);
    __atomic_store_n (&backend->waits, in_fd < 0, __ATOMIC_RELAXED);
}

static void *
open_backend (const void *data, const VmmDeviceHost *host, GError **error)
{
    const Description *description = data;
    VmmEndpoint *endpoint =
        vmm_endpoint_options_open (&description->endpoint, "console", host->context, host->config, error);
    Backend *backend;
    bool waits;

    if (endpoint == NULL)
        return NULL;
    backend = g_new0 (Backend, 1);
    backend->endpoint = endpoint;
    backend->name = g_strdup (host->name);
    backend->output = host->output;
    backend->takes_stdio = host->takes_stdio;
    backend->user = host->user;
    /* A serial console that is elsewhere has no streams to give. */
    waits = description->endpoint.stdio && host->config->serial == NULL;
    if (waits)
        give_stdio (backend, -1);
    backend->watch.event = host->console_event;
    backend->watch.user = host->user;
    if (description->name == NULL && host->kernel_report != NULL)
        backend->log = vmm_kernel_log_new (host->kernel_report, host->user);
    /* What programs of the guest send to each other's hosts is nobody's business. */
    if (description->name == NULL)
        vmm_chardev_set_tap (vmm_endpoint_chardev (endpoint), on_output, backend);
    else if (waits)
        vmm_chardev_set_tap (vmm_endpoint_chardev (endpoint), on_port_output, backend);
    if (vmm_endpoint_terminal (endpoint) != NULL) {
        g_autofree char *text = g_strdup_printf ("%s is at %s", host->name, vmm_endpoint_terminal (endpoint));

        host->notice (host->user, text);
    }
    return backend;
}

static bool
settle (void *data, GError **error)
{
    const Backend *backend = data;
    VmmChardev *chardev = vmm_endpoint_chardev (backend->endpoint);
    int lost;

    if (backend->log != NULL)
        vmm_kernel_log_finish (backend->log);
    vmm_chardev_flush (chardev, FLUSH_PATIENCE_MS);
    lost = vmm_chardev_lost (chardev);
    if (lost != 0)
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "%s: " VMM_OUTPUT_LOST, backend->name,
                     g_strerror (lost));
    return lost == 0;
}

static void
close_backend (void *data)
{
    Backend *backend = data;

    vmm_endpoint_free (backend->endpoint);
    vmm_kernel_log_free (backend->log);
    g_free (backend->name);
    g_free (backend);
}

static VmmVirtioDevice *
check (VmmVirtioDevice *device, const VmmVirtioEnv *env, GError **error)
{
    if (device == NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "%s: there are no file descriptors left: raise the limit (ulimit -n)", env->name);
    return device;
}

static VmmVirtioDevice *
make (const void *data, void *data_backend, const VmmVirtioEnv *env, GError **error)
{
    Backend *backend = data_backend;

    backend->watch.len = 0;
    return check (vmm_virtio_console_new (env, vmm_endpoint_chardev (backend->endpoint)), env, error);
}

static bool
refuse_name (const char *name, const char *why, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "console \"name=%s\": %s", name, why);
    return false;
}

static bool
add_port (VmmVirtioPort *ports, unsigned n, const Description *description, Backend *backend, GError **error)
{
    for (unsigned i = 0; i < n; i++) {
        if (strcmp (ports[i].name, description->name) == 0)
            return refuse_name (description->name, "another port has this name: choose a different one",
                                error);
    }
    if (n == VMM_VIRTIO_PORTS_MAX)
        return refuse_name (description->name, "a machine has at most 30 named ports: leave some out", error);
    ports[n] = (VmmVirtioPort){description->name, vmm_endpoint_chardev (backend->endpoint)};
    return true;
}

static VmmVirtioDevice *
make_shared (const VmmDevicePart *parts, unsigned n_parts, const VmmVirtioEnv *env, GError **error)
{
    VmmVirtioPort ports[VMM_VIRTIO_PORTS_MAX];

    for (unsigned i = 0; i < n_parts; i++) {
        if (!add_port (ports, i, parts[i].description, parts[i].backend, error))
            return NULL;
    }
    return check (vmm_virtio_ports_new (env, ports, n_parts), env, error);
}

/**
 * vmm_device_kind_console:
 *
 * Consoles, and ports for programs.
 */
const VmmDeviceKind vmm_device_kind_console = {
    .key = "console",
    .driver = "virtio_console",
    .repeats = true,
    .parse = parse,
    .free_description = free_description,
    .takes_stdio = takes_stdio,
    .give_stdio = give_stdio,
    .cmdline = cmdline,
    .is_shared = is_shared,
    .open = open_backend,
    .settle = settle,
    .close = close_backend,
    .make = make,
    .make_shared = make_shared,
};
