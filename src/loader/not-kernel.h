/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_NOT_KERNEL_H
#define VMM_LOADER_NOT_KERNEL_H

#include "vmm/core/bytes.h"

const char *vmm_not_kernel_describe (VmmSpan file);

#endif
