/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_ARCH_X86_64_IRQCHIP_H
#define VMM_ARCH_X86_64_IRQCHIP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/ioapic/ioapic.h"
#include "vmm/arch/arch.h"
#include "vmm/core/irq.h"
#include "vmm/core/kvm.h"

typedef struct _VmmX86Irqchip VmmX86Irqchip;

VmmX86Irqchip *vmm_x86_irqchip_new (VmmKvm *kvm, VmmIrqchip kind, GError **error);
void vmm_x86_irqchip_free (VmmX86Irqchip *irqchip);
VmmIrqLine vmm_x86_irqchip_line (VmmX86Irqchip *irqchip, unsigned gsi);
VmmIoapic *vmm_x86_irqchip_ioapic (VmmX86Irqchip *irqchip);
VmmMsiSink vmm_x86_irqchip_msi (VmmX86Irqchip *irqchip);
VmmMsiRoutes vmm_x86_irqchip_msi_routes (VmmX86Irqchip *irqchip);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmX86Irqchip, vmm_x86_irqchip_free)

#endif
