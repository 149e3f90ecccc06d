/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_MODULES_H
#define VMM_LOADER_MODULES_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * VmmModule:
 * @name: as the kernel has it: "virtio_blk", never with "-"
 * @path: below the folder of modules: "kernel/drivers/block/virtio_blk.ko.xz"
 *
 * A kernel module that is a file. It belongs to its #VmmModules.
 */
typedef struct {
    char *name;
    char *path;
} VmmModule;

/**
 * VmmModuleKind:
 * @VMM_MODULE_MISSING: there is none of that name
 * @VMM_MODULE_FILE: it is a file
 * @VMM_MODULE_BUILTIN: it is in the kernel; as far as that is said
 *
 * Where a module is.
 */
typedef enum {
    VMM_MODULE_MISSING,
    VMM_MODULE_FILE,
    VMM_MODULE_BUILTIN,
} VmmModuleKind;

typedef struct _VmmModules VmmModules;

char *vmm_modules_beside (const char *kernel, const char *release);
char *vmm_modules_installed (const char *release);
VmmModules *vmm_modules_open (const char *path, const char *version, GError **error);
void vmm_modules_free (VmmModules *modules);
const char *vmm_modules_version (const VmmModules *modules);
VmmModuleKind vmm_modules_find (const VmmModules *modules, const char *name);
bool vmm_modules_resolve (VmmModules *modules, const char *const *names, size_t n, GPtrArray **ret_list,
                          GError **error);
GBytes *vmm_modules_read (VmmModules *modules, const VmmModule *module, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmModules, vmm_modules_free)

#endif
