/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VERDICT_INTERNAL_H
#define VMM_VERDICT_INTERNAL_H

#include <stdint.h>

#include "vmm/verdict.h"

int vmm_verdict_exit_code (VmmVerdictKind kind, uint32_t guest_code);

#endif
