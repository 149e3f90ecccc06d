/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host can do for virtual machines: the questions that "vmm doctor" answers, for any program.
 */
#ifndef VMM_HOST_H
#define VMM_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "vmm/export.h"

G_BEGIN_DECLS

/**
 * VmmHostProbeFlags:
 * @VMM_HOST_PROBE_DEFAULT: look at everything
 * @VMM_HOST_PROBE_NO_SPEED: do not measure the ring-0 and ring-3 speed, which takes some 50 ms
 */
typedef enum {
    VMM_HOST_PROBE_DEFAULT = 0,
    VMM_HOST_PROBE_NO_SPEED = 1 << 0,
} VmmHostProbeFlags;

/**
 * VmmHostLevel:
 * @VMM_HOST_OK: as it should be
 * @VMM_HOST_NOTE: worth knowing; nothing is lost by it today
 * @VMM_HOST_WARNING: machines run, but slowly or with a feature missing
 * @VMM_HOST_FAILURE: no machine can run here until this is repaired
 *
 * How much a finding matters. The values are ordered: a greater one is worse.
 */
typedef enum {
    VMM_HOST_OK,
    VMM_HOST_NOTE,
    VMM_HOST_WARNING,
    VMM_HOST_FAILURE,
} VmmHostLevel;

/**
 * VmmHostCheck:
 * @id: a stable name for programs, such as "kvm.ring0-speed"
 * @title: a short name for people
 * @level: how much the finding matters
 * @value: what was found, in a few words
 * @explanation: one line that says what it means
 * @advice: one line that says what to do, or %NULL where there is nothing to do
 *
 * One finding. It belongs to its report. Members may be added at the end.
 */
typedef struct {
    const char *id;
    const char *title;
    VmmHostLevel level;
    const char *value;
    const char *explanation;
    const char *advice;
} VmmHostCheck;

/**
 * VmmHostHugePages:
 * @size: bytes per page
 * @total: pages in the pool
 * @free: pages of the pool that nobody uses
 */
typedef struct {
    uint64_t size;
    uint64_t total;
    uint64_t free;
} VmmHostHugePages;

/** The most huge page sizes that a report lists. */
#define VMM_HOST_MAX_PAGE_SIZES 8

/**
 * VmmHostFacts:
 * @kvm_present: the node /dev/kvm exists
 * @kvm_accessible: this process could open it for reading and writing
 * @kvm_usable: it answers with the API version and the capabilities that vmm needs
 * @kvm_api_version: what KVM_GET_API_VERSION said, 0 when it was not asked
 * @kvm_recommended_vcpus: vCPUs per machine that KVM recommends, 0 when unknown
 * @kvm_max_vcpus: vCPUs per machine that KVM allows, 0 when unknown
 * @kvm_max_memslots: memory slots per machine, 0 when unknown
 * @kvm_nested: guests of this host may use KVM themselves (the module's "nested" parameter is on)
 * @cap_user_memory: KVM_CAP_USER_MEMORY
 * @cap_irqfd: KVM_CAP_IRQFD
 * @cap_ioeventfd: KVM_CAP_IOEVENTFD
 * @cap_immediate_exit: KVM_CAP_IMMEDIATE_EXIT
 * @cap_irqchip: KVM_CAP_IRQCHIP
 * @cap_split_irqchip: KVM_CAP_SPLIT_IRQCHIP
 * @cap_signal_msi: KVM_CAP_SIGNAL_MSI
 * @cap_readonly_mem: KVM_CAP_READONLY_MEM
 * @cap_xsave2: KVM_CAP_XSAVE2
 * @cap_dirty_ring: KVM_CAP_DIRTY_LOG_RING
 * @cap_guest_memfd: KVM_CAP_GUEST_MEMFD
 * @ring0_mips: measured speed of guest kernel code in millions of instructions per second, 0 when not
 * measured
 * @ring3_mips: the same for guest user code
 * @ring0_fast: vmm_host_ring0_is_fast() of the two; %false when they were not measured
 * @cpu_vmx: /proc/cpuinfo shows Intel's virtualization extensions
 * @cpu_svm: /proc/cpuinfo shows AMD's virtualization extensions
 * @cpu_in_vm: this host is itself a virtual machine (CPUID's hypervisor bit)
 * @cpu_hypervisor: the signature of the hypervisor below, such as "KVMKVMKVM", or ""
 * @memory_total: bytes of RAM
 * @memory_available: bytes that new programs can have without swapping
 * @thp_mode: transparent huge pages: "always", "madvise", "never", or "" when the kernel has none
 * @hugepages: the pools of huge pages, smallest size first
 * @n_hugepages: how many of @hugepages are filled in
 * @limit_memlock: soft RLIMIT_MEMLOCK in bytes, %G_MAXUINT64 for no limit
 * @limit_nofile: soft RLIMIT_NOFILE, %G_MAXUINT64 for no limit
 * @limit_nofile_hard: hard RLIMIT_NOFILE, %G_MAXUINT64 for no limit
 * @userfaultfd: userfaultfd handles the faults of KVM too, by the system call or by /dev/userfaultfd
 * @io_uring: this process may set up an io_uring
 * @cgroup2: a cgroup v2 tree is mounted at its usual place
 * @seccomp: the kernel filters system calls by program
 * @landlock_abi: the version of Landlock, 0 when the kernel has none
 *
 * What was found, typed. It belongs to its report. Members may be added at the end.
 */
