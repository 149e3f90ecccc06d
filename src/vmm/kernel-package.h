/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels as distributions and builds hand them out: a kernel, its configuration, its System.map and its
 * modules, in a package, a folder, or beside each other. Nothing here needs /dev/kvm.
 */
#ifndef VMM_KERNEL_PACKAGE_H
#define VMM_KERNEL_PACKAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "vmm/export.h"

G_BEGIN_DECLS

/**
 * VmmKernelFileKind:
 * @VMM_KERNEL_FILE_KERNEL: the kernel itself
 * @VMM_KERNEL_FILE_CONFIG: its configuration
 * @VMM_KERNEL_FILE_SYSTEM_MAP: the names of its functions
 * @VMM_KERNEL_FILE_MODULES: one of the files in the folder of its modules
 *
 * What a file is.
 */
typedef enum {
    VMM_KERNEL_FILE_KERNEL,
    VMM_KERNEL_FILE_CONFIG,
    VMM_KERNEL_FILE_SYSTEM_MAP,
    VMM_KERNEL_FILE_MODULES,
} VmmKernelFileKind;

/**
 * VmmKernelFile:
 * @kind: what it is
 * @kernel: of which kernel: the version that the file's name, or its image, tells. Files with the same one
 * belong together
 * @path: of %VMM_KERNEL_FILE_MODULES, where it is below the folder of modules, and never above it; else the
 * file's name
 * @size: bytes
 * @link: (nullable): of %VMM_KERNEL_FILE_MODULES that are another name of one: @path of that, of the same
 * @kernel. Their @size may be 0, and that one may come later, or never
 *
 * A file of a package. It is valid until the next one is asked for. Members may be added at the end.
 */
typedef struct {
    VmmKernelFileKind kind;
    const char *kernel;
    const char *path;
    uint64_t size;
    const char *link;
} VmmKernelFile;

typedef struct _VmmKernelPackage VmmKernelPackage;

VMM_EXPORT VmmKernelPackage *vmm_kernel_package_open (const char *path, GError **error);
VMM_EXPORT void vmm_kernel_package_free (VmmKernelPackage *package);
VMM_EXPORT bool vmm_kernel_package_next (VmmKernelPackage *package, const VmmKernelFile **ret_file,
                                         GError **error);
VMM_EXPORT bool vmm_kernel_package_read (VmmKernelPackage *package, const void **ret_bytes, size_t *ret_len,
                                         GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmKernelPackage, vmm_kernel_package_free)

G_END_DECLS

#endif
