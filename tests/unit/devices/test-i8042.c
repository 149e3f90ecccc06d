/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "device-state.h"
#include "devices/legacy/i8042.h"
#include "recorders.h"

typedef struct {
    EventRecorder events;
    VmmI8042 *i8042;
} Bed;

static void
bed_init (Bed *bed)
{
    VmmGuestEventSink sink = event_recorder_sink (&bed->events);

    bed->events = (EventRecorder){0};
    bed->i8042 = vmm_i8042_new (&sink);
}

static void
command (Bed *bed, uint8_t value)
{
    vmm_i8042_command_bus_ops.write (bed->i8042, 0, 1, value);
}

static void
data (Bed *bed, uint8_t value)
{
    vmm_i8042_data_bus_ops.write (bed->i8042, 0, 1, value);
}

static uint8_t
status (Bed *bed)
{
    return (uint8_t)vmm_i8042_command_bus_ops.read (bed->i8042, 0, 1);
}

/* An answer must be there at once: a driver's probe would poll for half a second. */
static uint8_t
answer (Bed *bed)
{
    uint8_t value;

    cr_assert (status (bed) & 0x01, "no answer");
    value = (uint8_t)vmm_i8042_data_bus_ops.read (bed->i8042, 0, 1);
    cr_assert (!(status (bed) & 0x01));
    return value;
}

Test (i8042, reset_line)
{
    Bed bed;

    bed_init (&bed);
    for (unsigned value = 0xf0; value < 0x100; value++) {
        bed.events.count = 0;
        command (&bed, (uint8_t)value);
        cr_assert_eq (bed.events.count, (value & 1) == 0, "command %#x", value);
    }
    cr_assert_eq (bed.events.last, VMM_GUEST_EVENT_RESET);
    bed.events.count = 0;
    command (&bed, 0xd1);
    data (&bed, 0xdf);
    cr_assert_eq (bed.events.count, 0);
    command (&bed, 0xd1);
    data (&bed, 0xde);
    cr_assert_eq (bed.events.count, 1);
    vmm_i8042_free (bed.i8042);
}

Test (i8042, nothing_else_resets)
{
    Bed bed;

    bed_init (&bed);
    for (unsigned value = 0; value < 0xf0; value++) {
        command (&bed, (uint8_t)value);
        data (&bed, 0xff);
        data (&bed, 0xfe);
    }
    cr_assert_eq (bed.events.count, 0);
    vmm_i8042_free (bed.i8042);
}

Test (i8042, probe_is_answered_at_once)
{
    Bed bed;
    uint8_t config;

    bed_init (&bed);
    cr_assert_eq (status (&bed) & 0x03, 0, "empty, and never busy");
    command (&bed, 0xaa);
    cr_assert_eq (answer (&bed), 0x55);
    command (&bed, 0xab);
    cr_assert_eq (answer (&bed), 0x00);
    command (&bed, 0x20);
    config = answer (&bed);
    command (&bed, 0x60);
    data (&bed, config | 0x01);
    command (&bed, 0x20);
    cr_assert_eq (answer (&bed), config | 0x01);
    command (&bed, 0xae);
    command (&bed, 0xa8);
    command (&bed, 0x20);
    cr_assert_eq (answer (&bed) & 0x30, 0);
    command (&bed, 0xad);
    command (&bed, 0xa7);
    command (&bed, 0x20);
    cr_assert_eq (answer (&bed) & 0x30, 0x30);
    command (&bed, 0xa9);
    cr_assert_neq (answer (&bed), 0, "no AUX port");
    command (&bed, 0xd3);
    data (&bed, 0x5a);
    cr_assert (!(status (&bed) & 0x20), "no AUX port");
    answer (&bed);
    vmm_i8042_free (bed.i8042);
}

Test (i8042, missing_devices_time_out)
{
    Bed bed;

    bed_init (&bed);
    data (&bed, 0xf2);
    cr_assert (status (&bed) & 0x40);
    cr_assert_eq (answer (&bed), 0xfe);
    cr_assert (!(status (&bed) & 0x40));
    command (&bed, 0xd4);
    data (&bed, 0xff);
    cr_assert_eq (status (&bed) & 0x60, 0x60);
    cr_assert_eq (answer (&bed), 0xfe);
    vmm_i8042_free (bed.i8042);
}

Test (i8042, a20_reads_back)
{
    Bed bed;

    bed_init (&bed);
    command (&bed, 0xd0);
    cr_assert_eq (answer (&bed) & 0x03, 0x03);
    command (&bed, 0xdd);
    command (&bed, 0xd0);
    cr_assert_eq (answer (&bed) & 0x03, 0x01);
    command (&bed, 0xd1);
    data (&bed, 0xdf);
    command (&bed, 0xd0);
    cr_assert_eq (answer (&bed), 0xdf);
    vmm_i8042_device_ops.reset (bed.i8042);
    command (&bed, 0xd0);
    cr_assert_eq (answer (&bed), 0xcf);
    vmm_i8042_free (bed.i8042);
}

static void
poke (void *device)
{
    vmm_i8042_data_bus_ops.write (device, 0, 1, 0xff);
    vmm_i8042_command_bus_ops.read (device, 0, 1);
}

Test (i8042, state_in_the_middle_of_a_command)
{
    g_autoptr (GBytes) state = NULL;
    Bed a, b;

    bed_init (&a);
    bed_init (&b);
    command (&a, 0x6a);
    state = save_device (&vmm_i8042_device_ops, a.i8042);
    cr_assert (load_device (&vmm_i8042_device_ops, b.i8042, state));
    data (&b, 0x77);
    command (&b, 0x2a);
    cr_assert_eq (answer (&b), 0x77);
    cr_assert_gt (load_hostile (&vmm_i8042_device_ops, b.i8042, state, poke), 50);
    vmm_i8042_free (a.i8042);
    vmm_i8042_free (b.i8042);
    vmm_i8042_free (NULL);
}
