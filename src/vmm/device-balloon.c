/* SPDX-License-Identifier: Apache-2.0 */
/* balloon=on[,size=BYTES][,deflate-on-oom=][,free-page-reporting=]: memory that comes back to the host. */
#include "devices/virtio/balloon.h"
#include "vmm/device-kind.h"
#include "vmm/error.h"
#include "vmm/options.h"

static bool
parse_words (VmmOptions *options, VmmVirtioBalloonConfig *config, GError **error)
{
    bool on = true;

    return vmm_options_take_flag (options, "on", &on, error) &&
           vmm_options_take_size (options, "size", &config->target, error) &&
           vmm_options_take_flag (options, "deflate-on-oom", &config->deflate_on_oom, error) &&
           vmm_options_take_flag (options, "free-page-reporting", &config->reporting, error) &&
           vmm_options_finish (options, "on, size=, deflate-on-oom= and free-page-reporting=", error);
}

static void *
parse (const char *value, GError **error)
{
    g_auto (VmmOptions) options = {0};
    g_autofree VmmVirtioBalloonConfig *config = g_new0 (VmmVirtioBalloonConfig, 1);

    config->deflate_on_oom = true;
    config->reporting = true;
    vmm_options_init (&options, "balloon", value);
    return parse_words (&options, config, error) ? g_steal_pointer (&config) : NULL;
}

static VmmVirtioDevice *
make (const void *description, void *backend, const VmmVirtioEnv *env, GError **error)
{
    VmmVirtioDevice *device = vmm_virtio_balloon_new (env, description);

    if (device == NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "%s: there are no file descriptors left: raise the limit (ulimit -n)", env->name);
    return device;
}

/**
 * vmm_device_kind_balloon:
 *
 * Memory that the guest gives back.
 */
const VmmDeviceKind vmm_device_kind_balloon = {
    .key = "balloon",
    .driver = "virtio_balloon",
    .parse = parse,
    .free_description = g_free,
    .make = make,
};
