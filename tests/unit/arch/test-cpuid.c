/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <glib.h>

#include "vmm/arch/x86_64/cpuid.h"

#define INDEX KVM_CPUID_FLAG_SIGNIFCANT_INDEX
#define CAP 128u

/* Short forms of what KVM_GET_SUPPORTED_CPUID gives on two machines: { leaf, index, flags, a, b, c, d }. */
static const struct kvm_cpuid_entry2 intel_list[] = {
    {0x0, 0, 0, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69},
    {0x1, 0, 0, 0x806f8, 0x2b400800, 0xfffab22b, 0x0f8bfbff}, /* the host's own APIC id and counts */
    {0x2, 0, 0, 0x00feff01, 0xf0, 0, 0},
    {0x4, 0, INDEX, 0xfc004121, 0x02c0003f, 0x3f, 0},
    {0x4, 1, INDEX, 0xfc004122, 0x01c0003f, 0x3f, 0},
    {0x4, 2, INDEX, 0xfc01c143, 0x03c0003f, 0x7ff, 0},
    {0x4, 3, INDEX, 0xfc1fc163, 0x0380003f, 0x1ffff, 4},
    {0x4, 4, INDEX, 0, 0, 0, 0},
    {0x5, 0, 0, 0x40, 0x40, 3, 0x2020},
    {0x6, 0, 0, 4, 0, 0, 0},
    {0x7, 0, INDEX, 2, 0xf3bfbfef, 0x5b417f5e, 0xac084410},
    {0x7, 1, INDEX, 0x1c30, 0, 0, 0},
    {0xa, 0, 0, 0x07300802, 0, 0, 0x8603},
    {0xb, 0, INDEX, 1, 2, 0x100, 0x2b},
    {0xb, 1, INDEX, 7, 0x40, 0x201, 0x2b},
    {0xb, 2, INDEX, 0, 0, 2, 0x2b},
    {0xd, 0, INDEX, 0x602e7, 0x2b00, 0x2b00, 0},
    {0xd, 1, INDEX, 0x1f, 0, 0, 0},
    {0xd, 2, INDEX, 0x100, 0x240, 0, 0},
    {0x12, 0, INDEX, 1, 0, 0, 0x241f},
    {0x14, 0, INDEX, 1, 0x4f, 7, 0},
    {0x15, 0, 0, 2, 0xa8, 0x17d7840, 0},
    {0x16, 0, 0, 0x834, 0xed8, 0x64, 0},
    {0x1f, 0, INDEX, 1, 2, 0x100, 0x2b},
    {0x1f, 1, INDEX, 7, 0x40, 0x201, 0x2b},
    {0x1f, 2, INDEX, 0, 0, 2, 0x2b},
    {0x40000000, 0, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d},
    {0x40000001, 0, 0, 0x01007efb, 0, 0, 0},
    {0x80000000, 0, 0, 0x80000008, 0, 0, 0},
    {0x80000001, 0, 0, 0, 0, 0x121, 0x2c100800},
    {0x80000007, 0, 0, 0, 0, 0, 0x100},
    {0x80000008, 0, 0, 0x302e, 0x200d000, 0, 0},
};

