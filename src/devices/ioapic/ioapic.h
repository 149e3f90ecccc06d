/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_IOAPIC_H
#define VMM_DEVICES_IOAPIC_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/device.h"
#include "vmm/core/bus.h"
#include "vmm/core/irq.h"

/* What a PC has: one per ISA interrupt and eight for PCI (82093AA datasheet, section 1). */
#define VMM_IOAPIC_PINS 24u
/* As many redirection entries as register indices 0x10 to 0xff can name. */
#define VMM_IOAPIC_PINS_MAX 120u
/* The part of the address space that the registers take. */
#define VMM_IOAPIC_MMIO_SIZE 0x1000u

typedef struct _VmmIoapic VmmIoapic;

/**
 * VmmIoapicRoutesChanged:
 * @user: what was given with the function
 * @pin: the input whose message changed
 * @address: MSI address as vmm_ioapic_set_routes_changed() describes it
 * @data: MSI data
 * @masked: nothing is delivered from this pin now, and nothing that was waits for its EOI
 */
typedef void (*VmmIoapicRoutesChanged) (void *user, unsigned pin, uint64_t address, uint32_t data,
                                        bool masked);

VmmIoapic *vmm_ioapic_new (unsigned pins, const VmmMsiSink *msi);
void vmm_ioapic_free (VmmIoapic *ioapic);
void vmm_ioapic_set_routes_changed (VmmIoapic *ioapic, VmmIoapicRoutesChanged routes_changed, void *user);

void vmm_ioapic_set_irq (void *ioapic, unsigned gsi, bool level);
void vmm_ioapic_eoi (VmmIoapic *ioapic, uint8_t vector);

extern const VmmBusOps vmm_ioapic_bus_ops;
extern const VmmDeviceOps vmm_ioapic_device_ops;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmIoapic, vmm_ioapic_free)

#endif
