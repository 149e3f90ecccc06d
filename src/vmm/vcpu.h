/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/arch/arch.h"
#include "vmm/core/kvm.h"
#include "vmm/machine.h"

/* More than KVM has exit reasons; what is beyond counts with the last. */
#define VMM_VCPU_EXIT_REASONS 64u

typedef struct _VmmVcpu VmmVcpu;

/**
 * VmmVcpuEvents:
 * @ended: called once, on the vCPU's thread, when it cannot go on: @how is never %VMM_ARCH_EXIT_HANDLED;
 *   @report is owned by the callee and NULL where there is nothing to report
 * @active: see vmm_vcpu_tell_activity(); on the vCPU's thread
 * @machine: what they get
 */
typedef struct {
    void (*ended) (void *machine, unsigned index, VmmArchExit how, char *report);
    void (*active) (void *machine);
    void *machine;
} VmmVcpuEvents;

VmmVcpu *vmm_vcpu_new (VmmKvm *kvm, VmmArchVm *arch, unsigned index, const VmmVcpuEvents *events,
                       GError **error);
void vmm_vcpu_free (VmmVcpu *vcpu);
bool vmm_vcpu_start (VmmVcpu *vcpu, GError **error);
void vmm_vcpu_request_stop (VmmVcpu *vcpu);
void vmm_vcpu_join (VmmVcpu *vcpu);
void vmm_vcpu_request_pause (VmmVcpu *vcpu);
void vmm_vcpu_wait_paused (VmmVcpu *vcpu);
void vmm_vcpu_resume (VmmVcpu *vcpu);
void vmm_vcpu_request_sample (VmmVcpu *vcpu);
bool vmm_vcpu_wait_sample (VmmVcpu *vcpu, int64_t deadline_us, VmmVcpuSample *ret_sample);
bool vmm_vcpu_tell_activity (VmmVcpu *vcpu, int64_t cpu_ns);
bool vmm_vcpu_stopped_at (const VmmVcpu *vcpu, VmmVcpuSample *ret_sample);
uint64_t vmm_vcpu_exits (const VmmVcpu *vcpu, unsigned reason);
uint64_t vmm_vcpu_total_exits (const VmmVcpu *vcpu);
bool vmm_vcpu_time (const VmmVcpu *vcpu, VmmVcpuTime *ret_time);
int64_t vmm_vcpu_first_run_ns (const VmmVcpu *vcpu);
const char *vmm_vcpu_exit_reason_name (unsigned reason);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmVcpu, vmm_vcpu_free)

#endif
