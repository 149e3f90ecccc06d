/* SPDX-License-Identifier: Apache-2.0 */
/* ELF headers and notes: whatever is accepted must be inside the file. */
#include <stdlib.h>

#include "loader/elf.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    VmmSpan file = {data, size};
    VmmElfNotes notes;
    VmmSpan bytes;
    VmmElf elf;

    if (!vmm_elf_detect (file) || !vmm_elf_parse (file, size, &elf, NULL))
        return 0;
    for (unsigned i = 0; i < elf.n_loads; i++) {
        const VmmElfSegment *s = &elf.load[i];
        if (!vmm_span_sub (file, s->offset, s->filesz, &bytes) || s->paddr < elf.phys_start ||
            s->paddr + s->memsz > elf.phys_end || s->filesz > s->memsz)
            abort ();
    }
    if (elf.has_entry && (elf.entry_gpa < elf.phys_start || elf.entry_gpa >= elf.phys_end))
        abort ();
    vmm_elf_read_notes (&elf, file, &notes);
    return 0;
}
