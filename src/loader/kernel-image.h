/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_KERNEL_IMAGE_H
#define VMM_LOADER_KERNEL_IMAGE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/bzimage.h"
#include "loader/decompress.h"
#include "loader/elf.h"
#include "vmm/core/bytes.h"

/* No vmlinux that fits a kernel's 1 GiB of address space unpacks to more. */
#define VMM_KERNEL_UNPACKED_MAX ((uint64_t)1 << 30)

/**
 * VmmKernelFormat:
 * @VMM_KERNEL_FORMAT_BZIMAGE: Linux x86 bzImage
 * @VMM_KERNEL_FORMAT_ELF: ELF executable: a vmlinux or another kernel
 */
typedef enum {
    VMM_KERNEL_FORMAT_BZIMAGE,
    VMM_KERNEL_FORMAT_ELF,
} VmmKernelFormat;

/**
 * VmmKernelImage:
 * @name: for messages, owned
 * @file: the file as given, borrowed
 * @wrapper: compression around the whole file
 * @data: the kernel itself: @file, or what was in the wrapper
 * @format: what @data is
 * @bzimage: valid when @format is %VMM_KERNEL_FORMAT_BZIMAGE
 * @has_elf: @elf, @notes and @vmlinux are valid; for a bzImage from vmm_kernel_image_unpack() on
 * @vmlinux: the ELF file: @data, or what was in the bzImage
 * @elf: its headers
 * @notes: its notes
 * @is_linux: the kernel is Linux
 * @has_entry64: it can be entered in 64-bit mode (for an ELF: at @elf.entry_gpa)
 * @wrapper_map: private: where a wrapper was unpacked
 * @wrapper_map_len: private
 * @vmlinux_map: private: where a bzImage's payload was unpacked
 * @vmlinux_map_len: private
 *
 * A kernel that was recognised. Read-only for everybody but the functions below. One thread at a time.
 */
typedef struct {
    char *name;
    VmmSpan file;
    VmmCompression wrapper;
    VmmSpan data;
    VmmKernelFormat format;
    VmmBzImage bzimage;
    bool has_elf;
    VmmSpan vmlinux;
    VmmElf elf;
    VmmElfNotes notes;
    bool is_linux;
    bool has_entry64;
    void *wrapper_map;
    size_t wrapper_map_len;
    void *vmlinux_map;
    size_t vmlinux_map_len;
} VmmKernelImage;

bool vmm_kernel_image_parse (VmmSpan file, const char *name, VmmKernelImage **ret_image, GError **error);
void vmm_kernel_image_free (VmmKernelImage *image);

bool vmm_kernel_image_unpack (VmmKernelImage *image, GError **error);
char *vmm_kernel_image_version (VmmKernelImage *image);
bool vmm_kernel_image_has_kaslr (const VmmKernelImage *image);
char *vmm_kernel_image_config (VmmKernelImage *image, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmKernelImage, vmm_kernel_image_free)

#endif
