/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any access of any size to the small devices of the machine, in any order, with the time running in jumps.
 * The first byte says whether the rest is accesses, or a saved state for the device that the second byte
 * names.
 */
#include "devices/legacy/acpi-power.h"
#include "devices/legacy/debug-exit.h"
#include "devices/legacy/i8042.h"
#include "devices/legacy/pvpanic.h"
#include "devices/legacy/rtc.h"
#include "recorders.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t len);

typedef struct {
    const VmmBusOps *bus;
    const VmmDeviceOps *ops;
    unsigned size;
    void *device;
} Target;

static int64_t
fuzz_now (void *user)
{
    return *(int64_t *)user;
}

static void
load (const Target *target, const uint8_t *data, size_t len)
{
    g_autoptr (GBytes) bytes = g_bytes_new (data, len);
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
    uint32_t version;

    if (vmm_state_reader_enter (reader, target->ops->name, 1, &version, NULL))
        target->ops->load (target->device, reader, version);
}

static void
access_all (const Target *targets, unsigned n, int64_t *now, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i + 4 <= len && i < 16384; i += 4) {
        const Target *target = &targets[data[i] % n];
        unsigned size = 1u << (data[i + 1] & 3);
        unsigned offset = data[i + 1] >> 4 & 7;

        *now += (int64_t)data[i + 3] * data[i + 3] * data[i + 3] * 100000;
        if (size > target->size || offset > target->size - size) {
            size = 1;
            offset = 0;
        }
        if (data[i + 1] & 8)
            target->bus->write (target->device, offset, size, (uint64_t)data[i + 3] << 8 | data[i + 2]);
        else
            target->bus->read (target->device, offset, size);
        if (data[i + 2] == 0xee && data[i + 3] == 0xee)
            target->ops->reset (target->device);
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t len)
{
    IrqRecorder irq = {0};
    EventRecorder events = {0};
    VmmIrqLine line = irq_recorder_line (&irq);
    VmmGuestEventSink sink = event_recorder_sink (&events);
    g_autoptr (GMainContext) context = g_main_context_new ();
    int64_t now = INT64_C (1700000000000000000);
    g_autoptr (VmmAcpiPower) power = vmm_acpi_power_new (&line, &sink);
    g_autoptr (VmmDebugExit) debug_exit = vmm_debug_exit_new (&sink);
    g_autoptr (VmmI8042) i8042 = vmm_i8042_new (&sink);
    g_autoptr (VmmPvpanic) pvpanic = vmm_pvpanic_new (&sink);
    g_autoptr (VmmRtc) rtc = vmm_rtc_new (&line, context, &(VmmRtcClock){fuzz_now, &now});
    const Target targets[] = {
        {&vmm_rtc_bus_ops, &vmm_rtc_device_ops, VMM_RTC_SIZE, rtc},
        {&vmm_i8042_data_bus_ops, &vmm_i8042_device_ops, 1, i8042},
        {&vmm_i8042_command_bus_ops, &vmm_i8042_device_ops, 1, i8042},
        {&vmm_acpi_power_bus_ops, &vmm_acpi_power_device_ops, VMM_ACPI_POWER_SIZE, power},
        {&vmm_debug_exit_bus_ops, &vmm_debug_exit_device_ops, VMM_DEBUG_EXIT_SIZE, debug_exit},
        {&vmm_pvpanic_bus_ops, &vmm_pvpanic_device_ops, VMM_PVPANIC_SIZE, pvpanic},
    };

    if (len < 2)
        return 0;
    if (data[0] & 1)
        load (&targets[data[1] % G_N_ELEMENTS (targets)], data + 2, len - 2);
    access_all (targets, G_N_ELEMENTS (targets), &now, data + 2, len - 2);
    return 0;
}
