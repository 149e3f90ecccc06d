/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the kernel's modules share; see modules.c. */
#ifndef VMM_LOADER_MODULES_INTERNAL_H
#define VMM_LOADER_MODULES_INTERNAL_H

#include <stdint.h>
#include <sys/types.h>

#include "loader/modules.h"

/* No list and no module comes near. */
#define VMM_MODULES_TEXT_MAX ((size_t)16 << 20)
#define VMM_MODULES_FILE_MAX ((size_t)256 << 20)
#define VMM_MODULES_MAX 200000u

/**
 * VmmModuleFile:
 * @module: what others see of it; the first member
 * @deps: (nullable): what modules.dep says behind the colon; NULL when the module itself has to be asked
 * @at: of an archive: where it is in the memfd
 * @size: of an archive: its bytes
 * @content: (nullable): unpacked, when it was read before
 */
typedef struct {
    VmmModule module;
    char *deps;
    off_t at;
    size_t size;
    GBytes *content;
} VmmModuleFile;

/**
 * VmmModules:
 * @path: that the user gave
 * @version: of the kernel
 * @fd: the folder; of an archive: a memfd with its modules, one after the other
 * @from_archive: which
 * @files: (element-type utf8 VmmModuleFile): by name
 * @builtin: (element-type utf8): names
 */
struct _VmmModules {
    char *path;
    char *version;
    int fd;
    bool from_archive;
    GHashTable *files;
    GHashTable *builtin;
};

VmmModules *vmm_modules_new (const char *path);
bool vmm_modules_fail (const VmmModules *modules, const char *what, GError **error);
char *vmm_modules_name_of (const char *path);
VmmModuleFile *vmm_modules_add (VmmModules *modules, const char *path);
void vmm_modules_take_dep (VmmModules *modules, const char *text);
void vmm_modules_take_builtin (VmmModules *modules, const char *text);

/* modules-folder.c */
bool vmm_modules_read_folder (VmmModules *modules, int fd, const char *version, GError **error);
/* modules-archive.c */
bool vmm_modules_read_archive (VmmModules *modules, int fd, const char *version, GError **error);

#endif
