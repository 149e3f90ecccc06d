/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_ARCH_X86_64_DSDT_H
#define VMM_ARCH_X86_64_DSDT_H

#include <glib.h>

#include "vmm/arch/x86_64/acpi.h"

void vmm_x86_dsdt_put (GByteArray *aml, const VmmX86AcpiConfig *config);

#endif
