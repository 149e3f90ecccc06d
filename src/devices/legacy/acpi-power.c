/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A hardware-reduced ACPI machine has no PM1 block. It has a SLEEP_CONTROL and a SLEEP_STATUS register (ACPI
 * 6.5 section 4.8.3.7) and a RESET_REG (section 4.8.3.6), wherever the FADT says they are, and learns of the
 * power button by a generic event device (section 5.6.9): an interrupt whose AML handler reads our event
 * register, finds the button's bit and notifies the button. S5 is the only sleeping state that the DSDT
 * offers; other SLP_TYP values are remembered, as a register does, and have no effect.
 *
 * The interrupt is described as an edge, so it is pulsed. A second press before the handler has read the
 * register merges with the first, as with a button that bounces. Reading clears the events in one step under
 * the lock: a press is never lost between the read and a separate acknowledge.
 */
#include "devices/legacy/acpi-power.h"

#include "devices/legacy/byte-regs.h"

#define SLEEP_SLP_TYP_SHIFT 2
#define SLEEP_SLP_TYP_MASK 0x1cu
#define SLEEP_SLP_EN 0x20u

struct _VmmAcpiPower {
    GMutex lock;
    VmmIrqLine irq;
    VmmGuestEventSink events;
    uint8_t sleep_control; /* SLP_TYP only: SLP_EN reads as zero */
    uint8_t pending;
};

static uint8_t
power_read_reg (void *device, unsigned reg)
{
    VmmAcpiPower *power = device;
    uint8_t value = 0;

    g_mutex_lock (&power->lock);
    switch (reg) {
    case VMM_ACPI_POWER_SLEEP_CONTROL:
        value = power->sleep_control;
        break;
    case VMM_ACPI_POWER_EVENTS:
        value = power->pending;
        power->pending = 0;
        break;
    default: /* SLEEP_STATUS too: the machine never wakes, so WAK_STS is never set */
        break;
    }
    g_mutex_unlock (&power->lock);
    return value;
}

static void
power_write_reg (void *device, unsigned reg, uint8_t value)
{
    VmmAcpiPower *power = device;

    switch (reg) {
    case VMM_ACPI_POWER_SLEEP_CONTROL:
        g_mutex_lock (&power->lock);
        power->sleep_control = value & SLEEP_SLP_TYP_MASK;
        g_mutex_unlock (&power->lock);
        if ((value & SLEEP_SLP_EN) &&
            (value & SLEEP_SLP_TYP_MASK) >> SLEEP_SLP_TYP_SHIFT == VMM_ACPI_POWER_SLP_TYP_S5)
            vmm_guest_event_raise (&power->events, VMM_GUEST_EVENT_POWEROFF, 0);
        break;
    case VMM_ACPI_POWER_RESET:
        if (value == VMM_ACPI_POWER_RESET_VALUE)
            vmm_guest_event_raise (&power->events, VMM_GUEST_EVENT_RESET, 0);
        break;
    default:
        break;
    }
}

static uint64_t
power_read (void *device, uint64_t offset, unsigned size)
{
    return vmm_byte_regs_read (power_read_reg, device, offset, size);
}

static void
power_write (void *device, uint64_t offset, unsigned size, uint64_t value)
{
    vmm_byte_regs_write (power_write_reg, device, offset, size, value);
}

static void
power_reset (void *device)
{
    VmmAcpiPower *power = device;

    g_mutex_lock (&power->lock);
    power->sleep_control = 0;
    power->pending = 0;
    g_mutex_unlock (&power->lock);
}

static void
power_save (void *device, VmmStateWriter *writer)
{
    VmmAcpiPower *power = device;

    g_mutex_lock (&power->lock);
    vmm_state_put_u8 (writer, power->sleep_control);
    vmm_state_put_u8 (writer, power->pending);
    g_mutex_unlock (&power->lock);
}

/* The edge of a pending event was sent before the save and is part of the interrupt controller's state. */
static bool
power_load (void *device, VmmStateReader *reader, uint32_t version)
{
    VmmAcpiPower *power = device;
    uint8_t sleep_control, pending;

    if (!vmm_state_get_u8 (reader, &sleep_control) || !vmm_state_get_u8 (reader, &pending))
        return false;
    if ((sleep_control & ~SLEEP_SLP_TYP_MASK) != 0 || (pending & ~VMM_ACPI_POWER_EVENT_BUTTON) != 0)
        return false;
    g_mutex_lock (&power->lock);
    power->sleep_control = sleep_control;
    power->pending = pending;
    g_mutex_unlock (&power->lock);
    return true;
}

static void
power_free (void *device)
{
    vmm_acpi_power_free (device);
}

/**
 * vmm_acpi_power_new:
 * @irq: copied; the generic event device's interrupt, edge-triggered and active high
 * @events: copied; takes %VMM_GUEST_EVENT_POWEROFF and %VMM_GUEST_EVENT_RESET
 *
 * Returns: (transfer full): the device, to be put on a bus with %VMM_ACPI_POWER_SIZE bytes
 */
VmmAcpiPower *
vmm_acpi_power_new (const VmmIrqLine *irq, const VmmGuestEventSink *events)
{
    VmmAcpiPower *power = g_new0 (VmmAcpiPower, 1);

    g_mutex_init (&power->lock);
    power->irq = *irq;
    power->events = *events;
    return power;
}

/**
 * vmm_acpi_power_free:
 * @power: (nullable): no vCPU runs any more
 */
void
vmm_acpi_power_free (VmmAcpiPower *power)
{
    if (power == NULL)
        return;
    g_mutex_clear (&power->lock);
    g_free (power);
}

/**
 * vmm_acpi_power_press_button:
 * @power: the device
 *
 * Tells the guest that its user pressed the power button. A guest without a handler ignores it. Any thread.
 */
void
vmm_acpi_power_press_button (VmmAcpiPower *power)
{
    g_mutex_lock (&power->lock);
    power->pending |= VMM_ACPI_POWER_EVENT_BUTTON;
    vmm_irq_line_pulse (&power->irq);
    g_mutex_unlock (&power->lock);
}

const VmmBusOps vmm_acpi_power_bus_ops = {.read = power_read, .write = power_write};

const VmmDeviceOps vmm_acpi_power_device_ops = {
    .name = "acpi-power",
    .reset = power_reset,
    .save = power_save,
    .load = power_load,
    .free = power_free,
};
