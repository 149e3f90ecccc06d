/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: everything in this folder but the vCPU, the interrupt controllers and the machine is a
 * pure function from what the machine is (CPUs, memory, devices) to the bytes that a guest finds when it
 * starts: CPUID entries, ACPI tables, memory map, boot structures. They write through VmmGuestMemory or into
 * a buffer of the caller and touch no KVM, so that their tests run on any host. What they must agree on has
 * one source each: addresses in layout.h, APIC ids and sharing here. A guest compares CPUID with the MADT and
 * complains when they differ.
 *
 * An APIC id is three bit fields, thread, core and package, each just wide enough for its count (SDM 3A
 * section 9.9, APM 3 section E.5). Counts that are no powers of two leave gaps between the ids.
 */
#include "vmm/arch/x86_64/topology.h"

#include "vmm/error.h"

/* The bits that number @count things. */
static unsigned
field_width (unsigned count)
{
    return count <= 1 ? 0 : 32u - (unsigned)__builtin_clz (count - 1);
}

/* What a count that was not given must be, so that the product may come out; 1 when it cannot. */
static unsigned
missing_factor (unsigned cpus, unsigned a, unsigned b)
{
    uint64_t given = (uint64_t)a * b;

    return given <= cpus ? (unsigned)(cpus / given) : 1;
}

/**
 * vmm_cpu_topology_init:
 * @ret_topology: set on success
 * @cpus: vCPUs, at least 1
 * @sockets: packages, or 0 for what follows from the others (1 when nothing is given)
 * @cores: cores of each package, or 0 for what follows from the others
 * @threads: threads of each core, or 0 for what follows from the others (1 unless both others are given)
 * @error: %VMM_ERROR_USAGE when the product is not @cpus
 *
 * Checks a topology. With all three at 0 the guest sees one package of @cpus cores.
 */
bool
vmm_cpu_topology_init (VmmCpuTopology *ret_topology, unsigned cpus, unsigned sockets, unsigned cores,
                       unsigned threads, GError **error)
{
    if (cpus == 0 || cpus > VMM_CPU_TOPOLOGY_CPUS_MAX) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%u CPUs: give a number from 1 to %u", cpus,
                     VMM_CPU_TOPOLOGY_CPUS_MAX);
        return false;
    }
    if (threads == 0)
        threads = sockets != 0 && cores != 0 ? missing_factor (cpus, sockets, cores) : 1;
    if (sockets == 0)
        sockets = cores != 0 ? missing_factor (cpus, cores, threads) : 1;
    if (cores == 0)
        cores = missing_factor (cpus, sockets, threads);

    /* Each factor of the right product is at most cpus; that also keeps this product inside 64 bits. */
    if (sockets > cpus || cores > cpus || threads > cpus || (uint64_t)sockets * cores * threads != cpus) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "topology of %u CPUs: %u sockets of %u cores of %u threads do not make %u CPUs; "
                     "give numbers whose product is %u",
                     cpus, sockets, cores, threads, cpus, cpus);
        return false;
    }
    *ret_topology = (VmmCpuTopology){cpus, sockets, cores, threads};
    return true;
}

/**
 * vmm_x86_apic_core_shift:
 * @topology: a checked topology
 *
 * Returns: by how many bits an APIC id is shifted right to give the core: the width of the thread field
 */
unsigned
vmm_x86_apic_core_shift (const VmmCpuTopology *topology)
{
    return field_width (topology->threads);
}

/**
 * vmm_x86_apic_package_shift:
 * @topology: a checked topology
 *
 * Returns: by how many bits an APIC id is shifted right to give the package
 */
unsigned
vmm_x86_apic_package_shift (const VmmCpuTopology *topology)
{
    return field_width (topology->threads) + field_width (topology->cores);
}

/**
 * vmm_x86_apic_id:
 * @topology: a checked topology
 * @cpu: a vCPU, less than @topology->cpus
 *
 * The id that the vCPU's local APIC, its CPUID and the MADT all give; vCPU 0 has id 0. KVM takes it as the
 * argument of KVM_CREATE_VCPU.
 */
uint32_t
vmm_x86_apic_id (const VmmCpuTopology *topology, unsigned cpu)
{
    unsigned thread = cpu % topology->threads;
    unsigned core = cpu / topology->threads % topology->cores;
    unsigned package = cpu / topology->threads / topology->cores;

    return package << vmm_x86_apic_package_shift (topology) | core << vmm_x86_apic_core_shift (topology) |
           thread;
}

/**
 * vmm_x86_apic_id_max:
 * @topology: a checked topology
 *
 * Returns: the largest APIC id of the machine, for KVM_CAP_MAX_VCPU_ID
 */
uint32_t
vmm_x86_apic_id_max (const VmmCpuTopology *topology)
{
    return vmm_x86_apic_id (topology, topology->cpus - 1);
}

/**
 * vmm_x86_needs_x2apic:
 * @topology: a checked topology
 *
 * Returns: whether some id is beyond xAPIC, so that the machine needs KVM_X2APIC_API_USE_32BIT_IDS and the
 *   guest x2APIC
 */
bool
vmm_x86_needs_x2apic (const VmmCpuTopology *topology)
{
    return vmm_x86_apic_id_max (topology) >= VMM_X86_APIC_ID_X2APIC;
}
