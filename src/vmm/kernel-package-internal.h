/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of kernel packages share; see kernel-package.c. */
#ifndef VMM_KERNEL_PACKAGE_INTERNAL_H
#define VMM_KERNEL_PACKAGE_INTERNAL_H

#include "vmm/kernel-package.h"

/* Debian's largest kernel has 4500 modules. */
#define VMM_KERNEL_FILES_MAX 200000u

/**
 * VmmKernelItem:
 * @kind: what it is
 * @kernel: of which kernel
 * @path: as #VmmKernelFile has it
 * @source: on the host
 *
 * A file of a package that is no archive.
 */
typedef struct {
    VmmKernelFileKind kind;
    char *kernel;
    char *path;
    char *source;
} VmmKernelItem;

GPtrArray *vmm_kernel_items_of_file (const char *path, GError **error);
GPtrArray *vmm_kernel_items_of_folder (const char *path, GError **error);

#endif
