/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the PCI transport share; see pci.c. */
#ifndef VMM_DEVICES_VIRTIO_PCI_INTERNAL_H
#define VMM_DEVICES_VIRTIO_PCI_INTERNAL_H

#include "devices/pci/msix.h"
#include "devices/virtio/pci.h"

#define VMM_VIRTIO_PCI_NO_VECTOR 0xffffu
#define VMM_VIRTIO_PCI_COMMON_SIZE 0x3cu

/* A queue's call eventfd, while somebody else works the queue. */
typedef struct {
    VmmVirtioPci *pci;
    unsigned index;
    VmmPciMsixCall *msix; /* NULL: it has none, or the host connects none; with calls_lock */
} VmmVirtioPciCall;

struct _VmmVirtioPci {
    VmmVirtioDevice *device;
    VmmVirtioPciConfig config;
    VmmPciFunction *function;
    VmmPciMsix *msix;
    bool mapped;     /* the BAR is on the bus */
    unsigned window; /* the capability that is one */
    GMutex command_lock;
    bool bus_master;   /* as the device was last told; with command_lock */
    GMutex calls_lock; /* taken before lock and that of MSI-X */
    VmmVirtioPciCall *calls;
    GMutex lock; /* the rest */
    uint32_t device_feature_select;
    uint32_t driver_feature_select;
    uint16_t queue_select;
    uint16_t config_vector;
    uint16_t *queue_vectors;
    uint8_t isr;
    bool waiting; /* the ISR status is for the pin: what the status register says */
    bool line;    /* the pin, as it was last told */
};

/* pci-common.c */
uint64_t vmm_virtio_pci_read_common (VmmVirtioPci *pci, unsigned offset, unsigned size);
void vmm_virtio_pci_write_common (VmmVirtioPci *pci, unsigned offset, unsigned size, uint64_t value);
void vmm_virtio_pci_forget_driver (VmmVirtioPci *pci);
uint16_t vmm_virtio_pci_vector (VmmVirtioPci *pci, const uint16_t *vector);
uint16_t vmm_virtio_pci_check_vector (const VmmVirtioPci *pci, uint32_t vector);

/* pci-interrupt.c */
extern const VmmVirtioInterrupts vmm_virtio_pci_interrupts;
uint8_t vmm_virtio_pci_read_isr (VmmVirtioPci *pci);
void vmm_virtio_pci_load_isr (VmmVirtioPci *pci, uint8_t isr);
void vmm_virtio_pci_update_line (VmmVirtioPci *pci);
void vmm_virtio_pci_put_pin (VmmVirtioPci *pci);

/* pci-call.c */
void vmm_virtio_pci_call (void *transport, unsigned index, int fd);
void vmm_virtio_pci_call_follow (VmmVirtioPci *pci, unsigned index);
void vmm_virtio_pci_calls_new (VmmVirtioPci *pci);
void vmm_virtio_pci_calls_free (VmmVirtioPci *pci);

#endif
