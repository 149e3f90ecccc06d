/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel image is, and what it will find on the machine that libvmm makes: the questions that "vmm
 * inspect" answers, for any program. Nothing here needs /dev/kvm.
 */
#ifndef VMM_IMAGE_H
#define VMM_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "vmm/export.h"

G_BEGIN_DECLS

/**
 * VmmImageFormat:
 * @VMM_IMAGE_BZIMAGE: a Linux bzImage, what distributions call vmlinuz
 * @VMM_IMAGE_ELF: an ELF executable: a vmlinux, or a kernel that is not Linux
 */
typedef enum {
    VMM_IMAGE_BZIMAGE,
    VMM_IMAGE_ELF,
} VmmImageFormat;

/**
 * VmmImageAnswer:
 * @VMM_IMAGE_UNKNOWN: nothing at hand tells
 * @VMM_IMAGE_NO: no
 * @VMM_IMAGE_MODULE: with modules, which the initrd must bring
 * @VMM_IMAGE_YES: yes
 *
 * Whether a kernel can do a thing.
 */
typedef enum {
    VMM_IMAGE_UNKNOWN,
    VMM_IMAGE_NO,
    VMM_IMAGE_MODULE,
    VMM_IMAGE_YES,
} VmmImageAnswer;

/**
 * VmmImageConfigSource:
 * @VMM_IMAGE_CONFIG_NONE: there is none; some findings are guesses from the kernel's strings
 * @VMM_IMAGE_CONFIG_EMBEDDED: the one inside the kernel (CONFIG_IKCONFIG)
 * @VMM_IMAGE_CONFIG_BESIDE: a file found where distributions and build trees put it
 * @VMM_IMAGE_CONFIG_GIVEN: the file of vmm_image_read_config()
 *
 * Which configuration the findings are judged by.
 */
typedef enum {
    VMM_IMAGE_CONFIG_NONE,
    VMM_IMAGE_CONFIG_EMBEDDED,
    VMM_IMAGE_CONFIG_BESIDE,
    VMM_IMAGE_CONFIG_GIVEN,
} VmmImageConfigSource;

/**
 * VmmImageBasis:
 * @VMM_IMAGE_BASIS_NONE: nothing is known
 * @VMM_IMAGE_BASIS_GUESS: strings in the unpacked kernel: mostly right
 * @VMM_IMAGE_BASIS_CONFIG: the configuration
 * @VMM_IMAGE_BASIS_IMAGE: the image itself: certain
 *
 * What a finding stands on.
 */
typedef enum {
    VMM_IMAGE_BASIS_NONE,
    VMM_IMAGE_BASIS_GUESS,
    VMM_IMAGE_BASIS_CONFIG,
    VMM_IMAGE_BASIS_IMAGE,
} VmmImageBasis;

/**
 * VmmImageLevel:
 * @VMM_IMAGE_OK: as it should be
 * @VMM_IMAGE_NOTE: worth knowing
 * @VMM_IMAGE_WARNING: it boots, and something that most users want is missing
 * @VMM_IMAGE_FAILURE: it does not boot unless something is done
 *
 * How much a finding matters. The values are ordered: a greater one is worse.
 */
typedef enum {
    VMM_IMAGE_OK,
    VMM_IMAGE_NOTE,
    VMM_IMAGE_WARNING,
    VMM_IMAGE_FAILURE,
} VmmImageLevel;

/**
 * VmmImageCheck:
 * @id: a stable name for programs, such as "virtio.blk"
 * @title: a short name for people
 * @level: how much the finding matters
 * @basis: what it stands on
 * @value: what was found, in a few words
 * @explanation: one line that says what it means
 * @advice: one line that says what to do, or %NULL where there is nothing to do
 *
 * One finding. It belongs to its image. Members may be added at the end.
 */
typedef struct {
    const char *id;
    const char *title;
    VmmImageLevel level;
    VmmImageBasis basis;
    const char *value;
    const char *explanation;
    const char *advice;
} VmmImageCheck;

