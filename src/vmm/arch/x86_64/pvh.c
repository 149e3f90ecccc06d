/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel finds that is entered by its PVH note: struct hvm_start_info, whose address is in EBX, with
 * its module list and memory map in the same page. The layout is Xen's public interface (docs/misc/pvh.pandoc
 * and xen/include/public/arch-x86/hvm/start_info.h), version 1.
 */
#include "vmm/arch/x86_64/pvh.h"

#include "vmm/arch/x86_64/layout.h"
#include "vmm/error.h"

#define START_MAGIC 0x336ec578u
#define START_VERSION 1u

struct start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t nr_modules;
    uint64_t modlist_paddr;
    uint64_t cmdline_paddr;
    uint64_t rsdp_paddr;
    uint64_t memmap_paddr;
    uint32_t memmap_entries;
    uint32_t reserved;
};

struct module {
    uint64_t paddr;
    uint64_t size;
    uint64_t cmdline_paddr;
    uint64_t reserved;
};

struct memmap_entry {
    uint64_t addr;
    uint64_t size;
    uint32_t type;
    uint32_t reserved;
};

/* How the three lie in memory. */
struct start_page {
    struct start_info info;
    struct module initrd;
    struct memmap_entry memmap[VMM_X86_E820_MAX];
};

G_STATIC_ASSERT (sizeof (struct start_info) == 56);
G_STATIC_ASSERT (sizeof (struct module) == 32);
G_STATIC_ASSERT (sizeof (struct memmap_entry) == 24);
G_STATIC_ASSERT (sizeof (struct start_page) <= VMM_X86_ZERO_PAGE_GPA - VMM_X86_PVH_INFO_GPA);

/**
 * vmm_x86_pvh_write:
 * @memory: guest memory
 * @info: what the kernel is to know
 * @error: return location
 *
 * Writes the start info to %VMM_X86_PVH_INFO_GPA. The initrd is the only module.
 */
bool
vmm_x86_pvh_write (VmmGuestMemory *memory, const VmmX86PvhInfo *info, GError **error)
{
    struct start_page page = {.info = {.magic = START_MAGIC, .version = START_VERSION}};
    const VmmX86E820 *e820 = info->e820;
    size_t len;

    if (e820->n > VMM_X86_E820_MAX) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "memory map: %zu ranges are too many", e820->n);
        return false;
    }
    page.info.cmdline_paddr = info->cmdline_gpa;
    page.info.rsdp_paddr = info->rsdp_gpa;
    if (info->initrd_size != 0) {
        page.info.nr_modules = 1;
        page.info.modlist_paddr = VMM_X86_PVH_INFO_GPA + offsetof (struct start_page, initrd);
        page.initrd = (struct module){.paddr = info->initrd_gpa, .size = info->initrd_size};
    }
    page.info.memmap_paddr = VMM_X86_PVH_INFO_GPA + offsetof (struct start_page, memmap);
    page.info.memmap_entries = (uint32_t)e820->n;
    for (size_t i = 0; i < e820->n; i++)
        page.memmap[i] = (struct memmap_entry){
            .addr = e820->entries[i].gpa, .size = e820->entries[i].size, .type = e820->entries[i].type};

    len = offsetof (struct start_page, memmap) + e820->n * sizeof page.memmap[0];
    if (!vmm_guest_memory_write (memory, VMM_X86_PVH_INFO_GPA, &page, len)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "PVH start info: no guest RAM at 0x%x",
                     VMM_X86_PVH_INFO_GPA);
        return false;
    }
    return true;
}