typedef struct {
    bool kvm_present;
    bool kvm_accessible;
    bool kvm_usable;
    int kvm_api_version;
    unsigned kvm_recommended_vcpus;
    unsigned kvm_max_vcpus;
    unsigned kvm_max_memslots;
    bool kvm_nested;
    bool cap_user_memory;
    bool cap_irqfd;
    bool cap_ioeventfd;
    bool cap_immediate_exit;
    bool cap_irqchip;
    bool cap_split_irqchip;
    bool cap_signal_msi;
    bool cap_readonly_mem;
    bool cap_xsave2;
    bool cap_dirty_ring;
    bool cap_guest_memfd;
    double ring0_mips;
    double ring3_mips;
    bool ring0_fast;
    bool cpu_vmx;
    bool cpu_svm;
    bool cpu_in_vm;
    char cpu_hypervisor[16];
    uint64_t memory_total;
    uint64_t memory_available;
    char thp_mode[16];
    VmmHostHugePages hugepages[VMM_HOST_MAX_PAGE_SIZES];
    unsigned n_hugepages;
    uint64_t limit_memlock;
    uint64_t limit_nofile;
    uint64_t limit_nofile_hard;
    bool userfaultfd;
    bool io_uring;
    bool cgroup2;
    bool seccomp;
    int landlock_abi;
} VmmHostFacts;

typedef struct VmmHostReport VmmHostReport;

VMM_EXPORT VmmHostReport *vmm_host_probe (VmmHostProbeFlags flags);
VMM_EXPORT void vmm_host_report_free (VmmHostReport *report);
VMM_EXPORT const VmmHostFacts *vmm_host_report_get_facts (const VmmHostReport *report);
VMM_EXPORT unsigned vmm_host_report_get_n_checks (const VmmHostReport *report);
VMM_EXPORT const VmmHostCheck *vmm_host_report_get_check (const VmmHostReport *report, unsigned index);
VMM_EXPORT VmmHostLevel vmm_host_report_get_level (const VmmHostReport *report);
VMM_EXPORT const char *vmm_host_level_to_string (VmmHostLevel level);
VMM_EXPORT bool vmm_host_measure_ring0 (double *ret_mips, GError **error);
VMM_EXPORT bool vmm_host_ring0_is_fast (double ring0_mips, double ring3_mips);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmHostReport, vmm_host_report_free)

G_END_DECLS

#endif
