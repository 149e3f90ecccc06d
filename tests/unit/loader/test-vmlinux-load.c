/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images.h"
#include "loader/kernel-load.h"

#define MIB ((uint64_t)1 << 20)

static const VmmCompression kinds[] = {VMM_COMPRESSION_GZIP, VMM_COMPRESSION_XZ, VMM_COMPRESSION_LZMA,
                                       VMM_COMPRESSION_ZSTD, VMM_COMPRESSION_LZ4_LEGACY};

static const uint32_t add64[] = {0x81000100, 0x81003020, 0x81004010};
static const uint32_t sub32[] = {0x81000204, 0x81004020};
static const uint32_t add32[] = {0x81000300, 0x81006ffc};

/* The same as kaslr.c, the long way round. */
static void
relocate (GByteArray *memory, uint64_t delta, bool with_inverse)
{
    for (size_t i = 0; i < G_N_ELEMENTS (add64); i++) {
        uint8_t *p = memory->data + (add64[i] - 0x81000000);
        vmm_put_u64 (p, vmm_get_u64 (p) + delta);
    }
    for (size_t i = 0; i < G_N_ELEMENTS (add32); i++) {
        uint8_t *p = memory->data + (add32[i] - 0x81000000);
        vmm_put_u32 (p, vmm_get_u32 (p) + (uint32_t)delta);
    }
    for (size_t i = 0; with_inverse && i < G_N_ELEMENTS (sub32); i++) {
        uint8_t *p = memory->data + (sub32[i] - 0x81000000);
        vmm_put_u32 (p, vmm_get_u32 (p) - (uint32_t)delta);
    }
}

static void
load_and_compare (const GByteArray *file, const GByteArray *expected, const VmmKernelLoadOptions *options,
                  VmmLoadedKernel *ret_kernel)
{
    g_autoptr (VmmGuestMemory) memory = image_guest_memory (64);
    g_autoptr (VmmKernelImage) image = NULL;
    g_autoptr (GError) error = NULL;

    cr_assert (vmm_kernel_image_parse (image_span (file), "k", &image, NULL));
    cr_assert (vmm_kernel_image_load (image, memory, options, ret_kernel, &error), "%s",
               error != NULL ? error->message : "");
    uint64_t len = ret_kernel->end - ret_kernel->start;
    cr_assert_eq (len, expected->len);
    const uint8_t *got = vmm_guest_memory_ptr (memory, ret_kernel->start, len);
    for (uint64_t i = 0; i < len; i++)
        cr_assert_eq (got[i], expected->data[i], "byte 0x%lx is 0x%02x, not 0x%02x", i, got[i],
                      expected->data[i]);
    cr_assert_eq (ret_kernel->entry_gpa, ret_kernel->start + 0x40);
}

Test (vmlinux_load, segments_and_bss_are_where_they_are_linked)
{
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = image_elf (&spec);
    g_autoptr (GByteArray) expected = image_memory (&spec, elf);
    VmmKernelLoadOptions options = {.low_end = 64 * MIB};
    VmmLoadedKernel kernel;

    load_and_compare (elf, expected, &options, &kernel);
    for (size_t i = 0; i < G_N_ELEMENTS (kinds); i++) {
        g_autoptr (GByteArray) bz = image_bzimage (kinds[i], elf);
        load_and_compare (bz, expected, &options, &kernel);
        cr_assert_eq (kernel.start, IMAGE_PHYS);
    }
}

Test (vmlinux_load, a_layout_that_cannot_be_moved_in_place_is_copied)
{
    ImageElf spec = image_linux ();
    /* In the file the other way round. */
    spec.segment[0].offset = 0x7000;
    spec.segment[1].offset = 0x4000;
    spec.segment[2].offset = 0x3000;
    spec.segment[3].offset = 0x1000;
    g_autoptr (GByteArray) elf = image_elf (&spec);
    g_autoptr (GByteArray) expected = image_memory (&spec, elf);
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_XZ, elf);
    VmmKernelLoadOptions options = {.low_end = 64 * MIB};
    VmmLoadedKernel kernel;

    load_and_compare (elf, expected, &options, &kernel);
    load_and_compare (bz, expected, &options, &kernel);
}

