/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Reads the headers of an ELF executable for x86 (System V ABI, gABI chapters 4 and 5) into a fixed-size
 * summary. Everything in the summary has been checked: each segment's bytes lie in the file, and its
 * addresses do not wrap. What follows only has to check where the addresses are.
 *
 * The file may be known by its start only, because the headers of a compressed vmlinux are wanted before it
 * is unpacked; its length is then what the image tells, and the caller checks again when it has all of it.
 */
#include "loader/elf.h"

#include <elf.h>
#include <inttypes.h>

#include "vmm/error.h"

#ifndef EM_RISCV
#define EM_RISCV 243
#endif
#ifndef EM_LOONGARCH
#define EM_LOONGARCH 258
#endif

/* Xen: include/public/elfnote.h */
#define XEN_ELFNOTE_GUEST_OS 6u
#define XEN_ELFNOTE_PHYS32_ENTRY 18u

/* Notes are a few hundred bytes; more is not looked at. */
#define NOTES_MAX (1u << 20)

/* The fields of both classes, widened. */
typedef struct {
    uint16_t type;
    uint16_t machine;
    uint64_t phoff;
    uint64_t shoff;
    uint16_t phentsize;
    uint16_t phnum;
    uint16_t shentsize;
    uint16_t shnum;
} Header;

typedef struct {
    uint16_t machine;
    const char *name;
} Machine;

static const Machine machines[] = {
    {EM_AARCH64, "arm64"},    {EM_ARM, "32-bit ARM"},      {EM_RISCV, "RISC-V"}, {EM_PPC64, "64-bit POWER"},
    {EM_PPC, "32-bit POWER"}, {EM_S390, "s390x"},          {EM_MIPS, "MIPS"},    {EM_SPARCV9, "SPARC64"},
    {EM_IA_64, "Itanium"},    {EM_LOONGARCH, "LoongArch"},
};

static bool
fail (GError **error, const char *text)
{
    g_set_error_literal (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE, text);
    return false;
}

/**
 * vmm_elf_detect:
 * @file: a file or its start
 *
 * Returns: whether it begins like an ELF file of any kind
 */
bool
vmm_elf_detect (VmmSpan file)
{
    return file.len >= SELFMAG && memcmp (file.data, ELFMAG, SELFMAG) == 0;
}

static bool
read_header (VmmSpan head, VmmElf *elf, Header *h, GError **error)
{
    if (head.len < EI_NIDENT ||
        head.len < (head.data[EI_CLASS] == ELFCLASS64 ? sizeof (Elf64_Ehdr) : sizeof (Elf32_Ehdr)))
        return fail (error, "truncated inside the ELF header; get the file again");
    if (head.data[EI_DATA] != ELFDATA2LSB)
        return fail (error, "a big-endian ELF file; this machine is little-endian x86-64");
    elf->is_64 = head.data[EI_CLASS] == ELFCLASS64;
    if (elf->is_64) {
        Elf64_Ehdr e;
        memcpy (&e, head.data, sizeof e);
        *h = (Header){e.e_type,      e.e_machine, e.e_phoff,     e.e_shoff,
                      e.e_phentsize, e.e_phnum,   e.e_shentsize, e.e_shnum};
        elf->entry = e.e_entry;
    } else if (head.data[EI_CLASS] == ELFCLASS32) {
        Elf32_Ehdr e;
        memcpy (&e, head.data, sizeof e);
        *h = (Header){e.e_type,      e.e_machine, e.e_phoff,     e.e_shoff,
                      e.e_phentsize, e.e_phnum,   e.e_shentsize, e.e_shnum};
        elf->entry = e.e_entry;
    } else {
        return fail (error, "an ELF file of unknown class; its header is damaged");
    }
    return true;
}

