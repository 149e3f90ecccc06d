/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_MEMORY_SLOTS_H
#define VMM_MEMORY_SLOTS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/guest-memory.h"
#include "vmm/core/kvm.h"

/* What KVM knows when vmm_memory_slots_new() returns: the kernel is placed in it. */
#define VMM_MEMORY_SLOTS_EARLY (UINT64_C (512) << 20)

typedef struct _VmmMemorySlots VmmMemorySlots;

/* On a thread of its own, once: KVM refused memory that the guest was promised. Takes @message. */
typedef void (*VmmMemorySlotsFailed) (void *user, char *message);

VmmMemorySlots *vmm_memory_slots_new (VmmKvm *kvm, VmmGuestMemory *memory, VmmMemorySlotsFailed failed,
                                      void *user, GError **error);
void vmm_memory_slots_free (VmmMemorySlots *slots);
void vmm_memory_slots_show_rest (VmmMemorySlots *slots);
void vmm_memory_slots_wait (VmmMemorySlots *slots);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmMemorySlots, vmm_memory_slots_free)

#endif
