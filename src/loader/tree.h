/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_TREE_H
#define VMM_LOADER_TREE_H

#include <glib.h>
#include <stdbool.h>

#include "loader/cpio.h"

/**
 * VmmTreeOwners:
 * @VMM_TREE_OWNERS_KEPT: as the host has them
 * @VMM_TREE_OWNERS_ROOT: all is root's
 *
 * Whom files belong to in the guest.
 */
typedef enum {
    VMM_TREE_OWNERS_KEPT,
    VMM_TREE_OWNERS_ROOT,
} VmmTreeOwners;

bool vmm_tree_pack (VmmCpio *cpio, const char *host_path, const char *under, VmmTreeOwners owners,
                    GError **error);

#endif
