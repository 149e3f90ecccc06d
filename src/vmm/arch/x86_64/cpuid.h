/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_ARCH_X86_64_CPUID_H
#define VMM_ARCH_X86_64_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/arch/x86_64/topology.h"

/* vmm_x86_cpuid_build() gives at most this many entries more than it was given. */
#define VMM_X86_CPUID_EXTRA 12u

/* What KVM's local APIC timer counts at unless KVM_CAP_X86_APIC_BUS_CYCLES_NS changed it. */
#define VMM_X86_APIC_BUS_KHZ 1000000u

/**
 * VmmX86CpuidOptions:
 * @topology: borrowed
 * @tsc_khz: the guest's TSC frequency (KVM_GET_TSC_KHZ), 0 when not known
 * @apic_bus_khz: the local APIC timer's frequency; 0 stands for %VMM_X86_APIC_BUS_KHZ
 * @tsc_deadline: show the local APIC timer's TSC-deadline mode (KVM_CAP_TSC_DEADLINE_TIMER)
 * @ext_dest_id: show KVM_FEATURE_MSI_EXT_DEST_ID (15-bit destinations in MSI and I/O APIC)
 * @nested: show VMX or SVM when KVM supports it
 * @pmu: show the performance counters when KVM supports them
 */
typedef struct {
    const VmmCpuTopology *topology;
    uint32_t tsc_khz;
    uint32_t apic_bus_khz;
    bool tsc_deadline;
    bool ext_dest_id;
    bool nested;
    bool pmu;
} VmmX86CpuidOptions;

size_t vmm_x86_cpuid_build (const struct kvm_cpuid_entry2 *supported, size_t n,
                            const VmmX86CpuidOptions *options, unsigned cpu, struct kvm_cpuid_entry2 *out,
                            size_t cap);
const struct kvm_cpuid_entry2 *vmm_x86_cpuid_find (const struct kvm_cpuid_entry2 *entries, size_t n,
                                                   uint32_t function, uint32_t index);
bool vmm_x86_cpuid_has_gib_pages (const struct kvm_cpuid_entry2 *entries, size_t n);
unsigned vmm_x86_cpuid_phys_bits (const struct kvm_cpuid_entry2 *entries, size_t n);

#endif
