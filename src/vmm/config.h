/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CONFIG_H
#define VMM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "vmm/export.h"

G_BEGIN_DECLS

/**
 * VmmConfig:
 *
 * What a machine is to be: keys with values, as vmm-config(5) lists them. It is used by one thread at a time
 * and copied by vmm_machine_new(), so it may be changed or freed after that.
 */
typedef struct _VmmConfig VmmConfig;

/**
 * VmmConfigKey:
 * @name: "mem"; on the command line the same with two dashes before it
 * @value: the shape of its value, "SIZE"
 * @summary: one line that says what it does
 * @repeats: each setting adds one more value instead of replacing the last
 * @implied: (nullable): the value that a bare option on the command line means
 */
typedef struct {
    const char *name;
    const char *value;
    const char *summary;
    bool repeats;
    const char *implied;
} VmmConfigKey;

/**
 * VmmInputFilter:
 * @user: what was given with the function
 * @data: @len bytes of input for the serial console, to be changed in place
 *
 * Sees what goes to the guest's console, on the thread that runs the machine's loop.
 *
 * Returns: how many bytes of @data go on to the guest, at most @len
 */
typedef size_t (*VmmInputFilter) (void *user, uint8_t *data, size_t len);

VMM_EXPORT VmmConfig *vmm_config_new (void);
VMM_EXPORT VmmConfig *vmm_config_copy (const VmmConfig *config);
VMM_EXPORT void vmm_config_free (VmmConfig *config);
VMM_EXPORT const VmmConfigKey *vmm_config_keys (size_t *ret_n);
VMM_EXPORT bool vmm_config_set (VmmConfig *config, const char *key, const char *value, GError **error);
VMM_EXPORT bool vmm_config_parse (VmmConfig *config, const char *text, const char *name, GError **error);
VMM_EXPORT void vmm_config_set_serial_fds (VmmConfig *config, int in_fd, int out_fd);
VMM_EXPORT void vmm_config_set_input_filter (VmmConfig *config, VmmInputFilter filter, void *user);
VMM_EXPORT unsigned vmm_config_get_cpus (const VmmConfig *config);
VMM_EXPORT uint64_t vmm_config_get_memory (const VmmConfig *config);
VMM_EXPORT bool vmm_config_uses_stdio (const VmmConfig *config);
VMM_EXPORT char *vmm_config_build_cmdline (const VmmConfig *config);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmConfig, vmm_config_free)

G_END_DECLS

#endif
