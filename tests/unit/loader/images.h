/* SPDX-License-Identifier: Apache-2.0 */
/* Small kernels, made by the tests: what a linker and the Linux build would make, a few pages long. */
#ifndef TESTS_LOADER_IMAGES_H
#define TESTS_LOADER_IMAGES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "loader/decompress.h"
#include "vmm/core/bytes.h"
#include "vmm/core/guest-memory.h"

#define IMAGE_MAP UINT64_C (0xffffffff80000000)
#define IMAGE_PHYS UINT64_C (0x1000000)
#define IMAGE_ALIGN UINT64_C (0x200000)
#define IMAGE_SEGMENTS_MAX 8

typedef struct {
    uint64_t offset;
    uint64_t vaddr;
    uint64_t paddr;
    uint64_t filesz;
    uint64_t memsz;
} ImageSegment;

typedef struct {
    uint16_t type;    /* 0: ET_EXEC */
    uint16_t machine; /* 0: EM_X86_64 */
    uint64_t entry;
    ImageSegment segment[IMAGE_SEGMENTS_MAX];
    unsigned n_segments;
    bool has_pvh;
    uint64_t pvh_entry;
    bool linux_note;
} ImageElf;

/* A Linux in miniature: text, data, per-CPU data linked at 0, init with bss behind it. */
ImageElf image_linux (void);
GByteArray *image_elf (const ImageElf *spec);

/* Three lists, or two when @n_sub32 is below 0. */
void image_add_relocs (GByteArray *elf, const uint32_t *add64, int n_add64, const uint32_t *sub32,
                       int n_sub32, const uint32_t *add32, int n_add32);
/* What the kernel's segments are in memory, from IMAGE_PHYS on. */
GByteArray *image_memory (const ImageElf *spec, const GByteArray *elf);

GByteArray *image_compress (VmmCompression kind, VmmSpan in);
/* A bzImage around @payload, of which @unpacked is appended where the Linux build does it. */
GByteArray *image_bzimage (VmmCompression kind, const GByteArray *vmlinux);

VmmSpan image_span (const GByteArray *bytes);
VmmGuestMemory *image_guest_memory (uint64_t mib);
bool image_error_has (const GError *error, const char *text);

#endif
