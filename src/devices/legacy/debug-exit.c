/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * One write-only register by which a guest ends the run and chooses the exit code, with the convention of
 * QEMU's isa-debug-exit: a write of v means the code (v << 1) | 1, cut to the eight bits that a process can
 * return. So a guest cannot choose an even code, and 0 in particular: "the test program ended" and "the
 * machine was turned off" stay apart. The device has no state.
 */
#include "devices/legacy/debug-exit.h"

struct _VmmDebugExit {
    VmmGuestEventSink events;
};

static uint64_t
debug_exit_read (void *device, uint64_t offset, unsigned size)
{
    return 0;
}

static void
debug_exit_write (void *device, uint64_t offset, unsigned size, uint64_t value)
{
    VmmDebugExit *debug_exit = device;

    /* A write to the middle of the range is a write all the same: the register has no byte lanes. */
    if (size < 4)
        value &= (1u << (8 * size)) - 1;
    vmm_guest_event_raise (&debug_exit->events, VMM_GUEST_EVENT_EXIT, (uint32_t)((value << 1) | 1) & 0xff);
}

static void
debug_exit_reset (void *device)
{
}

static void
debug_exit_save (void *device, VmmStateWriter *writer)
{
}

static bool
debug_exit_load (void *device, VmmStateReader *reader, uint32_t version)
{
    return true;
}

static void
debug_exit_free (void *device)
{
    vmm_debug_exit_free (device);
}

/**
 * vmm_debug_exit_new:
 * @events: copied; takes %VMM_GUEST_EVENT_EXIT with the code as its argument
 *
 * Returns: (transfer full): the device, to be put on the port bus with %VMM_DEBUG_EXIT_SIZE ports
 */
VmmDebugExit *
vmm_debug_exit_new (const VmmGuestEventSink *events)
{
    VmmDebugExit *debug_exit = g_new0 (VmmDebugExit, 1);

    debug_exit->events = *events;
    return debug_exit;
}

/**
 * vmm_debug_exit_free:
 * @debug_exit: (nullable): no vCPU runs any more
 */
void
vmm_debug_exit_free (VmmDebugExit *debug_exit)
{
    g_free (debug_exit);
}

const VmmBusOps vmm_debug_exit_bus_ops = {.read = debug_exit_read, .write = debug_exit_write};

const VmmDeviceOps vmm_debug_exit_device_ops = {
    .name = "debug-exit",
    .reset = debug_exit_reset,
    .save = debug_exit_save,
    .load = debug_exit_load,
    .free = debug_exit_free,
};
