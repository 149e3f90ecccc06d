/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VERDICT_H
#define VMM_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "vmm/export.h"
#include "vmm/kernel-log.h"

G_BEGIN_DECLS

/**
 * VmmVerdictKind:
 * @VMM_VERDICT_POWEROFF: the guest turned its machine off
 * @VMM_VERDICT_GUEST_EXIT: the guest ended the run through the debug-exit port and chose the code
 * @VMM_VERDICT_REBOOT: the guest asked for a reset, and the configuration says that this ends the run
 * @VMM_VERDICT_HALT: every CPU stopped with interrupts off: nothing can ever happen again
 * @VMM_VERDICT_PANIC: the guest's kernel panicked
 * @VMM_VERDICT_TRIPLE_FAULT: a fault while handling a fault while handling a fault: the CPU gave up
 * @VMM_VERDICT_HANG: a CPU ran with interrupts off and did nothing that could be seen, for too long
 * @VMM_VERDICT_TIMEOUT: the time that the configuration allows was over
 * @VMM_VERDICT_CPU_ERROR: a vCPU stopped in a way that no hypervisor could go on from
 * @VMM_VERDICT_STOPPED: the embedding program, or its user, ended the run
 * @VMM_VERDICT_HOST_ERROR: the host failed under a guest that ran: no memory, a call of KVM refused; or the
 * guest powered off, and there was no room for what it had written last
 *
 * How a run ended. There is just one verdict for each run. The numbers are stable.
 */
typedef enum {
    VMM_VERDICT_POWEROFF,
    VMM_VERDICT_GUEST_EXIT,
    VMM_VERDICT_REBOOT,
    VMM_VERDICT_HALT,
    VMM_VERDICT_PANIC,
    VMM_VERDICT_TRIPLE_FAULT,
    VMM_VERDICT_HANG,
    VMM_VERDICT_TIMEOUT,
    VMM_VERDICT_CPU_ERROR,
    VMM_VERDICT_STOPPED,
    VMM_VERDICT_HOST_ERROR,
} VmmVerdictKind;

/**
 * VmmExitCount:
 * @reason: why vCPUs came back to vmm, in KVM's words: "io", "mmio"
 * @count: how often, on all vCPUs
 */
typedef struct {
    const char *reason;
    uint64_t count;
} VmmExitCount;

/**
 * VmmDeviceCount:
 * @name: the device's, "disk0"
 * @kind: the key that added it: "disk"
 * @requests: what the guest asked of it and got back: on a disk its requests, on a network card packets, or
 *   the buffers for them
 * @bytes_from_guest: what it read of the guest's buffers, requests' headers too
 * @bytes_to_guest: what it wrote to them
 * @kicks: how often the guest notified it; each is an exit, most of them to KVM alone
 * @interrupts: how often it interrupted the guest
 *
 * What went through a device so far, over all boots. Consoles that are ports of one device are counted with
 * the first of them. Where the host's kernel serves a network card (vhost-net), only kicks are counted.
 * Members may be added at the end.
 */
typedef struct {
    const char *name;
    const char *kind;
    uint64_t requests;
    uint64_t bytes_from_guest;
    uint64_t bytes_to_guest;
    uint64_t kicks;
    uint64_t interrupts;
} VmmDeviceCount;

/**
 * VmmVerdict:
 * @kind: how the run ended
 * @exit_code: what a program should exit with, see vmm(1); each number has one meaning
 * @reason: one line for people
 * @report: (nullable): more, in lines: the registers of the vCPUs, where they were
 * @start_ns: CLOCK_MONOTONIC when vmm_machine_new() was called
 * @first_instruction_ns: when the first vCPU entered the guest; 0 when none did
 * @first_output_ns: when the guest's first byte of console output came; 0 when none came
 * @end_ns: when the run was over
 * @boots: how often the guest was started: 1, and 1 more for each reboot
 * @n_exits: elements of @exits
 * @exits: the exits to vmm by reason, only those that happened
 * @output_bytes: bytes of console output
 * @guest_memory_bytes: RAM that the guest was given
 * @guest_memory_used_bytes: RAM that the host had to find for it
 * @n_devices: elements of @devices
 * @devices: (array length=n_devices): what went through each device that the configuration added
 * @n_kernel_reports: elements of @kernel_reports
 * @kernel_reports: (array length=n_kernel_reports): what trouble a Linux kernel has reported on its consoles,
 * the first 16 and the last 16 reports; their numbers and lines are those of the console
 *
 * All about the end of a run. It belongs to its machine. Members may be added at the end.
 */
typedef struct {
    VmmVerdictKind kind;
    int exit_code;
    const char *reason;
    const char *report;
    int64_t start_ns;
    int64_t first_instruction_ns;
    int64_t first_output_ns;
    int64_t end_ns;
    unsigned boots;
    size_t n_exits;
    const VmmExitCount *exits;
    uint64_t output_bytes;
    uint64_t guest_memory_bytes;
    uint64_t guest_memory_used_bytes;
    size_t n_devices;
    const VmmDeviceCount *devices;
    size_t n_kernel_reports;
    const VmmKernelReport *kernel_reports;
} VmmVerdict;

/*
 * Exit codes of the vmm program. Guests choose odd ones through the debug-exit port, so vmm's own are even,
 * and no two meanings share one.
 */
#define VMM_EXIT_POWEROFF 0
#define VMM_EXIT_USAGE 2
#define VMM_EXIT_HOST_ERROR 4
#define VMM_EXIT_NOT_BOOTABLE 6
#define VMM_EXIT_REBOOT 8
#define VMM_EXIT_HALT 10
#define VMM_EXIT_PANIC 12
#define VMM_EXIT_TRIPLE_FAULT 14
#define VMM_EXIT_HANG 16
#define VMM_EXIT_TIMEOUT 18
#define VMM_EXIT_CPU_ERROR 20
#define VMM_EXIT_STOPPED 22
#define VMM_EXIT_NO_END 24

VMM_EXPORT const char *vmm_verdict_kind_to_string (VmmVerdictKind kind);
VMM_EXPORT int vmm_exit_code_for_error (const GError *error);

G_END_DECLS

#endif
