/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "device-state.h"
#include "devices/legacy/pvpanic.h"
#include "recorders.h"

Test (pvpanic, says_what_happened)
{
    EventRecorder events = {0};
    VmmGuestEventSink sink = event_recorder_sink (&events);
    g_autoptr (VmmPvpanic) device = vmm_pvpanic_new (&sink);

    cr_assert_eq (vmm_pvpanic_bus_ops.read (device, 0, 1), 0x07);
    vmm_pvpanic_bus_ops.write (device, 0, 1, 0x01);
    cr_assert_eq (events.last, VMM_GUEST_EVENT_PANICKED);
    cr_assert_eq (events.arg, VMM_PVPANIC_PANICKED);
    vmm_pvpanic_bus_ops.write (device, 0, 1, 0x02);
    cr_assert_eq (events.last, VMM_GUEST_EVENT_PANICKED);
    cr_assert_eq (events.arg, VMM_PVPANIC_CRASH_LOADED);
    vmm_pvpanic_bus_ops.write (device, 0, 1, 0x04);
    cr_assert_eq (events.last, VMM_GUEST_EVENT_POWEROFF);
    cr_assert_eq (events.count, 3);
    vmm_pvpanic_bus_ops.write (device, 0, 1, 0x05);
    cr_assert_eq (events.last, VMM_GUEST_EVENT_PANICKED);
    cr_assert_eq (events.arg, VMM_PVPANIC_PANICKED);
}

Test (pvpanic, ignores_bits_it_does_not_know)
{
    EventRecorder events = {0};
    VmmGuestEventSink sink = event_recorder_sink (&events);
    g_autoptr (VmmPvpanic) device = vmm_pvpanic_new (&sink);
    g_autoptr (GBytes) state = save_device (&vmm_pvpanic_device_ops, device);

    vmm_pvpanic_bus_ops.write (device, 0, 1, 0xf8);
    vmm_pvpanic_bus_ops.write (device, 0, 1, 0);
    cr_assert_eq (events.count, 0);
    cr_assert (load_device (&vmm_pvpanic_device_ops, device, state));
    vmm_pvpanic_free (NULL);
}
