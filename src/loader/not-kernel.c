/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file is that is no kernel for this machine. People mix up files: the initrd, the disk image, the
 * kernel of another machine. The message that names the mistake saves them the search.
 */
#include "loader/not-kernel.h"

#include <glib.h>

typedef struct {
    uint16_t offset;
    uint8_t len;
    const char *magic;
    const char *text;
} Kind;

/* In order: the more specific first, because an arm64 Image and a zboot image both begin with MZ too. */
static const Kind kinds[] = {
    {56, 4, "ARM\x64", "an arm64 kernel Image; this machine is x86-64 and wants an x86-64 kernel"},
    {56, 4, "RSC\x05", "a RISC-V kernel Image; this machine is x86-64 and wants an x86-64 kernel"},
    {0x24, 4, "\x18\x28\x6f\x01", "a 32-bit ARM zImage; this machine is x86-64 and wants an x86-64 kernel"},
    {4, 4, "zimg", "an EFI zboot image, which only EFI firmware starts; give the kernel inside it"},
    {0, 4, "\x27\x05\x19\x56", "a U-Boot uImage; give the bzImage or vmlinux it was made from"},
    {0, 4, "\xd0\x0d\xfe\xed", "a device tree or FIT image; give a bzImage or vmlinux"},
    {0, 2, "#!", "not a kernel: a script"},
    {0, 6, "070701", "not a kernel: a cpio archive; is it the initrd?"},
    {0, 6, "070702", "not a kernel: a cpio archive; is it the initrd?"},
    {0, 2, "\xc7\x71", "not a kernel: a cpio archive; is it the initrd?"},
    {257, 5, "ustar", "not a kernel: a tar archive; give the kernel inside it"},
    {0, 7, "!<arch>", "not a kernel: an ar archive or Debian package; give the kernel inside it"},
    {0, 4, "\xed\xab\xee\xdb", "not a kernel: an RPM package; give the kernel inside it"},
    {0, 4, "PK\x03\x04", "not a kernel: a zip archive; give the kernel inside it"},
    {0, 4, "QFI\xfb", "not a kernel: a qcow2 disk image"},
    {0, 4, "hsqs", "not a kernel: a squashfs image"},
    {0x438, 2, "\x53\xef", "not a kernel: an ext file system image"},
    {0x8001, 5, "CD001", "not a kernel: an ISO image; give the kernel inside it"},
    {0, 2, "MZ", "not a kernel: an EFI or Windows program"},
    {510, 2, "\x55\xaa", "not a kernel: a boot sector or disk image"},
};

static bool
is_text (VmmSpan file)
{
    for (size_t i = 0; i < MIN (file.len, 512); i++)
        if (file.data[i] >= 127 || (file.data[i] < ' ' && !g_ascii_isspace (file.data[i])))
            return false;
    return true;
}

static bool
is_zero (VmmSpan file)
{
    for (size_t i = 0; i < MIN (file.len, 4096); i++)
        if (file.data[i] != 0)
            return false;
    return true;
}

/**
 * vmm_not_kernel_describe:
 * @file: a file that is neither a bzImage nor an ELF file nor compressed
 *
 * Returns: (transfer none): the tail of a sentence that says what it looks like
 */
const char *
vmm_not_kernel_describe (VmmSpan file)
{
    VmmSpan s;

    if (file.len == 0)
        return "not a kernel: the file is empty";
    for (size_t i = 0; i < G_N_ELEMENTS (kinds); i++)
        if (vmm_span_sub (file, kinds[i].offset, kinds[i].len, &s) &&
            memcmp (s.data, kinds[i].magic, s.len) == 0)
            return kinds[i].text;
    if (is_zero (file))
        return "not a kernel: it starts with zeros only; was it written completely?";
    if (is_text (file))
        return "not a kernel: a text file";
    return "not a kernel: neither a bzImage nor an ELF file, compressed or not";
}