static const struct kvm_cpuid_entry2 amd_list[] = {
    {0x0, 0, 0, 0x1c, 0x68747541, 0x444d4163, 0x69746e65},
    {0x1, 0, 0, 0x00b00f21, 0x13020800, 0x81202000, 0x078bfbff},
    {0x2, 0, 0, 0, 0, 0, 0},
    {0x4, 0, INDEX, 0, 0, 0, 0},
    {0x6, 0, 0, 4, 0, 0, 0},
    {0x7, 0, INDEX, 1, 0x01800002, 0x104, 0x20000000},
    {0xb, 0, INDEX, 0, 0, 0, 0},
    {0xd, 0, INDEX, 0xe7, 0x980, 0x980, 0},
    {0x1c, 0, 0, 0, 0, 0, 0},
    {0x40000000, 0, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d},
    {0x40000001, 0, 0, 0x01007efb, 0, 0, 0},
    {0x80000000, 0, 0, 0x80000026, 0x68747541, 0x444d4163, 0x69746e65},
    {0x80000001, 0, 0, 0x00b00f21, 0x40000000, 0x11c00397, 0x27d3fbff},
    {0x80000005, 0, 0, 0xff60ff40, 0xff60ff40, 0x300c0140, 0x20080140},
    {0x80000007, 0, 0, 0, 0, 0, 0x100},
    {0x80000008, 0, 0, 0x3030, 0x50020005, 0x7001, 0},
    {0x8000000a, 0, 0, 1, 0x8, 0, 0xf},
    {0x8000001d, 0, INDEX, 0x121, 0x02c0003f, 0x3f, 0},
    {0x8000001d, 1, INDEX, 0x122, 0x01c0003f, 0x3f, 0},
    {0x8000001d, 2, INDEX, 0x143, 0x03c0003f, 0x3ff, 2},
    {0x8000001d, 3, INDEX, 0x4163, 0x03c0003f, 0x7fff, 1},
    {0x8000001d, 4, INDEX, 0, 0, 0, 0},
    {0x8000001e, 0, 0, 0x13, 0x101, 0x1, 0},
    {0x80000022, 0, 0, 1, 6, 0, 0},
    {0x80000026, 0, INDEX, 1, 2, 0x100, 0x13},
};

struct guest {
    struct kvm_cpuid_entry2 entries[CAP];
    size_t n;
};

static void
build (const struct kvm_cpuid_entry2 *list, size_t n, const VmmX86CpuidOptions *options, unsigned cpu,
       struct guest *ret_guest)
{
    ret_guest->n = vmm_x86_cpuid_build (list, n, options, cpu, ret_guest->entries, CAP);
    cr_assert_gt (ret_guest->n, 0);
    cr_assert_leq (ret_guest->n, n + VMM_X86_CPUID_EXTRA);
}

#define BUILD_INTEL(options, cpu, g) build (intel_list, G_N_ELEMENTS (intel_list), options, cpu, g)
#define BUILD_AMD(options, cpu, g) build (amd_list, G_N_ELEMENTS (amd_list), options, cpu, g)

/* What the guest's CPUID instruction gives: zeros for what is not listed. */
static struct kvm_cpuid_entry2
ask (const struct guest *g, uint32_t function, uint32_t index)
{
    const struct kvm_cpuid_entry2 *e = vmm_x86_cpuid_find (g->entries, g->n, function, index);

    return e != NULL ? *e : (struct kvm_cpuid_entry2){0};
}

struct place {
    unsigned package, core, thread;
    unsigned package_threads, core_threads;
    uint32_t apic_id;
};

/* SDM 3A section 9.9.3.1: leaf 0xb or 0x1f. */
static struct place
decode_levels (const struct guest *g, uint32_t leaf)
{
    struct kvm_cpuid_entry2 smt = ask (g, leaf, 0), core = ask (g, leaf, 1);
    struct place p = {.apic_id = smt.edx};

    cr_assert_eq (smt.ecx, 0x100);
    cr_assert_eq (core.ecx, 0x201);
    cr_assert_eq (core.edx, smt.edx);
    cr_assert_eq (ask (g, leaf, 2).ebx, 0);
    p.thread = smt.edx & ((1u << smt.eax) - 1);
    p.core = (smt.edx & ((1u << core.eax) - 1)) >> smt.eax;
    p.package = smt.edx >> core.eax;
    p.core_threads = smt.ebx;
    p.package_threads = core.ebx;
    return p;
}

static unsigned
log2_up (unsigned n)
{
    return n <= 1 ? 0 : 32 - (unsigned)__builtin_clz (n - 1);
}

/* SDM 3A section 9.9.3.2: leaves 1 and 4, for a guest that does not know leaf 0xb. */
static struct place
decode_legacy_intel (const struct guest *g)
{
    struct kvm_cpuid_entry2 l1 = ask (g, 1, 0), l4 = ask (g, 4, 0);
    unsigned id = l1.ebx >> 24, count = (l1.edx >> 28 & 1) != 0 ? l1.ebx >> 16 & 0xff : 1;
    unsigned core_bits = log2_up ((l4.eax >> 26) + 1), bits = log2_up (count);
    unsigned smt_bits = bits - core_bits;

    return (struct place){.apic_id = id,
                          .thread = id & ((1u << smt_bits) - 1),
                          .core = (id & ((1u << bits) - 1)) >> smt_bits,
                          .package = id >> bits};
}

