/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the loader: how kernel-load.c puts a vmlinux into memory. */
#ifndef VMM_LOADER_VMLINUX_LOAD_H
#define VMM_LOADER_VMLINUX_LOAD_H

#include "loader/elf.h"
#include "loader/kernel-load.h"

/**
 * VmmVmlinuxPlace:
 * @align: a relocatable kernel may be at its linked address plus a multiple of this; 0 when it is fixed
 * @room: bytes from its first address on that must be RAM
 * @base: where it goes
 *
 * The physical place of a kernel.
 */
typedef struct {
    uint64_t align;
    uint64_t room;
    uint64_t base;
} VmmVmlinuxPlace;

bool vmm_vmlinux_choose_base (const VmmElf *elf, const VmmKernelLoadOptions *options, VmmVmlinuxPlace *place,
                              GError **error);
bool vmm_vmlinux_load_packed (const VmmBzImage *bzimage, VmmGuestMemory *memory,
                              const VmmKernelLoadOptions *options, bool *ret_done, VmmLoadedKernel *kernel,
                              VmmElf *ret_elf, VmmElfNotes *ret_notes, GError **error);
bool vmm_vmlinux_load_span (const VmmElf *elf, VmmSpan vmlinux, bool relocatable, uint64_t align,
                            VmmGuestMemory *memory, const VmmKernelLoadOptions *options,
                            VmmLoadedKernel *kernel, GError **error);
void vmm_vmlinux_relocate (const VmmElf *elf, VmmSpan tail, uint64_t align, uint64_t len, uint8_t *image,
                           const VmmKernelLoadOptions *options, VmmLoadedKernel *kernel);

#endif
