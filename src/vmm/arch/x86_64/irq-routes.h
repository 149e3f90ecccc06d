/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_ARCH_X86_64_IRQ_ROUTES_H
#define VMM_ARCH_X86_64_IRQ_ROUTES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/arch/arch.h"
#include "vmm/core/irq.h"
#include "vmm/core/kvm.h"

typedef struct _VmmX86IrqRoutes VmmX86IrqRoutes;

VmmX86IrqRoutes *vmm_x86_irq_routes_new (VmmKvm *kvm, VmmIrqchip kind);
void vmm_x86_irq_routes_free (VmmX86IrqRoutes *routes);
void vmm_x86_irq_routes_set_pin (VmmX86IrqRoutes *routes, unsigned pin, uint64_t address, uint32_t data);
void vmm_x86_irq_routes_drop_pin (VmmX86IrqRoutes *routes, unsigned pin);
VmmMsiRoutes vmm_x86_irq_routes_msi (VmmX86IrqRoutes *routes);
uint64_t vmm_x86_msi_address (uint64_t address);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmX86IrqRoutes, vmm_x86_irq_routes_free)

#endif
