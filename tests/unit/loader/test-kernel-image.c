/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <elf.h>

#include "images.h"
#include "loader/kernel-image.h"
#include "vmm/error.h"

static void
expect_refused (VmmSpan file, const char *text)
{
    g_autoptr (GError) error = NULL;
    VmmKernelImage *image = NULL;

    cr_assert_not (vmm_kernel_image_parse (file, "my-file", &image, &error), "not refused: %s", text);
    cr_assert_null (image);
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE));
    cr_assert (g_str_has_prefix (error->message, "kernel \"my-file\": "), "%s", error->message);
    cr_assert (image_error_has (error, text), "\"%s\" is not in \"%s\"", text, error->message);
    cr_assert_null (strchr (error->message, '\n'));
}

static void
expect_refused_text (const char *file, const char *text)
{
    expect_refused ((VmmSpan){(const uint8_t *)file, strlen (file)}, text);
}

static GByteArray *
linux_elf (void)
{
    ImageElf spec = image_linux ();

    return image_elf (&spec);
}

Test (kernel_image, an_elf_linux)
{
    g_autoptr (GByteArray) elf = linux_elf ();
    g_autoptr (VmmKernelImage) image = NULL;

    cr_assert (vmm_kernel_image_parse (image_span (elf), "k", &image, NULL));
    cr_assert_eq (image->format, VMM_KERNEL_FORMAT_ELF);
    cr_assert_eq (image->wrapper, VMM_COMPRESSION_NONE);
    cr_assert (image->has_elf);
    cr_assert (image->is_linux);
    cr_assert (image->has_entry64);
    cr_assert (image->notes.has_pvh);
    cr_assert_not (vmm_kernel_image_has_kaslr (image));
}

Test (kernel_image, a_compressed_vmlinux_is_unpacked_to_see_it)
{
    static const VmmCompression kinds[] = {VMM_COMPRESSION_GZIP,       VMM_COMPRESSION_XZ,
                                           VMM_COMPRESSION_LZMA,       VMM_COMPRESSION_ZSTD,
                                           VMM_COMPRESSION_LZ4_LEGACY, VMM_COMPRESSION_LZ4_FRAME};
    g_autoptr (GByteArray) elf = linux_elf ();

    for (size_t i = 0; i < G_N_ELEMENTS (kinds); i++) {
        g_autoptr (GByteArray) packed = image_compress (kinds[i], image_span (elf));
        g_autoptr (VmmKernelImage) image = NULL;

        cr_assert (vmm_kernel_image_parse (image_span (packed), "k", &image, NULL));
        cr_assert_eq (image->wrapper, kinds[i]);
        cr_assert_eq (image->format, VMM_KERNEL_FORMAT_ELF);
        cr_assert_eq (image->vmlinux.len, elf->len);
        cr_assert_arr_eq (image->vmlinux.data, elf->data, elf->len);
    }
}

Test (kernel_image, a_bzimage_is_unpacked_when_asked)
{
    g_autoptr (GByteArray) elf = linux_elf ();
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_XZ, elf);
    g_autoptr (VmmKernelImage) image = NULL;

    cr_assert (vmm_kernel_image_parse (image_span (bz), "k", &image, NULL));
    cr_assert_eq (image->format, VMM_KERNEL_FORMAT_BZIMAGE);
    cr_assert_not (image->has_elf);
    cr_assert (vmm_kernel_image_unpack (image, NULL));
    cr_assert (image->has_elf);
    cr_assert_arr_eq (image->vmlinux.data, elf->data, elf->len);
    cr_assert (vmm_kernel_image_unpack (image, NULL), "a second time");
    g_autofree char *version = vmm_kernel_image_version (image);
    cr_assert_str_eq (version, "6.1.0-test (builder@example) #1 SMP");
}

Test (kernel_image, a_compressed_bzimage_works_too)
{
    g_autoptr (GByteArray) elf = linux_elf ();
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_XZ, elf);
    g_autoptr (GByteArray) gz = image_compress (VMM_COMPRESSION_GZIP, image_span (bz));
    g_autoptr (VmmKernelImage) image = NULL;

    cr_assert (vmm_kernel_image_parse (image_span (gz), "k", &image, NULL));
    cr_assert_eq (image->format, VMM_KERNEL_FORMAT_BZIMAGE);
    cr_assert (vmm_kernel_image_unpack (image, NULL));
}

Test (kernel_image, kaslr_is_seen_by_the_table)
{
    const uint32_t places[] = {0x81000100};
    g_autoptr (GByteArray) elf = linux_elf ();
    g_autoptr (VmmKernelImage) image = NULL;

    image_add_relocs (elf, places, 1, NULL, 0, NULL, 0);
    cr_assert (vmm_kernel_image_parse (image_span (elf), "k", &image, NULL));
    cr_assert (vmm_kernel_image_has_kaslr (image));
}

Test (kernel_image, the_banner_tells_a_linux_and_its_version)
{
    ImageElf spec = image_linux ();
    const char banner[] = "Linux version %s\0Linux version 6.12.1 (me@here) #7\n";
    spec.linux_note = false;
    g_autoptr (GByteArray) elf = image_elf (&spec);
    g_autoptr (VmmKernelImage) image = NULL;

    memcpy (elf->data + 0x2000, banner, sizeof banner);
    cr_assert (vmm_kernel_image_parse (image_span (elf), "k", &image, NULL));
    cr_assert (image->is_linux);
    g_autofree char *version = vmm_kernel_image_version (image);
    cr_assert_str_eq (version, "6.12.1 (me@here) #7");
}