/* APM 3 section E.5: leaves 0x80000008 and 0x8000001e. */
static struct place
decode_amd (const struct guest *g)
{
    struct kvm_cpuid_entry2 l8 = ask (g, 0x80000008, 0), l1e = ask (g, 0x8000001e, 0);
    unsigned bits = l8.ecx >> 12 & 15;

    return (struct place){.apic_id = l1e.eax,
                          .package = l1e.eax >> bits,
                          .core = l1e.ebx & 0xff,
                          .core_threads = (l1e.ebx >> 8 & 0xff) + 1,
                          .package_threads = (l8.ecx & 0xff) + 1};
}

static void
assert_place (struct place p, const VmmCpuTopology *t, unsigned cpu)
{
    cr_assert_eq (p.core, cpu / t->threads % t->cores, "CPU %u: core %u", cpu, p.core);
    cr_assert_eq (p.package, cpu / t->threads / t->cores, "CPU %u: package %u", cpu, p.package);
}

static void
assert_levels (const struct guest *g, uint32_t leaf, const VmmCpuTopology *t, unsigned cpu)
{
    struct place p = decode_levels (g, leaf);

    assert_place (p, t, cpu);
    cr_assert_eq (p.thread, cpu % t->threads);
    cr_assert_eq (p.core_threads, t->threads);
    cr_assert_eq (p.package_threads, t->threads * t->cores);
    cr_assert_eq (p.apic_id, vmm_x86_apic_id (t, cpu));
}

static const unsigned shapes[][3] = {{1, 1, 1}, {1, 8, 1}, {2, 2, 2}, {1, 3, 2}, {3, 5, 1},
                                     {2, 6, 2}, {8, 1, 1}, {1, 1, 2}, {1, 32, 2}};

Test (cpuid, intel_topology_decodes_back)
{
    for (size_t i = 0; i < G_N_ELEMENTS (shapes); i++) {
        VmmCpuTopology t = {shapes[i][0] * shapes[i][1] * shapes[i][2], shapes[i][0], shapes[i][1],
                            shapes[i][2]};
        VmmX86CpuidOptions options = {.topology = &t};

        for (unsigned cpu = 0; cpu < t.cpus; cpu++) {
            struct guest g;

            BUILD_INTEL (&options, cpu, &g);
            assert_levels (&g, 0xb, &t, cpu);
            assert_levels (&g, 0x1f, &t, cpu);
            assert_place (decode_legacy_intel (&g), &t, cpu);
            cr_assert_eq (ask (&g, 1, 0).edx >> 28 & 1, t.cores * t.threads > 1);
            cr_assert_eq (ask (&g, 0x80000001, 0).ecx & 2, 0, "CMP_LEGACY is AMD's");
            cr_assert_eq (ask (&g, 0x8000001e, 0).eax, 0);
        }
    }
}

Test (cpuid, amd_topology_decodes_back)
{
    for (size_t i = 0; i < G_N_ELEMENTS (shapes); i++) {
        VmmCpuTopology t = {shapes[i][0] * shapes[i][1] * shapes[i][2], shapes[i][0], shapes[i][1],
                            shapes[i][2]};
        VmmX86CpuidOptions options = {.topology = &t};

        for (unsigned cpu = 0; cpu < t.cpus; cpu++) {
            struct guest g;
            struct place p;

            BUILD_AMD (&options, cpu, &g);
            assert_levels (&g, 0xb, &t, cpu);
            p = decode_amd (&g);
            assert_place (p, &t, cpu);
            cr_assert_eq (p.apic_id, vmm_x86_apic_id (&t, cpu));
            cr_assert_eq (p.core_threads, t.threads);
            cr_assert_eq (p.package_threads, t.cores * t.threads);
            cr_assert_eq (ask (&g, 0x8000001e, 0).ecx & 0xff, cpu / t.threads / t.cores);
            cr_assert_eq (ask (&g, 1, 0).ebx >> 16 & 0xff, t.cores * t.threads);
            cr_assert_eq (ask (&g, 1, 0).ebx >> 24, vmm_x86_apic_id (&t, cpu));
            cr_assert_eq ((ask (&g, 0x80000001, 0).ecx & 2) != 0, t.cores * t.threads > 1);
            cr_assert_eq (ask (&g, 0x1f, 0).ebx, 0, "the host's maximum leaf is below it");
        }
    }
}

