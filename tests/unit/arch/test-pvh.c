/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/pvh.h"
#include "vmm/core/bytes.h"
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

static void
e820_of (uint64_t size, VmmX86E820 *ret_e820)
{
    VmmMemRange ranges[VMM_X86_MEM_RANGES_MAX];
    size_t n = 0;

    cr_assert (vmm_x86_memory_ranges (size, ranges, &n, NULL));
    cr_assert (vmm_x86_e820_build (ranges, n, ret_e820, NULL));
}

/* Offsets are those of the published interface, not of our structs. */
Test (pvh, start_info_by_the_published_offsets)
{
    g_autoptr (VmmGuestMemory) memory = memory_of (2 << 20);
    VmmX86E820 e820 = {.n = 0};
    VmmX86PvhInfo info = {.e820 = &e820,
                          .cmdline_gpa = VMM_X86_CMDLINE_GPA,
                          .initrd_gpa = 0x7000000,
                          .initrd_size = 0x4321,
                          .rsdp_gpa = VMM_X86_ACPI_GPA};
    const uint8_t *p, *module, *map;

    e820_of (16ull << 30, &e820);
    cr_assert (vmm_x86_pvh_write (memory, &info, NULL));
    p = vmm_guest_memory_ptr (memory, VMM_X86_PVH_INFO_GPA, 56);
    cr_assert_eq (vmm_get_u32 (p), 0x336ec578);
    cr_assert_eq (vmm_get_u32 (p + 4), 1, "version 1 has the memory map");
    cr_assert_eq (vmm_get_u32 (p + 12), 1, "one module");
    cr_assert_eq (vmm_get_u64 (p + 24), VMM_X86_CMDLINE_GPA);
    cr_assert_eq (vmm_get_u64 (p + 32), VMM_X86_ACPI_GPA);
    cr_assert_eq (vmm_get_u32 (p + 48), e820.n);

    module = vmm_guest_memory_ptr (memory, vmm_get_u64 (p + 16), 32);
    cr_assert_not_null (module);
    cr_assert_eq (vmm_get_u64 (module), 0x7000000);
    cr_assert_eq (vmm_get_u64 (module + 8), 0x4321);
    cr_assert_eq (vmm_get_u64 (module + 16), 0);

    map = vmm_guest_memory_ptr (memory, vmm_get_u64 (p + 40), e820.n * 24);
    cr_assert_not_null (map);
    for (size_t i = 0; i < e820.n; i++) {
        cr_assert_eq (vmm_get_u64 (map + i * 24), e820.entries[i].gpa);
        cr_assert_eq (vmm_get_u64 (map + i * 24 + 8), e820.entries[i].size);
        cr_assert_eq (vmm_get_u32 (map + i * 24 + 16), e820.entries[i].type);
    }
}

Test (pvh, no_initrd_is_no_module)
{
    g_autoptr (VmmGuestMemory) memory = memory_of (2 << 20);
    VmmX86E820 e820 = {.n = 0};
    VmmX86PvhInfo info = {.e820 = &e820};
    const uint8_t *p;

    e820_of (32 << 20, &e820);
    cr_assert (vmm_x86_pvh_write (memory, &info, NULL));
    p = vmm_guest_memory_ptr (memory, VMM_X86_PVH_INFO_GPA, 56);
    cr_assert_eq (vmm_get_u32 (p + 12), 0);
    cr_assert_eq (vmm_get_u64 (p + 16), 0);
}

Test (pvh, errors)
{
    g_autoptr (VmmGuestMemory) memory = memory_of (4096);
    g_autoptr (GError) error = NULL;
    VmmX86E820 e820 = {.n = 1};
    VmmX86PvhInfo info = {.e820 = &e820};

    cr_assert_not (vmm_x86_pvh_write (memory, &info, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_HOST));
    e820.n = VMM_X86_E820_MAX + 1;
    cr_assert_not (vmm_x86_pvh_write (memory, &info, NULL));
}
