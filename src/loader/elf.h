/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_ELF_H
#define VMM_LOADER_ELF_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/bytes.h"

/* A Linux kernel has five program headers, a hobby kernel a few; more than this is refused. */
#define VMM_ELF_LOADS_MAX 32u

/**
 * VmmElfSegment:
 * @offset: where its bytes are in the file
 * @vaddr: linked virtual address
 * @paddr: guest-physical address it is loaded at
 * @filesz: bytes in the file
 * @memsz: bytes in memory, at least @filesz; the rest is zero
 *
 * One PT_LOAD with @memsz above 0.
 */
typedef struct {
    uint64_t offset;
    uint64_t vaddr;
    uint64_t paddr;
    uint64_t filesz;
    uint64_t memsz;
} VmmElfSegment;

/**
 * VmmElf:
 * @is_64: ELFCLASS64
 * @entry: e_entry as the file has it
 * @entry_gpa: @entry as a guest-physical address, valid when @has_entry
 * @has_entry: @entry lies in a loaded segment
 * @load: the loadable segments in the file's order; all their file bytes are inside the file
 * @n_loads: how many
 * @phys_start: lowest address of a loaded segment
 * @phys_end: first address after all of them
 * @file_end: first byte of the file after everything that the headers describe
 * @note_offset: file offset of the first PT_NOTE segment
 * @note_size: its size, 0 when there is none
 *
 * What a loader must know of an ELF executable.
 */
typedef struct {
    bool is_64;
    uint64_t entry;
    uint64_t entry_gpa;
    bool has_entry;
    VmmElfSegment load[VMM_ELF_LOADS_MAX];
    unsigned n_loads;
    uint64_t phys_start;
    uint64_t phys_end;
    uint64_t file_end;
    uint64_t note_offset;
    uint64_t note_size;
} VmmElf;

/**
 * VmmElfNotes:
 * @has_pvh: there is a PVH entry (XEN_ELFNOTE_PHYS32_ENTRY)
 * @pvh_entry: its guest-physical address
 * @says_linux: a note names Linux as the system
 */
typedef struct {
    bool has_pvh;
    uint64_t pvh_entry;
    bool says_linux;
} VmmElfNotes;

bool vmm_elf_detect (VmmSpan file);
bool vmm_elf_parse (VmmSpan head, uint64_t file_len, VmmElf *ret_elf, GError **error);
void vmm_elf_read_notes (const VmmElf *elf, VmmSpan file, VmmElfNotes *ret_notes);

#endif
