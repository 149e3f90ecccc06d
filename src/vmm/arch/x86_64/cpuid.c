/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What CPUID tells a guest (SDM 2A "CPUID", APM 3 appendix E, Linux Documentation/virt/kvm/x86/cpuid.rst).
 *
 * KVM_GET_SUPPORTED_CPUID gives what the host's CPU and KVM can do, with the host's own topology in it or
 * with none. From that list each vCPU's is made in one pass: an entry is copied, changed, or dropped, and the
 * leaves that depend on the vCPU's place in the topology are made new. A leaf that is not in the list reads
 * as zero in the guest, so that all-zero entries are dropped too: KVM looks leaves up one by one at each
 * exit.
 */
#include "vmm/arch/x86_64/cpuid.h"

#include <glib.h>
#include <string.h>

/* Leaf 1. */
#define L1_EBX_CLFLUSH_SHIFT 8
#define L1_EBX_CPUS_SHIFT 16
#define L1_EBX_APIC_ID_SHIFT 24
#define L1_EBX_KEEP 0xffffu /* brand index and CLFLUSH size */
#define L1_ECX_MONITOR (1u << 3)
#define L1_ECX_VMX (1u << 5)
#define L1_ECX_PDCM (1u << 15)
#define L1_ECX_X2APIC (1u << 21)
#define L1_ECX_TSC_DEADLINE (1u << 24)
#define L1_ECX_OSXSAVE (1u << 27)
#define L1_ECX_HYPERVISOR (1u << 31)
#define L1_EDX_HTT (1u << 28)

/* Leaf 7. */
#define L7_EBX_SGX (1u << 2)
#define L7_EBX_PT (1u << 25)
#define L7_ECX_OSPKE (1u << 4)
#define L7_ECX_SGX_LC (1u << 30)
#define L7_EDX_ARCH_LBR (1u << 19)

/* Leaf 0x80000001. */
#define LX1_ECX_CMP_LEGACY (1u << 1)
#define LX1_ECX_SVM (1u << 2)
#define LX1_ECX_TOPOEXT (1u << 22)
#define LX1_ECX_PERFCTR_CORE (1u << 23)
#define LX1_ECX_PERFCTR_NB (1u << 24)
#define LX1_ECX_PERFCTR_LLC (1u << 28)
#define LX1_EDX_GIB_PAGES (1u << 26)

/* Leaves 4 and 0x8000001d. */
#define CACHE_TYPE(eax) ((eax)&0x1fu)
#define CACHE_LEVEL(eax) ((eax) >> 5 & 7u)
#define CACHE_SHARING_SHIFT 14
#define CACHE_SHARING_MAX 0xfffu
#define CACHE_CORES_SHIFT 26
#define CACHE_CORES_MAX 0x3fu
#define CACHE_KEEP 0x3fffu

/* Leaves 0xb and 0x1f. */
#define LEVEL_THREAD 1u
#define LEVEL_CORE 2u

#define KVM_LEAF 0x40000000u
#define KVM_LEAF_FEATURES 0x40000001u
#define KVM_LEAF_TIMING 0x40000010u
#define KVM_FEATURE_MSI_EXT_DEST_ID (1u << 15)

#define PHYS_BITS_DEFAULT 36u

struct build {
    const VmmX86CpuidOptions *options;
    const VmmCpuTopology *topology;
    uint32_t apic_id;
    unsigned cpu;
    uint32_t max_leaf;
    uint32_t tsc_khz;
    uint32_t apic_bus_khz;
    bool amd;
    bool intel;
    bool topoext;
    struct kvm_cpuid_entry2 *out;
    size_t n;
    size_t cap;
    bool overflow;
};

/**
 * vmm_x86_cpuid_find:
 * @entries: a list of leaves
 * @n: how many
 * @function: the leaf
 * @index: the subleaf; not looked at where the leaf has none
 *
 * Returns: (nullable): the entry, borrowed, or %NULL
 */
