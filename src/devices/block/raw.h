/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_BLOCK_RAW_H
#define VMM_DEVICES_BLOCK_RAW_H

#include "devices/block/block.h"

VmmBlock *vmm_raw_open (int fd, const VmmBlockConfig *config, GError **error);
/* For tests: as where the kernel refuses io_uring. */
void vmm_raw_use_threads (VmmBlock *block);

#endif
