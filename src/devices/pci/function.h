/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_PCI_FUNCTION_H
#define VMM_DEVICES_PCI_FUNCTION_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/device.h"

#define VMM_PCI_CONFIG_SIZE 4096u
#define VMM_PCI_N_BARS 6u

/* Registers of a type 0 header (PCI 3.0 section 6.1). */
enum {
    VMM_PCI_VENDOR_ID = 0x00,
    VMM_PCI_DEVICE_ID = 0x02,
    VMM_PCI_COMMAND = 0x04,
    VMM_PCI_STATUS = 0x06,
    VMM_PCI_REVISION = 0x08,
    VMM_PCI_CLASS = 0x09,
    VMM_PCI_CACHE_LINE_SIZE = 0x0c,
    VMM_PCI_HEADER_TYPE = 0x0e,
    VMM_PCI_BAR0 = 0x10,
    VMM_PCI_SUBSYSTEM_VENDOR_ID = 0x2c,
    VMM_PCI_SUBSYSTEM_ID = 0x2e,
    VMM_PCI_CAPABILITIES = 0x34,
    VMM_PCI_INTERRUPT_LINE = 0x3c,
    VMM_PCI_INTERRUPT_PIN = 0x3d,
};

#define VMM_PCI_COMMAND_IO 0x0001u
#define VMM_PCI_COMMAND_MEMORY 0x0002u
#define VMM_PCI_COMMAND_BUS_MASTER 0x0004u
#define VMM_PCI_COMMAND_INTX_DISABLE 0x0400u
#define VMM_PCI_STATUS_INTX 0x0008u
#define VMM_PCI_STATUS_CAPABILITIES 0x0010u
#define VMM_PCI_HEADER_MULTI_FUNCTION 0x80u

/**
 * VmmPciIdentity:
 * @vendor_id: with @device_id, what drivers match
 * @class_code: base class in bits 23:16, subclass in 15:8, programming interface in 7:0
 *
 * The registers by which a guest tells what a function is.
 */
typedef struct {
    uint16_t vendor_id;
    uint16_t device_id;
    uint16_t subsystem_vendor_id;
    uint16_t subsystem_id;
    uint32_t class_code;
    uint8_t revision;
} VmmPciIdentity;

/**
 * VmmPciBarKind:
 * @VMM_PCI_BAR_IO: ports
 * @VMM_PCI_BAR_MEMORY32: memory below 4 GiB
 * @VMM_PCI_BAR_MEMORY64: prefetchable memory anywhere; takes two BARs
 */
typedef enum {
    VMM_PCI_BAR_IO,
    VMM_PCI_BAR_MEMORY32,
    VMM_PCI_BAR_MEMORY64,
} VmmPciBarKind;

/**
 * VmmPciFunctionOps:
 * @config_read: (nullable): answers a guest's read itself and returns true, or returns false for the stored
 *   bytes; for registers that are a window to something else
 * @config_written: (nullable): after a guest's write of [@offset, @offset + @size) went through the masks.
 *   @value is what the guest wrote; what became of it is for vmm_pci_function_get() to say
 * @bar_changed: (nullable): the guest, a reset or a load mapped (@mapped) or unmapped BAR @bar at @address.
 * Each mapping is followed by the unmapping of the same address before the next one
 *
 * What a device adds to its configuration space. The first two run on vCPU threads, several at once, without
 * the function's lock; @bar_changed runs with it, so that mappings keep their order, and must not call the
 * function.
 */
typedef struct {
    bool (*config_read) (void *device, unsigned offset, unsigned size, uint32_t *ret_value);
    void (*config_written) (void *device, unsigned offset, unsigned size, uint32_t value);
    void (*bar_changed) (void *device, unsigned bar, uint64_t address, bool mapped);
} VmmPciFunctionOps;

typedef struct _VmmPciFunction VmmPciFunction;

VmmPciFunction *vmm_pci_function_new (const char *name, const VmmPciIdentity *identity,
                                      const VmmPciFunctionOps *ops, void *device);
void vmm_pci_function_free (VmmPciFunction *function);
const char *vmm_pci_function_name (const VmmPciFunction *function);

/* Building, before the guest runs. */
bool vmm_pci_function_add_bar (VmmPciFunction *function, unsigned index, VmmPciBarKind kind, uint64_t size,
                               GError **error);
bool vmm_pci_function_add_capability (VmmPciFunction *function, uint8_t id, unsigned size,
                                      unsigned *ret_offset, GError **error);
void vmm_pci_function_set_writable (VmmPciFunction *function, unsigned offset, unsigned size, uint32_t mask);
void vmm_pci_function_set_write_1_to_clear (VmmPciFunction *function, unsigned offset, unsigned size,
                                            uint32_t mask);

/* The device's view: no masks, no hooks; any thread. Nothing happens (all ones) beyond the space's end. */
uint32_t vmm_pci_function_get (VmmPciFunction *function, unsigned offset, unsigned size);
void vmm_pci_function_put (VmmPciFunction *function, unsigned offset, unsigned size, uint32_t value);
void vmm_pci_function_put_bits (VmmPciFunction *function, unsigned offset, unsigned size, uint32_t mask,
                                uint32_t value);
bool vmm_pci_function_bar (VmmPciFunction *function, unsigned index, uint64_t *ret_address);

/* The guest's view; any thread. */
uint32_t vmm_pci_function_config_read (VmmPciFunction *function, unsigned offset, unsigned size);
void vmm_pci_function_config_write (VmmPciFunction *function, unsigned offset, unsigned size, uint32_t value);

/* For config_written: whether the write of [@offset, @offset + @size) is one of the 16-bit register @reg. */
static inline bool
vmm_pci_writes_register (unsigned offset, unsigned size, unsigned reg)
{
    return offset < reg + 2 && offset + size > reg;
}

/* For the VmmDeviceOps of the device that the function belongs to. */
void vmm_pci_function_reset (VmmPciFunction *function);
void vmm_pci_function_save (VmmPciFunction *function, VmmStateWriter *writer);
bool vmm_pci_function_load (VmmPciFunction *function, VmmStateReader *reader);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmPciFunction, vmm_pci_function_free)

#endif
