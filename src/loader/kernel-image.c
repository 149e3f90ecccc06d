/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Recognises a kernel: a bzImage or an ELF executable, either of them possibly compressed as a whole. Parsing
 * a bzImage costs nothing: its payload stays packed until somebody asks (vmm_kernel_image_unpack()), because
 * the boot path unpacks it into guest memory instead. A file compressed as a whole has to be unpacked to see
 * what it is.
 *
 * Unpacking goes to a mapping of fixed size, not of a size that the file tells: pages that are never written
 * cost nothing, and the mapping is cut to what was used.
 */
#include "loader/kernel-image.h"

#include <sys/mman.h>

#include "loader/ikconfig.h"
#include "loader/kaslr.h"
#include "loader/not-kernel.h"
#include "vmm/error.h"

#define BANNER "Linux version "
#define BANNER_MAX 256u

static bool
unpack_to_map (VmmCompression kind, VmmSpan in, uint64_t cap, void **ret_map, size_t *ret_map_len,
               size_t *ret_len, GError **error)
{
    size_t page = 4096, map_len = (size_t)(cap + page - 1) & ~(page - 1);
    size_t len;
    uint8_t *map =
        mmap (NULL, map_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (map == MAP_FAILED) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "no room in the address space to unpack it");
        return false;
    }
    /* Fewer page faults; without huge pages it works as well. */
    (void)madvise (map, map_len, MADV_HUGEPAGE);
    if (!vmm_decompress (kind, in, map, (size_t)cap, &len, error)) {
        munmap (map, map_len);
        return false;
    }
    size_t used = MAX ((len + page - 1) & ~(page - 1), page);
    if (used < map_len)
        munmap (map + used, map_len - used);
    *ret_map = map;
    *ret_map_len = MIN (used, map_len);
    *ret_len = len;
    return true;
}

static bool
open_wrapper (VmmKernelImage *image, GError **error)
{
    size_t len;

    image->data = image->file;
    image->wrapper = vmm_compression_detect (image->file);
    if (image->wrapper == VMM_COMPRESSION_NONE)
        return true;
    if (!unpack_to_map (image->wrapper, image->file, VMM_KERNEL_UNPACKED_MAX, &image->wrapper_map,
                        &image->wrapper_map_len, &len, error))
        return false;
    image->data = (VmmSpan){image->wrapper_map, len};
    return true;
}

static const uint8_t *
find_banner (VmmSpan vmlinux)
{
    VmmSpan rest = vmlinux;
    const uint8_t *hit;

    while ((hit = memmem (rest.data, rest.len, BANNER, strlen (BANNER))) != NULL) {
        const uint8_t *after = hit + strlen (BANNER);
        const uint8_t *end = vmlinux.data + vmlinux.len;
        if (after < end && g_ascii_isdigit (*after))
            return hit;
        rest = (VmmSpan){after, (size_t)(end - after)};
    }
    return NULL;
}

static bool
take_elf (VmmKernelImage *image, VmmSpan vmlinux, GError **error)
{
    if (!vmm_elf_parse (vmlinux, vmlinux.len, &image->elf, error))
        return false;
    vmm_elf_read_notes (&image->elf, vmlinux, &image->notes);
    image->vmlinux = vmlinux;
    image->has_elf = true;
    return true;
}

static bool
parse_elf_kernel (VmmKernelImage *image, GError **error)
{
    image->format = VMM_KERNEL_FORMAT_ELF;
    if (!take_elf (image, image->data, error))
        return false;
    image->has_entry64 = image->elf.is_64 && image->elf.has_entry;
    if (!image->elf.is_64 && !image->notes.has_pvh) {
        g_set_error_literal (
            error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
            "a 32-bit ELF file without a PVH entry (note XEN_ELFNOTE_PHYS32_ENTRY); build it with "
            "one, or as 64-bit");
        return false;
    }
    if (!image->has_entry64 && !image->notes.has_pvh) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                             "its ELF entry point lies outside of what is loaded, and it has no PVH entry");
        return false;
    }
    image->is_linux = image->notes.says_linux || find_banner (image->data) != NULL;
    return true;
}

static bool
parse_bzimage_kernel (VmmKernelImage *image, GError **error)
{
    image->format = VMM_KERNEL_FORMAT_BZIMAGE;
    image->is_linux = true;
    image->has_entry64 = true;
    return vmm_bzimage_parse (image->data, &image->bzimage, error);
}

static bool
recognise (VmmKernelImage *image, GError **error)
{
    if (!open_wrapper (image, error))
        return false;
    if (vmm_bzimage_detect (image->data))
        return parse_bzimage_kernel (image, error);
    if (vmm_elf_detect (image->data))
        return parse_elf_kernel (image, error);
    if (image->wrapper == VMM_COMPRESSION_NONE)
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE, vmm_not_kernel_describe (image->data));
    else
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE, "compressed with %s, and inside %s",
                     vmm_compression_name (image->wrapper), vmm_not_kernel_describe (image->data));
    return false;
}

/**
 * vmm_kernel_image_parse:
 * @file: the whole file; borrowed, it must outlive the image
 * @name: what to call it in messages
 * @ret_image: (transfer full): the image; vmm_kernel_image_free() when done
 * @error: %VMM_ERROR_NOT_BOOTABLE when it is not a kernel for this machine, with what it is instead;
 *   %VMM_ERROR_HOST
 *
 * Recognises a kernel file, see the essay above. Any thread.
 *
 * Returns: false on failure
 */
