/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts of a virtio function (virtio 1.2 sections 4.1.4.5 and 4.1.5.1.3): messages while the guest has
 * MSI-X on, else the interrupt pin. The pin is a level: it is asserted while the ISR status is not 0, unless
 * the command register's Interrupt Disable keeps it down (PCI 3.0 section 6.2.2); reading the ISR status
 * clears it. The status register's Interrupt Status tells the same whatever Interrupt Disable says
 * (section 6.2.3).
 */
#include "devices/virtio/pci-internal.h"

#define ISR_QUEUE 1u
#define ISR_CONFIG 2u
#define ISR_BITS (ISR_QUEUE | ISR_CONFIG)

/* Brings pin and status register into line with what they depend on. Only changes are told to the line, since
 * others may be on it. */
static void
update_locked (VmmVirtioPci *pci)
{
    bool waiting = pci->isr != 0 && !vmm_pci_msix_is_enabled (pci->msix);
    uint32_t command = vmm_pci_function_get (pci->function, VMM_PCI_COMMAND, 2);
    bool line = waiting && pci->config.pin != 0 && (command & VMM_PCI_COMMAND_INTX_DISABLE) == 0;

    if (waiting != pci->waiting)
        vmm_pci_function_put_bits (pci->function, VMM_PCI_STATUS, 2, VMM_PCI_STATUS_INTX,
                                   waiting ? VMM_PCI_STATUS_INTX : 0);
    pci->waiting = waiting;
    if (line != pci->line)
        vmm_irq_line_set (&pci->config.irq, line);
    pci->line = line;
}

/**
 * vmm_virtio_pci_update_line:
 *
 * After a change of the command register or of MSI-X's Enable; any thread.
 */
void
vmm_virtio_pci_update_line (VmmVirtioPci *pci)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&pci->lock);

    update_locked (pci);
}

static void
change_isr (VmmVirtioPci *pci, uint8_t set)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&pci->lock);

    pci->isr |= set;
    update_locked (pci);
}

static void
interrupt_queue (void *transport, unsigned index)
{
    VmmVirtioPci *pci = transport;

    if (!vmm_pci_msix_raise (pci->msix, vmm_virtio_pci_vector (pci, &pci->queue_vectors[index])))
        change_isr (pci, ISR_QUEUE);
}

/* The bit is there with MSI-X, too, and before the message (section 4.1.4.5.1). */
static void
interrupt_config (void *transport)
{
    VmmVirtioPci *pci = transport;

    change_isr (pci, ISR_CONFIG);
    vmm_pci_msix_raise (pci->msix, vmm_virtio_pci_vector (pci, &pci->config_vector));
}

/**
 * vmm_virtio_pci_interrupts:
 *
 * For the device core; what they get is a #VmmVirtioPci.
 */
const VmmVirtioInterrupts vmm_virtio_pci_interrupts = {interrupt_queue, interrupt_config,
                                                       vmm_virtio_pci_call};

/**
 * vmm_virtio_pci_read_isr:
 *
 * Returns: the ISR status, which this acknowledges (section 4.1.4.5)
 */
uint8_t
vmm_virtio_pci_read_isr (VmmVirtioPci *pci)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&pci->lock);
    uint8_t isr = pci->isr;

    pci->isr = 0;
    update_locked (pci);
    return isr;
}

/**
 * vmm_virtio_pci_load_isr:
 * @isr: hostile
 *
 * What was saved, when all else that the pin depends on is back.
 */
void
vmm_virtio_pci_load_isr (VmmVirtioPci *pci, uint8_t isr)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&pci->lock);

    pci->isr = isr & ISR_BITS;
    update_locked (pci);
}

/**
 * vmm_virtio_pci_put_pin:
 *
 * The registers that tell of the pin; a PC's firmware would have put the line's number there (PCI 3.0
 * section 6.2.4). While the machine is built, and at its reset.
 */
void
vmm_virtio_pci_put_pin (VmmVirtioPci *pci)
{
    if (pci->config.pin == 0)
        return;
    vmm_pci_function_put (pci->function, VMM_PCI_INTERRUPT_PIN, 1, pci->config.pin);
    vmm_pci_function_put (pci->function, VMM_PCI_INTERRUPT_LINE, 1, pci->config.irq.gsi);
}
