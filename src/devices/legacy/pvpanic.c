/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * One byte register, at port 0x505 by convention (QEMU's pvpanic specification): a read gives the events that
 * the host understands, a write says which of them happened. Unknown bits are ignored, as the specification
 * asks. A panic that a crash kernel takes care of is passed on like any other, with its bit in the event's
 * argument: whether the machine ends is the machine's policy. The device has no state.
 */
#include "devices/legacy/pvpanic.h"

#define PANIC_EVENTS (VMM_PVPANIC_PANICKED | VMM_PVPANIC_CRASH_LOADED)

struct _VmmPvpanic {
    VmmGuestEventSink events;
};

static uint64_t
pvpanic_read (void *device, uint64_t offset, unsigned size)
{
    return PANIC_EVENTS | VMM_PVPANIC_SHUTDOWN;
}

static void
pvpanic_write (void *device, uint64_t offset, unsigned size, uint64_t value)
{
    VmmPvpanic *pvpanic = device;

    /* A guest that says both panicked while it shut down: the panic is what its owner must hear of. */
    if (value & PANIC_EVENTS)
        vmm_guest_event_raise (&pvpanic->events, VMM_GUEST_EVENT_PANICKED, (uint32_t)value & PANIC_EVENTS);
    else if (value & VMM_PVPANIC_SHUTDOWN)
        vmm_guest_event_raise (&pvpanic->events, VMM_GUEST_EVENT_POWEROFF, 0);
}

static void
pvpanic_reset (void *device)
{
}

static void
pvpanic_save (void *device, VmmStateWriter *writer)
{
}

static bool
pvpanic_load (void *device, VmmStateReader *reader, uint32_t version)
{
    return true;
}

static void
pvpanic_free (void *device)
{
    vmm_pvpanic_free (device);
}

/**
 * vmm_pvpanic_new:
 * @events: copied; takes %VMM_GUEST_EVENT_PANICKED with %VMM_PVPANIC_PANICKED and %VMM_PVPANIC_CRASH_LOADED
 *   bits, or %VMM_GUEST_EVENT_POWEROFF
 *
 * Returns: (transfer full): the device, to be put on the port bus with %VMM_PVPANIC_SIZE ports
 */
VmmPvpanic *
vmm_pvpanic_new (const VmmGuestEventSink *events)
{
    VmmPvpanic *pvpanic = g_new0 (VmmPvpanic, 1);

    pvpanic->events = *events;
    return pvpanic;
}

/**
 * vmm_pvpanic_free:
 * @pvpanic: (nullable): no vCPU runs any more
 */
void
vmm_pvpanic_free (VmmPvpanic *pvpanic)
{
    g_free (pvpanic);
}

const VmmBusOps vmm_pvpanic_bus_ops = {.read = pvpanic_read, .write = pvpanic_write};

const VmmDeviceOps vmm_pvpanic_device_ops = {
    .name = "pvpanic",
    .reset = pvpanic_reset,
    .save = pvpanic_save,
    .load = pvpanic_load,
    .free = pvpanic_free,
};
