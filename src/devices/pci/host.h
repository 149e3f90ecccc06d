/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_PCI_HOST_H
#define VMM_DEVICES_PCI_HOST_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/device.h"
#include "devices/pci/function.h"
#include "vmm/core/bus.h"
#include "vmm/core/guest-event.h"

#define VMM_PCI_BUSES_MAX 256u
/* Configuration mechanism #1 and the reset control register that lies inside it. */
#define VMM_PCI_HOST_PORT 0xcf8u
#define VMM_PCI_HOST_PORT_SIZE 8u
/* Memory-mapped configuration space for each bus (PCI Express 4.0 section 7.2.2). */
#define VMM_PCI_ECAM_BUS_SIZE (1u << 20)
#define VMM_PCI_DEVFN(device, function) ((device) << 3 | (function))

typedef struct _VmmPciHost VmmPciHost;

VmmPciHost *vmm_pci_host_new (unsigned buses, const VmmGuestEventSink *events);
void vmm_pci_host_free (VmmPciHost *host);
unsigned vmm_pci_host_buses (const VmmPciHost *host);
bool vmm_pci_host_attach (VmmPciHost *host, unsigned bus, unsigned devfn, VmmPciFunction *function,
                          GError **error);
VmmPciFunction *vmm_pci_host_lookup (VmmPciHost *host, unsigned bus, unsigned devfn);

extern const VmmBusOps vmm_pci_host_port_ops;
extern const VmmBusOps vmm_pci_host_ecam_ops;
extern const VmmDeviceOps vmm_pci_host_device_ops;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmPciHost, vmm_pci_host_free)

#endif
