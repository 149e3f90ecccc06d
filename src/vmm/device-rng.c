/* SPDX-License-Identifier: Apache-2.0 */
/* rng: the host's random numbers. */
#include <string.h>

#include "devices/virtio/rng.h"
#include "vmm/device-kind.h"
#include "vmm/error.h"

static void *
parse (const char *value, GError **error)
{
    if (strcmp (value, "on") != 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "rng \"%s\": say on, or leave it out", value);
        return NULL;
    }
    return g_new0 (char, 1);
}

static VmmVirtioDevice *
make (const void *description, void *backend, const VmmVirtioEnv *env, GError **error)
{
    VmmVirtioDevice *device = vmm_virtio_rng_new (env);

    if (device == NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "%s: there are no file descriptors left: raise the limit (ulimit -n)", env->name);
    return device;
}

/**
 * vmm_device_kind_rng:
 *
 * Entropy.
 */
const VmmDeviceKind vmm_device_kind_rng = {
    .key = "rng",
    .driver = "virtio_rng",
    .parse = parse,
    .free_description = g_free,
    .make = make,
};
