/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CORE_KVM_H
#define VMM_CORE_KVM_H

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/doorbell.h"
#include "vmm/core/guest-memory.h"

typedef struct _VmmKvm VmmKvm;

VmmKvm *vmm_kvm_new (int kvm_fd, GError **error);
void vmm_kvm_free (VmmKvm *kvm);
int vmm_kvm_fd (const VmmKvm *kvm);
int vmm_kvm_vm_fd (const VmmKvm *kvm);
int vmm_kvm_check (const VmmKvm *kvm, unsigned long cap);
bool vmm_kvm_enable (const VmmKvm *kvm, uint32_t cap, uint64_t arg0, GError **error);
bool vmm_kvm_add_memory (VmmKvm *kvm, const VmmMemRegion *region, GError **error);
VmmDoorbellHost vmm_kvm_doorbells (VmmKvm *kvm);
int vmm_kvm_create_vcpu (VmmKvm *kvm, unsigned id, GError **error);
size_t vmm_kvm_run_size (const VmmKvm *kvm);
bool vmm_kvm_ioctl (int fd, unsigned long request, void *arg, const char *name, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmKvm, vmm_kvm_free)

#endif