static bool
check_kind (const VmmElf *elf, const Header *h, GError **error)
{
    if (h->machine != (elf->is_64 ? EM_X86_64 : EM_386)) {
        for (size_t i = 0; i < G_N_ELEMENTS (machines); i++)
            if (machines[i].machine == h->machine) {
                g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                             "built for %s; this machine is x86-64 and wants an x86-64 kernel",
                             machines[i].name);
                return false;
            }
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                     "an ELF file for machine number %u; this machine is x86-64 and wants an x86-64 kernel",
                     h->machine);
        return false;
    }
    if (h->type == ET_REL)
        return fail (error, "an object file or kernel module, not a kernel");
    if (h->type == ET_CORE)
        return fail (error, "a core dump, not a kernel");
    if (h->type != ET_EXEC && h->type != ET_DYN)
        return fail (error, "an ELF file, but not an executable");
    if (h->phnum == 0)
        return fail (error, "an ELF file without program headers: nothing to load");
    if (h->phentsize != (elf->is_64 ? sizeof (Elf64_Phdr) : sizeof (Elf32_Phdr)))
        return fail (error, "its ELF program headers have a size that the format does not know");
    return true;
}

static void
read_program_header (const uint8_t *p, bool is_64, uint32_t *ret_type, VmmElfSegment *ret_segment)
{
    if (is_64) {
        Elf64_Phdr h;
        memcpy (&h, p, sizeof h);
        *ret_type = h.p_type;
        *ret_segment = (VmmElfSegment){h.p_offset, h.p_vaddr, h.p_paddr, h.p_filesz, h.p_memsz};
    } else {
        Elf32_Phdr h;
        memcpy (&h, p, sizeof h);
        *ret_type = h.p_type;
        *ret_segment = (VmmElfSegment){h.p_offset, h.p_vaddr, h.p_paddr, h.p_filesz, h.p_memsz};
    }
}

static bool
add_load (VmmElf *elf, const VmmElfSegment *s, uint64_t file_len, GError **error)
{
    uint64_t end;

    if (s->memsz == 0)
        return true;
    if (s->filesz > s->memsz)
        return fail (error,
                     "an ELF segment has more bytes in the file than in memory; the header is damaged");
    if (s->offset > file_len || s->filesz > file_len - s->offset) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                     "truncated at byte %" PRIu64 ": its header says at least %" PRIu64
                     " bytes; get the file again",
                     file_len, s->offset + MIN (s->filesz, UINT64_MAX - s->offset));
        return false;
    }
    if (__builtin_add_overflow (s->paddr, s->memsz, &end))
        return fail (error, "an ELF segment lies beyond the end of the address space; the header is damaged");
    if (elf->n_loads == VMM_ELF_LOADS_MAX)
        return fail (error, "more than 32 loadable ELF segments; no kernel has so many");
    for (unsigned i = 0; i < elf->n_loads; i++)
        if (s->paddr < elf->load[i].paddr + elf->load[i].memsz && elf->load[i].paddr < end)
            return fail (error,
                         "two of its ELF segments have the same physical addresses; the header is damaged");
    elf->phys_start = elf->n_loads == 0 ? s->paddr : MIN (elf->phys_start, s->paddr);
    elf->phys_end = MAX (elf->phys_end, end);
    elf->file_end = MAX (elf->file_end, s->offset + s->filesz);
    elf->load[elf->n_loads++] = *s;
    return true;
}

static bool
read_segments (VmmSpan head, uint64_t file_len, const Header *h, VmmElf *elf, GError **error)
{
    uint64_t table = (uint64_t)h->phnum * h->phentsize;
    VmmSpan headers;

    if (!vmm_span_sub (head, h->phoff, table, &headers)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                     "truncated at byte %zu: its ELF header says %" PRIu64
                     " bytes of program headers at %" PRIu64 "; get the file again",
                     head.len, table, h->phoff);
        return false;
    }
    elf->file_end = h->phoff + table;
    for (unsigned i = 0; i < h->phnum; i++) {
        VmmElfSegment s;
        uint32_t type;

        read_program_header (headers.data + (size_t)i * h->phentsize, elf->is_64, &type, &s);
        if (type == PT_INTERP)
            return fail (error, "an ordinary program, not a kernel");
        if (type == PT_LOAD && !add_load (elf, &s, file_len, error))
            return false;
        if (type == PT_NOTE && elf->note_size == 0 && s.offset <= file_len &&
            s.filesz <= file_len - s.offset) {
            elf->note_offset = s.offset;
            elf->note_size = s.filesz;
        }
    }
    if (elf->n_loads == 0)
        return fail (error, "an ELF file without anything to load");
    return true;
}

/*
 * e_entry of a Linux vmlinux is physical already, that of many other kernels virtual. Physical first: where
 * both fit, they are equal.
 */
