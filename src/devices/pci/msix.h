/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_PCI_MSIX_H
#define VMM_DEVICES_PCI_MSIX_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/pci/function.h"
#include "vmm/core/irq.h"
#include "vmm/core/state.h"

#define VMM_PCI_MSIX_VECTORS_MAX 128u
#define VMM_PCI_MSIX_ENTRY_SIZE 16u
#define VMM_PCI_CAPABILITY_MSIX 0x11u

typedef struct _VmmPciMsix VmmPciMsix;

/**
 * VmmPciMsixPlace:
 * @bar: of table and pending bits
 * @table: offset of the table, a multiple of 8
 * @pending: offset of the pending bit array, a multiple of 8
 */
typedef struct {
    unsigned bar;
    uint32_t table;
    uint32_t pending;
} VmmPciMsixPlace;

VmmPciMsix *vmm_pci_msix_new (VmmPciFunction *function, unsigned n_vectors, const VmmPciMsixPlace *place,
                              const VmmMsiSink *sink, GError **error);
void vmm_pci_msix_free (VmmPciMsix *msix);

/* Any thread. */
bool vmm_pci_msix_raise (VmmPciMsix *msix, unsigned vector);
bool vmm_pci_msix_is_enabled (const VmmPciMsix *msix);

/* The guest's accesses; any thread. Offsets count from the place's table and pending. */
uint64_t vmm_pci_msix_table_read (VmmPciMsix *msix, uint64_t offset, unsigned size);
void vmm_pci_msix_table_write (VmmPciMsix *msix, uint64_t offset, unsigned size, uint64_t value);
uint64_t vmm_pci_msix_pending_read (VmmPciMsix *msix, uint64_t offset, unsigned size);
void vmm_pci_msix_config_written (VmmPciMsix *msix, unsigned offset, unsigned size);

/* Eventfds that raise a vector without us; any thread. */
typedef struct _VmmPciMsixCall VmmPciMsixCall;

VmmPciMsixCall *vmm_pci_msix_call_new (VmmPciMsix *msix, const VmmMsiRoutes *routes, int fd, unsigned vector,
                                       void (*direct) (void *user, bool direct), void *user);
void vmm_pci_msix_call_set_vector (VmmPciMsixCall *call, unsigned vector);
void vmm_pci_msix_call_free (VmmPciMsixCall *call);

void vmm_pci_msix_reset (VmmPciMsix *msix);
void vmm_pci_msix_save (VmmPciMsix *msix, VmmStateWriter *writer);
bool vmm_pci_msix_load (VmmPciMsix *msix, VmmStateReader *reader);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmPciMsix, vmm_pci_msix_free)

#endif
