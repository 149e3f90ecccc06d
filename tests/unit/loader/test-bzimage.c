/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "images.h"
#include "loader/bzimage.h"
#include "vmm/error.h"

static GByteArray *
make (VmmCompression kind)
{
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = image_elf (&spec);

    return image_bzimage (kind, elf);
}

static void
expect_refused (GByteArray *bz, const char *text)
{
    g_autoptr (GError) error = NULL;
    VmmBzImage b;

    cr_assert_not (vmm_bzimage_parse (image_span (bz), &b, &error), "not refused: %s", text);
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE));
    cr_assert (image_error_has (error, text), "\"%s\" is not in \"%s\"", text, error->message);
}

Test (bzimage, the_header_is_read)
{
    g_autoptr (GByteArray) bz = make (VMM_COMPRESSION_ZSTD);
    VmmBzImage b;

    cr_assert (vmm_bzimage_detect (image_span (bz)));
    cr_assert (vmm_bzimage_parse (image_span (bz), &b, NULL));
    cr_assert_eq (b.version, 0x020f);
    cr_assert_eq (b.xloadflags, 0x7f);
    cr_assert (b.relocatable);
    cr_assert (b.has_efi_stub);
    cr_assert_eq (b.kernel_alignment, IMAGE_ALIGN);
    cr_assert_eq (b.pref_address, IMAGE_PHYS);
    cr_assert_eq (b.init_size, 0x100000);
    cr_assert_eq (b.initrd_addr_max, 0x7fffffff);
    cr_assert_eq (b.cmdline_max, 2047);
    cr_assert_eq (b.compression, VMM_COMPRESSION_ZSTD);
    cr_assert_eq (b.payload_unpacked, 0x9800);
    cr_assert_str_eq (b.kernel_version, "6.1.0-test (builder@example) #1 SMP");
    cr_assert_eq (b.setup_header_len, 0x26c - 0x1f1);
    cr_assert_arr_eq (b.setup_header, bz->data + 0x1f1, b.setup_header_len);
    vmm_bzimage_clear (&b);
    vmm_bzimage_clear (&b);
}

Test (bzimage, the_gzip_length_is_its_own)
{
    g_autoptr (GByteArray) bz = make (VMM_COMPRESSION_GZIP);
    VmmBzImage b;

    cr_assert (vmm_bzimage_parse (image_span (bz), &b, NULL));
    cr_assert_eq (b.compression, VMM_COMPRESSION_GZIP);
    cr_assert_eq (b.payload_unpacked, 0x9800);
    vmm_bzimage_clear (&b);
}

Test (bzimage, old_protocols_are_refused_with_their_number)
{
    g_autoptr (GByteArray) bz = make (VMM_COMPRESSION_GZIP);

    vmm_put_u16 (bz->data + VMM_SETUP_VERSION, 0x020b);
    expect_refused (bz, "boot protocol is 2.11");
    bz->data[VMM_SETUP_LOADFLAGS] = 0;
    expect_refused (bz, "zImage");
}

Test (bzimage, a_32_bit_kernel_is_refused)
{
    g_autoptr (GByteArray) bz = make (VMM_COMPRESSION_GZIP);

    vmm_put_u16 (bz->data + VMM_SETUP_XLOADFLAGS, 0);
    expect_refused (bz, "32-bit x86 Linux");
}

Test (bzimage, truncation_says_both_lengths)
{
    g_autoptr (GByteArray) bz = make (VMM_COMPRESSION_GZIP);
    g_autofree char *text =
        g_strdup_printf ("truncated at byte %u: its header says %u bytes", bz->len - 1, bz->len);

    g_byte_array_set_size (bz, bz->len - 1);
    expect_refused (bz, text);
    g_byte_array_set_size (bz, 0x210);
    expect_refused (bz, "truncated at byte 528");
}

Test (bzimage, impossible_headers_are_refused)
{
    g_autoptr (GByteArray) bz = make (VMM_COMPRESSION_GZIP);

    vmm_put_u32 (bz->data + VMM_SETUP_PAYLOAD_OFFSET, 0xfffffff0);
    expect_refused (bz, "outside the file");
    vmm_put_u32 (bz->data + VMM_SETUP_KERNEL_ALIGNMENT, 3);
    expect_refused (bz, "impossible alignment");
    vmm_put_u32 (bz->data + 0x1f4, 1);
    expect_refused (bz, "no kernel in it");
}

Test (bzimage, the_header_never_exceeds_its_room)
{
    g_autoptr (GByteArray) bz = make (VMM_COMPRESSION_GZIP);
    VmmBzImage b;

    bz->data[VMM_SETUP_JUMP_LENGTH] = 0xff;
    cr_assert (vmm_bzimage_parse (image_span (bz), &b, NULL));
    cr_assert_eq (b.setup_header_len, VMM_SETUP_HEADER_MAX);
    vmm_bzimage_clear (&b);
}

Test (bzimage, a_version_string_outside_the_file_is_none)
{
    g_autoptr (GByteArray) bz = make (VMM_COMPRESSION_GZIP);
    VmmBzImage b;

    vmm_put_u16 (bz->data + VMM_SETUP_KERNEL_VERSION, 0xffff);
    cr_assert (vmm_bzimage_parse (image_span (bz), &b, NULL));
    cr_assert_null (b.kernel_version);
    vmm_bzimage_clear (&b);
}

Test (bzimage, a_version_string_cannot_write_to_the_terminal)
{
    g_autoptr (GByteArray) bz = make (VMM_COMPRESSION_GZIP);
    VmmBzImage b;

    memcpy (bz->data + 0x300, "6.1\033[2J\n\xff", 9);
    cr_assert (vmm_bzimage_parse (image_span (bz), &b, NULL));
    for (const char *p = b.kernel_version; *p != 0; p++)
        cr_assert (*p >= ' ' && *p < 127);
    vmm_bzimage_clear (&b);
}
