/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio devices of one boot, and the loops on which they work. */
#include "vmm/board-devices.h"

#include "vmm/config-internal.h"

struct _VmmBoardDevices {
    GPtrArray *devices; /* of VmmVirtioDevice */
    GPtrArray *loops;   /* of VmmLoop */
    VmmLoop *shared;    /* one of loops; NULL until a device wants it */
};

static VmmLoop *
make_loop (VmmBoardDevices *devices, const char *name, GError **error)
{
    VmmLoop *loop = vmm_loop_new (name, error);

    if (loop != NULL)
        g_ptr_array_add (devices->loops, loop);
    return loop;
}

static VmmLoop *
loop_for (VmmBoardDevices *devices, const VmmDeviceSpec *spec, GError **error)
{
    if (spec->kind->own_loop)
        return make_loop (devices, spec->name, error);
    if (devices->shared == NULL)
        devices->shared = make_loop (devices, "devices", error);
    return devices->shared;
}

static bool
is_shared (const VmmDeviceSpec *spec)
{
    return spec->kind->is_shared != NULL && spec->kind->is_shared (spec->description);
}

/* Whether it is a part of the device that one before it has made. */
static bool
is_made (const VmmConfig *config, unsigned index)
{
    const VmmDeviceSpec *spec = config->devices->pdata[index];

    for (unsigned i = 0; i < index && is_shared (spec); i++) {
        const VmmDeviceSpec *other = config->devices->pdata[i];

        if (other->kind == spec->kind && is_shared (other))
            return true;
    }
    return false;
}

/* One device of all those that share it; @index is the first. */
static VmmVirtioDevice *
make_shared (const VmmBoardDevicesEnv *env, const VmmVirtioEnv *virtio, unsigned index, GError **error)
{
    const VmmDeviceSpec *spec = env->config->devices->pdata[index];
    g_autoptr (GArray) parts = g_array_new (FALSE, FALSE, sizeof (VmmDevicePart));

    for (unsigned i = index; i < env->config->devices->len; i++) {
        const VmmDeviceSpec *other = env->config->devices->pdata[i];
        VmmDevicePart part = {other->description, vmm_backends_get (env->backends, i)};

        if (other->kind == spec->kind && is_shared (other))
            g_array_append_val (parts, part);
    }
    return spec->kind->make_shared ((const VmmDevicePart *)(const void *)parts->data, parts->len, virtio,
                                    error);
}

static bool
add (VmmBoardDevices *devices, const VmmBoardDevicesEnv *env, unsigned index, GError **error)
{
    const VmmDeviceSpec *spec = env->config->devices->pdata[index];
    VmmVirtioEnv virtio = {
        .memory = env->memory,
        .loop = loop_for (devices, spec, error),
        .name = spec->name,
        .warn = env->warn,
        .user = env->user,
    };
    VmmVirtioDevice *device;

    if (virtio.loop == NULL)
        return false;
    device = is_shared (spec) ? make_shared (env, &virtio, index, error)
                              : spec->kind->make (spec->description, vmm_backends_get (env->backends, index),
                                                  &virtio, error);
    if (device == NULL)
        return false;
    g_ptr_array_add (devices->devices, device);
    return vmm_arch_vm_add_virtio (env->arch, device, env->config->transport, error);
}

/**
 * vmm_board_devices_new:
 * @ret_devices: (out): what was made, to be freed by vmm_board_devices_free() after the architecture's part,
 * which has transports for it; also when this fails
 *
 * Makes what the configuration says, and puts it where the guest finds it.
 *
 * Returns: false with the error of the first device that cannot be
 */
bool
vmm_board_devices_new (const VmmBoardDevicesEnv *env, VmmBoardDevices **ret_devices, GError **error)
{
    VmmBoardDevices *devices = g_new0 (VmmBoardDevices, 1);
    bool ok = true;

    *ret_devices = devices;
    devices->devices = g_ptr_array_new_with_free_func ((GDestroyNotify)vmm_virtio_device_free);
    devices->loops = g_ptr_array_new_with_free_func ((GDestroyNotify)vmm_loop_free);
    for (guint i = 0; ok && i < env->config->devices->len; i++)
        ok = is_made (env->config, i) || add (devices, env, i, error);
    return ok;
}

/**
 * vmm_board_devices_free:
 * @devices: (nullable): no vCPU and no transport uses them any more
 */
void
vmm_board_devices_free (VmmBoardDevices *devices)
{
    if (devices == NULL)
        return;
    g_ptr_array_unref (devices->devices);
    g_ptr_array_unref (devices->loops);
    g_free (devices);
}

/**
 * vmm_board_devices_stop:
 *
 * No vCPU runs any more: what is in flight is brought to its end, and nothing touches the guest's memory or
 * raises an interrupt after the return.
 */
void
vmm_board_devices_stop (VmmBoardDevices *devices)
{
    for (guint i = 0; i < devices->devices->len; i++) {
        vmm_virtio_device_set_status (devices->devices->pdata[i], 0);
        vmm_virtio_device_tell_rest (devices->devices->pdata[i]);
    }
}

/**
 * vmm_board_devices_pause:
 *
 * vCPUs at rest: nothing is in flight on return.
 */
void
vmm_board_devices_pause (VmmBoardDevices *devices)
{
    for (guint i = 0; i < devices->devices->len; i++)
        vmm_virtio_device_pause (devices->devices->pdata[i]);
}

/**
 * vmm_board_devices_resume:
 *
 * Ends a pause.
 */
void
vmm_board_devices_resume (VmmBoardDevices *devices)
{
    for (guint i = 0; i < devices->devices->len; i++)
        vmm_virtio_device_resume (devices->devices->pdata[i]);
}

/**
 * vmm_board_devices_count:
 *
 * Returns: how many there are
 */
unsigned
vmm_board_devices_count (const VmmBoardDevices *devices)
{
    return devices->devices->len;
}

/**
 * vmm_board_devices_get:
 * @index: below vmm_board_devices_count()
 *
 * Returns: (transfer none): a device
 */
VmmVirtioDevice *
vmm_board_devices_get (VmmBoardDevices *devices, unsigned index)
{
    return devices->devices->pdata[index];
}