bool
vmm_kernel_image_parse (VmmSpan file, const char *name, VmmKernelImage **ret_image, GError **error)
{
    g_autoptr (VmmKernelImage) image = g_new0 (VmmKernelImage, 1);

    image->name = g_strdup (name);
    image->file = file;
    if (!recognise (image, error)) {
        g_prefix_error (error, "kernel \"%s\": ", name);
        return false;
    }
    *ret_image = g_steal_pointer (&image);
    return true;
}

/**
 * vmm_kernel_image_free:
 * @image: (nullable): an image
 *
 * Frees it and whatever was unpacked for it.
 */
void
vmm_kernel_image_free (VmmKernelImage *image)
{
    if (image == NULL)
        return;
    vmm_bzimage_clear (&image->bzimage);
    if (image->wrapper_map != NULL)
        munmap (image->wrapper_map, image->wrapper_map_len);
    if (image->vmlinux_map != NULL)
        munmap (image->vmlinux_map, image->vmlinux_map_len);
    g_free (image->name);
    g_free (image);
}

static bool
unpack_payload (VmmKernelImage *image, GError **error)
{
    const VmmBzImage *bz = &image->bzimage;
    void *map;
    size_t map_len, len;

    if (bz->payload_unpacked == 0 || bz->payload_unpacked > VMM_KERNEL_UNPACKED_MAX) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                     "its header says that it unpacks to %" G_GUINT64_FORMAT " bytes, which no kernel does",
                     bz->payload_unpacked);
        return false;
    }
    if (!unpack_to_map (bz->compression, bz->payload, bz->payload_unpacked, &map, &map_len, &len, error))
        return false;
    if (len != bz->payload_unpacked) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                     "it unpacks to %zu bytes, and its header says %" G_GUINT64_FORMAT "; get the file again",
                     len, bz->payload_unpacked);
        munmap (map, map_len);
        return false;
    }
    if (!take_elf (image, (VmmSpan){map, len}, error)) {
        munmap (map, map_len);
        return false;
    }
    image->vmlinux_map = map;
    image->vmlinux_map_len = map_len;
    return true;
}

/**
 * vmm_kernel_image_unpack:
 * @image: an image
 * @error: %VMM_ERROR_NOT_BOOTABLE, %VMM_ERROR_HOST
 *
 * Makes @vmlinux, @elf and @notes of @image valid, by unpacking the payload of a bzImage once. For looking at
 * a kernel: booting does not need it. The memory is freed with the image.
 *
 * Returns: false when the payload is damaged, or compressed in a way that we do not have
 */
bool
vmm_kernel_image_unpack (VmmKernelImage *image, GError **error)
{
    if (image->has_elf)
        return true;
    if (unpack_payload (image, error))
        return true;
    g_prefix_error (error, "kernel \"%s\": ", image->name);
    return false;
}

/**
 * vmm_kernel_image_version:
 * @image: an image
 *
 * Returns: (transfer full) (nullable): the version that a Linux kernel tells, with its build line; NULL when
 *   there is none
 */
char *
vmm_kernel_image_version (VmmKernelImage *image)
{
    const uint8_t *hit;

    if (image->format == VMM_KERNEL_FORMAT_BZIMAGE && image->bzimage.kernel_version != NULL)
        return g_strdup (image->bzimage.kernel_version);
    if (!image->has_elf || (hit = find_banner (image->vmlinux)) == NULL)
        return NULL;
    hit += strlen (BANNER);
    size_t left = (size_t)(image->vmlinux.data + image->vmlinux.len - hit);
    g_autofree char *raw = g_strndup ((const char *)hit, MIN (left, BANNER_MAX));
    raw[strcspn (raw, "\n")] = 0;
    return g_str_to_ascii (raw, "C");
}

/**
 * vmm_kernel_image_has_kaslr:
 * @image: an image after vmm_kernel_image_unpack()
 *
 * Returns: whether it carries the relocations that KASLR needs; false before it was unpacked
 */
bool
vmm_kernel_image_has_kaslr (const VmmKernelImage *image)
{
    VmmKaslrTable table;
    VmmSpan tail;

    return image->has_elf && image->elf.is_64 && image->elf.file_end <= image->vmlinux.len &&
           vmm_span_sub (image->vmlinux, image->elf.file_end, image->vmlinux.len - image->elf.file_end,
                         &tail) &&
           vmm_kaslr_find (tail, &table);
}

/**
 * vmm_kernel_image_config:
 * @image: an image; a bzImage is unpacked for it
 * @error: %VMM_ERROR_NOT_BOOTABLE when it cannot be unpacked, or has no embedded configuration
 * (CONFIG_IKCONFIG)
 *
 * Returns: (transfer full): the kernel's .config, or NULL with @error set
 */
char *
vmm_kernel_image_config (VmmKernelImage *image, GError **error)
{
    if (!vmm_kernel_image_unpack (image, error))
        return NULL;
    char *config = vmm_ikconfig_extract (image->vmlinux, error);
    if (config == NULL)
        g_prefix_error (error, "kernel \"%s\": ", image->name);
    return config;
}