Test (vmlinux_load, relocation_is_the_kernels)
{
    for (int with_inverse = 0; with_inverse < 2; with_inverse++)
        for (uint64_t random = 0; random < 2000; random += 111) {
            ImageElf spec = image_linux ();
            g_autoptr (GByteArray) elf = image_elf (&spec);
            g_autoptr (GByteArray) expected = image_memory (&spec, elf);
            image_add_relocs (elf, add64, 3, sub32, with_inverse ? 2 : -1, add32, 2);
            g_autoptr (GByteArray) bz = image_bzimage (kinds[random % G_N_ELEMENTS (kinds)], elf);
            VmmKernelLoadOptions options = {
                .low_end = 64 * MIB, .kaslr = true, .random_virtual = random, .random_physical = random};
            uint64_t slots = ((1 << 30) - IMAGE_PHYS - 0xe000) / IMAGE_ALIGN + 1;
            VmmLoadedKernel kernel;

            relocate (expected, random % slots * IMAGE_ALIGN, with_inverse);
            load_and_compare (bz, expected, &options, &kernel);
            cr_assert_eq (kernel.kaslr, VMM_KERNEL_KASLR_DONE);
            cr_assert_eq (kernel.virt_offset, random % slots * IMAGE_ALIGN);
            load_and_compare (elf, expected, &options, &kernel);
            cr_assert_eq (kernel.kaslr, VMM_KERNEL_KASLR_DONE);
        }
}

Test (vmlinux_load, physical_places_are_aligned_and_inside_the_range)
{
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = image_elf (&spec);
    g_autoptr (GByteArray) expected = image_memory (&spec, elf);
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_LZ4_LEGACY, elf);
    uint64_t lowest = UINT64_MAX, highest = 0;

    for (uint64_t random = 0; random < 64; random++) {
        VmmKernelLoadOptions options = {.low_end = 64 * MIB,
                                        .phys_min = 25 * MIB,
                                        .phys_max = 40 * MIB,
                                        .kaslr = true,
                                        .random_physical = random};
        VmmLoadedKernel kernel;

        load_and_compare (bz, expected, &options, &kernel);
        cr_assert_eq (kernel.start % IMAGE_ALIGN, 0);
        lowest = MIN (lowest, kernel.start);
        highest = MAX (highest, kernel.start);
    }
    cr_assert_eq (lowest, 26 * MIB);
    cr_assert_eq (highest, 38 * MIB);
}

Test (vmlinux_load, a_fixed_kernel_is_not_moved)
{
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = image_elf (&spec);
    g_autoptr (GByteArray) expected = image_memory (&spec, elf);
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_LZ4_LEGACY, elf);
    VmmKernelLoadOptions options = {.low_end = 64 * MIB, .kaslr = true, .random_physical = 5};
    VmmLoadedKernel kernel;

    bz->data[VMM_SETUP_RELOCATABLE] = 0;
    load_and_compare (bz, expected, &options, &kernel);
    cr_assert_eq (kernel.start, IMAGE_PHYS);
    load_and_compare (elf, expected, &options, &kernel);
    cr_assert_eq (kernel.start, IMAGE_PHYS);
}

Test (vmlinux_load, a_range_without_a_place_means_the_linked_address)
{
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = image_elf (&spec);
    g_autoptr (GByteArray) expected = image_memory (&spec, elf);
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_LZ4_LEGACY, elf);
    const uint64_t maxima[] = {1 * MIB, 16 * MIB, IMAGE_PHYS + 0x1000, 17 * MIB};

    for (size_t i = 0; i < G_N_ELEMENTS (maxima); i++) {
        VmmKernelLoadOptions options = {
            .low_end = 64 * MIB, .phys_max = maxima[i], .kaslr = true, .random_physical = 5};
        VmmLoadedKernel kernel;
        load_and_compare (bz, expected, &options, &kernel);
        cr_assert_eq (kernel.start, IMAGE_PHYS);
    }
}

Test (vmlinux_load, a_table_that_points_outside_changes_nothing)
{
    const uint32_t wild[] = {0x81000100, 0x90000000};
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = image_elf (&spec);
    g_autoptr (GByteArray) expected = image_memory (&spec, elf);
    image_add_relocs (elf, wild, 2, NULL, 0, NULL, 0);
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_LZ4_LEGACY, elf);
    VmmKernelLoadOptions options = {.low_end = 64 * MIB, .kaslr = true, .random_virtual = 5};
    VmmLoadedKernel kernel;

    load_and_compare (bz, expected, &options, &kernel);
    cr_assert_eq (kernel.kaslr, VMM_KERNEL_KASLR_LOST);
    cr_assert_not_null (strstr (kernel.kaslr_lost, "points outside"));
    cr_assert_eq (kernel.virt_offset, 0);
}