const struct kvm_cpuid_entry2 *
vmm_x86_cpuid_find (const struct kvm_cpuid_entry2 *entries, size_t n, uint32_t function, uint32_t index)
{
    for (size_t i = 0; i < n; i++) {
        bool indexed = (entries[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0;

        if (entries[i].function == function && (!indexed || entries[i].index == index))
            return &entries[i];
    }
    return NULL;
}

/**
 * vmm_x86_cpuid_has_gib_pages:
 * @entries: a list of leaves
 * @n: how many
 *
 * Returns: whether the guest may use 1 GiB pages
 */
bool
vmm_x86_cpuid_has_gib_pages (const struct kvm_cpuid_entry2 *entries, size_t n)
{
    const struct kvm_cpuid_entry2 *e = vmm_x86_cpuid_find (entries, n, 0x80000001u, 0);

    return e != NULL && (e->edx & LX1_EDX_GIB_PAGES) != 0;
}

/**
 * vmm_x86_cpuid_phys_bits:
 * @entries: a list of leaves
 * @n: how many
 *
 * Returns: how many bits a guest-physical address has
 */
unsigned
vmm_x86_cpuid_phys_bits (const struct kvm_cpuid_entry2 *entries, size_t n)
{
    const struct kvm_cpuid_entry2 *e = vmm_x86_cpuid_find (entries, n, 0x80000008u, 0);

    return e != NULL && (e->eax & 0xff) != 0 ? e->eax & 0xff : PHYS_BITS_DEFAULT;
}

static bool
is_vendor (const struct kvm_cpuid_entry2 *leaf0, const char name[12])
{
    return memcmp (&leaf0->ebx, name, 4) == 0 && memcmp (&leaf0->edx, name + 4, 4) == 0 &&
           memcmp (&leaf0->ecx, name + 8, 4) == 0;
}

static void
put (struct build *b, const struct kvm_cpuid_entry2 *entry)
{
    if ((entry->eax | entry->ebx | entry->ecx | entry->edx) == 0)
        return;
    if (b->n == b->cap) {
        b->overflow = true;
        return;
    }
    b->out[b->n] = *entry;
    memset (b->out[b->n].padding, 0, sizeof b->out[b->n].padding);
    b->n++;
}

static void
set_bits (uint32_t *value, uint32_t bits, bool on)
{
    *value = on ? *value | bits : *value & ~bits;
}

static void
edit_leaf1 (const struct build *b, struct kvm_cpuid_entry2 *e)
{
    unsigned package_cpus = b->topology->cores * b->topology->threads;
    /* Intel counts the ids that a package may have, AMD the threads that it has. */
    unsigned count = b->amd ? package_cpus : 1u << vmm_x86_apic_package_shift (b->topology);

    e->ebx &= L1_EBX_KEEP;
    if (e->ebx >> L1_EBX_CLFLUSH_SHIFT == 0)
        e->ebx |= 8u << L1_EBX_CLFLUSH_SHIFT; /* 64 bytes: Linux divides by it */
    e->ebx |= MIN (count, 255u) << L1_EBX_CPUS_SHIFT | (b->apic_id & 0xff) << L1_EBX_APIC_ID_SHIFT;
    e->ecx |= L1_ECX_X2APIC | L1_ECX_HYPERVISOR;
    /* KVM itself shows OSXSAVE as CR4 has it; MONITOR in a guest is a matter of KVM_CAP_X86_DISABLE_EXITS. */
    e->ecx &= ~(L1_ECX_OSXSAVE | L1_ECX_MONITOR);
    set_bits (&e->ecx, L1_ECX_TSC_DEADLINE, b->options->tsc_deadline);
    if (!b->options->nested)
        e->ecx &= ~L1_ECX_VMX;
    if (!b->options->pmu)
        e->ecx &= ~L1_ECX_PDCM;
    set_bits (&e->edx, L1_EDX_HTT, package_cpus > 1);
}

/* The first two levels belong to a core, the others to the package. Counts are of APIC ids, gaps included. */
static void
edit_cache (const struct build *b, struct kvm_cpuid_entry2 *e)
{
    unsigned package_shift = vmm_x86_apic_package_shift (b->topology);
    unsigned core_shift = vmm_x86_apic_core_shift (b->topology);
    uint32_t sharing = (1u << (CACHE_LEVEL (e->eax) >= 3 ? package_shift : core_shift)) - 1;
    uint32_t cores = (1u << (package_shift - core_shift)) - 1;

    if (CACHE_TYPE (e->eax) == 0)
        return;
    e->eax = (e->eax & CACHE_KEEP) | MIN (sharing, CACHE_SHARING_MAX) << CACHE_SHARING_SHIFT;
    if (e->function == 4)
        e->eax |= MIN (cores, CACHE_CORES_MAX) << CACHE_CORES_SHIFT;
}

static void
edit_leaf7 (const struct build *b, struct kvm_cpuid_entry2 *e)
{
    if (e->index != 0)
        return;
    e->ebx &= ~(L7_EBX_SGX | L7_EBX_PT);
    e->ecx &= ~(L7_ECX_SGX_LC | L7_ECX_OSPKE);
    if (!b->options->pmu)
        e->edx &= ~L7_EDX_ARCH_LBR;
}

static void
edit_extended1 (const struct build *b, struct kvm_cpuid_entry2 *e)
{
    set_bits (&e->ecx, LX1_ECX_CMP_LEGACY, b->amd && b->topology->cores * b->topology->threads > 1);
    if (!b->options->nested)
        e->ecx &= ~LX1_ECX_SVM;
    if (!b->options->pmu)
        e->ecx &= ~(LX1_ECX_PERFCTR_CORE | LX1_ECX_PERFCTR_NB | LX1_ECX_PERFCTR_LLC);
}

/* ECX: the threads of a package, less one, and the width of their field in an APIC id. */
static void
edit_extended8 (const struct build *b, struct kvm_cpuid_entry2 *e)
{
    unsigned threads = b->topology->cores * b->topology->threads - 1;

    e->ecx &= ~0xf0ffu;
    if (b->amd)
        e->ecx |= MIN (threads, 0xffu) | vmm_x86_apic_package_shift (b->topology) << 12;
}

static void
put_amd_topology (struct build *b)
{
    unsigned core = b->cpu / b->topology->threads % b->topology->cores;
    unsigned package = b->cpu / b->topology->threads / b->topology->cores;

    put (b, &(struct kvm_cpuid_entry2){.function = 0x8000001eu,
                                       .eax = b->apic_id,
                                       .ebx = (core & 0xff) | MIN (b->topology->threads - 1, 0xffu) << 8,
                                       .ecx = package & 0xff});
}

/* The levels of an APIC id: subleaf 0 the thread in its core, 1 the core in its package, 2 no further level.
 */
static void
put_levels (struct build *b, uint32_t function)
{
    const VmmCpuTopology *t = b->topology;
    struct kvm_cpuid_entry2 e = {
        .function = function, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .edx = b->apic_id};

    e.eax = vmm_x86_apic_core_shift (t);
    e.ebx = t->threads;
    e.ecx = e.index | LEVEL_THREAD << 8;
    put (b, &e);
    e.index = 1;
    e.eax = vmm_x86_apic_package_shift (t);
    e.ebx = t->cores * t->threads;
    e.ecx = e.index | LEVEL_CORE << 8;
    put (b, &e);
    e.index = 2;
    e.eax = e.ebx = 0;
    e.ecx = e.index;
    put (b, &e);
}

/*
 * A fraction near @value / @unit whose numerator is at most @max, by continued fractions: convergents while
 * they fit, then as much of the next one as does, when that is nearer than the last (more than half of it).
 */
static void
approximate (uint32_t value, uint32_t unit, uint32_t max, uint32_t *ret_num, uint32_t *ret_den)
{
    uint64_t num = 1, num_before = 0, den = 0, den_before = 1;
    uint64_t a = value, b = unit;

    while (b != 0) {
        uint64_t q = a / b, rest = a % b;
        uint64_t num_next = q * num + num_before, den_next = q * den + den_before;

        if (num_next > max) {
            uint64_t part = (max - num_before) / num;

            if (part * 2 > q) {
                num = part * num + num_before;
                den = part * den + den_before;
            }
            break;
        }
        num_before = num, num = num_next;
        den_before = den, den = den_next;
        a = b, b = rest;
    }
    *ret_num = (uint32_t)num;
    *ret_den = (uint32_t)den;
}

/*
 * Leaf 0x15: the TSC as a ratio of the crystal, and the crystal, which Linux takes for the local APIC timer's
 * clock. Linux multiplies kHz by the numerator in 32 bits, which bounds the numerator. Leaf 0x16: MHz.
 */
static void
put_intel_frequencies (struct build *b)
{
    struct kvm_cpuid_entry2 tsc = {.function = 0x15};
    uint32_t mhz = (b->tsc_khz + 500) / 1000;

    if (!b->intel || b->tsc_khz == 0)
        return;
    if (b->max_leaf >= 0x15 && b->apic_bus_khz <= UINT32_MAX / 1000) {
        approximate (b->tsc_khz, b->apic_bus_khz, UINT32_MAX / b->apic_bus_khz, &tsc.ebx, &tsc.eax);
        tsc.ecx = b->apic_bus_khz * 1000;
        if (tsc.eax != 0 && tsc.ebx != 0)
            put (b, &tsc);
    }
    if (b->max_leaf >= 0x16)
        put (b, &(struct kvm_cpuid_entry2){
                    .function = 0x16, .eax = mhz & 0xffff, .ebx = mhz & 0xffff, .ecx = 100});
}

/* Returns false for a leaf that must not be shown, or that is made new. */
static bool
edit (const struct build *b, struct kvm_cpuid_entry2 *e)
{
    switch (e->function) {
    case 0x1:
        edit_leaf1 (b, e);
        return true;
    case 0x3:  /* serial number */
    case 0x5:  /* MONITOR */
    case 0xb:  /* made new */
    case 0x12: /* SGX */
    case 0x14: /* processor trace */
    case 0x15: /* made new */
    case 0x16: /* made new */
    case 0x1f: /* made new */
        return false;
    case 0x4:
        edit_cache (b, e);
        return true;
    case 0x7:
        edit_leaf7 (b, e);
        return true;
    case 0xa:
    case 0x1c:
    case 0x23:
    case 0x80000022u:
        return b->options->pmu;
    case KVM_LEAF:
        if (b->tsc_khz != 0)
            e->eax = MAX (e->eax, KVM_LEAF_TIMING);
        return true;
    case KVM_LEAF_FEATURES:
        if (b->options->ext_dest_id)
            e->eax |= KVM_FEATURE_MSI_EXT_DEST_ID;
        return true;
    case KVM_LEAF_TIMING:
        return false;
    case 0x80000000u:
        if (b->topoext)
            e->eax = MAX (e->eax, 0x8000001eu);
        return true;
    case 0x80000001u:
        edit_extended1 (b, e);
        if (b->topoext)
            e->ecx |= LX1_ECX_TOPOEXT;
        return true;
    case 0x80000008u:
        edit_extended8 (b, e);
        return true;
    case 0x8000000au:
        return b->options->nested;
    case 0x8000001du:
        edit_cache (b, e);
        return b->topoext;
    case 0x8000001eu: /* made new */
    case 0x80000026u: /* the host's topology; 0xb says the guest's */
        return false;
    default:
        return true;
    }
}

/**
 * vmm_x86_cpuid_build:
 * @supported: what KVM_GET_SUPPORTED_CPUID gave
 * @n: how many entries
 * @options: what to show of it
 * @cpu: the vCPU, less than the topology's number
 * @out: the vCPU's list, for KVM_SET_CPUID2
 * @cap: entries that @out has room for; @n + %VMM_X86_CPUID_EXTRA are always enough
 *
 * Returns: how many entries were written; 0 when @out is too small or @supported has no leaf 0
 */
size_t
vmm_x86_cpuid_build (const struct kvm_cpuid_entry2 *supported, size_t n, const VmmX86CpuidOptions *options,
                     unsigned cpu, struct kvm_cpuid_entry2 *out, size_t cap)
{
    const struct kvm_cpuid_entry2 *leaf0 = vmm_x86_cpuid_find (supported, n, 0, 0);
    const struct kvm_cpuid_entry2 *extended1 = vmm_x86_cpuid_find (supported, n, 0x80000001u, 0);
    struct build b = {.options = options,
                      .topology = options->topology,
                      .cpu = cpu,
                      .tsc_khz = options->tsc_khz,
                      .out = out,
                      .cap = cap};

    if (leaf0 == NULL)
        return 0;
    b.apic_id = vmm_x86_apic_id (options->topology, cpu);
    b.apic_bus_khz = options->apic_bus_khz != 0 ? options->apic_bus_khz : VMM_X86_APIC_BUS_KHZ;
    b.max_leaf = leaf0->eax;
    b.intel = is_vendor (leaf0, "GenuineIntel");
    b.amd = is_vendor (leaf0, "AuthenticAMD") || is_vendor (leaf0, "HygonGenuine");
    /* Without it Linux before 6.9 takes each of an AMD CPU's threads for a core: it needs nothing of the
     * host. */
    b.topoext = b.amd && extended1 != NULL &&
                ((extended1->ecx & LX1_ECX_TOPOEXT) != 0 || options->topology->threads > 1);

    for (size_t i = 0; i < n; i++) {
        struct kvm_cpuid_entry2 e = supported[i];

        if (edit (&b, &e))
            put (&b, &e);
    }
    if (b.max_leaf >= 0xb)
        put_levels (&b, 0xb);
    if (b.max_leaf >= 0x1f && b.intel)
        put_levels (&b, 0x1f);
    if (b.topoext)
        put_amd_topology (&b);
    put_intel_frequencies (&b);
    if (b.tsc_khz != 0 && vmm_x86_cpuid_find (supported, n, KVM_LEAF, 0) != NULL)
        put (&b, &(struct kvm_cpuid_entry2){
                     .function = KVM_LEAF_TIMING, .eax = b.tsc_khz, .ebx = b.apic_bus_khz});
    return b.overflow ? 0 : b.n;
}