static void
assert_sharing (const struct guest *g, uint32_t leaf, unsigned core_ids, unsigned package_ids)
{
    const unsigned ids[] = {core_ids, core_ids, core_ids, package_ids};

    for (unsigned i = 0; i < 4; i++) {
        struct kvm_cpuid_entry2 e = ask (g, leaf, i);

        cr_assert_eq ((e.eax >> 14 & 0xfff) + 1, ids[i], "leaf 0x%x index %u", leaf, i);
        cr_assert_neq (e.eax & 0x1f, 0, "the cache is still one");
        cr_assert_neq (e.ebx, 0);
    }
}

Test (cpuid, caches_are_shared_by_the_guests_own_cores)
{
    VmmCpuTopology t = {12, 2, 3, 2};
    VmmX86CpuidOptions options = {.topology = &t};
    struct guest g;

    BUILD_INTEL (&options, 0, &g);
    assert_sharing (&g, 4, 2, 8);
    cr_assert_eq (ask (&g, 4, 0).eax >> 26, 3, "four core ids");
    BUILD_AMD (&options, 0, &g);
    assert_sharing (&g, 0x8000001d, 2, 8);
}

static void
build_without_topoext (const VmmCpuTopology *t, struct guest *g)
{
    struct kvm_cpuid_entry2 list[G_N_ELEMENTS (amd_list)];
    VmmX86CpuidOptions options = {.topology = t};

    memcpy (list, amd_list, sizeof list);
    for (size_t i = 0; i < G_N_ELEMENTS (list); i++) {
        if (list[i].function == 0x80000001)
            list[i].ecx &= ~(1u << 22);
        if (list[i].function == 0x80000000)
            list[i].eax = 0x80000008;
    }
    build (list, G_N_ELEMENTS (list), &options, 3, g);
}

Test (cpuid, without_topoext_the_leaves_of_it_are_absent)
{
    struct guest g;

    build_without_topoext (&(VmmCpuTopology){4, 1, 4, 1}, &g);
    cr_assert_eq (ask (&g, 0x80000001, 0).ecx & 1u << 22, 0);
    cr_assert_eq (ask (&g, 0x8000001e, 0).ebx, 0);
    cr_assert_eq (ask (&g, 0x8000001d, 0).eax, 0);
}

/* Linux 6.1 finds threads on an AMD CPU by it alone. */
Test (cpuid, threads_bring_topoext_along)
{
    struct guest g;

    build_without_topoext (&(VmmCpuTopology){4, 1, 2, 2}, &g);
    cr_assert_neq (ask (&g, 0x80000001, 0).ecx & 1u << 22, 0);
    cr_assert_geq (ask (&g, 0x80000000, 0).eax, 0x8000001e);
    cr_assert_eq (ask (&g, 0x8000001e, 0).ebx, 0x101, "core 1, two threads a core");
}

