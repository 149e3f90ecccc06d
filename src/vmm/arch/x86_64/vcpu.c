/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * What is particular to an x86-64 vCPU: its CPUID, the state in which it starts, the exits that KVM hands us
 * (port I/O, MMIO, the end of a level-triggered interrupt), and what a report says of it. The thread that
 * runs it is src/vmm/vcpu.c.
 *
 * Only the first vCPU gets a state here; the others wait for INIT and SIPI, as KVM makes them.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/page-tables.h"
#include "vmm/arch/x86_64/vm-internal.h"
#include "vmm/error.h"

#define CPUID_ENTRIES 256u

#define MSR_MISC_ENABLE 0x1a0u
#define MSR_MTRR_DEF_TYPE 0x2ffu
#define MSR_LSTAR 0xc0000082u
#define MISC_ENABLE_FAST_STRING (1u << 0)
#define MTRR_ENABLE (1u << 11)
#define MTRR_WRITE_BACK 6u

#define CR0_PE (1u << 0)
#define CR0_ET (1u << 4)
#define CR0_NE (1u << 5)
#define CR0_PG (1u << 31)
#define CR4_PAE (1u << 5)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define RFLAGS_RESERVED 2u
#define RFLAGS_IF (1u << 9)

#define LAPIC_LVT_LINT0 0x350u
#define LAPIC_LVT_LINT1 0x360u
#define LVT_EXTINT 0x700u
#define LVT_NMI 0x400u

#define INSTRUCTION_MAX 15u

/**
 * vmm_x86_read_cpuid:
 *
 * Asks KVM once what CPU it can show, for all vCPUs of the machine.
 *
 * Returns: false with %VMM_ERROR_HOST
 */
bool
vmm_x86_read_cpuid (VmmArchVm *vm, GError **error)
{
    vm->cpuid = g_malloc0 (sizeof *vm->cpuid + CPUID_ENTRIES * sizeof vm->cpuid->entries[0]);
    vm->cpuid->nent = CPUID_ENTRIES;
    if (!vmm_kvm_ioctl (vmm_kvm_fd (vm->config.kvm), KVM_GET_SUPPORTED_CPUID, vm->cpuid,
                        "KVM_GET_SUPPORTED_CPUID", error))
        return false;
    vm->phys_bits = vmm_x86_cpuid_phys_bits (vm->cpuid->entries, vm->cpuid->nent);
    vm->gib_pages = vmm_x86_cpuid_has_gib_pages (vm->cpuid->entries, vm->cpuid->nent);
    return true;
}

static bool
set_cpuid (VmmArchVm *vm, int fd, unsigned index, GError **error)
{
    size_t cap = vm->cpuid->nent + VMM_X86_CPUID_EXTRA;
    g_autofree struct kvm_cpuid2 *cpuid = g_malloc0 (sizeof *cpuid + cap * sizeof cpuid->entries[0]);
    VmmX86CpuidOptions options = {
        .topology = &vm->topology,
        .tsc_khz = vm->tsc_khz,
        .tsc_deadline = vm->tsc_deadline,
        .ext_dest_id = vmm_x86_needs_x2apic (&vm->topology),
        .nested = true,
        .pmu = true,
    };

    cpuid->nent = (uint32_t)vmm_x86_cpuid_build (vm->cpuid->entries, vm->cpuid->nent, &options, index,
                                                 cpuid->entries, cap);
    return vmm_kvm_ioctl (fd, KVM_SET_CPUID2, cpuid, "KVM_SET_CPUID2", error);
}

static bool
set_msrs (int fd, GError **error)
{
    struct {
        struct kvm_msrs header;
        struct kvm_msr_entry entries[2];
    } msrs = {
        .header.nmsrs = 2,
        .entries =
            {
                {.index = MSR_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING},
                /* As firmware leaves it: all RAM write-back; what is no RAM is not cached by the nature of
                   KVM. */
                {.index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLE | MTRR_WRITE_BACK},
            },
    };

    return vmm_kvm_ioctl (fd, KVM_SET_MSRS, &msrs, "KVM_SET_MSRS", error);
}

/*
 * KVM answers CPUID leaf 0xd with the size of what XCR0 turns on, and learns of XCR0 by intercepting XSETBV.
 * A KVM that runs below an emulator which does not let it (QEMU's TCG) would go on showing the size of reset,
 * and Linux would complain at length; so the vCPU starts with what a kernel turns on anyway. Not all KVMs
 * know how.
 */
