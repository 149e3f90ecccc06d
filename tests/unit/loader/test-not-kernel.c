/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "images.h"
#include "loader/not-kernel.h"

static void
expect (const void *magic, size_t len, size_t offset, const char *text)
{
    g_autofree uint8_t *file = g_malloc (40000);
    const char *said;

    memset (file, 0xe7, 40000);
    memcpy (file + offset, magic, len);
    said = vmm_not_kernel_describe ((VmmSpan){file, 40000});
    cr_assert_not_null (strstr (said, text), "\"%s\" is not in \"%s\"", text, said);
}

Test (not_kernel, common_mistakes_are_named)
{
    expect ("ARM\x64", 4, 56, "arm64");
    expect ("RSC\x05", 4, 56, "RISC-V");
    expect ("MZ\0\0zimg", 8, 0, "EFI zboot");
    expect ("#!/bin/sh\n", 10, 0, "script");
    expect ("070701", 6, 0, "cpio archive; is it the initrd?");
    expect ("ustar", 5, 257, "tar archive");
    expect ("!<arch>\n", 8, 0, "Debian package");
    expect ("QFI\xfb", 4, 0, "qcow2");
    expect ("CD001", 5, 0x8001, "ISO image");
    expect ("MZ", 2, 0, "EFI or Windows program");
    expect ("\x55\xaa", 2, 510, "boot sector");
    expect ("\x53\xef", 2, 0x438, "ext file system");
    expect ("\x27\x05\x19\x56", 4, 0, "uImage");
    expect ("", 0, 0, "neither a bzImage nor an ELF file");
}

Test (not_kernel, an_arm64_image_with_an_efi_stub_is_still_arm64)
{
    uint8_t file[64] = "MZ";

    memcpy (file + 56, "ARM\x64", 4);
    cr_assert_not_null (strstr (vmm_not_kernel_describe ((VmmSpan){file, sizeof file}), "arm64"));
}

Test (not_kernel, nothing_zeros_and_text)
{
    static const uint8_t zeros[600];
    static const char text[] = "default linux\nkernel /vmlinuz\n";

    cr_assert_str_eq (vmm_not_kernel_describe ((VmmSpan){NULL, 0}), "not a kernel: the file is empty");
    cr_assert_not_null (strstr (vmm_not_kernel_describe ((VmmSpan){zeros, sizeof zeros}), "zeros only"));
    cr_assert_not_null (
        strstr (vmm_not_kernel_describe ((VmmSpan){(const uint8_t *)text, sizeof text - 1}), "text file"));
}
