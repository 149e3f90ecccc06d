/* SPDX-License-Identifier: Apache-2.0 */
/* What can be asked of a machine while it runs. */
#include "vmm/config-internal.h"
#include "vmm/core/timer.h"
#include "vmm/machine-internal.h"

/**
 * vmm_machine_state_to_string:
 * @state: a state
 *
 * Returns: (transfer none): "created", "running", "paused" or "ended"
 * Since: 0.1
 */
const char *
vmm_machine_state_to_string (VmmMachineState state)
{
    static const char *const names[] = {"created", "running", "paused", "ended"};

    return (unsigned)state < G_N_ELEMENTS (names) ? names[state] : "unknown";
}

/**
 * vmm_machine_get_state:
 * @machine: a machine
 *
 * Returns: where it is between its making and its end
 * Since: 0.1
 */
VmmMachineState
vmm_machine_get_state (const VmmMachine *machine)
{
    if (machine->has_verdict)
        return VMM_MACHINE_ENDED;
    if (!machine->started)
        return VMM_MACHINE_CREATED;
    return machine->paused ? VMM_MACHINE_PAUSED : VMM_MACHINE_RUNNING;
}

static size_t
count_exits (VmmMachine *machine)
{
    /* What the last board counted is in the verdict, and in the machine. */
    unsigned n = machine->board != NULL && !machine->has_verdict ? vmm_board_n_vcpus (machine->board) : 0;
    size_t n_exits = 0;

    for (unsigned r = 0; r < VMM_VCPU_EXIT_REASONS; r++) {
        uint64_t count = machine->exits[r];

        for (unsigned i = 0; i < n; i++)
            count += vmm_vcpu_exits (vmm_board_vcpu (machine->board, i), r);
        if (count > 0)
            machine->info_exits[n_exits++] = (VmmExitCount){vmm_vcpu_exit_reason_name (r), count};
    }
    return n_exits;
}

static const VmmDeviceCount *
count_devices (VmmMachine *machine)
{
    g_free (machine->info_devices);
    machine->info_devices =
        g_memdup2 (machine->counts, machine->config->devices->len * sizeof *machine->counts);
    if (machine->board != NULL && !machine->has_verdict)
        vmm_machine_add_counts (machine, machine->info_devices);
    return machine->info_devices;
}

static const VmmVcpuTime *
read_vcpu_times (VmmMachine *machine)
{
    unsigned n = machine->board != NULL && !machine->has_verdict ? vmm_board_n_vcpus (machine->board) : 0;

    g_free (machine->info_vcpu_times);
    machine->info_vcpu_times = g_new0 (VmmVcpuTime, machine->config->cpus.cpus);
    for (unsigned i = 0; i < n; i++)
        vmm_vcpu_time (vmm_board_vcpu (machine->board, i), &machine->info_vcpu_times[i]);
    return machine->info_vcpu_times;
}

/**
 * vmm_machine_get_info:
 * @machine: a machine
 *
 * Returns: (transfer none): how it is now; the machine's, and written anew by the next call
 * Since: 0.1
 */
const VmmMachineInfo *
vmm_machine_get_info (VmmMachine *machine)
{
    int64_t until = machine->has_verdict ? machine->verdict.end_ns : vmm_now_ns ();

    machine->info = (VmmMachineInfo){
        .state = vmm_machine_get_state (machine),
        .cpus = machine->config->cpus.cpus,
        .memory_bytes = machine->config->mem,
        .uptime_ns = until - machine->start_ns,
        .boots = machine->boots,
        .n_exits = count_exits (machine),
        .exits = machine->info_exits,
        .n_devices = machine->config->devices->len,
        .devices = count_devices (machine),
        .vcpu_times = read_vcpu_times (machine),
    };
    return &machine->info;
}

/**
 * vmm_machine_describe_vcpus:
 * @machine: a machine
 *
 * Looks where the guest is, whether it runs or is paused: a line for each virtual CPU with its program
 * counter, the function there if symbols tell, whether it runs the kernel or a program or waits for an
 * interrupt, and whether interrupts are on:
 *
 *     vCPU 0: at ffffffff81a3c1f0 (panic+0x2f0/0x330), running the kernel, interrupts off
 *
 * The text is for people. The guest goes on after some microseconds. The first call reads the symbols, which
 * takes up to a second for a stock kernel; a CPU that a device holds up is waited for, two seconds at
 * most.
 *
 * Returns: (transfer full) (nullable): the lines, each with its newline; NULL when the guest has not begun or
 *   has ended
 * Since: 0.1
 */
char *
vmm_machine_describe_vcpus (VmmMachine *machine)
{
    GString *text;

    /* There is no board when a reboot has failed just now. */
    if (!machine->started || machine->has_verdict || machine->board == NULL)
        return NULL;
    text = g_string_new (NULL);
    vmm_board_describe_vcpus (machine->board, text);
    return g_string_free (text, FALSE);
}

static const VmmDeviceSpec *
spec_of (const VmmMachine *machine, unsigned index)
{
    return index < machine->config->devices->len ? machine->config->devices->pdata[index] : NULL;
}

/**
 * vmm_machine_get_n_devices:
 * @machine: a machine
 *
 * Returns: how many devices the configuration added
 * Since: 0.1
 */
unsigned
vmm_machine_get_n_devices (const VmmMachine *machine)
{
    return machine->config->devices->len;
}

/**
 * vmm_machine_get_device_name:
 * @machine: a machine
 * @index: below vmm_machine_get_n_devices()
 *
 * Returns: (transfer none) (nullable): what a device is called: its key and a number, "disk0"
 * Since: 0.1
 */
const char *
vmm_machine_get_device_name (const VmmMachine *machine, unsigned index)
{
    const VmmDeviceSpec *spec = spec_of (machine, index);

    return spec != NULL ? spec->name : NULL;
}

/**
 * vmm_machine_get_device_kind:
 * @machine: a machine
 * @index: below vmm_machine_get_n_devices()
 *
 * Returns: (transfer none) (nullable): the key that added the device: "disk"
 * Since: 0.1
 */
const char *
vmm_machine_get_device_kind (const VmmMachine *machine, unsigned index)
{
    const VmmDeviceSpec *spec = spec_of (machine, index);

    return spec != NULL ? spec->kind->key : NULL;
}
