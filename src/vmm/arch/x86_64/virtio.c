/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where virtio devices are on the x86-64 machine.
 *
 * On PCI each takes function 0 of the next slot, and when the slots are full function 1 of the first slot,
 * and so on: names that guests make of slots stay short. As memory-mapped devices they lie one after another
 * in a window of their own, and share the inputs of the I/O APIC that nothing else has: a shared input is up
 * as long as one of its devices wants it. The pins of PCI functions share the same inputs.
 *
 * A kernel that cannot find memory-mapped devices by ACPI is told of them by its command line (Linux:
 * admin-guide/kernel-parameters.rst, virtio_mmio.device=), with inputs that a PIC has. Nothing tells such a
 * kernel that these are levels, so that they are made to work as edges, too.
 */
#include "devices/virtio/mmio.h"
#include "devices/virtio/pci.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/vm-internal.h"
#include "vmm/error.h"

/* One input of the interrupt controllers with several devices on it. */
struct _VmmX86SharedIrq {
    GMutex lock;
    VmmIrqLine line;
    bool edge; /* the guest has it edge-triggered */
    unsigned n_up;
};

static void
set_shared (void *chip, unsigned gsi, bool level)
{
    VmmX86SharedIrq *irq = chip;
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&irq->lock);
    bool was_up = irq->n_up > 0;

    irq->n_up += level ? 1 : -1u;
    /* Each device that begins to want it needs an edge of its own. */
    if (irq->edge && level && was_up)
        vmm_irq_line_set (&irq->line, false);
    if (was_up != (irq->n_up > 0) || (irq->edge && level))
        vmm_irq_line_set (&irq->line, irq->n_up > 0);
}

/* An input for one more device. Each device on it tells changes only. */
static VmmIrqLine
shared_line (VmmArchVm *vm, unsigned gsi, bool edge)
{
    VmmX86SharedIrq **irq = &vm->shared_irqs[gsi];

    if (*irq == NULL) {
        *irq = g_new0 (VmmX86SharedIrq, 1);
        g_mutex_init (&(*irq)->lock);
        (*irq)->line = vmm_x86_irqchip_line (vm->irqchip, gsi);
        (*irq)->edge = edge;
    }
    return (VmmIrqLine){set_shared, *irq, gsi};
}

/**
 * vmm_x86_virtio_clear:
 *
 * Ends what is shared, when there are no devices any more.
 */
void
vmm_x86_virtio_clear (VmmArchVm *vm)
{
    for (unsigned i = 0; i < G_N_ELEMENTS (vm->shared_irqs); i++) {
        if (vm->shared_irqs[i] == NULL)
            continue;
        g_mutex_clear (&vm->shared_irqs[i]->lock);
        g_free (vm->shared_irqs[i]);
    }
}

static bool
add_pci (VmmArchVm *vm, VmmVirtioDevice *device, GError **error)
{
    unsigned index = vm->n_virtio_pci, slot = vmm_x86_virtio_pci_slot (index);
    VmmVirtioPciConfig config = {
        .pin = vmm_x86_virtio_pci_pin (index),
        .mmio = vm->mmio,
        .msi = vmm_x86_irqchip_msi (vm->irqchip),
        .routes = vmm_x86_irqchip_msi_routes (vm->irqchip),
        .doorbells = vmm_kvm_doorbells (vm->config.kvm),
    };
    VmmVirtioPci *pci;

    if (index == VMM_X86_VIRTIO_PCI_MAX) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s: there is room for %u virtio devices on PCI",
                     vmm_virtio_device_name (device), VMM_X86_VIRTIO_PCI_MAX);
        return false;
    }
    config.irq = shared_line (vm, vmm_x86_pci_gsi (slot, config.pin), false);
    pci = vmm_virtio_pci_new (device, &config, error);
    if (pci == NULL)
        return false;
    vmm_x86_own (vm, &vmm_virtio_pci_device_ops, pci);
    vm->n_virtio_pci++;
    return vmm_pci_host_attach (vm->pci, 0, VMM_PCI_DEVFN (slot, vmm_x86_virtio_pci_function (index)),
                                vmm_virtio_pci_function (pci), error);
}

static bool
add_mmio (VmmArchVm *vm, VmmVirtioDevice *device, bool by_cmdline, GError **error)
{
    unsigned index = vm->n_virtio_mmio;
    unsigned gsi = by_cmdline ? vmm_x86_virtio_isa_irq (index) : vmm_x86_virtio_mmio_gsi (index);
    VmmVirtioMmioConfig config = {
        .gpa = vmm_x86_virtio_mmio_gpa (index),
        .edge = by_cmdline,
        .doorbells = vmm_kvm_doorbells (vm->config.kvm),
    };
    VmmVirtioMmio *mmio;

    if (index == VMM_X86_VIRTIO_MMIO_MAX) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s: there is room for %u memory-mapped devices",
                     vmm_virtio_device_name (device), VMM_X86_VIRTIO_MMIO_MAX);
        return false;
    }
    config.irq = shared_line (vm, gsi, by_cmdline);
    if (by_cmdline)
        g_string_append_printf (vm->virtio_words, "%svirtio_mmio.device=4K@0x%x:%u", index == 0 ? "" : " ",
                                vmm_x86_virtio_mmio_gpa (index), gsi);
    mmio = vmm_virtio_mmio_new (device, &config);
    vmm_x86_own (vm, &vmm_virtio_mmio_device_ops, mmio);
    vm->n_virtio_mmio++;
    return vmm_bus_add (vm->mmio, vmm_virtio_device_name (device), config.gpa, VMM_VIRTIO_MMIO_SIZE,
                        &vmm_virtio_mmio_bus_ops, mmio, error);
}

/**
 * vmm_arch_vm_add_virtio:
 * @device: outlives @vm
 * @transport: how the guest reaches it
 *
 * Before vmm_arch_vm_load().
 *
 * Returns: false with an error when there is no room
 */
bool
vmm_arch_vm_add_virtio (VmmArchVm *vm, VmmVirtioDevice *device, VmmVirtioTransport transport, GError **error)
{
    if (transport == VMM_VIRTIO_TRANSPORT_PCI)
        return add_pci (vm, device, error);
    return add_mmio (vm, device, transport == VMM_VIRTIO_TRANSPORT_MMIO_CMDLINE, error);
}