static void
set_xcr0 (VmmArchVm *vm, int fd)
{
    const struct kvm_cpuid_entry2 *leaf = vmm_x86_cpuid_find (vm->cpuid->entries, vm->cpuid->nent, 0xd, 0);
    struct kvm_xcrs xcrs = {.nr_xcrs = 1};

    if (leaf == NULL || leaf->eax == 0)
        return;
    xcrs.xcrs[0].value = (uint64_t)leaf->edx << 32 | leaf->eax;
    ioctl (fd, KVM_SET_XCRS, &xcrs);
}

/* Virtual wire mode, as firmware leaves it, so that a PIC's interrupts arrive (MP specification 1.4, 3.6.2).
 */
static bool
set_lint (int fd, GError **error)
{
    struct kvm_lapic_state lapic;

    if (!vmm_kvm_ioctl (fd, KVM_GET_LAPIC, &lapic, "KVM_GET_LAPIC", error))
        return false;
    memcpy (lapic.regs + LAPIC_LVT_LINT0, &(uint32_t){LVT_EXTINT}, 4);
    memcpy (lapic.regs + LAPIC_LVT_LINT1, &(uint32_t){LVT_NMI}, 4);
    return vmm_kvm_ioctl (fd, KVM_SET_LAPIC, &lapic, "KVM_SET_LAPIC", error);
}

static void
fill_segments (struct kvm_sregs *sregs, VmmX86GdtKind kind)
{
    struct kvm_segment data;

    vmm_x86_gdt_segment (kind, VMM_X86_GDT_CODE, &sregs->cs);
    vmm_x86_gdt_segment (kind, VMM_X86_GDT_DATA, &data);
    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
    vmm_x86_gdt_segment (kind, VMM_X86_GDT_TSS, &sregs->tr);
    sregs->gdt.base = VMM_X86_GDT_GPA;
    sregs->gdt.limit = VMM_X86_GDT_LIMIT;
    /* No handler yet: a fault before the kernel has one is a triple fault, and reported as that. */
    sregs->idt.base = 0;
    sregs->idt.limit = 0;
}

