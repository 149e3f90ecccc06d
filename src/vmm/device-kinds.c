/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "vmm/device-kind.h"

/* A line for each: declare it in device-kind.h, list it here. */
static const VmmDeviceKind *const kinds[] = {
    &vmm_device_kind_disk,
    &vmm_device_kind_net,
    &vmm_device_kind_console,
    &vmm_device_kind_vsock,
    &vmm_device_kind_rng,
    &vmm_device_kind_balloon,
    NULL,
};

/**
 * vmm_device_kind_find:
 * @key: a key of the configuration
 *
 * Returns: (transfer none) (nullable): the kind of device that it adds
 */
const VmmDeviceKind *
vmm_device_kind_find (const char *key)
{
    for (size_t i = 0; kinds[i] != NULL; i++) {
        if (strcmp (kinds[i]->key, key) == 0)
            return kinds[i];
    }
    return NULL;
}

/**
 * vmm_device_spec_new:
 * @index: how many of @kind there are before
 * @value: the user's words
 *
 * Returns: (transfer full) (nullable): the device; NULL with %VMM_ERROR_USAGE
 */
VmmDeviceSpec *
vmm_device_spec_new (const VmmDeviceKind *kind, unsigned index, const char *value, GError **error)
{
    void *description = kind->parse (value, error);
    VmmDeviceSpec *spec;

    if (description == NULL)
        return NULL;
    spec = g_atomic_rc_box_new (VmmDeviceSpec);
    *spec = (VmmDeviceSpec){kind, g_strdup_printf ("%s%u", kind->key, index), description};
    return spec;
}

/**
 * vmm_device_spec_ref:
 *
 * Returns: (transfer full): the same device
 */
VmmDeviceSpec *
vmm_device_spec_ref (VmmDeviceSpec *spec)
{
    return g_atomic_rc_box_acquire (spec);
}

static void
clear (gpointer data)
{
    VmmDeviceSpec *spec = data;

    spec->kind->free_description (spec->description);
    g_free (spec->name);
}

/**
 * vmm_device_spec_unref:
 * @spec: (transfer full): a device
 */
void
vmm_device_spec_unref (VmmDeviceSpec *spec)
{
    g_atomic_rc_box_release_full (spec, clear);
}
