/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/page-tables.h"
#include "vmm/error.h"

static VmmGuestMemory *
memory_of (uint64_t size)
{
    VmmMemRange range = {0, size};
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_ANON};
    VmmGuestMemory *memory = vmm_guest_memory_new (&range, 1, &backing, NULL);

    cr_assert_not_null (memory);
    return memory;
}

static uint64_t
entry (VmmGuestMemory *memory, uint64_t table, uint64_t index)
{
    uint64_t value = 0;

    cr_assert (vmm_guest_memory_read (memory, (table & ~0xfffull) + index * 8, &value, sizeof value));
    return value;
}

/* The walk that a CPU does (SDM 3A section 4.5); false where a page fault would be. */
static bool
walk (VmmGuestMemory *memory, uint64_t cr3, uint64_t address, uint64_t *ret_physical)
{
    uint64_t e = entry (memory, cr3, address >> 39 & 511);

    if ((e & 3) != 3)
        return false;
    cr_assert_eq (e & 0x80, 0, "a PML4 entry has no page size bit");
    e = entry (memory, e, address >> 30 & 511);
    if ((e & 3) != 3)
        return false;
    if ((e & 0x80) != 0) {
        cr_assert_eq (e & 0x3fffe000, 0, "reserved bits of a 1 GiB page");
        *ret_physical = (e & ~0x3fffffffull) | (address & 0x3fffffff);
        return true;
    }
    e = entry (memory, e, address >> 21 & 511);
    if ((e & 3) != 3)
        return false;
    cr_assert_eq (e & 0x80, 0x80);
    cr_assert_eq (e & 0x1fe000, 0, "reserved bits of a 2 MiB page");
    *ret_physical = (e & ~0x1fffffull) | (address & 0x1fffff);
    return true;
}

static void
assert_identity (uint64_t map_end, bool gib_pages, uint64_t mapped_end)
{
    g_autoptr (VmmGuestMemory) memory = memory_of (2 << 20);
    uint64_t cr3 = 0, physical = 0;

    /* What a reset machine leaves behind must not matter. */
    cr_assert (vmm_guest_memory_fill (memory, VMM_X86_PAGE_TABLES_GPA, 0xff, 6 * VMM_GUEST_PAGE_SIZE));
    cr_assert (vmm_x86_page_tables_write (memory, map_end, gib_pages, &cr3, NULL));
    cr_assert_eq (cr3, VMM_X86_PAGE_TABLES_GPA);
    for (uint64_t a = 0x123; a < mapped_end; a += 0x200000) {
        cr_assert (walk (memory, cr3, a, &physical), "0x%lx is not mapped", (unsigned long)a);
        cr_assert_eq (physical, a);
    }
    cr_assert_not (walk (memory, cr3, mapped_end, &physical));
    cr_assert_not (walk (memory, cr3, 1ull << 39, &physical));
}

Test (page_tables, identity_map_of_4_gib)
{
    assert_identity (0, false, 4ull << 30);
    assert_identity (0, true, 4ull << 30);
    assert_identity (64ull << 30, false, 4ull << 30);
}

Test (page_tables, only_what_is_needed)
{
    assert_identity (32 << 20, false, 1ull << 30);
    assert_identity ((1ull << 30) + 1, false, 2ull << 30);
    assert_identity (1, true, 1ull << 30);
}

/* A page that is not written is not taken from the host. */
Test (page_tables, few_pages_are_touched)
{
    g_autoptr (VmmGuestMemory) memory = memory_of (2 << 20);
    uint64_t cr3 = 0, behind = 0;

    cr_assert (vmm_x86_page_tables_write (memory, 512 << 20, false, &cr3, NULL));
    cr_assert (vmm_guest_memory_read (memory, VMM_X86_PAGE_TABLES_GPA + 3 * 4096, &behind, sizeof behind));
    cr_assert_eq (behind, 0);
}

Test (page_tables, too_little_memory_is_an_error)
{
    g_autoptr (VmmGuestMemory) memory = memory_of (4096);
    g_autoptr (GError) error = NULL;
    uint64_t cr3 = 77;

    cr_assert_not (vmm_x86_page_tables_write (memory, 0, false, &cr3, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_HOST));
    cr_assert_eq (cr3, 77);
}

Test (gdt, entries_and_registers_agree)
{
    const uint16_t selectors[] = {VMM_X86_GDT_CODE, VMM_X86_GDT_DATA, VMM_X86_GDT_TSS};
    g_autoptr (VmmGuestMemory) memory = memory_of (2 << 20);

    for (int kind = VMM_X86_GDT_LONG; kind <= VMM_X86_GDT_FLAT32; kind++) {
        cr_assert (vmm_x86_gdt_write (memory, kind, NULL));
        cr_assert_eq (entry (memory, 0, VMM_X86_GDT_GPA / 8), 0, "the first entry is null");
        for (size_t i = 0; i < G_N_ELEMENTS (selectors); i++) {
            struct kvm_segment s;
            uint64_t d = entry (memory, 0, (VMM_X86_GDT_GPA + selectors[i]) / 8);
            uint64_t base = (d >> 16 & 0xffffff) | (d >> 56 << 24);

            vmm_x86_gdt_segment (kind, selectors[i], &s);
            cr_assert_eq (s.selector, selectors[i]);
            cr_assert_eq (s.base, base);
            cr_assert_eq (s.type, d >> 40 & 15);
            cr_assert_eq (s.s, d >> 44 & 1);
            cr_assert_eq (s.present, 1);
            cr_assert_eq (s.l, d >> 53 & 1);
            cr_assert_eq (s.db, d >> 54 & 1);
            cr_assert_eq (s.unusable, 0);
        }
    }
}

Test (gdt, modes)
{
    struct kvm_segment code, data, tss, none;

    vmm_x86_gdt_segment (VMM_X86_GDT_LONG, VMM_X86_GDT_CODE, &code);
    cr_assert (code.l == 1 && code.db == 0 && code.type == 11 && code.s == 1);
    vmm_x86_gdt_segment (VMM_X86_GDT_FLAT32, VMM_X86_GDT_CODE, &code);
    cr_assert (code.l == 0 && code.db == 1 && code.limit == 0xffffffff && code.g == 1);
    vmm_x86_gdt_segment (VMM_X86_GDT_FLAT32, VMM_X86_GDT_DATA, &data);
    cr_assert (data.type == 3 && data.s == 1 && data.db == 1 && data.limit == 0xffffffff);
    vmm_x86_gdt_segment (VMM_X86_GDT_LONG, VMM_X86_GDT_TSS, &tss);
    cr_assert (tss.type == 11 && tss.s == 0 && tss.limit == 0x67 && tss.g == 0);
    vmm_x86_gdt_segment (VMM_X86_GDT_LONG, 0, &none);
    cr_assert_eq (none.unusable, 1);
}
