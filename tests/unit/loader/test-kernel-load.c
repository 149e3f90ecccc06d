/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "images.h"
#include "loader/kernel-load.h"
#include "vmm/error.h"

#define MIB ((uint64_t)1 << 20)

static GByteArray *
linux_elf (void)
{
    ImageElf spec = image_linux ();

    return image_elf (&spec);
}

typedef struct {
    VmmGuestMemory *memory;
    VmmKernelImage *image;
    VmmLoadedKernel kernel;
    GError *error;
    bool ok;
} Loaded;

static void
loaded_clear (Loaded *l)
{
    vmm_guest_memory_free (l->memory);
    vmm_kernel_image_free (l->image);
    g_clear_error (&l->error);
}

static Loaded
load (const GByteArray *file, uint64_t mib, VmmKernelEntry entry, bool kaslr)
{
    VmmKernelLoadOptions options = {
        .entry = entry, .low_end = mib * MIB, .kaslr = kaslr, .random_virtual = 12345, .random_physical = 3};
    Loaded l = {.memory = image_guest_memory (mib)};

    cr_assert (vmm_kernel_image_parse (image_span (file), "k", &l.image, NULL));
    l.ok = vmm_kernel_image_load (l.image, l.memory, &options, &l.kernel, &l.error);
    return l;
}

static void
expect_refused (const GByteArray *file, uint64_t mib, VmmKernelEntry entry, const char *text)
{
    Loaded l = load (file, mib, entry, false);

    cr_assert_not (l.ok, "not refused: %s", text);
    cr_assert (g_error_matches (l.error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE));
    cr_assert (g_str_has_prefix (l.error->message, "kernel \"k\": "), "%s", l.error->message);
    cr_assert (image_error_has (l.error, text), "\"%s\" is not in \"%s\"", text, l.error->message);
    cr_assert_eq (l.kernel.entry_gpa, 0, "an output was touched on failure");
    loaded_clear (&l);
}

Test (kernel_load, names_of_entries)
{
    VmmKernelEntry entry = VMM_KERNEL_ENTRY_AUTO;

    cr_assert (vmm_kernel_entry_from_name ("pvh", &entry));
    cr_assert_eq (entry, VMM_KERNEL_ENTRY_PVH);
    cr_assert_not (vmm_kernel_entry_from_name ("efi", &entry));
    cr_assert_str_eq (vmm_kernel_entry_name (VMM_KERNEL_ENTRY_UNPACKED), "unpacked");
}

Test (kernel_load, auto_takes_the_fastest)
{
    g_autoptr (GByteArray) elf = linux_elf ();
    g_autoptr (GByteArray) lz4 = image_bzimage (VMM_COMPRESSION_LZ4_LEGACY, elf);
    g_autoptr (GByteArray) bzip2 = image_bzimage (VMM_COMPRESSION_BZIP2, elf);
    ImageElf spec = image_linux ();
    spec.linux_note = false;
    g_autoptr (GByteArray) pvh = image_elf (&spec);
    spec.has_pvh = false;
    g_autoptr (GByteArray) plain = image_elf (&spec);
    const GByteArray *files[] = {lz4, bzip2, elf, pvh, plain};
    const VmmKernelEntry entries[] = {VMM_KERNEL_ENTRY_UNPACKED, VMM_KERNEL_ENTRY_BZIMAGE,
                                      VMM_KERNEL_ENTRY_UNPACKED, VMM_KERNEL_ENTRY_PVH,
                                      VMM_KERNEL_ENTRY_UNPACKED};

    for (size_t i = 0; i < G_N_ELEMENTS (files); i++) {
        Loaded l = load (files[i], 64, VMM_KERNEL_ENTRY_AUTO, false);
        cr_assert (l.ok, "%zu: %s", i, l.error != NULL ? l.error->message : "");
        cr_assert_eq (l.kernel.entry, entries[i], "%zu", i);
        loaded_clear (&l);
    }
}

Test (kernel_load, bzimage_goes_where_it_prefers)
{
    g_autoptr (GByteArray) elf = linux_elf ();
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_GZIP, elf);
    Loaded l = load (bz, 64, VMM_KERNEL_ENTRY_BZIMAGE, true);

    cr_assert (l.ok);
    cr_assert_eq (l.kernel.start, IMAGE_PHYS);
    cr_assert_eq (l.kernel.entry_gpa, IMAGE_PHYS + 0x200);
    cr_assert_eq (l.kernel.end, IMAGE_PHYS + 0x100000);
    cr_assert_eq (l.kernel.kaslr, VMM_KERNEL_KASLR_GUEST);
    cr_assert_arr_eq (vmm_guest_memory_ptr (l.memory, IMAGE_PHYS, bz->len - 1024), bz->data + 1024,
                      bz->len - 1024);
    loaded_clear (&l);
}