static bool
set_boot_state (VmmArchVm *vm, int fd, GError **error)
{
    bool pvh = vm->entry == VMM_KERNEL_ENTRY_PVH;
    struct kvm_regs regs = {
        .rip = vm->entry_gpa,
        .rflags = RFLAGS_RESERVED,
        .rbx = pvh ? VMM_X86_PVH_INFO_GPA : 0,
        .rsi = pvh ? 0 : VMM_X86_ZERO_PAGE_GPA,
    };
    struct kvm_sregs sregs;

    if (!vmm_kvm_ioctl (fd, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS", error))
        return false;
    fill_segments (&sregs, pvh ? VMM_X86_GDT_FLAT32 : VMM_X86_GDT_LONG);
    if (pvh) {
        sregs.cr0 = CR0_PE | CR0_ET;
    } else {
        sregs.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
        sregs.cr3 = vm->cr3;
        sregs.cr4 = CR4_PAE;
        sregs.efer = EFER_LME | EFER_LMA;
    }
    return vmm_kvm_ioctl (fd, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS", error) &&
           vmm_kvm_ioctl (fd, KVM_SET_REGS, &regs, "KVM_SET_REGS", error);
}

/**
 * vmm_arch_vcpu_new:
 * @index: from 0; the first one starts the kernel
 *
 * Returns: the vCPU's descriptor, owned by the caller; -1 with %VMM_ERROR_HOST
 */
int
vmm_arch_vcpu_new (VmmArchVm *vm, unsigned index, GError **error)
{
    int fd = vmm_kvm_create_vcpu (vm->config.kvm, vmm_x86_apic_id (&vm->topology, index), error);
    bool ok;

    if (fd < 0)
        return -1;
    /* The frequency is the same on all vCPUs: nobody has set another. */
    if (index == 0)
        vm->tsc_khz = (uint32_t)MAX (ioctl (fd, KVM_GET_TSC_KHZ, 0), 0);
    ok = set_cpuid (vm, fd, index, error) && set_msrs (fd, error);
    if (ok)
        set_xcr0 (vm, fd);
    if (ok && index == 0)
        ok = set_boot_state (vm, fd, error);
    if (ok && index == 0 && vm->config.irqchip == VMM_IRQCHIP_KERNEL)
        ok = set_lint (fd, error);
    if (!ok) {
        close (fd);
        return -1;
    }
    return fd;
}

static uint64_t
load_sized (const uint8_t *p, unsigned size)
{
    uint64_t value = 0;

    memcpy (&value, p, size);
    return value;
}

static void
handle_port_io (VmmArchVm *vm, struct kvm_run *run)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    unsigned size = run->io.size;

    for (uint32_t i = 0; i < run->io.count; i++, data += size) {
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            vmm_bus_write (vm->ports, run->io.port, size, load_sized (data, size));
        } else {
            uint64_t value = vmm_bus_read (vm->ports, run->io.port, size);

            memcpy (data, &value, size);
        }
    }
}

/* RAM that KVM did not know yet when the guest touched it. */
static bool
handle_late_memory (VmmArchVm *vm, struct kvm_run *run)
{
    if (!vmm_guest_memory_contains (vm->config.memory, run->mmio.phys_addr, run->mmio.len))
        return false;
    vm->config.wait_memory (vm->config.machine);
    if (run->mmio.is_write)
        return vmm_guest_memory_write (vm->config.memory, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
    return vmm_guest_memory_read (vm->config.memory, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
}

static void
handle_mmio (VmmArchVm *vm, struct kvm_run *run)
{
    unsigned len = MIN (run->mmio.len, sizeof run->mmio.data);
    uint64_t value;

    if (handle_late_memory (vm, run))
        return;
    if (run->mmio.is_write) {
        vmm_bus_write (vm->mmio, run->mmio.phys_addr, len, load_sized (run->mmio.data, len));
        return;
    }
    value = vmm_bus_read (vm->mmio, run->mmio.phys_addr, len);
    memcpy (run->mmio.data, &value, len);
}

static VmmArchExit
handle_system_event (const struct kvm_run *run)
{
    switch (run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        return VMM_ARCH_EXIT_POWEROFF;
    case KVM_SYSTEM_EVENT_RESET:
        return VMM_ARCH_EXIT_RESET;
    default:
        return VMM_ARCH_EXIT_UNKNOWN;
    }
}

/**
 * vmm_arch_vcpu_handle_exit:
 * @run: what KVM_RUN has left; answers go there too
 *
 * On the vCPU's thread.
 *
 * Returns: how the vCPU goes on
 */
VmmArchExit
vmm_arch_vcpu_handle_exit (VmmArchVm *vm, struct kvm_run *run)
{
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        handle_port_io (vm, run);
        return VMM_ARCH_EXIT_HANDLED;
    case KVM_EXIT_MMIO:
        handle_mmio (vm, run);
        return VMM_ARCH_EXIT_HANDLED;
    case KVM_EXIT_IOAPIC_EOI:
        if (vmm_x86_irqchip_ioapic (vm->irqchip) != NULL)
            vmm_ioapic_eoi (vmm_x86_irqchip_ioapic (vm->irqchip), run->eoi.vector);
        return VMM_ARCH_EXIT_HANDLED;
    case KVM_EXIT_SHUTDOWN:
        return VMM_ARCH_EXIT_TRIPLE_FAULT;
    case KVM_EXIT_SYSTEM_EVENT:
        return handle_system_event (run);
    default:
        return VMM_ARCH_EXIT_UNKNOWN;
    }
}

/**
 * vmm_arch_kernel_anchor:
 *
 * Returns: (transfer none): a function of Linux whose address a CPU holds in a register: where its system
 * calls go (Linux: arch/x86/kernel/cpu/common.c, syscall_init())
 */
const char *
vmm_arch_kernel_anchor (void)
{
    return "entry_SYSCALL_64";
}

static uint64_t
read_anchor (int vcpu_fd)
{
    struct {
        struct kvm_msrs header;
        struct kvm_msr_entry entry;
    } msrs = {.header.nmsrs = 1, .entry.index = MSR_LSTAR};

    return ioctl (vcpu_fd, KVM_GET_MSRS, &msrs) == 1 ? msrs.entry.data : 0;
}

/**
 * vmm_arch_vcpu_sample:
 * @ret_sample: (out): what the vCPU is doing
 *
 * On the vCPU's thread, outside KVM_RUN.
 *
 * Returns: false when KVM does not say
 */
bool
vmm_arch_vcpu_sample (int vcpu_fd, VmmVcpuSample *ret_sample)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_mp_state mp;

    if (ioctl (vcpu_fd, KVM_GET_REGS, &regs) < 0 || ioctl (vcpu_fd, KVM_GET_SREGS, &sregs) < 0 ||
        ioctl (vcpu_fd, KVM_GET_MP_STATE, &mp) < 0)
        return false;
    *ret_sample = (VmmVcpuSample){
        .pc = regs.rip,
        .sp = regs.rsp,
        .halted = mp.mp_state == KVM_MP_STATE_HALTED,
        .interrupts_off = (regs.rflags & RFLAGS_IF) == 0,
        .user_mode = (sregs.cs.selector & 3) == 3,
        .anchor = read_anchor (vcpu_fd),
    };
    ret_sample->off = mp.mp_state == KVM_MP_STATE_UNINITIALIZED ||
                      mp.mp_state == KVM_MP_STATE_INIT_RECEIVED ||
                      (ret_sample->halted && ret_sample->interrupts_off);
    return true;
}

static void
report_instruction (VmmArchVm *vm, int vcpu_fd, const struct kvm_regs *regs, const struct kvm_sregs *sregs,
                    GString *report)
{
    uint64_t linear = sregs->cs.base + regs->rip;
    uint8_t bytes[INSTRUCTION_MAX];
    unsigned n = 0;

    /* Byte by byte: an instruction may go on in another page. */
    for (; n < sizeof bytes; n++) {
        struct kvm_translation tr = {.linear_address = linear + n};

        if (ioctl (vcpu_fd, KVM_TRANSLATE, &tr) < 0 || !tr.valid ||
            !vmm_guest_memory_read (vm->config.memory, tr.physical_address, &bytes[n], 1))
            break;
    }
    g_string_append (report, "  code at rip:");
    for (unsigned i = 0; i < n; i++)
        g_string_append_printf (report, " %02x", bytes[i]);
    g_string_append (report, n == 0 ? " not mapped\n" : "\n");
}

static void
report_internal_error (const struct kvm_run *run, GString *report)
{
    g_string_append_printf (report, "  KVM internal error %u:", run->internal.suberror);
    if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION)
        g_string_append (report, " KVM has to emulate an instruction that it does not know\n");
    else
        g_string_append (report, " see KVM_EXIT_INTERNAL_ERROR in the kernel's KVM API document\n");
}

