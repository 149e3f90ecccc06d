/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/bootparam.h>
#include <criterion/criterion.h>

#include "vmm/arch/x86_64/boot-params.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/error.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static void
build (uint64_t size, VmmX86E820 *ret_e820)
{
    VmmMemRange ranges[VMM_X86_MEM_RANGES_MAX];
    size_t n = 0;
    uint64_t total = 0;

    cr_assert (vmm_x86_memory_ranges (size, ranges, &n, NULL));
    for (size_t i = 0; i < n; i++)
        total += ranges[i].size;
    cr_assert_eq (total, size, "no memory is lost");
    cr_assert (vmm_x86_e820_build (ranges, n, ret_e820, NULL));
}

static uint32_t
type_at (const VmmX86E820 *e820, uint64_t gpa)
{
    for (size_t i = 0; i < e820->n; i++)
        if (gpa >= e820->entries[i].gpa && gpa - e820->entries[i].gpa < e820->entries[i].size)
            return e820->entries[i].type;
    return 0;
}

static uint64_t
ram_of (const VmmX86E820 *e820)
{
    uint64_t ram = 0;

    for (size_t i = 0; i < e820->n; i++)
        if (e820->entries[i].type == VMM_X86_E820_RAM)
            ram += e820->entries[i].size;
    return ram;
}

/* What holds for any size; @end is where the last RAM ends. */
static void
assert_map (uint64_t size, uint64_t end)
{
    VmmX86E820 e = {.n = 0};

    build (size, &e);
    for (size_t i = 0; i < e.n; i++) {
        cr_assert_gt (e.entries[i].size, 0);
        if (i > 0)
            cr_assert_geq (e.entries[i].gpa, e.entries[i - 1].gpa + e.entries[i - 1].size, "sorted");
    }
    cr_assert_eq (ram_of (&e), size - (VMM_X86_HIGH_RAM_START - VMM_X86_LOW_RAM_END));
    cr_assert_eq (type_at (&e, 0), VMM_X86_E820_RAM);
    cr_assert_eq (type_at (&e, VMM_X86_LOW_RAM_END - 1), VMM_X86_E820_RAM);
    cr_assert_eq (type_at (&e, VMM_X86_LOW_RAM_END), VMM_X86_E820_RESERVED);
    cr_assert_eq (type_at (&e, VMM_X86_ACPI_GPA), VMM_X86_E820_RESERVED);
    cr_assert_eq (type_at (&e, VMM_X86_HIGH_RAM_START), VMM_X86_E820_RAM);
    cr_assert_eq (type_at (&e, VMM_X86_PCI_MMIO32_START), 0, "free for PCI");
    cr_assert_eq (type_at (&e, VMM_X86_ECAM_BASE), VMM_X86_E820_RESERVED);
    cr_assert_eq (type_at (&e, VMM_X86_ECAM_BASE + VMM_X86_ECAM_SIZE - 1), VMM_X86_E820_RESERVED);
    cr_assert_eq (type_at (&e, VMM_X86_ECAM_BASE + VMM_X86_ECAM_SIZE), 0);
    cr_assert_eq (type_at (&e, VMM_X86_KVM_TSS), VMM_X86_E820_RESERVED);
    cr_assert_eq (type_at (&e, end - 1), VMM_X86_E820_RAM);
    cr_assert_neq (type_at (&e, end), VMM_X86_E820_RAM);
}

Test (e820, sizes_around_the_hole)
{
    assert_map (32 * MIB, 32 * MIB);
    assert_map (512 * MIB, 512 * MIB);
    assert_map (3 * GIB, 3 * GIB);
    assert_map (3 * GIB + MIB, 4 * GIB + MIB);
    assert_map (4 * GIB, 5 * GIB);
    assert_map (16 * GIB, 17 * GIB);
    assert_map (1024 * GIB, 1025 * GIB);
}

