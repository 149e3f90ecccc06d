/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM part of the host probe: the processor, the device node, the API, its capabilities, its speed.
 */
#include "vmm/host-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host-speed.h"

/* Younger than the oldest kernel headers that vmm builds with. */
#ifndef KVM_CAP_XSAVE2
#define KVM_CAP_XSAVE2 208
#endif
#ifndef KVM_CAP_GUEST_MEMFD
#define KVM_CAP_GUEST_MEMFD 234
#endif

#define KVM_API_WANTED 12
#define QUICK_BUDGET_US 3000
#define DOCTOR_BUDGET_US 20000
/* Below this a stock kernel's boot, some hundred million instructions in ring 0, takes more than seconds. */
#define RING0_FAST_MIPS 100.0
#define RING0_FAST_RATIO 20.0

typedef struct {
    unsigned number;
    const char *name;
    size_t fact;      /* offset of its bool in VmmHostFacts */
    const char *lost; /* what does not work without it; NULL where no machine works */
} Capability;

#define FACT(member) offsetof (VmmHostFacts, member)

static const Capability capabilities[] = {
    {KVM_CAP_USER_MEMORY, "USER_MEMORY", FACT (cap_user_memory), NULL},
    {KVM_CAP_IRQFD, "IRQFD", FACT (cap_irqfd), NULL},
    {KVM_CAP_IOEVENTFD, "IOEVENTFD", FACT (cap_ioeventfd), NULL},
    {KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT", FACT (cap_immediate_exit), NULL},
    {KVM_CAP_IRQCHIP, "IRQCHIP", FACT (cap_irqchip), NULL},
    {KVM_CAP_SPLIT_IRQCHIP, "SPLIT_IRQCHIP", FACT (cap_split_irqchip), "split interrupt controllers"},
    {KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI", FACT (cap_signal_msi), "message-signalled interrupts by system call"},
    {KVM_CAP_READONLY_MEM, "READONLY_MEM", FACT (cap_readonly_mem), "read-only guest memory"},
    {KVM_CAP_XSAVE2, "XSAVE2", FACT (cap_xsave2), "saving large vector registers"},
    {KVM_CAP_DIRTY_LOG_RING, "DIRTY_LOG_RING", FACT (cap_dirty_ring), "dirty-page rings"},
    {KVM_CAP_GUEST_MEMFD, "GUEST_MEMFD", FACT (cap_guest_memfd), "private guest memory"},
};

static const struct {
    const char *signature;
    const char *name;
} hypervisors[] = {
    {"KVMKVMKVM", "KVM"},        {"TCGTCGTCGTCG", "QEMU's emulator"},
    {"Microsoft Hv", "Hyper-V"}, {"VMwareVMware", "VMware"},
    {"XenVMMXenVMM", "Xen"},     {"VBoxVBoxVBox", "VirtualBox"},
    {"bhyve bhyve ", "bhyve"},   {" lrpepyh  vr", "Parallels"},
    {"ACRNACRNACRN", "ACRN"},    {"OpenBSDVMM58", "OpenBSD vmm"},
};

static const char *
hypervisor_name (const char *signature)
{
    for (gsize i = 0; i < G_N_ELEMENTS (hypervisors); i++)
        if (g_str_equal (hypervisors[i].signature, signature))
            return hypervisors[i].name;
    return signature[0] != '\0' ? signature : "an unknown hypervisor";
}

/* What the processor shows. Nothing here is a failure: a KVM can work without the flags, and says so itself.
 */
static void
probe_cpu (VmmHostReport *report, const char *root)
{
    VmmHostFacts *facts = &report->facts;
    VmmHostSigns signs;
    char signature[13] = "";

    vmm_host_signs_read (root, &signs);
    facts->cpu_vmx = signs.cpu_vmx;
    facts->cpu_svm = signs.cpu_svm;
    facts->cpu_in_vm = signs.cpu_hypervisor;
    if (root[0] == '\0' && facts->cpu_in_vm)
        vmm_host_speed_hypervisor (signature);
    g_strlcpy (facts->cpu_hypervisor, signature, sizeof facts->cpu_hypervisor);

    if (signs.cpu_vmx || signs.cpu_svm)
        vmm_host_report_add (report, "cpu.virtualization", "processor", VMM_HOST_OK,
                             g_strdup (signs.cpu_vmx ? "VT-x" : "AMD-V"),
                             "the processor runs guests in hardware", NULL);
    else if (signs.cpu_known)
        vmm_host_report_add (
            report, "cpu.virtualization", "processor", VMM_HOST_NOTE, g_strdup ("no VT-x, no AMD-V"),
            "the processor shows no virtualization: a KVM here works by software, in part or whole", NULL);
    if (facts->cpu_in_vm) {
        g_autofree char *text =
            g_strdup_printf ("this host is itself a virtual machine (%s): each guest exit costs "
                             "more than on bare metal",
                             hypervisor_name (signature));
        vmm_host_report_add (report, "cpu.nested", "virtual host", VMM_HOST_NOTE,
                             g_strdup (hypervisor_name (signature)), text, NULL);
    }
}

static int
open_node (VmmHostReport *report, const char *root)
{
    g_autofree char *node = g_strconcat (root, "/dev/kvm", NULL);
    int fd = open (node, O_RDWR | O_CLOEXEC);
    int error = errno;

    report->facts.kvm_present = fd >= 0 || access (node, F_OK) == 0;
    report->facts.kvm_accessible = fd >= 0;
    if (fd >= 0) {
        vmm_host_report_add (report, "kvm.device", "/dev/kvm", VMM_HOST_OK, g_strdup ("opened"),
                             "this process may use KVM", NULL);
    } else {
        g_autoptr (VmmHostDiagnosis) diagnosis = vmm_host_diagnose_kvm_open (root, error);
        vmm_host_report_add (report, "kvm.device", "/dev/kvm", VMM_HOST_FAILURE,
                             g_strdup (g_strerror (error)), diagnosis->what, diagnosis->advice);
    }
    return fd;
}

static bool
probe_api (VmmHostReport *report, int fd)
{
    int version = ioctl (fd, KVM_GET_API_VERSION, 0UL);

    if (version < 0) {
        vmm_host_report_add (
            report, "kvm.api", "KVM API", VMM_HOST_FAILURE, g_strdup (g_strerror (errno)),
            "/dev/kvm does not answer as KVM does: it is another device or a file",
            "make the node again with \"sudo rm /dev/kvm; sudo mknod -m 0660 /dev/kvm c 10 232\"");
        return false;
    }
    report->facts.kvm_api_version = version;
    if (version != KVM_API_WANTED) {
        vmm_host_report_add (
            report, "kvm.api", "KVM API", VMM_HOST_FAILURE, g_strdup_printf ("version %d", version),
            "vmm speaks version 12, which every kernel since 2.6.22 has", "use a newer kernel");
        return false;
    }
    vmm_host_report_add (report, "kvm.api", "KVM API", VMM_HOST_OK, g_strdup_printf ("version %d", version),
                         "the version that vmm speaks", NULL);
    return true;
}

static void
append_word (GString *words, const char *word)
{
    if (words->len > 0)
        g_string_append (words, ", ");
    g_string_append (words, word);
}

static bool
probe_capabilities (VmmHostReport *report, int fd)
{
    g_autoptr (GString) missing = g_string_new (NULL);
    g_autoptr (GString) lost = g_string_new (NULL);
    unsigned n_present = 0;

    for (gsize i = 0; i < G_N_ELEMENTS (capabilities); i++) {
        const Capability *cap = &capabilities[i];
        bool present = ioctl (fd, KVM_CHECK_EXTENSION, (unsigned long)cap->number) > 0;
        G_STRUCT_MEMBER (bool, &report->facts, cap->fact) = present;
        n_present += present;
        if (!present && cap->lost != NULL)
            append_word (lost, cap->lost);
        else if (!present && cap->number != KVM_CAP_IRQCHIP)
            append_word (missing, cap->name);
    }
    /* A kernel can be built with only one of the two (CONFIG_KVM_IOAPIC on x86). */
    if (!report->facts.cap_irqchip && !report->facts.cap_split_irqchip)
        append_word (missing, "IRQCHIP");
    if (missing->len > 0) {
        g_string_prepend (missing, "missing: ");
        vmm_host_report_add (report, "kvm.capabilities", "capabilities", VMM_HOST_FAILURE,
                             g_strdup (missing->str), "vmm cannot run a machine without them",
                             "use a newer kernel, or one whose KVM has them built in");
        return false;
    }
    if (lost->len > 0) {
        g_string_prepend (lost, "what this kernel's KVM lacks: ");
        vmm_host_report_add (report, "kvm.capabilities", "capabilities", VMM_HOST_NOTE,
                             g_strdup_printf ("%u of %u", n_present, (unsigned)G_N_ELEMENTS (capabilities)),
                             lost->str, NULL);
    } else {
        vmm_host_report_add (report, "kvm.capabilities", "capabilities", VMM_HOST_OK,
                             g_strdup_printf ("all %u", n_present), "everything that vmm can use is there",
                             NULL);
    }
    return true;
}

static unsigned
positive_extension (int fd, unsigned long number)
{
    int value = ioctl (fd, KVM_CHECK_EXTENSION, number);

    return value > 0 ? (unsigned)value : 0;
}

static void
probe_limits (VmmHostReport *report, int fd)
{
    VmmHostFacts *facts = &report->facts;

    facts->kvm_recommended_vcpus = positive_extension (fd, KVM_CAP_NR_VCPUS);
    facts->kvm_max_vcpus = positive_extension (fd, KVM_CAP_MAX_VCPUS);
    facts->kvm_max_memslots = positive_extension (fd, KVM_CAP_NR_MEMSLOTS);
    /* The KVM API document: four where NR_VCPUS is absent, and the recommended number where MAX_VCPUS is. */
    if (facts->kvm_recommended_vcpus == 0)
        facts->kvm_recommended_vcpus = 4;
    if (facts->kvm_max_vcpus == 0)
        facts->kvm_max_vcpus = facts->kvm_recommended_vcpus;
    vmm_host_report_add (report, "kvm.vcpus", "vCPUs", VMM_HOST_OK,
                         g_strdup_printf ("up to %u", facts->kvm_max_vcpus),
                         "per machine; more than the host has processors is possible and slow", NULL);
}

/* The capabilities are promises; this is the first call that needs the processor (EBUSY beside VirtualBox).
 */
static bool
probe_machine (VmmHostReport *report, const char *root, int fd)
{
    int vm_fd = vmm_host_speed_create_vm (fd);

    if (vm_fd < 0) {
        int error = errno;
        g_autoptr (VmmHostDiagnosis) diagnosis = vmm_host_diagnose_kvm_open (root, error);
        vmm_host_report_add (report, "kvm.machine", "empty machine", VMM_HOST_FAILURE,
                             g_strdup (g_strerror (error)), diagnosis->what, diagnosis->advice);
        return false;
    }
    close (vm_fd);
    vmm_host_report_add (report, "kvm.machine", "empty machine", VMM_HOST_OK, g_strdup ("created"),
                         "KVM makes machines when asked", NULL);
    return true;
}

static void
probe_nested_parameter (VmmHostReport *report, const char *root)
{
    g_autofree char *intel = vmm_host_read_line (root, "/sys/module/kvm_intel/parameters/nested");
    g_autofree char *amd = vmm_host_read_line (root, "/sys/module/kvm_amd/parameters/nested");
    const char *value = intel != NULL ? intel : amd;

    if (value == NULL)
        return;
    report->facts.kvm_nested = value[0] == 'Y' || value[0] == '1';
    if (report->facts.kvm_nested) {
        vmm_host_report_add (report, "kvm.nested", "nested guests", VMM_HOST_OK, g_strdup ("on"),
                             "a guest may use KVM itself", NULL);
        return;
    }
    const char *module = intel != NULL ? "kvm_intel" : "kvm_amd";
    g_autofree char *advice =
        g_strdup_printf ("only where guests need KVM: \"sudo modprobe -r %s; sudo modprobe %s "
                         "nested=1\"",
                         module, module);
    vmm_host_report_add (report, "kvm.nested", "nested guests", VMM_HOST_NOTE, g_strdup ("off"),
                         "a guest cannot use KVM itself", advice);
}

static char *
format_mips (double mips)
{
    return mips < 10 ? g_strdup_printf ("%.1f million instructions/s", mips)
                     : g_strdup_printf ("%.0f million instructions/s", mips);
}

static void
report_speed_error (VmmHostReport *report, const char *id, const char *title, const GError *error)
{
    vmm_host_report_add (report, id, title, VMM_HOST_WARNING, g_strdup ("not measured"), error->message,
                         "run \"vmm\" without options: its built-in guest proves whether a machine runs");
}

static void
probe_speed (VmmHostReport *report, int fd)
{
    VmmHostFacts *facts = &report->facts;
    g_autoptr (GError) error0 = NULL;
    g_autoptr (GError) error3 = NULL;
    bool have0 =
        vmm_host_speed_measure (fd, VMM_HOST_SPEED_KERNEL, DOCTOR_BUDGET_US, &facts->ring0_mips, &error0);
    bool have3 =
        vmm_host_speed_measure (fd, VMM_HOST_SPEED_USER, DOCTOR_BUDGET_US, &facts->ring3_mips, &error3);

    facts->ring0_fast = have0 && vmm_host_ring0_is_fast (facts->ring0_mips, facts->ring3_mips);
    if (!have0) {
        report_speed_error (report, "kvm.ring0-speed", "ring-0 speed", error0);
    } else if (facts->ring0_fast) {
        vmm_host_report_add (report, "kvm.ring0-speed", "ring-0 speed", VMM_HOST_OK,
                             format_mips (facts->ring0_mips), "guest kernels run on the processor", NULL);
    } else {
        g_autofree char *speed = format_mips (facts->ring0_mips);
        g_autofree char *text =
            g_strdup_printf ("this KVM interprets ring 0 (%s): a stock kernel takes minutes or "
                             "never boots; small guests are fine",
                             speed);
        vmm_host_report_add (report, "kvm.ring0-speed", "ring-0 speed", VMM_HOST_WARNING, g_strdup (speed),
                             text,
                             "use a host with VT-x or AMD-V, or turn on nested virtualization for this one");
    }
    if (!have3)
        report_speed_error (report, "kvm.ring3-speed", "ring-3 speed", error3);
    else
        vmm_host_report_add (report, "kvm.ring3-speed", "ring-3 speed", VMM_HOST_OK,
                             format_mips (facts->ring3_mips), "guest programs, in the same short loop", NULL);
}

/* Adds the findings on KVM to @report, each one as far as those before it allow. */
void
vmm_host_probe_kvm (VmmHostReport *report, const char *root, VmmHostProbeFlags flags)
{
    probe_cpu (report, root);

    int fd = open_node (report, root);
    if (fd < 0)
        return;
    if (probe_api (report, fd)) {
        bool capable = probe_capabilities (report, fd);
        bool made = probe_machine (report, root, fd);
        report->facts.kvm_usable = capable && made;
        probe_limits (report, fd);
        probe_nested_parameter (report, root);
        if (made && (flags & VMM_HOST_PROBE_NO_SPEED) == 0)
            probe_speed (report, fd);
    }
    close (fd);
}

/**
 * vmm_host_ring0_is_fast:
 * @ring0_mips: millions of instructions per second in ring 0
 * @ring3_mips: the same in ring 3, or 0 where only ring 0 was measured
 *
 * Tells a KVM that runs guest kernels on the processor from one that interprets them. Ring 0 is fast when it
 * does at least 100 million instructions per second and at least a twentieth of ring 3's speed: an
 * interpreter is slower than both by a factor of ten or more, and a busy or emulated host is not.
 *
 * Returns: whether a stock kernel boots in seconds here
 */
bool
vmm_host_ring0_is_fast (double ring0_mips, double ring3_mips)
{
    return ring0_mips >= RING0_FAST_MIPS && ring0_mips >= ring3_mips / RING0_FAST_RATIO;
}

/**
 * vmm_host_measure_ring0:
 * @ret_mips: (out): millions of guest kernel instructions per second
 * @error: return location for a %VMM_ERROR_HOST
 *
 * Measures how fast KVM runs guest kernel code, in a scratch machine of its own. Takes some 5 ms, from any
 * thread, also while other machines run. Give the result to vmm_host_ring0_is_fast().
 *
 * Returns: %true on success
 */
bool
vmm_host_measure_ring0 (double *ret_mips, GError **error)
{
    int fd = open ("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        g_autofree char *line = vmm_host_explain_kvm_open (errno);
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_HOST, line);
        return false;
    }
    bool ok = vmm_host_speed_measure (fd, VMM_HOST_SPEED_KERNEL, QUICK_BUDGET_US, ret_mips, error);
    close (fd);
    return ok;
}