/* The kernel's own way: the table read backwards from the end (handle_relocations()). */
static unsigned
relocate_backwards (VmmSpan vmlinux, uint8_t *memory, uint64_t len, uint64_t phys, uint64_t delta)
{
    const uint8_t *p = vmlinux.data + vmlinux.len - 4;
    unsigned n = 0;

    for (int list = 0; list < 3; list++, p -= 4)
        for (; vmm_get_u32 (p) != 0; p -= 4, n++) {
            uint64_t at = (uint64_t)(int64_t)(int32_t)vmm_get_u32 (p) - IMAGE_MAP - phys;
            cr_assert_leq (at, len - (list == 2 ? 8 : 4), "relocation 0x%x outside", vmm_get_u32 (p));
            if (list == 0)
                vmm_put_u32 (memory + at, vmm_get_u32 (memory + at) + (uint32_t)delta);
            else if (list == 1)
                vmm_put_u32 (memory + at, vmm_get_u32 (memory + at) - (uint32_t)delta);
            else
                vmm_put_u64 (memory + at, vmm_get_u64 (memory + at) + delta);
        }
    return n;
}

static void
check_stock_kernel (const char *path)
{
    const uint64_t mib = 256;
    g_autoptr (GMappedFile) file = g_mapped_file_new (path, FALSE, NULL);
    VmmSpan span = {(const uint8_t *)g_mapped_file_get_contents (file), g_mapped_file_get_length (file)};
    VmmKernelLoadOptions options = {
        .low_end = mib * MIB, .kaslr = true, .random_virtual = 0x123456789, .random_physical = 0x987654321};
    g_autoptr (VmmGuestMemory) memory = image_guest_memory (mib);
    g_autoptr (VmmKernelImage) image = NULL;
    g_autoptr (GError) error = NULL;
    VmmLoadedKernel kernel;

    cr_assert (vmm_kernel_image_parse (span, path, &image, &error), "%s",
               error != NULL ? error->message : "");
    cr_assert (vmm_kernel_image_load (image, memory, &options, &kernel, &error), "%s",
               error != NULL ? error->message : "");
    cr_assert_eq (kernel.entry, VMM_KERNEL_ENTRY_UNPACKED, "%s", path);
    cr_assert_eq (kernel.kaslr, VMM_KERNEL_KASLR_DONE, "%s: %s", path, kernel.kaslr_lost);
    cr_assert (vmm_kernel_image_unpack (image, &error), "%s", error != NULL ? error->message : "");
    uint64_t len = kernel.end - kernel.start;
    g_autofree uint8_t *expected = g_malloc0 (len);
    for (unsigned i = 0; i < image->elf.n_loads; i++) {
        const VmmElfSegment *s = &image->elf.load[i];
        memcpy (expected + (s->paddr - image->elf.phys_start), image->vmlinux.data + s->offset, s->filesz);
    }
    unsigned n =
        relocate_backwards (image->vmlinux, expected, len, image->elf.phys_start, kernel.virt_offset);
    cr_assert_gt (n, 10000);
    cr_assert_eq (memcmp (expected, vmm_guest_memory_ptr (memory, kernel.start, len), len), 0, "%s", path);
    cr_log_info ("%s: %u relocations\n", path, n);
}

Test (vmlinux_load, stock_kernels, .timeout = 100)
{
    const char *dir = g_getenv ("VMM_TEST_KERNELS");
    g_autoptr (GDir) open_dir = dir != NULL ? g_dir_open (dir, 0, NULL) : NULL;
    const char *name;
    unsigned n = 0;

    if (open_dir == NULL)
        cr_skip_test ("VMM_TEST_KERNELS names no directory with vmlinuz-* files");
    while ((name = g_dir_read_name (open_dir)) != NULL)
        if (g_str_has_prefix (name, "vmlinuz-")) {
            g_autofree char *path = g_build_filename (dir, name, NULL);
            check_stock_kernel (path);
            n++;
        }
    cr_assert_gt (n, 0, "no vmlinuz-* in %s", dir);
}