Test (e820, sizes_that_cannot_be)
{
    const uint64_t bad[] = {0, 3, 4096, MIB, 32 * MIB + 1, UINT64_MAX & ~4095ull};

    for (size_t i = 0; i < G_N_ELEMENTS (bad); i++) {
        VmmMemRange ranges[VMM_X86_MEM_RANGES_MAX];
        g_autoptr (GError) error = NULL;
        size_t n = 9;

        cr_assert_not (vmm_x86_memory_ranges (bad[i], ranges, &n, &error), "%zu", i);
        cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
        cr_assert_eq (n, 9);
    }
}

Test (e820, malformed_ranges_are_refused)
{
    const VmmMemRange high_only[] = {{MIB, 32 * MIB}};
    const VmmMemRange into_ecam[] = {{0, 3 * GIB + 600 * MIB}, {4 * GIB, GIB}};
    const VmmMemRange unsorted[] = {{0, 3 * GIB}, {5 * GIB, GIB}, {4 * GIB, GIB}};
    const VmmMemRange wraps[] = {{0, 3 * GIB}, {UINT64_MAX - 4095, 8192}};
    VmmX86E820 e = {.n = 5};

    cr_assert_not (vmm_x86_e820_build (high_only, 1, &e, NULL));
    cr_assert_not (vmm_x86_e820_build (into_ecam, 2, &e, NULL));
    cr_assert_not (vmm_x86_e820_build (unsorted, 3, &e, NULL));
    cr_assert_not (vmm_x86_e820_build (wraps, 2, &e, NULL));
    cr_assert_not (vmm_x86_e820_build (NULL, 0, &e, NULL));
    cr_assert_eq (e.n, 5);
}

static VmmGuestMemory *
memory_2m (void)
{
    VmmMemRange range = {0, 2 * MIB};
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_ANON};
    VmmGuestMemory *memory = vmm_guest_memory_new (&range, 1, &backing, NULL);

    cr_assert_not_null (memory);
    return memory;
}

static bool
write_zero_page (const VmmX86BootParams *params, struct boot_params *ret_zero, GError **error)
{
    g_autoptr (VmmGuestMemory) memory = memory_2m ();

    if (!vmm_x86_boot_params_write (memory, params, error))
        return false;
    cr_assert (vmm_guest_memory_read (memory, VMM_X86_ZERO_PAGE_GPA, ret_zero, sizeof *ret_zero));
    return true;
}

/* An image's setup header as a 6.1 kernel has it, as far as it matters. */
static size_t
image_header (uint8_t buf[0x100], uint16_t version, uint16_t xloadflags)
{
    struct setup_header h = {.boot_flag = 0xaa55,
                             .header = 0x53726448,
                             .version = version,
                             .jump = 0x6aeb,
                             .loadflags = LOADED_HIGH,
                             .xloadflags = xloadflags,
                             .code32_start = 0x100000,
                             .cmdline_size = 2047,
                             .init_size = 0x2d1f000,
                             .pref_address = 0x1000000,
                             .setup_data = 0x1234};

    memset (buf, 0xcc, 0x100);
    memcpy (buf, &h, sizeof h);
    return 0x202 + 0x6a - 0x1f1;
}

Test (zero_page, holds_what_the_kernel_is_to_know)
{
    uint8_t header[0x100];
    VmmX86E820 e820 = {.n = 0};
    struct boot_params zero;
    VmmX86BootParams params = {.setup_header = {header, image_header (header, 0x20f, 3)},
                               .e820 = &e820,
                               .cmdline_gpa = VMM_X86_CMDLINE_GPA,
                               .initrd_gpa = 0x7e00000,
                               .initrd_size = 0x123456,
                               .rsdp_gpa = VMM_X86_ACPI_GPA};

    build (16 * GIB, &e820);
    cr_assert (write_zero_page (&params, &zero, NULL));
    cr_assert_eq (zero.hdr.header, 0x53726448);
    cr_assert_eq (zero.hdr.boot_flag, 0xaa55);
    cr_assert_eq (zero.hdr.type_of_loader, 0xff);
    cr_assert_eq (zero.hdr.loadflags, LOADED_HIGH | CAN_USE_HEAP);
    cr_assert_eq (zero.hdr.init_size, 0x2d1f000);
    cr_assert_eq (zero.hdr.pref_address, 0x1000000);
    cr_assert_eq (zero.hdr.cmd_line_ptr, VMM_X86_CMDLINE_GPA);
    cr_assert_eq (zero.hdr.ramdisk_image, 0x7e00000);
    cr_assert_eq (zero.hdr.ramdisk_size, 0x123456);
    cr_assert_eq (zero.hdr.setup_data, 0x1234, "the image's own list stays");
    cr_assert_eq (zero.acpi_rsdp_addr, VMM_X86_ACPI_GPA);
    cr_assert_eq (zero.sentinel, 0, "or the kernel distrusts the rest");
    cr_assert_eq (zero.e820_entries, e820.n);
    for (size_t i = 0; i < e820.n; i++) {
        cr_assert_eq (zero.e820_table[i].addr, e820.entries[i].gpa);
        cr_assert_eq (zero.e820_table[i].size, e820.entries[i].size);
        cr_assert_eq (zero.e820_table[i].type, e820.entries[i].type);
    }
}