/**
 * vmm_arch_vcpu_report:
 * @run: (nullable): the exit that vmm cannot handle, when that is the reason
 * @report: gets lines about the vCPU: why it stopped, where, its registers
 *
 * On the vCPU's thread, or while it does not run.
 */
void
vmm_arch_vcpu_report (VmmArchVm *vm, int vcpu_fd, const struct kvm_run *run, GString *report)
{
    struct kvm_regs r;
    struct kvm_sregs s;

    if (run != NULL && run->exit_reason == KVM_EXIT_FAIL_ENTRY)
        g_string_append_printf (report, "  the CPU refuses the guest's state: hardware reason 0x%llx\n",
                                run->fail_entry.hardware_entry_failure_reason);
    if (run != NULL && run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
        report_internal_error (run, report);
    if (ioctl (vcpu_fd, KVM_GET_REGS, &r) < 0 || ioctl (vcpu_fd, KVM_GET_SREGS, &s) < 0) {
        g_string_append_printf (report, "  its registers cannot be read: %s\n", g_strerror (errno));
        return;
    }
    g_string_append_printf (report,
                            "  rip %016llx  rsp %016llx  rflags %08llx  cs %04x\n"
                            "  rax %016llx  rbx %016llx  rcx %016llx  rdx %016llx\n"
                            "  rsi %016llx  rdi %016llx  rbp %016llx  r8  %016llx\n"
                            "  r9  %016llx  r10 %016llx  r11 %016llx  r12 %016llx\n"
                            "  r13 %016llx  r14 %016llx  r15 %016llx\n"
                            "  cr0 %08llx  cr2 %016llx  cr3 %016llx  cr4 %08llx  efer %04llx\n"
                            "  idt %016llx+%04x  gdt %016llx+%04x\n",
                            r.rip, r.rsp, r.rflags, s.cs.selector, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi,
                            r.rbp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, s.cr0, s.cr2, s.cr3,
                            s.cr4, s.efer, s.idt.base, s.idt.limit, s.gdt.base, s.gdt.limit);
    report_instruction (vm, vcpu_fd, &r, &s, report);
}
