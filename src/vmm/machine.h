/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "vmm/config.h"
#include "vmm/export.h"
#include "vmm/verdict.h"

G_BEGIN_DECLS

/**
 * VmmMachine:
 *
 * One virtual machine, from its making to its verdict. It is driven by the GMainContext that was the calling
 * thread's default when it was made: its calls are made on the thread that runs that context, except
 * vmm_machine_stop() and vmm_machine_press_power_button(), which any thread may call.
 */
typedef struct _VmmMachine VmmMachine;

/**
 * VmmMachineEnded:
 *
 * Called once, on the machine's context, when the run is over and the verdict is there.
 */
typedef void (*VmmMachineEnded) (VmmMachine *machine, void *user);

/**
 * VmmMachineNotice:
 * @message: one line without a newline: something that the user should know, and that changes no verdict
 *
 * Called on the machine's context.
 */
typedef void (*VmmMachineNotice) (VmmMachine *machine, const char *message, void *user);

/**
 * VmmMachineState:
 * @VMM_MACHINE_CREATED: it was made, and its guest has not begun
 * @VMM_MACHINE_RUNNING: its guest runs
 * @VMM_MACHINE_PAUSED: its vCPUs are at rest
 * @VMM_MACHINE_ENDED: there is a verdict
 */
typedef enum {
    VMM_MACHINE_CREATED,
    VMM_MACHINE_RUNNING,
    VMM_MACHINE_PAUSED,
    VMM_MACHINE_ENDED,
} VmmMachineState;

/**
 * VmmVcpuTime:
 * @ran_ns: how long the virtual CPU has run, exact to some milliseconds
 * @waited_ns: how long it would have run and could not: other work had the host's CPUs, or its control group
 * had used up its share
 *
 * Since the guest was last started; zero when the host does not tell, before the start, and after the end.
 */
typedef struct {
    int64_t ran_ns;
    int64_t waited_ns;
} VmmVcpuTime;

/**
 * VmmMachineInfo:
 * @state: where it is between its making and its end
 * @cpus: how many virtual CPUs it has
 * @memory_bytes: RAM that the guest was given
 * @uptime_ns: since vmm_machine_new() was called, until the end of the run
 * @boots: how often the guest was started
 * @n_exits: elements of @exits
 * @exits: the exits to vmm by reason so far, only those that happened
 * @n_devices: elements of @devices, as many as vmm_machine_get_n_devices() says
 * @devices: (array length=n_devices): what went through each device so far
 * @vcpu_times: (array length=cpus): what the host let each virtual CPU do
 *
 * How a machine is. Members may be added at the end.
 */
typedef struct {
    VmmMachineState state;
    unsigned cpus;
    uint64_t memory_bytes;
    int64_t uptime_ns;
    unsigned boots;
    size_t n_exits;
    const VmmExitCount *exits;
    size_t n_devices;
    const VmmDeviceCount *devices;
    const VmmVcpuTime *vcpu_times;
} VmmMachineInfo;

/**
 * VmmBalloonStat:
 * @name: what the guest counts, such as "free_memory", in the words of virtio 1.2 section 5.5.6.3
 * @value: bytes, or how often
 */
typedef struct {
    const char *name;
    uint64_t value;
} VmmBalloonStat;

/**
 * VmmBalloonInfo:
 * @target_bytes: how large the balloon is to be: memory that the guest is asked to give back
 * @actual_bytes: how large the guest says that it is
 * @n_stats: elements of @stats; 0 when the guest tells none
 * @stats: what the guest told last
 *
 * Members may be added at the end.
 */
typedef struct {
    uint64_t target_bytes;
    uint64_t actual_bytes;
    size_t n_stats;
    const VmmBalloonStat *stats;
} VmmBalloonInfo;

VMM_EXPORT VmmMachine *vmm_machine_new (const VmmConfig *config, GError **error);
VMM_EXPORT void vmm_machine_free (VmmMachine *machine);
VMM_EXPORT void vmm_machine_set_ended (VmmMachine *machine, VmmMachineEnded ended, void *user);
VMM_EXPORT void vmm_machine_set_notice (VmmMachine *machine, VmmMachineNotice notice, void *user);
VMM_EXPORT bool vmm_machine_start (VmmMachine *machine, GError **error);
VMM_EXPORT bool vmm_machine_pause (VmmMachine *machine, GError **error);
VMM_EXPORT bool vmm_machine_resume (VmmMachine *machine, GError **error);
VMM_EXPORT void vmm_machine_stop (VmmMachine *machine, const char *reason);
VMM_EXPORT void vmm_machine_press_power_button (VmmMachine *machine);
VMM_EXPORT void vmm_machine_send_break (VmmMachine *machine);
VMM_EXPORT const VmmVerdict *vmm_machine_get_verdict (const VmmMachine *machine);
VMM_EXPORT const VmmVerdict *vmm_machine_run (VmmMachine *machine, GError **error);
VMM_EXPORT VmmMachineState vmm_machine_get_state (const VmmMachine *machine);
VMM_EXPORT const char *vmm_machine_state_to_string (VmmMachineState state);
VMM_EXPORT const VmmMachineInfo *vmm_machine_get_info (VmmMachine *machine);
VMM_EXPORT char *vmm_machine_describe_vcpus (VmmMachine *machine);
VMM_EXPORT unsigned vmm_machine_get_n_devices (const VmmMachine *machine);
VMM_EXPORT const char *vmm_machine_get_device_name (const VmmMachine *machine, unsigned index);
VMM_EXPORT const char *vmm_machine_get_device_kind (const VmmMachine *machine, unsigned index);
VMM_EXPORT void vmm_machine_set_terminal_size (VmmMachine *machine, unsigned columns, unsigned rows);
VMM_EXPORT bool vmm_machine_set_balloon (VmmMachine *machine, const char *name, uint64_t bytes,
                                         GError **error);
VMM_EXPORT const VmmBalloonInfo *vmm_machine_get_balloon (VmmMachine *machine, const char *name,
                                                          GError **error);
VMM_EXPORT bool vmm_machine_resize_disk (VmmMachine *machine, const char *name, uint64_t bytes,
                                         GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmMachine, vmm_machine_free)

G_END_DECLS

#endif
