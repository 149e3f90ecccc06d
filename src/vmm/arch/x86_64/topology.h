/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_ARCH_X86_64_TOPOLOGY_H
#define VMM_ARCH_X86_64_TOPOLOGY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* No KVM takes more vCPUs than this; it bounds every loop and table that depends on the number of CPUs. */
#define VMM_CPU_TOPOLOGY_CPUS_MAX 4096u

/* The first APIC id that 8 bits cannot name: 0xff is xAPIC's broadcast (SDM 3A section 11.6.2). */
#define VMM_X86_APIC_ID_X2APIC 255u

/**
 * VmmCpuTopology:
 * @cpus: vCPUs, the product of the other three
 * @sockets: packages
 * @cores: cores of each package
 * @threads: hardware threads of each core
 *
 * vCPU numbers count threads first, then cores, then packages.
 */
typedef struct {
    unsigned cpus;
    unsigned sockets;
    unsigned cores;
    unsigned threads;
} VmmCpuTopology;

bool vmm_cpu_topology_init (VmmCpuTopology *ret_topology, unsigned cpus, unsigned sockets, unsigned cores,
                            unsigned threads, GError **error);
unsigned vmm_x86_apic_core_shift (const VmmCpuTopology *topology);
unsigned vmm_x86_apic_package_shift (const VmmCpuTopology *topology);
uint32_t vmm_x86_apic_id (const VmmCpuTopology *topology, unsigned cpu);
uint32_t vmm_x86_apic_id_max (const VmmCpuTopology *topology);
bool vmm_x86_needs_x2apic (const VmmCpuTopology *topology);

#endif
