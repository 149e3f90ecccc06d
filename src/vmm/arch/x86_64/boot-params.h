/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_ARCH_X86_64_BOOT_PARAMS_H
#define VMM_ARCH_X86_64_BOOT_PARAMS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/bytes.h"
#include "vmm/core/guest-memory.h"

/* ACPI 6.5 table 15.1; the same numbers serve PVH. */
#define VMM_X86_E820_RAM 1u
#define VMM_X86_E820_RESERVED 2u

#define VMM_X86_E820_MAX 32u
#define VMM_X86_MEM_RANGES_MAX 2u

typedef struct {
    uint64_t gpa;
    uint64_t size;
    uint32_t type;
} VmmX86E820Entry;

/**
 * VmmX86E820:
 * @entries: sorted by address, not overlapping
 * @n: how many there are
 */
typedef struct {
    VmmX86E820Entry entries[VMM_X86_E820_MAX];
    size_t n;
} VmmX86E820;

/**
 * VmmX86BootParams:
 * @setup_header: the image's setup header, from its offset 0x1f1 on; empty for a kernel without one (vmlinux)
 * @e820: the memory map, borrowed
 * @cmdline_gpa: where the NUL-terminated command line is
 * @initrd_gpa: where the initrd is
 * @initrd_size: its bytes; 0 when there is none
 * @rsdp_gpa: where the ACPI RSDP is; 0 when there is none
 * @setup_data_gpa: the first struct setup_data, put before the image's own list; 0 when there is none
 */
typedef struct {
    VmmSpan setup_header;
    const VmmX86E820 *e820;
    uint64_t cmdline_gpa;
    uint64_t initrd_gpa;
    uint64_t initrd_size;
    uint64_t rsdp_gpa;
    uint64_t setup_data_gpa;
} VmmX86BootParams;

bool vmm_x86_memory_ranges (uint64_t size, VmmMemRange ret_ranges[VMM_X86_MEM_RANGES_MAX], size_t *ret_n,
                            GError **error);
bool vmm_x86_e820_build (const VmmMemRange *ranges, size_t n_ranges, VmmX86E820 *ret_e820, GError **error);
bool vmm_x86_boot_params_write (VmmGuestMemory *memory, const VmmX86BootParams *params, GError **error);

#endif