Test (cpuid, features)
{
    VmmCpuTopology t = {1, 1, 1, 1};
    VmmX86CpuidOptions options = {.topology = &t};
    struct kvm_cpuid_entry2 e;
    struct guest g;

    BUILD_INTEL (&options, 0, &g);
    e = ask (&g, 1, 0);
    cr_assert_neq (e.ecx & 1u << 21, 0, "x2APIC");
    cr_assert_neq (e.ecx & 1u << 31, 0, "hypervisor");
    cr_assert_eq (e.ecx & 1u << 24, 0, "TSC deadline only when asked for");
    cr_assert_eq (e.ecx & 1u << 27, 0, "OSXSAVE is KVM's");
    cr_assert_eq (e.ecx & (1u << 3 | 1u << 5 | 1u << 15), 0, "MONITOR, VMX, PDCM");
    cr_assert_eq (e.ebx >> 8 & 0xff, 8, "CLFLUSH");
    cr_assert_eq (ask (&g, 0xd, 0).eax, 0x602e7, "XSAVE as it was");
    cr_assert_eq (ask (&g, 0x12, 0).eax, 0, "SGX");
    cr_assert_eq (ask (&g, 0x14, 0).eax, 0, "processor trace");
    cr_assert_eq (ask (&g, 7, 0).ebx & (1u << 2 | 1u << 25), 0);
    cr_assert_eq (ask (&g, 0xa, 0).eax, 0, "no PMU");
    cr_assert_eq (ask (&g, 0x80000007, 0).edx, 0x100, "invariant TSC as it was");
    cr_assert_eq (ask (&g, 0x40000001, 0).eax, 0x01007efb);

    options = (VmmX86CpuidOptions){
        .topology = &t, .tsc_deadline = true, .ext_dest_id = true, .nested = true, .pmu = true};
    BUILD_INTEL (&options, 0, &g);
    cr_assert_neq (ask (&g, 1, 0).ecx & 1u << 24, 0);
    cr_assert_neq (ask (&g, 1, 0).ecx & 1u << 5, 0);
    cr_assert_neq (ask (&g, 0xa, 0).eax, 0);
    cr_assert_eq (ask (&g, 0x40000001, 0).eax, 0x0100fefb);
}

Test (cpuid, svm_and_counters_of_amd)
{
    VmmCpuTopology t = {1, 1, 1, 1};
    VmmX86CpuidOptions options = {.topology = &t};
    struct guest g;

    BUILD_AMD (&options, 0, &g);
    cr_assert_eq (ask (&g, 0x80000001, 0).ecx & (1u << 2 | 1u << 23 | 1u << 24 | 1u << 28), 0);
    cr_assert_eq (ask (&g, 0x8000000a, 0).eax, 0);
    cr_assert_eq (ask (&g, 0x80000022, 0).eax, 0);
    cr_assert_eq (ask (&g, 0x80000026, 0).ebx, 0, "the host's topology");
    options.nested = true;
    BUILD_AMD (&options, 0, &g);
    cr_assert_neq (ask (&g, 0x80000001, 0).ecx & 1u << 2, 0);
    cr_assert_eq (ask (&g, 0x8000000a, 0).eax, 1);
}

Test (cpuid, tsc_frequency)
{
    const uint32_t rates[] = {2596118, 1000000, 3000000, 2100001, 4999999, 800000, 5700123};
    VmmCpuTopology t = {1, 1, 1, 1};

    for (size_t i = 0; i < G_N_ELEMENTS (rates); i++) {
        VmmX86CpuidOptions options = {.topology = &t, .tsc_khz = rates[i]};
        struct kvm_cpuid_entry2 e;
        struct guest g;
        uint32_t khz;

        BUILD_INTEL (&options, 0, &g);
        cr_assert_eq (ask (&g, 0x40000000, 0).eax, 0x40000010);
        cr_assert_eq (ask (&g, 0x40000010, 0).eax, rates[i]);
        cr_assert_eq (ask (&g, 0x40000010, 0).ebx, VMM_X86_APIC_BUS_KHZ);
        e = ask (&g, 0x15, 0);
        cr_assert_neq (e.eax, 0);
        /* As Linux computes it, in 32 bits; within what NTP corrects. */
        khz = e.ecx / 1000 * e.ebx / e.eax;
        cr_assert_lt (khz > rates[i] ? khz - rates[i] : rates[i] - khz, rates[i] / 10000, "%u for %u", khz,
                      rates[i]);
        cr_assert_eq (e.ecx, 1000000000, "the local APIC timer's clock");
        cr_assert_eq (ask (&g, 0x16, 0).eax, (rates[i] + 500) / 1000);

        BUILD_AMD (&options, 0, &g);
        cr_assert_eq (ask (&g, 0x15, 0).eax, 0);
        cr_assert_eq (ask (&g, 0x40000010, 0).eax, rates[i]);
    }
}

