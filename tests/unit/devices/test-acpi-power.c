/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "device-state.h"
#include "devices/legacy/acpi-power.h"
#include "recorders.h"

typedef struct {
    IrqRecorder irq;
    EventRecorder events;
    VmmAcpiPower *power;
} Bed;

static void
bed_init (Bed *bed)
{
    VmmIrqLine line = irq_recorder_line (&bed->irq);
    VmmGuestEventSink sink = event_recorder_sink (&bed->events);

    bed->irq = (IrqRecorder){0};
    bed->events = (EventRecorder){0};
    bed->power = vmm_acpi_power_new (&line, &sink);
}

static void
out (Bed *bed, unsigned reg, uint8_t value)
{
    vmm_acpi_power_bus_ops.write (bed->power, reg, 1, value);
}

static uint8_t
in (Bed *bed, unsigned reg)
{
    return (uint8_t)vmm_acpi_power_bus_ops.read (bed->power, reg, 1);
}

Test (acpi_power, only_s5_with_enable_turns_off)
{
    Bed bed;

    bed_init (&bed);
    for (unsigned value = 0; value < 256; value++) {
        bed.events.count = 0;
        out (&bed, VMM_ACPI_POWER_SLEEP_CONTROL, (uint8_t)value);
        cr_assert_eq (bed.events.count, (value & 0x3c) == 0x34, "value %#x", value);
    }
    cr_assert_eq (bed.events.last, VMM_GUEST_EVENT_POWEROFF);
    out (&bed, VMM_ACPI_POWER_SLEEP_CONTROL, 0xff);
    cr_assert_eq (in (&bed, VMM_ACPI_POWER_SLEEP_CONTROL), 0x1c, "SLP_EN reads as zero");
    out (&bed, VMM_ACPI_POWER_SLEEP_STATUS, 0x80);
    cr_assert_eq (in (&bed, VMM_ACPI_POWER_SLEEP_STATUS), 0);
    vmm_acpi_power_free (bed.power);
}

Test (acpi_power, reset_register)
{
    Bed bed;

    bed_init (&bed);
    for (unsigned value = 0; value < 256; value++)
        out (&bed, VMM_ACPI_POWER_RESET, (uint8_t)value);
    cr_assert_eq (bed.events.count, 1);
    cr_assert_eq (bed.events.last, VMM_GUEST_EVENT_RESET);
    vmm_acpi_power_free (bed.power);
}

Test (acpi_power, button_is_an_edge_and_reading_clears)
{
    Bed bed;

    bed_init (&bed);
    vmm_acpi_power_press_button (bed.power);
    cr_assert_eq (bed.irq.edges, 1);
    cr_assert (!bed.irq.level);
    cr_assert_eq (in (&bed, VMM_ACPI_POWER_EVENTS), VMM_ACPI_POWER_EVENT_BUTTON);
    cr_assert_eq (in (&bed, VMM_ACPI_POWER_EVENTS), 0);
    vmm_acpi_power_press_button (bed.power);
    vmm_acpi_power_device_ops.reset (bed.power);
    cr_assert_eq (in (&bed, VMM_ACPI_POWER_EVENTS), 0);
    cr_assert_eq (bed.events.count, 0);
    vmm_acpi_power_free (bed.power);
}

static void
poke (void *device)
{
    vmm_acpi_power_bus_ops.read (device, 0, 8);
}

Test (acpi_power, state)
{
    g_autoptr (GBytes) state = NULL;
    Bed a, b;

    bed_init (&a);
    bed_init (&b);
    out (&a, VMM_ACPI_POWER_SLEEP_CONTROL, 0x14);
    vmm_acpi_power_press_button (a.power);
    state = save_device (&vmm_acpi_power_device_ops, a.power);
    cr_assert (load_device (&vmm_acpi_power_device_ops, b.power, state));
    cr_assert_eq (in (&b, VMM_ACPI_POWER_SLEEP_CONTROL), 0x14);
    cr_assert_eq (in (&b, VMM_ACPI_POWER_EVENTS), VMM_ACPI_POWER_EVENT_BUTTON);
    cr_assert_gt (load_hostile (&vmm_acpi_power_device_ops, b.power, state, poke), 20);
    vmm_acpi_power_free (a.power);
    vmm_acpi_power_free (b.power);
    vmm_acpi_power_free (NULL);
}
