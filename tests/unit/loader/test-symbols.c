/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <elf.h>

#include "images.h"
#include "loader/symbols.h"

static const char map[] = "0000000000000000 D __per_cpu_start\n"
                          "ffffffff81000000 T startup_64\n"
                          "ffffffff81000000 T _text\n"
                          "ffffffff81000040 t helper\n"
                          "ffffffff81000100 D data_is_not_code\n"
                          "garbage\n"
                          "\n"
                          "ffffffff81000200 T last\tmodule";

static void
expect (const VmmSymbols *symbols, uint64_t address, uint64_t offset, const char *text)
{
    g_autofree char *said = vmm_symbols_describe (symbols, address, offset);

    cr_assert (g_strcmp0 (said, text) == 0, "0x%lx is \"%s\", not \"%s\"", address, said, text);
}

Test (symbols, a_system_map_names_functions)
{
    g_autoptr (VmmSymbols) symbols =
        vmm_symbols_new_from_system_map ((VmmSpan){(const uint8_t *)map, sizeof map - 1}, NULL);

    cr_assert_not_null (symbols);
    cr_assert_eq (vmm_symbols_count (symbols), 4);
    expect (symbols, 0xffffffff81000000, 0, "startup_64+0x0/0x40");
    expect (symbols, 0xffffffff8100003f, 0, "startup_64+0x3f/0x40");
    expect (symbols, 0xffffffff81000040, 0, "helper+0x0/0x1c0");
    expect (symbols, 0xffffffff81000210, 0, "last+0x10/0x1000");
    expect (symbols, 0xffffffff81001200, 0, NULL);
    uint64_t address = 1;
    cr_assert (vmm_symbols_find (symbols, "helper", &address));
    cr_assert_eq (address, 0xffffffff81000040);
    cr_assert_not (vmm_symbols_find (symbols, "help", &address));
    cr_assert_not (vmm_symbols_find (symbols, "__per_cpu_start", &address));
    cr_assert_eq (address, 0xffffffff81000040);
    expect (symbols, 0xffffffff80ffffff, 0, NULL);
    expect (symbols, 0, 0, NULL);
}

Test (symbols, kaslr_is_taken_off)
{
    g_autoptr (VmmSymbols) symbols =
        vmm_symbols_new_from_system_map ((VmmSpan){(const uint8_t *)map, sizeof map - 1}, NULL);

    expect (symbols, 0xffffffff91000050, 0x10000000, "helper+0x10/0x1c0");
}

Test (symbols, a_file_without_functions_is_refused)
{
    /* What Debian ships in place of the real one. */
    static const char stub[] = "ffffffffffffffff B The real System.map is in the linux-image-dbg package\n";
    g_autoptr (GError) error = NULL;

    cr_assert_null (
        vmm_symbols_new_from_system_map ((VmmSpan){(const uint8_t *)stub, sizeof stub - 1}, &error));
    cr_assert (image_error_has (error, "no functions"));
    cr_assert_null (vmm_symbols_new_from_system_map ((VmmSpan){NULL, 0}, NULL));
}

/* Header, .symtab with three symbols, .strtab, three section headers. */
static GByteArray *
elf_with_symbols (void)
{
    static const char strings[] = "\0first\0second\0file.c";
    Elf64_Sym sym[4] = {
        {0},
        {1, ELF64_ST_INFO (STB_GLOBAL, STT_FUNC), 0, 1, 0x200000, 0x20},
        {7, ELF64_ST_INFO (STB_LOCAL, STT_FUNC), 0, 1, 0x200040, 0},
        {14, ELF64_ST_INFO (STB_LOCAL, STT_FILE), 0, SHN_ABS, 0, 0},
    };
    Elf64_Ehdr e = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                    .e_shoff = sizeof e + sizeof sym + sizeof strings,
                    .e_shentsize = sizeof (Elf64_Shdr),
                    .e_shnum = 3};
    Elf64_Shdr sh[3] = {
        {0},
        {.sh_type = SHT_SYMTAB, .sh_offset = sizeof e, .sh_size = sizeof sym, .sh_link = 2},
        {.sh_type = SHT_STRTAB, .sh_offset = sizeof e + sizeof sym, .sh_size = sizeof strings},
    };
    GByteArray *elf = g_byte_array_new ();

    g_byte_array_append (elf, (const guint8 *)&e, sizeof e);
    g_byte_array_append (elf, (const guint8 *)sym, sizeof sym);
    g_byte_array_append (elf, (const guint8 *)strings, sizeof strings);
    g_byte_array_append (elf, (const guint8 *)sh, sizeof sh);
    return elf;
}

Test (symbols, an_elf_symbol_table_has_sizes)
{
    g_autoptr (GByteArray) elf = elf_with_symbols ();
    g_autoptr (VmmSymbols) symbols = vmm_symbols_new_from_elf (image_span (elf), NULL);

    cr_assert_not_null (symbols);
    cr_assert_eq (vmm_symbols_count (symbols), 2);
    expect (symbols, 0x200012, 0, "first+0x12/0x20");
    expect (symbols, 0x200030, 0, NULL);
    expect (symbols, 0x200041, 0, "second+0x1/0x1000");
}

Test (symbols, a_stripped_or_cut_elf_is_refused)
{
    g_autoptr (GByteArray) elf = elf_with_symbols ();
    g_autoptr (GError) error = NULL;

    for (guint n = 0; n < elf->len; n++)
        cr_assert_null (vmm_symbols_new_from_elf ((VmmSpan){elf->data, n}, NULL));
    vmm_put_u16 (elf->data + 60, 0);
    cr_assert_null (vmm_symbols_new_from_elf (image_span (elf), &error));
    cr_assert (image_error_has (error, "stripped"));
}
