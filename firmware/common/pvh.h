/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_FIRMWARE_PVH_H
#define VMM_FIRMWARE_PVH_H

#include <stdint.h>

/* The PVH boot protocol as a guest sees it: EBX holds the address of a StartInfo. All addresses are physical.
 */

#define PVH_MAGIC 0x336ec578u
#define PVH_MEMORY_RAM 1u

typedef struct {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t modules;
    uint64_t modules_gpa;
    uint64_t cmdline_gpa;
    uint64_t rsdp_gpa;
    uint64_t memory_map_gpa; /* from here on: version 1 and later */
    uint32_t memory_ranges;
    uint32_t reserved;
} StartInfo;

typedef struct {
    uint64_t gpa;
    uint64_t size;
    uint32_t type;
    uint32_t reserved;
} MemoryRange;

typedef struct {
    uint64_t gpa;
    uint64_t size;
    uint64_t cmdline_gpa;
    uint64_t reserved;
} BootModule;

/* What each guest written in C defines; when it returns, the CPU halts with interrupts off. */
void guest_main (const StartInfo *info);

/* @word: as in "seed="; returns the text after it in the command line, NULL where it is absent */
const char *pvh_cmdline_value (const StartInfo *info, const char *word);
/* The same for a decimal number, @otherwise where it is absent */
uint32_t pvh_cmdline_number (const StartInfo *info, const char *word, uint32_t otherwise);

/* A loader of version 0 gives no memory map: then there are no ranges. */
static inline uint32_t
pvh_memory_ranges (const StartInfo *info)
{
    return info->version >= 1 ? info->memory_ranges : 0;
}

static inline const MemoryRange *
pvh_memory_range (const StartInfo *info, uint32_t index)
{
    return (const MemoryRange *)(uintptr_t)info->memory_map_gpa + index;
}

#endif
