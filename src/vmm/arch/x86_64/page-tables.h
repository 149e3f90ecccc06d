/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_ARCH_X86_64_PAGE_TABLES_H
#define VMM_ARCH_X86_64_PAGE_TABLES_H

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/guest-memory.h"

/* Selectors of the boot GDT, as the 64-bit boot protocol names them (__BOOT_CS, __BOOT_DS). */
#define VMM_X86_GDT_CODE 0x10u
#define VMM_X86_GDT_DATA 0x18u
#define VMM_X86_GDT_TSS 0x20u
#define VMM_X86_GDT_ENTRIES 6u /* the TSS of 64-bit mode takes two */
#define VMM_X86_GDT_LIMIT (VMM_X86_GDT_ENTRIES * 8u - 1u)

/* What one page directory maps, and the most that vmm_x86_page_tables_write() maps. */
#define VMM_X86_PAGE_TABLES_MAP_MAX 0x100000000ull

/**
 * VmmX86GdtKind:
 * @VMM_X86_GDT_LONG: 64-bit code, for the 64-bit boot protocol
 * @VMM_X86_GDT_FLAT32: 32-bit code with base 0 and limit 4 GiB, for PVH
 */
typedef enum {
    VMM_X86_GDT_LONG,
    VMM_X86_GDT_FLAT32,
} VmmX86GdtKind;

bool vmm_x86_page_tables_write (VmmGuestMemory *memory, uint64_t map_end, bool gib_pages, uint64_t *ret_cr3,
                                GError **error);
bool vmm_x86_gdt_write (VmmGuestMemory *memory, VmmX86GdtKind kind, GError **error);
void vmm_x86_gdt_segment (VmmX86GdtKind kind, uint16_t selector, struct kvm_segment *ret_segment);

#endif
