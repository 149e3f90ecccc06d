/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_BZIMAGE_H
#define VMM_LOADER_BZIMAGE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "loader/decompress.h"
#include "vmm/core/bytes.h"

/* struct setup_header: where it is in the file and in struct boot_params, and the room it has there. */
#define VMM_SETUP_HEADER_OFFSET 0x1f1u
#define VMM_SETUP_HEADER_MAX (0x290u - VMM_SETUP_HEADER_OFFSET)

/* Where fields are in struct boot_params (Linux: Documentation/arch/x86/boot.rst). */
#define VMM_SETUP_BOOT_FLAG 0x1feu
#define VMM_SETUP_JUMP_LENGTH 0x201u
#define VMM_SETUP_MAGIC 0x202u
#define VMM_SETUP_VERSION 0x206u
#define VMM_SETUP_KERNEL_VERSION 0x20eu
#define VMM_SETUP_TYPE_OF_LOADER 0x210u
#define VMM_SETUP_LOADFLAGS 0x211u
#define VMM_SETUP_CODE32_START 0x214u
#define VMM_SETUP_RAMDISK_IMAGE 0x218u
#define VMM_SETUP_RAMDISK_SIZE 0x21cu
#define VMM_SETUP_CMD_LINE_PTR 0x228u
#define VMM_SETUP_INITRD_ADDR_MAX 0x22cu
#define VMM_SETUP_KERNEL_ALIGNMENT 0x230u
#define VMM_SETUP_RELOCATABLE 0x234u
#define VMM_SETUP_MIN_ALIGNMENT 0x235u
#define VMM_SETUP_XLOADFLAGS 0x236u
#define VMM_SETUP_CMDLINE_SIZE 0x238u
#define VMM_SETUP_PAYLOAD_OFFSET 0x248u
#define VMM_SETUP_PAYLOAD_LENGTH 0x24cu
#define VMM_SETUP_SETUP_DATA 0x250u
#define VMM_SETUP_PREF_ADDRESS 0x258u
#define VMM_SETUP_INIT_SIZE 0x260u

#define VMM_SETUP_LOADFLAG_HIGH 0x01u
#define VMM_SETUP_LOADFLAG_KASLR 0x02u

#define VMM_SETUP_XLF_KERNEL_64 0x01u
#define VMM_SETUP_XLF_ABOVE_4G 0x02u
#define VMM_SETUP_XLF_EFI_HANDOVER_64 0x08u
#define VMM_SETUP_XLF_5LEVEL 0x20u
#define VMM_SETUP_XLF_5LEVEL_ENABLED 0x40u

/**
 * VmmBzImage:
 * @version: boot protocol, major << 8 | minor
 * @xloadflags: the XLF bits as the header has them
 * @setup_header: the header as it goes to %VMM_SETUP_HEADER_OFFSET of struct boot_params
 * @kernel: the protected-mode part, which is loaded when the guest decompresses itself
 * @payload: the compressed vmlinux inside @kernel, without the appended length
 * @compression: of @payload
 * @payload_unpacked: bytes of the vmlinux with its relocation table, as the image tells; not to be trusted
 * @kernel_version: `uname -r` and build line, or NULL; allocated
 * @has_efi_stub: there is a PE header, so that firmware can start the file
 * @initrd_addr_max: last address that an initrd may occupy
 * @cmdline_max: longest command line, without its NUL
 *
 * What a bzImage says of itself; fields that are not described here are the header's of the same name.
 */
typedef struct {
    uint16_t version;
    uint16_t xloadflags;
    uint8_t setup_header[VMM_SETUP_HEADER_MAX];
    size_t setup_header_len;
    VmmSpan kernel;
    VmmSpan payload;
    VmmCompression compression;
    uint64_t payload_unpacked;
    char *kernel_version;
    bool relocatable;
    bool has_efi_stub;
    uint64_t kernel_alignment;
    uint64_t pref_address;
    uint64_t init_size;
    uint64_t initrd_addr_max;
    uint32_t cmdline_max;
} VmmBzImage;

bool vmm_bzimage_detect (VmmSpan file);
bool vmm_bzimage_parse (VmmSpan file, VmmBzImage *ret_bzimage, GError **error);
void vmm_bzimage_clear (VmmBzImage *bzimage);

#endif
