/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "device-state.h"
#include "devices/legacy/debug-exit.h"
#include "recorders.h"

Test (debug_exit, code_follows_the_convention)
{
    static const struct {
        unsigned size;
        uint64_t value;
        uint32_t code;
    } cases[] = {
        {1, 0x00, 1},     {1, 0x10, 33},      {4, 0x10, 33}, {4, 0x10000001, 3},
        {2, 0xffff, 255}, {1, 0xabcdef00, 1}, {1, 0x80, 1},  {4, UINT64_MAX - 1, 253},
    };
    EventRecorder events = {0};
    VmmGuestEventSink sink = event_recorder_sink (&events);
    g_autoptr (VmmDebugExit) device = vmm_debug_exit_new (&sink);

    for (unsigned i = 0; i < G_N_ELEMENTS (cases); i++) {
        vmm_debug_exit_bus_ops.write (device, 0, cases[i].size, cases[i].value);
        cr_assert_eq (events.count, i + 1);
        cr_assert_eq (events.last, VMM_GUEST_EVENT_EXIT);
        cr_assert_eq (events.arg, cases[i].code, "case %u gave %u", i, events.arg);
    }
}

Test (debug_exit, reads_as_zero_and_has_no_state)
{
    EventRecorder events = {0};
    VmmGuestEventSink sink = event_recorder_sink (&events);
    g_autoptr (VmmDebugExit) device = vmm_debug_exit_new (&sink);
    g_autoptr (GBytes) state = save_device (&vmm_debug_exit_device_ops, device);

    cr_assert_eq (vmm_debug_exit_bus_ops.read (device, 0, 4), 0);
    cr_assert (load_device (&vmm_debug_exit_device_ops, device, state));
    vmm_debug_exit_device_ops.reset (device);
    cr_assert_eq (events.count, 0);
    vmm_debug_exit_free (NULL);
}
