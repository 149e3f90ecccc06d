/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_KERNEL_LOAD_H
#define VMM_LOADER_KERNEL_LOAD_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "loader/bzimage.h"
#include "loader/kernel-image.h"
#include "vmm/core/guest-memory.h"

/**
 * VmmKernelEntry:
 * @VMM_KERNEL_ENTRY_AUTO: the fastest that the image has; never in a #VmmLoadedKernel
 * @VMM_KERNEL_ENTRY_BZIMAGE: 64-bit entry of the bzImage's own decompressor, which runs in the guest
 * @VMM_KERNEL_ENTRY_UNPACKED: 64-bit entry of the vmlinux, unpacked here
 * @VMM_KERNEL_ENTRY_PVH: 32-bit entry of the PVH boot protocol, with EBX at a struct hvm_start_info
 *
 * How a kernel is entered. The 64-bit entries want RSI at a struct boot_params, 4-level paging with the
 * image, boot_params and command line mapped one to one, flat segments, and interrupts off.
 */
typedef enum {
    VMM_KERNEL_ENTRY_AUTO,
    VMM_KERNEL_ENTRY_BZIMAGE,
    VMM_KERNEL_ENTRY_UNPACKED,
    VMM_KERNEL_ENTRY_PVH,
} VmmKernelEntry;

/**
 * VmmKernelKaslr:
 * @VMM_KERNEL_KASLR_OFF: not asked for
 * @VMM_KERNEL_KASLR_DONE: the kernel was relocated here
 * @VMM_KERNEL_KASLR_GUEST: the guest's own decompressor does it, unless its command line says `nokaslr`
 * @VMM_KERNEL_KASLR_LOST: asked for, and not possible: @kaslr_lost says why
 */
typedef enum {
    VMM_KERNEL_KASLR_OFF,
    VMM_KERNEL_KASLR_DONE,
    VMM_KERNEL_KASLR_GUEST,
    VMM_KERNEL_KASLR_LOST,
} VmmKernelKaslr;

/**
 * VmmKernelLoadOptions:
 * @entry: which entry to use
 * @low_end: end of the RAM that starts at 1 MiB and lies below 4 GiB; nothing is loaded beyond it
 * @phys_min: no randomly placed kernel starts below this
 * @phys_max: no randomly placed kernel ends beyond this: leave room for the initrd. 0 for @low_end
 * @kaslr: relocate the kernel; false too when the command line says `nokaslr`
 * @random_virtual: 64 random bits for the virtual address, used when @kaslr
 * @random_physical: 64 more for the physical one
 */
typedef struct {
    VmmKernelEntry entry;
    uint64_t low_end;
    uint64_t phys_min;
    uint64_t phys_max;
    bool kaslr;
    uint64_t random_virtual;
    uint64_t random_physical;
} VmmKernelLoadOptions;

/**
 * VmmLoadedKernel:
 * @entry: how to enter it; never %VMM_KERNEL_ENTRY_AUTO
 * @entry_gpa: where
 * @start: first address that the kernel occupies
 * @end: first address after it, with the memory it needs before it reads the memory map; an initrd goes
 * elsewhere
 * @kaslr: what became of it
 * @kaslr_lost: why, one phrase, static; NULL unless %VMM_KERNEL_KASLR_LOST
 * @virt_offset: what was added to each linked virtual address (0 unless %VMM_KERNEL_KASLR_DONE)
 * @setup_header: goes to %VMM_SETUP_HEADER_OFFSET of struct boot_params; the loader's fields are filled in,
 *   those of the initrd and the command line are left to the caller (0)
 * @setup_header_len: bytes of it
 * @initrd_addr_max: last address that an initrd may occupy
 * @cmdline_max: longest command line, without its NUL
 *
 * A kernel in guest memory.
 */
typedef struct {
    VmmKernelEntry entry;
    uint64_t entry_gpa;
    uint64_t start;
    uint64_t end;
    VmmKernelKaslr kaslr;
    const char *kaslr_lost;
    uint64_t virt_offset;
    uint8_t setup_header[VMM_SETUP_HEADER_MAX];
    size_t setup_header_len;
    uint64_t initrd_addr_max;
    uint32_t cmdline_max;
} VmmLoadedKernel;

const char *vmm_kernel_entry_name (VmmKernelEntry entry);
bool vmm_kernel_entry_from_name (const char *name, VmmKernelEntry *ret_entry);
bool vmm_kernel_image_load (VmmKernelImage *image, VmmGuestMemory *memory,
                            const VmmKernelLoadOptions *options, VmmLoadedKernel *ret_kernel, GError **error);

#endif