Test (kernel_load, the_setup_header_is_the_kernels_with_the_loaders_fields)
{
    g_autoptr (GByteArray) elf = linux_elf ();
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_GZIP, elf);
    Loaded l = load (bz, 64, VMM_KERNEL_ENTRY_UNPACKED, false);
    uint8_t params[4096] = {0};

    cr_assert (l.ok);
    memcpy (params + VMM_SETUP_HEADER_OFFSET, l.kernel.setup_header, l.kernel.setup_header_len);
    cr_assert_eq (vmm_get_u32 (params + VMM_SETUP_MAGIC), 0x53726448);
    cr_assert_eq (vmm_get_u16 (params + VMM_SETUP_VERSION), 0x020f);
    cr_assert_eq (params[VMM_SETUP_TYPE_OF_LOADER], 0xff);
    cr_assert_eq (params[VMM_SETUP_LOADFLAGS], VMM_SETUP_LOADFLAG_HIGH);
    cr_assert_eq (vmm_get_u32 (params + VMM_SETUP_CODE32_START), IMAGE_PHYS);
    cr_assert_eq (vmm_get_u64 (params + VMM_SETUP_PREF_ADDRESS), IMAGE_PHYS);
    cr_assert_eq (l.kernel.initrd_addr_max, 0x7fffffff);
    cr_assert_eq (l.kernel.cmdline_max, 2047);
    loaded_clear (&l);
}

Test (kernel_load, an_elf_gets_a_header)
{
    g_autoptr (GByteArray) elf = linux_elf ();
    Loaded l = load (elf, 64, VMM_KERNEL_ENTRY_AUTO, false);
    uint8_t params[4096] = {0};

    cr_assert (l.ok);
    memcpy (params + VMM_SETUP_HEADER_OFFSET, l.kernel.setup_header, l.kernel.setup_header_len);
    cr_assert_eq (vmm_get_u16 (params + VMM_SETUP_BOOT_FLAG), 0xaa55);
    cr_assert_eq (vmm_get_u32 (params + VMM_SETUP_MAGIC), 0x53726448);
    cr_assert_geq (vmm_get_u16 (params + VMM_SETUP_VERSION), 0x020c);
    cr_assert_eq (params[VMM_SETUP_TYPE_OF_LOADER], 0xff);
    cr_assert_eq (params[VMM_SETUP_LOADFLAGS] & VMM_SETUP_LOADFLAG_HIGH, VMM_SETUP_LOADFLAG_HIGH);
    cr_assert_eq (vmm_get_u32 (params + VMM_SETUP_INIT_SIZE), 0xe000);
    cr_assert_eq (l.kernel.cmdline_max, 2047);
    cr_assert_geq (l.kernel.initrd_addr_max, 0x37ffffff);
    loaded_clear (&l);
}

Test (kernel_load, kaslr_sets_the_flag)
{
    const uint32_t places[] = {0x81000100};
    g_autoptr (GByteArray) elf = linux_elf ();

    image_add_relocs (elf, places, 1, NULL, 0, NULL, 0);
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_GZIP, elf);
    Loaded on = load (bz, 64, VMM_KERNEL_ENTRY_AUTO, true);
    Loaded off = load (bz, 64, VMM_KERNEL_ENTRY_AUTO, false);
    unsigned flags = VMM_SETUP_LOADFLAGS - VMM_SETUP_HEADER_OFFSET;

    cr_assert_eq (on.kernel.kaslr, VMM_KERNEL_KASLR_DONE);
    cr_assert_eq (on.kernel.setup_header[flags] & VMM_SETUP_LOADFLAG_KASLR, VMM_SETUP_LOADFLAG_KASLR);
    cr_assert_neq (on.kernel.virt_offset, 0);
    cr_assert_neq (on.kernel.start, IMAGE_PHYS);
    cr_assert_eq (off.kernel.kaslr, VMM_KERNEL_KASLR_OFF);
    cr_assert_eq (off.kernel.setup_header[flags] & VMM_SETUP_LOADFLAG_KASLR, 0);
    cr_assert_eq (off.kernel.virt_offset, 0);
    cr_assert_eq (off.kernel.start, IMAGE_PHYS);
    loaded_clear (&on);
    loaded_clear (&off);
}

Test (kernel_load, lost_kaslr_is_said)
{
    g_autoptr (GByteArray) elf = linux_elf ();
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_GZIP, elf);
    Loaded without = load (bz, 64, VMM_KERNEL_ENTRY_AUTO, true);
    Loaded pvh = load (bz, 64, VMM_KERNEL_ENTRY_PVH, true);

    cr_assert_eq (without.kernel.kaslr, VMM_KERNEL_KASLR_LOST);
    cr_assert_not_null (strstr (without.kernel.kaslr_lost, "CONFIG_RANDOMIZE_BASE"));
    cr_assert_eq (pvh.kernel.kaslr, VMM_KERNEL_KASLR_LOST);
    cr_assert_not_null (strstr (pvh.kernel.kaslr_lost, "PVH"));
    loaded_clear (&without);
    loaded_clear (&pvh);
}

