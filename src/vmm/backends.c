/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine's devices have of the host: open images, taps, sockets. It is opened once, before the guest
 * starts, so that what cannot be had is said in time; and it lives across the guest's reboots, which must not
 * lose what an ephemeral disk holds or who is connected to a console.
 */
#include "vmm/backends.h"

#include "vmm/config-internal.h"

struct _VmmBackends {
    GPtrArray *devices; /* of VmmDeviceSpec */
    void **backends;    /* as many */
};

/**
 * vmm_backends_new:
 * @host: the machine, all but the name; the devices of its configuration stay in use
 *
 * Returns: (transfer full) (nullable): everything open; NULL with the error of the first that cannot be
 */
VmmBackends *
vmm_backends_new (const VmmDeviceHost *host, GError **error)
{
    const VmmConfig *config = host->config;
    g_autoptr (VmmBackends) backends = g_new0 (VmmBackends, 1);

    backends->devices = g_ptr_array_new_with_free_func ((GDestroyNotify)vmm_device_spec_unref);
    backends->backends = g_new0 (void *, config->devices->len);
    for (guint i = 0; i < config->devices->len; i++) {
        VmmDeviceSpec *spec = config->devices->pdata[i];
        VmmDeviceHost named = *host;

        named.name = spec->name;
        g_ptr_array_add (backends->devices, vmm_device_spec_ref (spec));
        if (spec->kind->open == NULL)
            continue;
        backends->backends[i] = spec->kind->open (spec->description, &named, error);
        if (backends->backends[i] == NULL)
            return NULL;
    }
    return g_steal_pointer (&backends);
}

/**
 * vmm_backends_free:
 * @backends: (nullable): no board uses them any more
 *
 * The machine's thread.
 */
void
vmm_backends_free (VmmBackends *backends)
{
    if (backends == NULL)
        return;
    for (guint i = 0; i < backends->devices->len; i++) {
        const VmmDeviceSpec *spec = backends->devices->pdata[i];

        if (backends->backends[i] != NULL)
            spec->kind->close (backends->backends[i]);
    }
    g_ptr_array_unref (backends->devices);
    g_free (backends->backends);
    g_free (backends);
}

/**
 * vmm_backends_settle:
 * @notice: is told of each loss
 * @user: what it gets
 *
 * The machine's thread: the guest is gone for good, and no board uses them any more.
 *
 * Returns: whether all that the guest wrote has its place
 */
bool
vmm_backends_settle (VmmBackends *backends, void (*notice) (void *user, const char *text), void *user)
{
    bool ok = true;

    for (guint i = 0; i < backends->devices->len; i++) {
        const VmmDeviceSpec *spec = backends->devices->pdata[i];
        g_autoptr (GError) error = NULL;

        if (spec->kind->settle == NULL || spec->kind->settle (backends->backends[i], &error))
            continue;
        notice (user, error->message);
        ok = false;
    }
    return ok;
}

/**
 * vmm_backends_get:
 * @index: of the device in the configuration
 *
 * Returns: (transfer none) (nullable): its backend; NULL for a kind that has none
 */
void *
vmm_backends_get (const VmmBackends *backends, unsigned index)
{
    return backends->backends[index];
}
