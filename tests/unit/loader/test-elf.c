/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <elf.h>

#include "images.h"
#include "loader/elf.h"
#include "vmm/error.h"

static void
expect_refused (GByteArray *elf, const char *text)
{
    g_autoptr (GError) error = NULL;
    VmmElf e;

    cr_assert_not (vmm_elf_parse (image_span (elf), elf->len, &e, &error), "not refused: %s", text);
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE));
    cr_assert (image_error_has (error, text), "\"%s\" is not in \"%s\"", text, error->message);
}

Test (elf, a_linux_is_read_whole)
{
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = image_elf (&spec);
    VmmElfNotes notes;
    VmmElf e;

    cr_assert (vmm_elf_detect (image_span (elf)));
    cr_assert (vmm_elf_parse (image_span (elf), elf->len, &e, NULL));
    cr_assert (e.is_64);
    cr_assert_eq (e.n_loads, 4);
    cr_assert_eq (e.phys_start, IMAGE_PHYS);
    cr_assert_eq (e.phys_end, IMAGE_PHYS + 0xe000);
    cr_assert_eq (e.file_end, elf->len);
    cr_assert (e.has_entry);
    cr_assert_eq (e.entry_gpa, IMAGE_PHYS + 0x40);
    vmm_elf_read_notes (&e, image_span (elf), &notes);
    cr_assert (notes.says_linux);
    cr_assert (notes.has_pvh);
    cr_assert_eq (notes.pvh_entry, IMAGE_PHYS + 0x80);
}

Test (elf, the_start_of_the_file_is_enough)
{
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = image_elf (&spec);
    VmmElf e;

    cr_assert (vmm_elf_parse ((VmmSpan){elf->data, 0x400}, elf->len, &e, NULL));
    cr_assert_eq (e.n_loads, 4);
}

Test (elf, a_virtual_entry_becomes_physical)
{
    ImageElf spec = image_linux ();
    spec.entry = IMAGE_MAP + IMAGE_PHYS + 0x3010;
    g_autoptr (GByteArray) elf = image_elf (&spec);
    VmmElf e;

    cr_assert (vmm_elf_parse (image_span (elf), elf->len, &e, NULL));
    cr_assert (e.has_entry);
    cr_assert_eq (e.entry_gpa, IMAGE_PHYS + 0x3010);
}

Test (elf, an_entry_outside_is_no_entry)
{
    ImageElf spec = image_linux ();
    spec.entry = 0x40;
    spec.segment[2].vaddr = 0x100000;
    g_autoptr (GByteArray) elf = image_elf (&spec);
    VmmElf e;

    cr_assert (vmm_elf_parse (image_span (elf), elf->len, &e, NULL));
    cr_assert_not (e.has_entry);
}

Test (elf, other_machines_are_named)
{
    ImageElf spec = image_linux ();
    spec.machine = EM_AARCH64;
    g_autoptr (GByteArray) arm = image_elf (&spec);
    expect_refused (arm, "built for arm64");
    spec.machine = 243;
    g_autoptr (GByteArray) riscv = image_elf (&spec);
    expect_refused (riscv, "built for RISC-V");
    spec.machine = 12345;
    g_autoptr (GByteArray) odd = image_elf (&spec);
    expect_refused (odd, "machine number 12345");
}

Test (elf, other_kinds_of_elf_are_named)
{
    ImageElf spec = image_linux ();
    spec.type = ET_REL;
    g_autoptr (GByteArray) module = image_elf (&spec);
    expect_refused (module, "kernel module");
    spec.type = ET_CORE;
    g_autoptr (GByteArray) core = image_elf (&spec);
    expect_refused (core, "core dump");
    spec.type = 77;
    g_autoptr (GByteArray) odd = image_elf (&spec);
    expect_refused (odd, "not an executable");
}

Test (elf, a_program_is_not_a_kernel)
{
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = image_elf (&spec);

    vmm_put_u32 (elf->data + 64 + 56 * 4, PT_INTERP);
    expect_refused (elf, "an ordinary program");
}

Test (elf, truncation_says_both_lengths)
{
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = image_elf (&spec);

    g_byte_array_set_size (elf, 0x9000);
    expect_refused (elf, "truncated at byte 36864: its header says at least 38912 bytes");
    g_byte_array_set_size (elf, 100);
    expect_refused (elf, "truncated at byte 100");
    g_byte_array_set_size (elf, 40);
    expect_refused (elf, "truncated inside the ELF header");
}

Test (elf, every_cut_is_refused_or_harmless)
{
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = image_elf (&spec);

    for (size_t n = 0; n < 0x9800; n++) {
        /* On the heap, so that a sanitizer sees a read beyond the end. */
        g_autofree uint8_t *copy = g_malloc (n + 1);
        VmmElf e;
        memcpy (copy, elf->data, n);
        cr_assert_not (vmm_elf_parse ((VmmSpan){copy, n}, n, &e, NULL));
        n += n > 0x400 ? 500 : 0;
    }
}

Test (elf, impossible_segments_are_refused)
{
    ImageElf spec = image_linux ();
    spec.segment[1].paddr = UINT64_MAX - 0x10;
    g_autoptr (GByteArray) wraps = image_elf (&spec);
    expect_refused (wraps, "beyond the end of the address space");

    spec = image_linux ();
    spec.segment[1].paddr = IMAGE_PHYS + 0x100;
    g_autoptr (GByteArray) overlaps = image_elf (&spec);
    expect_refused (overlaps, "the same physical addresses");

    spec = image_linux ();
    spec.segment[0].memsz = 1;
    g_autoptr (GByteArray) shrinks = image_elf (&spec);
    expect_refused (shrinks, "more bytes in the file than in memory");

    spec = image_linux ();
    spec.n_segments = 0;
    g_autoptr (GByteArray) empty = image_elf (&spec);
    expect_refused (empty, "without anything to load");
}

Test (elf, too_many_segments_are_refused)
{
    enum { N = 40 };
    g_autoptr (GByteArray) elf = g_byte_array_new ();
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) small = image_elf (&spec);

    g_byte_array_append (elf, small->data, 64);
    vmm_put_u16 (elf->data + 56, N);
    for (unsigned i = 0; i < N; i++) {
        Elf64_Phdr h = {.p_type = PT_LOAD, .p_paddr = 0x200000 + i * 0x1000, .p_memsz = 0x1000};
        g_byte_array_append (elf, (const guint8 *)&h, sizeof h);
    }
    expect_refused (elf, "more than 32 loadable");
}

Test (elf, damaged_notes_are_no_notes)
{
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = image_elf (&spec);
    VmmElfNotes notes;
    VmmElf e;

    vmm_put_u32 (elf->data + 0x800, 0xfffffffd);
    cr_assert (vmm_elf_parse (image_span (elf), elf->len, &e, NULL));
    vmm_elf_read_notes (&e, image_span (elf), &notes);
    cr_assert_not (notes.has_pvh);
    cr_assert_not (notes.says_linux);
}

Test (elf, big_endian_is_refused)
{
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = image_elf (&spec);

    elf->data[EI_DATA] = ELFDATA2MSB;
    expect_refused (elf, "big-endian");
    elf->data[EI_DATA] = ELFDATA2LSB;
    elf->data[EI_CLASS] = 9;
    expect_refused (elf, "unknown class");
}
