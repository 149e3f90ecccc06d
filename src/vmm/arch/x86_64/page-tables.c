/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The paging structures and the GDT that a guest starts with. The 64-bit boot protocol (Linux
 * Documentation/arch/x86/boot.rst) wants the kernel, the zero page and the command line mapped one to one;
 * the kernel replaces both soon. Every page written here is a page fault on the host at start, so nothing is
 * written that the map does not need.
 */
#include "vmm/arch/x86_64/page-tables.h"

#include "vmm/arch/x86_64/layout.h"
#include "vmm/error.h"

/* SDM 3A section 4.5; accessed and dirty are preset, so that the CPU need not write them. */
#define PTE_PRESENT 0x01ull
#define PTE_WRITABLE 0x02ull
#define PTE_ACCESSED 0x20ull
#define PTE_DIRTY 0x40ull
#define PTE_LARGE 0x80ull
#define PTE_TABLE (PTE_PRESENT | PTE_WRITABLE | PTE_ACCESSED)
#define PTE_LEAF (PTE_TABLE | PTE_DIRTY | PTE_LARGE)

#define ENTRIES 512u
#define GIB_SHIFT 30
#define MIB2_SHIFT 21

static bool
write_failed (const char *what, uint64_t gpa, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "%s: no guest RAM at 0x%" G_GINT64_MODIFIER "x", what,
                 gpa);
    return false;
}

/* One page directory: 512 pages of 2 MiB from @base on. */
static void
fill_directory (uint64_t *directory, uint64_t base)
{
    for (unsigned i = 0; i < ENTRIES; i++)
        directory[i] = (base + ((uint64_t)i << MIB2_SHIFT)) | PTE_LEAF;
}

/**
 * vmm_x86_page_tables_write:
 * @memory: guest memory
 * @map_end: everything below this address is mapped one to one; rounded up to 1 GiB, 4 GiB at most; 0 stands
 *   for 4 GiB
 * @gib_pages: the guest's CPUID has 1 GiB pages (see vmm_x86_cpuid_has_gib_pages())
 * @ret_cr3: the address of the PML4
 * @error: return location
 *
 * Writes a PML4, a PDPT and, without 1 GiB pages, a page directory per GiB: 2 to 6 pages.
 */
bool
vmm_x86_page_tables_write (VmmGuestMemory *memory, uint64_t map_end, bool gib_pages, uint64_t *ret_cr3,
                           GError **error)
{
    const uint64_t pml4_gpa = VMM_X86_PAGE_TABLES_GPA;
    const uint64_t pdpt_gpa = pml4_gpa + VMM_GUEST_PAGE_SIZE;
    uint64_t pd_gpa = pdpt_gpa + VMM_GUEST_PAGE_SIZE;
    uint64_t pml4[ENTRIES] = {pdpt_gpa | PTE_TABLE};
    uint64_t pdpt[ENTRIES] = {0};
    uint64_t gibs;

    if (map_end == 0 || map_end > VMM_X86_PAGE_TABLES_MAP_MAX)
        map_end = VMM_X86_PAGE_TABLES_MAP_MAX;
    gibs = (map_end + (1ull << GIB_SHIFT) - 1) >> GIB_SHIFT;

    for (uint64_t i = 0; i < gibs; i++) {
        uint64_t directory[ENTRIES];

        if (gib_pages) {
            pdpt[i] = i << GIB_SHIFT | PTE_LEAF;
            continue;
        }
        fill_directory (directory, i << GIB_SHIFT);
        if (!vmm_guest_memory_write (memory, pd_gpa, directory, sizeof directory))
            return write_failed ("page directory", pd_gpa, error);
        pdpt[i] = pd_gpa | PTE_TABLE;
        pd_gpa += VMM_GUEST_PAGE_SIZE;
    }
    if (!vmm_guest_memory_write (memory, pdpt_gpa, pdpt, sizeof pdpt))
        return write_failed ("page directory pointers", pdpt_gpa, error);
    if (!vmm_guest_memory_write (memory, pml4_gpa, pml4, sizeof pml4))
        return write_failed ("PML4", pml4_gpa, error);
    *ret_cr3 = pml4_gpa;
    return true;
}

/*
 * SDM 3A section 3.4.5: base 0, limit 4 GiB in 4 KiB units; code 0xb is execute/read accessed, data 0x3 is
 * read/write accessed; the TSS is busy, as a loaded task register must name it, and has the limit of an
 * empty 64-bit or 32-bit TSS alike.
 */
#define DESCRIPTOR_CODE64 0x00af9b000000ffffull
#define DESCRIPTOR_CODE32 0x00cf9b000000ffffull
#define DESCRIPTOR_DATA 0x00cf93000000ffffull
#define DESCRIPTOR_TSS 0x00008b0000000067ull

static uint64_t
descriptor (VmmX86GdtKind kind, unsigned index)
{
    switch (index * 8) {
    case VMM_X86_GDT_CODE:
        return kind == VMM_X86_GDT_LONG ? DESCRIPTOR_CODE64 : DESCRIPTOR_CODE32;
    case VMM_X86_GDT_DATA:
        return DESCRIPTOR_DATA;
    case VMM_X86_GDT_TSS:
        return DESCRIPTOR_TSS;
    default:
        return 0;
    }
}

/**
 * vmm_x86_gdt_write:
 * @memory: guest memory
 * @kind: which code segment
 * @error: return location
 *
 * Writes %VMM_X86_GDT_ENTRIES descriptors to %VMM_X86_GDT_GPA, with the selectors of the 64-bit boot
 * protocol.
 */
bool
vmm_x86_gdt_write (VmmGuestMemory *memory, VmmX86GdtKind kind, GError **error)
{
    uint64_t gdt[VMM_X86_GDT_ENTRIES];

    for (unsigned i = 0; i < VMM_X86_GDT_ENTRIES; i++)
        gdt[i] = descriptor (kind, i);
    if (!vmm_guest_memory_write (memory, VMM_X86_GDT_GPA, gdt, sizeof gdt))
        return write_failed ("GDT", VMM_X86_GDT_GPA, error);
    return true;
}

/**
 * vmm_x86_gdt_segment:
 * @kind: which GDT
 * @selector: %VMM_X86_GDT_CODE, %VMM_X86_GDT_DATA, %VMM_X86_GDT_TSS; any other gives an unusable segment
 * @ret_segment: what KVM_SET_SREGS takes for a segment register that was loaded with @selector
 *
 * So that the registers and the GDT in memory come from one table.
 */
void
vmm_x86_gdt_segment (VmmX86GdtKind kind, uint16_t selector, struct kvm_segment *ret_segment)
{
    uint64_t d = descriptor (kind, selector / 8);
    uint32_t limit = (uint32_t)((d & 0xffff) | (d >> 32 & 0xf0000));
    uint8_t granular = d >> 55 & 1;

    *ret_segment = (struct kvm_segment){
        .base = 0,
        .limit = granular ? limit << 12 | 0xfff : limit,
        .selector = selector,
        .type = d >> 40 & 0xf,
        .s = d >> 44 & 1,
        .dpl = d >> 45 & 3,
        .present = d >> 47 & 1,
        .avl = d >> 52 & 1,
        .l = d >> 53 & 1,
        .db = d >> 54 & 1,
        .g = granular,
        .unusable = d == 0,
    };
}