Test (kernel_image, a_hobby_kernel_is_not_linux)
{
    ImageElf spec = image_linux ();
    spec.linux_note = false;
    spec.has_pvh = false;
    g_autoptr (GByteArray) elf = image_elf (&spec);
    g_autoptr (VmmKernelImage) image = NULL;

    cr_assert (vmm_kernel_image_parse (image_span (elf), "k", &image, NULL));
    cr_assert_not (image->is_linux);
    cr_assert (image->has_entry64);
    cr_assert_null (vmm_kernel_image_version (image));
}

Test (kernel_image, the_embedded_configuration_is_read)
{
    g_autoptr (GByteArray) elf = linux_elf ();
    g_autoptr (VmmKernelImage) image = NULL;
    g_autoptr (GError) error = NULL;

    cr_assert (vmm_kernel_image_parse (image_span (elf), "k", &image, NULL));
    cr_assert_null (vmm_kernel_image_config (image, &error));
    cr_assert (image_error_has (error, "kernel \"k\": no configuration inside"));
    g_autoptr (GByteArray) gz = image_compress (VMM_COMPRESSION_GZIP, (VmmSpan){(const uint8_t *)"A=y\n", 4});
    memcpy (elf->data + 0x1800, "IKCFG_ST", 8);
    memcpy (elf->data + 0x1808, gz->data, gz->len);
    memcpy (elf->data + 0x1808 + gz->len, "IKCFG_ED", 8);
    g_autofree char *config = vmm_kernel_image_config (image, NULL);
    cr_assert_str_eq (config, "A=y\n");
}

Test (kernel_image, what_is_no_kernel_is_named)
{
    expect_refused_text ("", "the file is empty");
    expect_refused_text ("#!/bin/sh\n", "a script");
    expect_refused_text ("\177ELF", "truncated inside the ELF header");
    expect_refused_text ("BZh9xxxxxx", "bzip2");
    expect_refused_text ("\x89LZO", "not a kernel");
    expect_refused_text ("\x1f\x8b", "truncated");
}

Test (kernel_image, a_compressed_tar_is_named)
{
    uint8_t tar[1024] = {0};

    memcpy (tar, "linux-6.1/", 10);
    memcpy (tar + 257, "ustar", 5);
    g_autoptr (GByteArray) gz = image_compress (VMM_COMPRESSION_GZIP, (VmmSpan){tar, sizeof tar});
    expect_refused (image_span (gz), "compressed with gzip, and inside not a kernel: a tar archive");
}

Test (kernel_image, a_32_bit_elf_needs_pvh)
{
    Elf32_Ehdr e = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
                    .e_type = ET_EXEC,
                    .e_machine = EM_386,
                    .e_entry = 0x100000,
                    .e_phoff = sizeof e,
                    .e_phentsize = sizeof (Elf32_Phdr),
                    .e_phnum = 2};
    Elf32_Phdr h[2] = {{.p_type = PT_LOAD, .p_paddr = 0x100000, .p_filesz = 64, .p_memsz = 0x2000},
                       {.p_type = PT_NOTE, .p_offset = 128, .p_filesz = 20}};
    const uint32_t note[5] = {4, 4, 18, 0x6e6558 /* "Xen" */, 0x100020};
    uint8_t file[256] = {0};
    g_autoptr (VmmKernelImage) image = NULL;

    memcpy (file, &e, sizeof e);
    memcpy (file + sizeof e, h, sizeof h);
    expect_refused ((VmmSpan){file, sizeof file}, "32-bit ELF file without a PVH entry");
    memcpy (file + 128, note, sizeof note);
    cr_assert (vmm_kernel_image_parse ((VmmSpan){file, sizeof file}, "k", &image, NULL));
    cr_assert_not (image->has_entry64);
    cr_assert_eq (image->notes.pvh_entry, 0x100020);
}

Test (kernel_image, an_elf_without_any_entry_is_refused)
{
    ImageElf spec = image_linux ();
    spec.entry = 0x10;
    spec.segment[2].vaddr = 0x100000;
    spec.has_pvh = false;
    g_autoptr (GByteArray) elf = image_elf (&spec);

    expect_refused (image_span (elf), "entry point lies outside");
}

Test (kernel_image, a_lying_payload_size_is_refused)
{
    g_autoptr (GByteArray) elf = linux_elf ();
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_ZSTD, elf);
    uint32_t at = 1024 + 0x400 + vmm_get_u32 (bz->data + VMM_SETUP_PAYLOAD_LENGTH) - 4;
    const uint32_t lies[] = {0, 0x400, 0x9000, 0xfffffff0};

    for (size_t i = 0; i < G_N_ELEMENTS (lies); i++) {
        g_autoptr (VmmKernelImage) image = NULL;
        g_autoptr (GError) error = NULL;
        vmm_put_u32 (bz->data + at, lies[i]);
        cr_assert (vmm_kernel_image_parse (image_span (bz), "k", &image, NULL));
        cr_assert_not (vmm_kernel_image_unpack (image, &error));
        cr_assert (g_str_has_prefix (error->message, "kernel \"k\": "));
        cr_assert_not (image->has_elf);
    }
}
