/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A bzImage is a real-mode part (one boot sector and setup_sects more) followed by the protected-mode part,
 * which holds a decompressor and the compressed vmlinux (the payload). The setup header at 0x1f1 says where
 * everything is (Linux: Documentation/arch/x86/boot.rst). We never run the real-mode part, and by default not
 * the decompressor either; so the 64-bit entry of protocol 2.12 is required for every way of starting it,
 * because it also marks the kernel as 64-bit.
 */
#include "loader/bzimage.h"

#include <inttypes.h>

#include "vmm/error.h"

#define HDRS_MAGIC 0x53726448u /* "HdrS" */
#define VERSION_64BIT 0x020cu
#define SECTOR 512u

/* The smallest file in which every field of protocol 2.12 exists. */
#define HEADER_END (VMM_SETUP_INIT_SIZE + 4u)

/**
 * vmm_bzimage_detect:
 * @file: a file or its start
 *
 * Returns: whether it has an x86 Linux boot sector with a setup header
 */
bool
vmm_bzimage_detect (VmmSpan file)
{
    uint16_t flag;
    uint32_t magic;

    return vmm_span_u16 (file, VMM_SETUP_BOOT_FLAG, &flag) && flag == 0xaa55 &&
           vmm_span_u32 (file, VMM_SETUP_MAGIC, &magic) && magic == HDRS_MAGIC;
}

static bool
check_version (VmmSpan file, VmmBzImage *bz, GError **error)
{
    uint8_t loadflags;

    vmm_span_u16 (file, VMM_SETUP_VERSION, &bz->version);
    vmm_span_u8 (file, VMM_SETUP_LOADFLAGS, &loadflags);
    if (bz->version < 0x0200 || (loadflags & VMM_SETUP_LOADFLAG_HIGH) == 0) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                             "a zImage, the boot format of the 1990s; give a bzImage of Linux 3.8 or newer");
        return false;
    }
    if (bz->version < VERSION_64BIT) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                     "its boot protocol is %u.%02u, too old for the 64-bit entry, which came with 2.12; "
                     "give Linux 3.8 or newer",
                     bz->version >> 8, bz->version & 0xff);
        return false;
    }
    vmm_span_u16 (file, VMM_SETUP_XLOADFLAGS, &bz->xloadflags);
    if ((bz->xloadflags & VMM_SETUP_XLF_KERNEL_64) == 0) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                             "a 32-bit x86 Linux kernel; this machine is x86-64 and wants a 64-bit one");
        return false;
    }
    return true;
}

static void
read_fields (VmmSpan file, VmmBzImage *bz)
{
    const uint8_t *p = file.data;

    bz->relocatable = p[VMM_SETUP_RELOCATABLE] != 0;
    bz->kernel_alignment = vmm_get_u32 (p + VMM_SETUP_KERNEL_ALIGNMENT);
    bz->pref_address = vmm_get_u64 (p + VMM_SETUP_PREF_ADDRESS);
    bz->init_size = vmm_get_u32 (p + VMM_SETUP_INIT_SIZE);
    bz->initrd_addr_max = vmm_get_u32 (p + VMM_SETUP_INITRD_ADDR_MAX);
    bz->cmdline_max = vmm_get_u32 (p + VMM_SETUP_CMDLINE_SIZE);
    /* The header's length is where the jump over it lands; boot_params has room for a fixed part of it. */
    bz->setup_header_len = VMM_SETUP_MAGIC + p[VMM_SETUP_JUMP_LENGTH] - VMM_SETUP_HEADER_OFFSET;
    bz->setup_header_len =
        MIN (MIN (bz->setup_header_len, VMM_SETUP_HEADER_MAX), file.len - VMM_SETUP_HEADER_OFFSET);
    memcpy (bz->setup_header, p + VMM_SETUP_HEADER_OFFSET, bz->setup_header_len);
    bz->has_efi_stub = p[0] == 'M' && p[1] == 'Z';
}

