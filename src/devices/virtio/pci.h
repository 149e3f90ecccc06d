/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_VIRTIO_PCI_H
#define VMM_DEVICES_VIRTIO_PCI_H

#include <glib.h>
#include <stdbool.h>

#include "devices/device.h"
#include "devices/pci/function.h"
#include "devices/virtio/device.h"
#include "vmm/core/bus.h"
#include "vmm/core/doorbell.h"
#include "vmm/core/irq.h"

#define VMM_VIRTIO_PCI_BAR 0u
#define VMM_VIRTIO_PCI_BAR_SIZE 0x8000u

/**
 * VmmVirtioPciConfig:
 * @mmio: where the BAR is put when the guest maps it
 * @msi: where messages go; copied
 * @routes: how others than the device's loop send messages; copied; without an open function they do not
 * @pin: its interrupt pin, 1 (INTA#) to 4; 0: it has none
 * @irq: where the pin goes, level-triggered; copied
 * @doorbells: copied
 *
 * What a function needs of its machine; borrowed, and outliving it.
 */
typedef struct {
    VmmBus *mmio;
    VmmMsiSink msi;
    VmmMsiRoutes routes;
    unsigned pin;
    VmmIrqLine irq;
    VmmDoorbellHost doorbells;
} VmmVirtioPciConfig;

typedef struct _VmmVirtioPci VmmVirtioPci;

VmmVirtioPci *vmm_virtio_pci_new (VmmVirtioDevice *device, const VmmVirtioPciConfig *config, GError **error);
void vmm_virtio_pci_free (VmmVirtioPci *pci);
VmmPciFunction *vmm_virtio_pci_function (VmmVirtioPci *pci);

extern const VmmBusOps vmm_virtio_pci_bar_ops;
extern const VmmDeviceOps vmm_virtio_pci_device_ops;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmVirtioPci, vmm_virtio_pci_free)

#endif
