/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_KASLR_H
#define VMM_LOADER_KASLR_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/bytes.h"

/* Where x86-64 Linux is linked, and how much address space its image may use (asm/page_64_types.h). */
#define VMM_LINUX_MAP UINT64_C (0xffffffff80000000)
#define VMM_LINUX_MAP_SIZE ((uint64_t)1 << 30)

/**
 * VmmKaslrTable:
 * @add64: places of 64-bit values that move with the kernel
 * @sub32: places of 32-bit values that move against it
 * @add32: places of 32-bit values that move with it
 *
 * The relocation table of a vmlinux: lists of little-endian 32-bit words, each a linked virtual address whose
 * upper half is all ones. Borrowed.
 */
typedef struct {
    VmmSpan add64;
    VmmSpan sub32;
    VmmSpan add32;
} VmmKaslrTable;

bool vmm_kaslr_find (VmmSpan tail, VmmKaslrTable *ret_table);
bool vmm_kaslr_check (const VmmKaslrTable *table, uint64_t linked, uint64_t len);
void vmm_kaslr_apply (const VmmKaslrTable *table, uint64_t linked, uint8_t *image, uint64_t delta);

#endif