static bool
find_kernel (VmmSpan file, VmmBzImage *bz, GError **error)
{
    unsigned setup_sects = file.data[VMM_SETUP_HEADER_OFFSET];
    uint64_t setup = ((setup_sects == 0 ? 4u : setup_sects) + 1) * (uint64_t)SECTOR;
    uint64_t size = (uint64_t)vmm_get_u32 (file.data + 0x1f4) * 16;

    if (!vmm_span_sub (file, setup, size, &bz->kernel)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                     "truncated at byte %zu: its header says %" PRIu64 " bytes; get the file again", file.len,
                     setup + size);
        return false;
    }
    /* The 64-bit entry is 0x200 into it. */
    if (size <= 0x200) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                             "its header says that there is no kernel in it; the header is damaged");
        return false;
    }
    if (bz->kernel_alignment == 0 || (bz->kernel_alignment & (bz->kernel_alignment - 1)) != 0 ||
        bz->init_size == 0) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                             "its header says an impossible alignment or size; the header is damaged");
        return false;
    }
    return true;
}

static bool
find_payload (VmmSpan file, VmmBzImage *bz, GError **error)
{
    uint64_t offset = vmm_get_u32 (file.data + VMM_SETUP_PAYLOAD_OFFSET);
    uint64_t len = vmm_get_u32 (file.data + VMM_SETUP_PAYLOAD_LENGTH);

    if (!vmm_span_sub (bz->kernel, offset, len, &bz->payload)) {
        g_set_error_literal (
            error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
            "its header says that the compressed kernel lies outside the file; it is damaged");
        return false;
    }
    bz->compression = vmm_compression_detect (bz->payload);
    if (len < 4)
        return true;
    /* gzip ends with the length; after the others the Linux build appends it. */
    bz->payload_unpacked = vmm_get_u32 (bz->payload.data + len - 4);
    if (bz->compression != VMM_COMPRESSION_GZIP && bz->compression != VMM_COMPRESSION_NONE)
        bz->payload.len -= 4;
    return true;
}

static char *
read_version_string (VmmSpan file)
{
    uint16_t offset;
    VmmSpan text;

    if (!vmm_span_u16 (file, VMM_SETUP_KERNEL_VERSION, &offset) || offset == 0 ||
        !vmm_span_sub (file, (uint64_t)offset + SECTOR, 1, &text))
        return NULL;
    text.len = MIN (file.len - ((size_t)offset + SECTOR), 256);
    g_autofree char *raw = g_strndup ((const char *)text.data, text.len);
    char *clean = g_str_to_ascii (raw, "C");
    return g_strdelimit (clean, "\n\r\t\033", ' ');
}

/**
 * vmm_bzimage_parse:
 * @file: the whole file, borrowed: @ret_bzimage points into it
 * @ret_bzimage: what it says; vmm_bzimage_clear() when done
 * @error: %VMM_ERROR_NOT_BOOTABLE; the message is the tail of a sentence, for the caller to say whose
 *
 * Checks the setup header of a file that vmm_bzimage_detect() took. Any thread.
 *
 * Returns: false when it cannot be started on this machine
 */
bool
vmm_bzimage_parse (VmmSpan file, VmmBzImage *ret_bzimage, GError **error)
{
    VmmBzImage bz = {0};

    if (file.len < HEADER_END) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                     "truncated at byte %zu, inside the setup header; get the file again", file.len);
        return false;
    }
    if (!check_version (file, &bz, error))
        return false;
    read_fields (file, &bz);
    if (!find_kernel (file, &bz, error) || !find_payload (file, &bz, error))
        return false;
    bz.kernel_version = read_version_string (file);
    *ret_bzimage = bz;
    return true;
}

/**
 * vmm_bzimage_clear:
 * @bzimage: from vmm_bzimage_parse(), or zeroed
 *
 * Frees what the structure owns.
 */
void
vmm_bzimage_clear (VmmBzImage *bzimage)
{
    g_clear_pointer (&bzimage->kernel_version, g_free);
}
