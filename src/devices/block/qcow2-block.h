/* SPDX-License-Identifier: Apache-2.0 */
/* What qcow2-open.c needs of qcow2.c. */
#ifndef VMM_DEVICES_BLOCK_QCOW2_BLOCK_H
#define VMM_DEVICES_BLOCK_QCOW2_BLOCK_H

#include "devices/block/block.h"
#include "devices/block/qcow2-image.h"

VmmBlock *vmm_qcow2_block_new (VmmQcow2 *image, const VmmBlockConfig *config, GError **error);

#endif
