/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration says about the machine that it describes. */
#include "vmm/config-internal.h"

/**
 * vmm_config_get_cpus:
 * @config: a configuration
 *
 * Returns: how many virtual CPUs the machine is to have
 * Since: 0.1
 */
unsigned
vmm_config_get_cpus (const VmmConfig *config)
{
    return config->cpus.cpus;
}

/**
 * vmm_config_get_memory:
 * @config: a configuration
 *
 * What the machine needs beside its guest's memory is not in it.
 *
 * Returns: how much RAM the guest is to have, in bytes
 * Since: 0.1
 */
uint64_t
vmm_config_get_memory (const VmmConfig *config)
{
    return config->mem;
}

/**
 * vmm_config_stdio_devices:
 *
 * Returns: how many devices take the streams that the serial console has otherwise
 */
unsigned
vmm_config_stdio_devices (const VmmConfig *config)
{
    unsigned n = 0;

    for (guint i = 0; i < config->devices->len; i++) {
        const VmmDeviceSpec *spec = config->devices->pdata[i];

        n += spec->kind->takes_stdio != NULL && spec->kind->takes_stdio (spec->description);
    }
    return n;
}

/**
 * vmm_config_uses_stdio:
 * @config: a configuration
 *
 * Returns: whether the streams of vmm_config_set_serial_fds() are used: by the serial console, or by a device
 *   that takes them instead
 * Since: 0.1
 */
bool
vmm_config_uses_stdio (const VmmConfig *config)
{
    return config->serial == NULL || config->serial->stdio || vmm_config_stdio_devices (config) > 0;
}
