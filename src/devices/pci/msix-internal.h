/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of MSI-X share; see msix.c. */
#ifndef VMM_DEVICES_PCI_MSIX_INTERNAL_H
#define VMM_DEVICES_PCI_MSIX_INTERNAL_H

#include "devices/pci/msix.h"

#define VMM_PCI_MSIX_ENTRY_MASKED 1u
#define VMM_PCI_MSIX_ALL UINT_MAX

typedef struct {
    uint64_t address;
    uint32_t data;
    uint32_t control;
} VmmPciMsixEntry;

struct _VmmPciMsix {
    VmmPciFunction *function;
    unsigned capability;
    unsigned n_vectors;
    VmmMsiSink sink;
    GMutex lock; /* the rest */
    bool enabled;
    bool masked;
    bool bus_master;
    VmmPciMsixEntry *entries;
    uint64_t pending[(VMM_PCI_MSIX_VECTORS_MAX + 63) / 64];
    GPtrArray *calls; /* of VmmPciMsixCall, which are those of the ones who made them */
};

/* msix.c */
bool vmm_pci_msix_may_send_locked (const VmmPciMsix *msix, unsigned vector);

/* msix-call.c */
void vmm_pci_msix_calls_follow_locked (VmmPciMsix *msix, unsigned vector);

#endif
