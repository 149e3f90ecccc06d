/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_INITRD_H
#define VMM_LOADER_INITRD_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/guest-memory.h"

typedef struct _VmmInitrd VmmInitrd;

/**
 * VmmInitrdPlace:
 * @low_end: end of the RAM that starts at 1 MiB and lies below 4 GiB
 * @addr_max: last address that the kernel reads an initrd from (VmmLoadedKernel)
 * @kernel_start: first address of the loaded kernel
 * @kernel_end: first address after it
 *
 * Where an initrd may go.
 */
typedef struct {
    uint64_t low_end;
    uint64_t addr_max;
    uint64_t kernel_start;
    uint64_t kernel_end;
} VmmInitrdPlace;

VmmInitrd *vmm_initrd_new (void);
void vmm_initrd_free (VmmInitrd *initrd);
bool vmm_initrd_add (VmmInitrd *initrd, int fd, const char *name, GError **error);
uint64_t vmm_initrd_size (const VmmInitrd *initrd);
const char *vmm_initrd_warning (const VmmInitrd *initrd);
bool vmm_initrd_load (VmmInitrd *initrd, VmmGuestMemory *memory, const VmmInitrdPlace *place,
                      uint64_t *ret_gpa, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmInitrd, vmm_initrd_free)

#endif
