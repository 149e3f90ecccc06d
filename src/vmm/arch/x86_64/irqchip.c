/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Two ways to have interrupt controllers, KVM API section 4.24 (KVM_CREATE_IRQCHIP) and 7.5
 * (KVM_CAP_SPLIT_IRQCHIP):
 *
 * - kernel: KVM emulates local APICs, I/O APIC, both PICs and the PIT. Whatever was written for a PC runs.
 * - split: KVM emulates the local APICs only, and the I/O APIC is ours. Linux with ACPI never misses the
 * rest, and a machine is made and ended much faster: the in-kernel chips and their timer thread cost 20 ms on
 * a host where the whole rest of the machine costs 2 ms.
 *
 * An interrupt of our I/O APIC is a message to a local APIC, sent by KVM_SIGNAL_MSI. KVM needs to know of a
 * pin only when it is level-triggered, for it must tell us of the end of such an interrupt
 * (KVM_EXIT_IOAPIC_EOI); it finds those vectors in the GSI routing table. Edge pins are left out of the
 * table: every change of it costs an RCU grace period, and a guest changes its pins a hundred times while it
 * boots.
 */
#include "vmm/arch/x86_64/irqchip.h"

#include <sys/ioctl.h>

#include "vmm/arch/x86_64/irq-routes.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/error.h"

#define MSI_DATA_LEVEL (1u << 15)

struct _VmmX86Irqchip {
    int vm_fd;
    VmmIoapic *ioapic; /* split only */
    VmmX86IrqRoutes *routes;
};

static void
send_msi (void *chip, uint64_t address, uint32_t data)
{
    VmmX86Irqchip *irqchip = chip;
    struct kvm_msi msi = {
        .address_lo = (uint32_t)vmm_x86_msi_address (address),
        .address_hi = (uint32_t)(vmm_x86_msi_address (address) >> 32),
        .data = data,
    };

    /* A guest may send a message to nobody: KVM refuses it, and the guest has what it asked for. */
    ioctl (irqchip->vm_fd, KVM_SIGNAL_MSI, &msi);
}

static void
set_kernel_line (void *chip, unsigned gsi, bool level)
{
    VmmX86Irqchip *irqchip = chip;
    struct kvm_irq_level line = {.irq = gsi, .level = level};

    ioctl (irqchip->vm_fd, KVM_IRQ_LINE, &line);
}

static void
on_routes_changed (void *user, unsigned pin, uint64_t address, uint32_t data, bool masked)
{
    VmmX86Irqchip *irqchip = user;

    if (!masked && (data & MSI_DATA_LEVEL) != 0)
        vmm_x86_irq_routes_set_pin (irqchip->routes, pin, address, data);
    else
        vmm_x86_irq_routes_drop_pin (irqchip->routes, pin);
}

static bool
create_kernel (VmmX86Irqchip *irqchip, VmmKvm *kvm, GError **error)
{
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};

    return vmm_kvm_ioctl (irqchip->vm_fd, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP", error) &&
           vmm_kvm_ioctl (irqchip->vm_fd, KVM_CREATE_PIT2, &pit, "KVM_CREATE_PIT2", error);
}

static bool
create_split (VmmX86Irqchip *irqchip, VmmKvm *kvm, GError **error)
{
    VmmMsiSink msi = vmm_x86_irqchip_msi (irqchip);

    if (!vmm_kvm_enable (kvm, KVM_CAP_SPLIT_IRQCHIP, VMM_X86_IOAPIC_PINS, error))
        return false;
    irqchip->ioapic = vmm_ioapic_new (VMM_X86_IOAPIC_PINS, &msi);
    vmm_ioapic_set_routes_changed (irqchip->ioapic, on_routes_changed, irqchip);
    return true;
}

/**
 * vmm_x86_irqchip_new:
 * @kvm: a VM with its memory and without vCPUs: where KVM's memory slots change afterwards, each change waits
 *   for all users of the interrupt routing
 * @kind: split or kernel
 *
 * Returns: (transfer full) (nullable): NULL with %VMM_ERROR_HOST when KVM refuses
 */
VmmX86Irqchip *
vmm_x86_irqchip_new (VmmKvm *kvm, VmmIrqchip kind, GError **error)
{
    g_autoptr (VmmX86Irqchip) irqchip = g_new0 (VmmX86Irqchip, 1);
    bool ok;

    irqchip->vm_fd = vmm_kvm_vm_fd (kvm);
    irqchip->routes = vmm_x86_irq_routes_new (kvm, kind);
    ok =
        kind == VMM_IRQCHIP_KERNEL ? create_kernel (irqchip, kvm, error) : create_split (irqchip, kvm, error);
    return ok ? g_steal_pointer (&irqchip) : NULL;
}

/**
 * vmm_x86_irqchip_free:
 * @irqchip: (nullable): no device may use it any more
 */
void
vmm_x86_irqchip_free (VmmX86Irqchip *irqchip)
{
    if (irqchip == NULL)
        return;
    vmm_ioapic_free (irqchip->ioapic);
    vmm_x86_irq_routes_free (irqchip->routes);
    g_free (irqchip);
}

/**
 * vmm_x86_irqchip_line:
 * @gsi: below VMM_X86_IOAPIC_PINS
 *
 * Returns: the input @gsi of the interrupt controllers, valid as long as @irqchip
 */
VmmIrqLine
vmm_x86_irqchip_line (VmmX86Irqchip *irqchip, unsigned gsi)
{
    if (irqchip->ioapic != NULL)
        return (VmmIrqLine){vmm_ioapic_set_irq, irqchip->ioapic, gsi};
    return (VmmIrqLine){set_kernel_line, irqchip, gsi};
}

/**
 * vmm_x86_irqchip_ioapic:
 *
 * Returns: (transfer none) (nullable): our I/O APIC, NULL when it is KVM's
 */
VmmIoapic *
vmm_x86_irqchip_ioapic (VmmX86Irqchip *irqchip)
{
    return irqchip->ioapic;
}

/**
 * vmm_x86_irqchip_msi:
 *
 * Returns: where devices send message-signalled interrupts, valid as long as @irqchip
 */
VmmMsiSink
vmm_x86_irqchip_msi (VmmX86Irqchip *irqchip)
{
    return (VmmMsiSink){.send = send_msi, .chip = irqchip};
}

/**
 * vmm_x86_irqchip_msi_routes:
 *
 * Returns: how others than we send such interrupts, valid as long as @irqchip
 */
VmmMsiRoutes
vmm_x86_irqchip_msi_routes (VmmX86Irqchip *irqchip)
{
    return vmm_x86_irq_routes_msi (irqchip->routes);
}