Test (kernel_load, pvh_enters_at_the_note)
{
    g_autoptr (GByteArray) elf = linux_elf ();
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_ZSTD, elf);
    const GByteArray *files[] = {elf, bz};

    for (size_t i = 0; i < 2; i++) {
        Loaded l = load (files[i], 64, VMM_KERNEL_ENTRY_PVH, false);
        cr_assert (l.ok);
        cr_assert_eq (l.kernel.start, IMAGE_PHYS);
        cr_assert_eq (l.kernel.entry_gpa, IMAGE_PHYS + 0x80);
        loaded_clear (&l);
    }
}

Test (kernel_load, an_entry_that_is_not_there_is_refused)
{
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = image_elf (&spec);
    expect_refused (elf, 64, VMM_KERNEL_ENTRY_BZIMAGE, "not a bzImage");
    spec.has_pvh = false;
    g_autoptr (GByteArray) no_pvh = image_elf (&spec);
    g_autoptr (GByteArray) no_pvh_bz = image_bzimage (VMM_COMPRESSION_XZ, no_pvh);
    expect_refused (no_pvh, 64, VMM_KERNEL_ENTRY_PVH, "no PVH entry");
    expect_refused (no_pvh_bz, 64, VMM_KERNEL_ENTRY_PVH, "no PVH entry");
    spec.has_pvh = true;
    spec.pvh_entry = 0x100;
    g_autoptr (GByteArray) wild = image_elf (&spec);
    expect_refused (wild, 64, VMM_KERNEL_ENTRY_PVH, "0x100 lies outside");
    spec = image_linux ();
    spec.entry = 0x100;
    spec.segment[2].vaddr = 0x100000;
    g_autoptr (GByteArray) no_entry = image_elf (&spec);
    g_autoptr (GByteArray) no_entry_bz = image_bzimage (VMM_COMPRESSION_XZ, no_entry);
    expect_refused (no_entry, 64, VMM_KERNEL_ENTRY_UNPACKED, "no 64-bit entry");
    expect_refused (no_entry_bz, 64, VMM_KERNEL_ENTRY_UNPACKED, "no 64-bit entry");
}

Test (kernel_load, compression_that_we_do_not_unpack)
{
    g_autoptr (GByteArray) elf = linux_elf ();
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_LZO, elf);

    expect_refused (bz, 64, VMM_KERNEL_ENTRY_UNPACKED, "compressed with lzo");
}

Test (kernel_load, a_kernel_that_does_not_fit_says_both_sizes)
{
    ImageElf spec = image_linux ();
    spec.segment[3].memsz = 3 * MIB;
    g_autoptr (GByteArray) elf = image_elf (&spec);
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_LZ4_LEGACY, elf);
    const char *text =
        "needs 3.0 MiB of memory from 0x1000000 on, and guest memory there ends at 0x1200000 (18.0 MiB)";

    expect_refused (elf, 18, VMM_KERNEL_ENTRY_AUTO, text);
    expect_refused (bz, 18, VMM_KERNEL_ENTRY_AUTO, text);
    vmm_put_u32 (bz->data + VMM_SETUP_INIT_SIZE, 3 * MIB);
    expect_refused (bz, 18, VMM_KERNEL_ENTRY_BZIMAGE, text);
    expect_refused (bz, 8, VMM_KERNEL_ENTRY_BZIMAGE, "(8.0 MiB)");
    expect_refused (bz, 8, VMM_KERNEL_ENTRY_AUTO, "(8.0 MiB)");
}

Test (kernel_load, nothing_is_loaded_below_1_mib)
{
    ImageElf spec = {.entry = 0x7c00, .segment = {{0x1000, 0x7c00, 0x7c00, 0x200, 0x200}}, .n_segments = 1};
    g_autoptr (GByteArray) elf = image_elf (&spec);
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_LZ4_LEGACY, elf);

    expect_refused (elf, 64, VMM_KERNEL_ENTRY_AUTO, "0x7c00, in the first 1 MiB");
    expect_refused (bz, 64, VMM_KERNEL_ENTRY_AUTO, "0x7c00, in the first 1 MiB");
}

Test (kernel_load, a_damaged_payload_is_refused)
{
    g_autoptr (GByteArray) elf = linux_elf ();
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_XZ, elf);
    uint32_t at = 1024 + 0x400 + vmm_get_u32 (bz->data + VMM_SETUP_PAYLOAD_LENGTH) / 2;

    bz->data[at] ^= 0xff;
    expect_refused (bz, 64, VMM_KERNEL_ENTRY_AUTO, "xz data is corrupt");
}

Test (kernel_load, a_lying_payload_size_is_refused)
{
    g_autoptr (GByteArray) elf = linux_elf ();
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_ZSTD, elf);
    uint32_t at = 1024 + 0x400 + vmm_get_u32 (bz->data + VMM_SETUP_PAYLOAD_LENGTH) - 4;
    const uint32_t lies[] = {0, 64, 0x9000, 0x9801, 0x100000, 0x30000000, 0xfffffff0};

    for (size_t i = 0; i < G_N_ELEMENTS (lies); i++) {
        vmm_put_u32 (bz->data + at, lies[i]);
        expect_refused (bz, 64, VMM_KERNEL_ENTRY_UNPACKED, "");
    }
}
