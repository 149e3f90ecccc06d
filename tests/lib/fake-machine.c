/* SPDX-License-Identifier: Apache-2.0 */
#include "fake-machine.h"

#include <string.h>

#include "vmm/error.h"

static bool
busy (GError **error)
{
    g_set_error_literal (error, VMM_ERROR, VMM_ERROR_BUSY, "not now");
    return false;
}

bool
vmm_machine_pause (VmmMachine *machine, GError **error)
{
    if (machine->state != VMM_MACHINE_RUNNING)
        return busy (error);
    machine->state = VMM_MACHINE_PAUSED;
    return true;
}

bool
vmm_machine_resume (VmmMachine *machine, GError **error)
{
    if (machine->state != VMM_MACHINE_PAUSED)
        return busy (error);
    machine->state = VMM_MACHINE_RUNNING;
    return true;
}

void
vmm_machine_stop (VmmMachine *machine, const char *reason)
{
    machine->stops++;
    machine->verdict.kind = VMM_VERDICT_STOPPED;
    machine->verdict.reason = "stopped \xff\x01";
    machine->state = VMM_MACHINE_ENDED;
}

void
vmm_machine_press_power_button (VmmMachine *machine)
{
    machine->presses++;
}

void
vmm_machine_send_break (VmmMachine *machine)
{
    machine->breaks++;
}

const VmmVerdict *
vmm_machine_get_verdict (const VmmMachine *machine)
{
    return machine->state == VMM_MACHINE_ENDED ? &machine->verdict : NULL;
}

const char *
vmm_machine_state_to_string (VmmMachineState state)
{
    return state == VMM_MACHINE_PAUSED ? "paused" : "running";
}

const VmmMachineInfo *
vmm_machine_get_info (VmmMachine *machine)
{
    static const VmmDeviceCount device = {"disk0", "disk", 64, 33792, 262208, 3, 5};
    static const VmmVcpuTime times[] = {{1500000000, 250000000}, {0}};

    machine->info.state = machine->state;
    machine->info.cpus = 2;
    machine->info.n_devices = 1;
    machine->info.devices = &device;
    machine->info.vcpu_times = times;
    return &machine->info;
}

unsigned
vmm_machine_get_n_devices (const VmmMachine *machine)
{
    return 1;
}

const char *
vmm_machine_get_device_name (const VmmMachine *machine, unsigned index)
{
    return "disk0";
}

const char *
vmm_machine_get_device_kind (const VmmMachine *machine, unsigned index)
{
    return "disk";
}

bool
vmm_machine_set_balloon (VmmMachine *machine, const char *name, uint64_t bytes, GError **error)
{
    if (name != NULL && strcmp (name, "balloon0") != 0)
        return busy (error);
    machine->balloon_bytes = bytes;
    return true;
}

const VmmBalloonInfo *
vmm_machine_get_balloon (VmmMachine *machine, const char *name, GError **error)
{
    machine->balloon = (VmmBalloonInfo){.target_bytes = machine->balloon_bytes, .actual_bytes = 4096};
    return &machine->balloon;
}

bool
vmm_machine_resize_disk (VmmMachine *machine, const char *name, uint64_t bytes, GError **error)
{
    machine->disk_bytes = bytes;
    return true;
}
