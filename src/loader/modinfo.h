/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_MODINFO_H
#define VMM_LOADER_MODINFO_H

#include <stdbool.h>

#include "vmm/core/bytes.h"

bool vmm_modinfo_find (VmmSpan module, VmmSpan *ret_modinfo);
bool vmm_modinfo_next (VmmSpan *modinfo, const char *key, VmmSpan *ret_value);

#endif
