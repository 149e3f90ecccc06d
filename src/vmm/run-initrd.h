/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_RUN_INITRD_H
#define VMM_RUN_INITRD_H

#include <glib.h>
#include <stdbool.h>

#include "loader/cpio.h"
#include "vmm/config-internal.h"

/**
 * VmmRunCopy:
 * @host_path: a file or a folder of the host
 * @guest_path: where the guest has it; below it, when it ends in a slash
 */
typedef struct {
    char *host_path;
    char *guest_path;
} VmmRunCopy;

/**
 * VmmRunTree:
 * @root: (nullable): what the guest's root is made of; NULL: busybox of the host
 * @modules: (nullable): where the kernel's modules are; NULL: beside the kernel, if anywhere
 * @copies: of #VmmRunCopy
 *
 * What the guest finds in its file system. Borrowed.
 */
typedef struct {
    const char *root;
    const char *modules;
    const GPtrArray *copies;
} VmmRunTree;

/**
 * VmmRunInitrds:
 * @fds: of initrds in order, -1 where there is none
 * @disk: (nullable): the value of a disk key: an image that is the root, to be the guest's first disk
 * @has_modules: modules were found
 */
typedef struct {
    int fds[2];
    char *disk;
    bool has_modules;
} VmmRunInitrds;

bool vmm_run_initrds_make (VmmRunInitrds *initrds, const VmmRunTree *tree, const VmmConfig *config,
                           GError **error);
void vmm_run_initrds_clear (VmmRunInitrds *initrds);

/* run-root.c */
typedef enum {
    VMM_RUN_ROOT_FOLDER,
    VMM_RUN_ROOT_CPIO,
    VMM_RUN_ROOT_ARCHIVE,
    VMM_RUN_ROOT_IMAGE,
} VmmRunRootKind;

bool vmm_run_root_look (int fd, const char *path, VmmRunRootKind *ret_kind, const char **ret_module,
                        bool *ret_qcow2, GError **error);
bool vmm_run_root_add_busybox (VmmCpio *cpio, GError **error);

#endif