Test (cpuid, unknown_tsc_frequency_is_not_told)
{
    VmmCpuTopology t = {1, 1, 1, 1};
    VmmX86CpuidOptions options = {.topology = &t};
    struct guest g;

    BUILD_INTEL (&options, 0, &g);
    cr_assert_eq (ask (&g, 0x40000000, 0).eax, 0x40000001);
    cr_assert_eq (ask (&g, 0x40000010, 0).eax, 0);
    cr_assert_eq (ask (&g, 0x15, 0).eax, 0);
    cr_assert_eq (ask (&g, 0x16, 0).eax, 0);
}

Test (cpuid, wide_topologies_stay_inside_their_fields)
{
    VmmCpuTopology t = {4096, 1, 2048, 2};
    VmmX86CpuidOptions options = {.topology = &t};
    struct guest g;

    BUILD_INTEL (&options, 4095, &g);
    cr_assert_eq (ask (&g, 0xb, 0).edx, 4095);
    cr_assert_eq (ask (&g, 0xb, 1).ebx, 4096);
    cr_assert_eq (ask (&g, 1, 0).ebx >> 24, 0xff);
    cr_assert_eq (ask (&g, 1, 0).ebx >> 16 & 0xff, 0xff);
    cr_assert_eq (ask (&g, 4, 0).eax >> 26, 63);
    cr_assert_eq (ask (&g, 4, 3).eax >> 14 & 0xfff, 0xfff);
    BUILD_AMD (&options, 4095, &g);
    cr_assert_eq (ask (&g, 0x80000008, 0).ecx & 0xff, 0xff);
    cr_assert_eq (ask (&g, 0x80000008, 0).ecx >> 12 & 15, 12);
    cr_assert_eq (ask (&g, 0x8000001e, 0).eax, 4095);

    /* Gaps make 8192 ids of it, more than leaf 4 can say; the neighbour fields stay what they are. */
    t = (VmmCpuTopology){4095, 1, 1365, 3};
    BUILD_INTEL (&options, 0, &g);
    cr_assert_eq (ask (&g, 4, 3).eax >> 14 & 0xfff, 0xfff);
    BUILD_AMD (&options, 0, &g);
    cr_assert_eq (ask (&g, 0x8000001d, 3).eax, 0xfffu << 14 | 0x163);
}

Test (cpuid, out_is_never_overrun)
{
    VmmCpuTopology t = {2, 1, 1, 2};
    VmmX86CpuidOptions options = {.topology = &t, .tsc_khz = 2000000};
    struct guest g;

    BUILD_INTEL (&options, 0, &g);
    for (size_t cap = 0; cap <= g.n; cap++) {
        struct kvm_cpuid_entry2 *out = g_new0 (struct kvm_cpuid_entry2, cap + 1);
        size_t n;

        out[cap].function = 0xdeadbeef;
        n = vmm_x86_cpuid_build (intel_list, G_N_ELEMENTS (intel_list), &options, 0, out, cap);
        cr_assert_eq (n, cap < g.n ? 0 : g.n);
        cr_assert_eq (out[cap].function, 0xdeadbeef);
        g_free (out);
    }
    cr_assert_eq (vmm_x86_cpuid_build (intel_list + 1, 3, &options, 0, g.entries, CAP), 0, "no leaf 0");
}

Test (cpuid, questions_of_the_boot_code)
{
    cr_assert (vmm_x86_cpuid_has_gib_pages (intel_list, G_N_ELEMENTS (intel_list)));
    cr_assert_not (vmm_x86_cpuid_has_gib_pages (intel_list, 4));
    cr_assert_eq (vmm_x86_cpuid_phys_bits (intel_list, G_N_ELEMENTS (intel_list)), 46);
    cr_assert_eq (vmm_x86_cpuid_phys_bits (amd_list, G_N_ELEMENTS (amd_list)), 48);
    cr_assert_eq (vmm_x86_cpuid_phys_bits (intel_list, 4), 36);
    cr_assert_null (vmm_x86_cpuid_find (intel_list, G_N_ELEMENTS (intel_list), 0x4, 9));
}
