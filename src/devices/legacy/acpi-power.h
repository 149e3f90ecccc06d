/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_ACPI_POWER_H
#define VMM_DEVICES_ACPI_POWER_H

#include <glib.h>

#include "devices/device.h"
#include "vmm/core/bus.h"
#include "vmm/core/guest-event.h"
#include "vmm/core/irq.h"

/*
 * The registers of a hardware-reduced ACPI machine (ACPI 6.5 section 4.1), one byte each, as the FADT and the
 * DSDT describe them.
 */
#define VMM_ACPI_POWER_SLEEP_CONTROL 0u /* SLEEP_CONTROL_REG: SLP_EN with SLP_TYP 5 turns the machine off */
#define VMM_ACPI_POWER_SLEEP_STATUS 1u  /* SLEEP_STATUS_REG: WAK_STS, write one to clear */
#define VMM_ACPI_POWER_RESET 2u         /* RESET_REG: VMM_ACPI_POWER_RESET_VALUE resets the machine */
#define VMM_ACPI_POWER_EVENTS 4u        /* pending events of the generic event device: reading clears them */
#define VMM_ACPI_POWER_SIZE 8u

#define VMM_ACPI_POWER_RESET_VALUE 0x06u
#define VMM_ACPI_POWER_SLP_TYP_S5 5u
#define VMM_ACPI_POWER_EVENT_BUTTON 0x01u

typedef struct _VmmAcpiPower VmmAcpiPower;

VmmAcpiPower *vmm_acpi_power_new (const VmmIrqLine *irq, const VmmGuestEventSink *events);
void vmm_acpi_power_free (VmmAcpiPower *power);
/* Any thread: the user pressed the power button. */
void vmm_acpi_power_press_button (VmmAcpiPower *power);

extern const VmmBusOps vmm_acpi_power_bus_ops;
extern const VmmDeviceOps vmm_acpi_power_device_ops;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmAcpiPower, vmm_acpi_power_free)

#endif