/**
 * VmmImageFacts:
 * @format: what kind of image it is
 * @is_linux: it is a Linux kernel
 * @is_64: it is a 64-bit program
 * @boot_protocol: version of the Linux x86 boot protocol, major << 8 | minor; 0 for an ELF file
 * @efi_stub: firmware could start the file too
 * @file_size: bytes of the file
 * @wrapper: how the file is compressed as a whole: "gzip"; %NULL when it is not
 * @compression: how the kernel inside a bzImage is compressed; %NULL for an ELF file, or when it is not
 * @packed_size: bytes of the compressed kernel inside a bzImage; 0 for an ELF file
 * @unpacked_size: bytes of the ELF file, unpacked; 0 when it was not unpacked
 * @version: the version that a Linux kernel tells, with its build line; %NULL when unknown
 * @release: its first word, what `uname -r` says; %NULL when unknown
 * @default_entry: the entry that is taken unless another is chosen: a value of the key "kernel-entry"
 * @has_entry_bzimage: it can be entered at its own decompressor
 * @has_entry_unpacked: it can be entered in 64-bit mode at @entry_unpacked
 * @entry_unpacked: guest-physical address where it is linked to be entered
 * @has_entry_pvh: it can be entered by the PVH protocol at @entry_pvh
 * @entry_pvh: its guest-physical address
 * @relocatable: a bzImage may run elsewhere than where it is linked
 * @kaslr: it carries the relocations that random addresses need
 * @load_start: first guest-physical address that it occupies, where it is linked
 * @load_end: first address after it, with the memory that it needs to start
 * @cmdline_max: longest command line in bytes; 0 when the image does not tell
 * @config_source: which configuration the findings are judged by
 * @config_path: its file; %NULL when it is not in a file of its own
 * @console: it will find the machine's serial console
 * @disks: it will find virtio disks
 * @network: it will find virtio network cards
 * @max_cpus: how many CPUs it was built for; 0 when unknown
 *
 * What was found, typed. It belongs to its image. Members may be added at the end.
 */
typedef struct {
    VmmImageFormat format;
    bool is_linux;
    bool is_64;
    unsigned boot_protocol;
    bool efi_stub;
    uint64_t file_size;
    const char *wrapper;
    const char *compression;
    uint64_t packed_size;
    uint64_t unpacked_size;
    const char *version;
    const char *release;
    const char *default_entry;
    bool has_entry_bzimage;
    bool has_entry_unpacked;
    uint64_t entry_unpacked;
    bool has_entry_pvh;
    uint64_t entry_pvh;
    bool relocatable;
    bool kaslr;
    uint64_t load_start;
    uint64_t load_end;
    uint32_t cmdline_max;
    VmmImageConfigSource config_source;
    const char *config_path;
    VmmImageAnswer console;
    VmmImageAnswer disks;
    VmmImageAnswer network;
    unsigned max_cpus;
} VmmImageFacts;

typedef struct _VmmImage VmmImage;

VMM_EXPORT VmmImage *vmm_image_open (const char *path, GError **error);
VMM_EXPORT bool vmm_image_read_config (VmmImage *image, const char *path, GError **error);
VMM_EXPORT void vmm_image_free (VmmImage *image);
VMM_EXPORT const VmmImageFacts *vmm_image_get_facts (const VmmImage *image);
VMM_EXPORT const char *vmm_image_get_config (const VmmImage *image);
VMM_EXPORT unsigned vmm_image_get_n_checks (const VmmImage *image);
VMM_EXPORT const VmmImageCheck *vmm_image_get_check (const VmmImage *image, unsigned index);
VMM_EXPORT VmmImageLevel vmm_image_get_level (const VmmImage *image);
VMM_EXPORT const char *vmm_image_answer_to_string (VmmImageAnswer answer);
VMM_EXPORT const char *vmm_image_basis_to_string (VmmImageBasis basis);
VMM_EXPORT const char *vmm_image_config_source_to_string (VmmImageConfigSource source);
VMM_EXPORT const char *vmm_image_format_to_string (VmmImageFormat format);
VMM_EXPORT const char *vmm_image_level_to_string (VmmImageLevel level);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmImage, vmm_image_free)

G_END_DECLS

#endif
