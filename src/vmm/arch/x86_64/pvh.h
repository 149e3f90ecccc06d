/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_ARCH_X86_64_PVH_H
#define VMM_ARCH_X86_64_PVH_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/arch/x86_64/boot-params.h"
#include "vmm/core/guest-memory.h"

/**
 * VmmX86PvhInfo:
 * @e820: the memory map, borrowed
 * @cmdline_gpa: where the NUL-terminated command line is
 * @initrd_gpa: where the initrd is
 * @initrd_size: its bytes; 0 when there is none
 * @rsdp_gpa: where the ACPI RSDP is; 0 when there is none
 */
typedef struct {
    const VmmX86E820 *e820;
    uint64_t cmdline_gpa;
    uint64_t initrd_gpa;
    uint64_t initrd_size;
    uint64_t rsdp_gpa;
} VmmX86PvhInfo;

bool vmm_x86_pvh_write (VmmGuestMemory *memory, const VmmX86PvhInfo *info, GError **error);

#endif
