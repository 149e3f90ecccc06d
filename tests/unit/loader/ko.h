/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel module in miniature: an ELF file with the one section that says what it is. */
#ifndef TESTS_LOADER_KO_H
#define TESTS_LOADER_KO_H

#include <elf.h>
#include <glib.h>
#include <string.h>

/* @info: strings, each with its zero */
static inline GByteArray *
ko_make (const char *info, size_t len)
{
    static const char names[] = "\0.shstrtab\0.modinfo";
    Elf64_Ehdr head = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_REL,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_shoff = sizeof head,
        .e_ehsize = sizeof head,
        .e_shentsize = sizeof (Elf64_Shdr),
        .e_shnum = 3,
        .e_shstrndx = 1,
    };
    Elf64_Shdr sections[3] = {
        {0},
        {.sh_name = 1,
         .sh_type = SHT_STRTAB,
         .sh_offset = sizeof head + sizeof sections,
         .sh_size = sizeof names},
        {.sh_name = 11,
         .sh_type = SHT_PROGBITS,
         .sh_offset = sizeof head + sizeof sections + sizeof names,
         .sh_size = len},
    };
    GByteArray *ko = g_byte_array_new ();

    g_byte_array_append (ko, (const guint8 *)&head, sizeof head);
    g_byte_array_append (ko, (const guint8 *)sections, sizeof sections);
    g_byte_array_append (ko, (const guint8 *)names, sizeof names);
    g_byte_array_append (ko, (const guint8 *)info, (guint)len);
    return ko;
}

#endif