Test (zero_page, header_is_cut_where_the_next_field_is)
{
    uint8_t header[0x100];
    VmmX86E820 e820 = {.n = 0};
    struct boot_params zero;
    VmmX86BootParams params = {.e820 = &e820};

    image_header (header, 0x20f, 3);
    params.setup_header = (VmmSpan){header, sizeof header};
    build (32 * MIB, &e820);
    cr_assert (write_zero_page (&params, &zero, NULL));
    cr_assert_eq (zero.edd_mbr_sig_buffer[0], 0);
    cr_assert_eq (((uint8_t *)&zero)[0x28f], 0xcc);
}

Test (zero_page, addresses_above_4_gib)
{
    uint8_t header[0x100];
    VmmX86E820 e820 = {.n = 0};
    struct boot_params zero;
    g_autoptr (GError) error = NULL;
    VmmX86BootParams params = {.setup_header = {header, image_header (header, 0x20f, 3)},
                               .e820 = &e820,
                               .cmdline_gpa = VMM_X86_CMDLINE_GPA,
                               .initrd_gpa = 5 * GIB + 0x1000,
                               .initrd_size = 4 * GIB + 7,
                               .setup_data_gpa = 0x5000};

    build (16 * GIB, &e820);
    cr_assert (write_zero_page (&params, &zero, NULL));
    cr_assert_eq (zero.hdr.ramdisk_image, 0x40001000);
    cr_assert_eq (zero.ext_ramdisk_image, 1);
    cr_assert_eq (zero.hdr.ramdisk_size, 7);
    cr_assert_eq (zero.ext_ramdisk_size, 1);
    cr_assert_eq (zero.hdr.setup_data, 0x5000);

    /* Without XLF_CAN_BE_LOADED_ABOVE_4G, or by a protocol that had no such flag, it is refused. */
    image_header (header, 0x20f, 1);
    cr_assert_not (write_zero_page (&params, &zero, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE));
    image_header (header, 0x20b, 3);
    cr_assert_not (write_zero_page (&params, &zero, NULL));
    params.initrd_gpa = UINT64_MAX - 1;
    cr_assert_not (write_zero_page (&params, &zero, NULL), "the initrd's end wraps");
}

Test (zero_page, kernel_without_a_header)
{
    VmmX86E820 e820 = {.n = 0};
    struct boot_params zero;
    VmmX86BootParams params = {.e820 = &e820, .cmdline_gpa = VMM_X86_CMDLINE_GPA};

    build (32 * MIB, &e820);
    cr_assert (write_zero_page (&params, &zero, NULL));
    cr_assert_eq (zero.hdr.boot_flag, 0xaa55);
    cr_assert_eq (zero.hdr.header, 0x53726448);
    cr_assert_geq (zero.hdr.version, 0x20c);
    cr_assert_eq (zero.hdr.type_of_loader, 0xff);
    cr_assert_eq (zero.hdr.cmd_line_ptr, VMM_X86_CMDLINE_GPA);
    cr_assert_eq (zero.hdr.ramdisk_size, 0);
}