static void
find_entry (VmmElf *elf)
{
    for (unsigned i = 0; i < elf->n_loads && !elf->has_entry; i++)
        if (elf->entry >= elf->load[i].paddr && elf->entry - elf->load[i].paddr < elf->load[i].memsz) {
            elf->entry_gpa = elf->entry;
            elf->has_entry = true;
        }
    for (unsigned i = 0; i < elf->n_loads && !elf->has_entry; i++)
        if (elf->entry >= elf->load[i].vaddr && elf->entry - elf->load[i].vaddr < elf->load[i].memsz) {
            elf->entry_gpa = elf->entry - elf->load[i].vaddr + elf->load[i].paddr;
            elf->has_entry = true;
        }
}

/**
 * vmm_elf_parse:
 * @head: the file, or its first bytes with at least the program headers
 * @file_len: bytes of the whole file
 * @ret_elf: what it says
 * @error: %VMM_ERROR_NOT_BOOTABLE; the message is the tail of a sentence, for the caller to say whose
 *
 * Checks the headers of an x86 ELF executable. Any thread.
 *
 * Returns: false when there is nothing that this machine could load
 */
bool
vmm_elf_parse (VmmSpan head, uint64_t file_len, VmmElf *ret_elf, GError **error)
{
    VmmElf elf = {0};
    Header h;
    uint64_t sections;

    if (!read_header (head, &elf, &h, error) || !check_kind (&elf, &h, error) ||
        !read_segments (head, file_len, &h, &elf, error))
        return false;
    sections = (uint64_t)h.shnum * h.shentsize;
    if (h.shoff <= file_len && sections <= file_len - h.shoff)
        elf.file_end = MAX (elf.file_end, h.shoff + sections);
    find_entry (&elf);
    *ret_elf = elf;
    return true;
}

/* One note: name and description each padded to four bytes (gABI chapter 5, Note Section). */
static bool
next_note (VmmSpan *notes, uint32_t *ret_type, VmmSpan *ret_name, VmmSpan *ret_desc)
{
    uint32_t namesz, descsz;
    uint64_t desc_off, end;

    if (!vmm_span_u32 (*notes, 0, &namesz) || !vmm_span_u32 (*notes, 4, &descsz) ||
        !vmm_span_u32 (*notes, 8, ret_type))
        return false;
    desc_off = 12 + (((uint64_t)namesz + 3) & ~UINT64_C (3));
    end = desc_off + (((uint64_t)descsz + 3) & ~UINT64_C (3));
    if (!vmm_span_sub (*notes, 12, namesz, ret_name) || !vmm_span_sub (*notes, desc_off, descsz, ret_desc))
        return false;
    *notes = end >= notes->len ? (VmmSpan){notes->data, 0} : (VmmSpan){notes->data + end, notes->len - end};
    return true;
}

static bool
span_is (VmmSpan span, const char *text)
{
    size_t n = strlen (text);

    return (span.len == n || (span.len == n + 1 && span.data[n] == 0)) && memcmp (span.data, text, n) == 0;
}

/**
 * vmm_elf_read_notes:
 * @elf: from vmm_elf_parse()
 * @file: the whole file
 * @ret_notes: what the notes say; nothing when there are none or they are damaged
 *
 * Looks for the PVH entry point and for the system's name. Any thread.
 */
void
vmm_elf_read_notes (const VmmElf *elf, VmmSpan file, VmmElfNotes *ret_notes)
{
    VmmElfNotes found = {0};
    VmmSpan notes, name, desc;
    uint32_t type;

    if (elf->note_size > NOTES_MAX || !vmm_span_sub (file, elf->note_offset, elf->note_size, &notes))
        notes = (VmmSpan){file.data, 0};
    while (next_note (&notes, &type, &name, &desc)) {
        if (span_is (name, "Linux"))
            found.says_linux = true;
        if (!span_is (name, "Xen"))
            continue;
        if (type == XEN_ELFNOTE_GUEST_OS && span_is (desc, "linux"))
            found.says_linux = true;
        if (type == XEN_ELFNOTE_PHYS32_ENTRY && (desc.len == 4 || desc.len == 8)) {
            found.has_pvh = true;
            found.pvh_entry = desc.len == 4 ? vmm_get_u32 (desc.data) : vmm_get_u64 (desc.data);
        }
    }
    *ret_notes = found;
}
