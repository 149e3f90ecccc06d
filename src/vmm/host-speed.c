/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: how fast does guest code run?
 *
 * A KVM need not run guests on the processor. One for hosts without hardware virtualization may run guest
 * user code natively and interpret guest kernel code, one instruction at a time, a thousand times slower. No
 * capability tells, so it is measured: a scratch VM with one vCPU in 64-bit mode runs
 *
 *     1: dec %rcx; jnz 1b; out %al, $0x80; jmp 1b
 *
 * with a count in RCX. The OUT comes back as an exit, where the time is taken and the next count is put into
 * RCX. The counts grow from one that even an interpreter does in a millisecond; each next one is chosen by
 * the speed seen so far so that the whole stays inside a time budget. So nothing has to interrupt the guest:
 * no signal, no timer, no second thread, and the caller may be any thread.
 *
 * Every disturbance (an exit, a page fault of the first round, another process on the CPU) only makes a round
 * slower. Each round is thus a lower bound, and the result is the fastest of them.
 *
 * User code runs in ring 3 with IOPL 3, so that its OUT needs no permission bitmap, on the same page tables.
 *
 * Which registers a 64-bit guest needs: Intel SDM vol. 3, 9.8.5 and 26.3.1; KVM API, KVM_SET_SREGS.
 */
#include "vmm/host-speed.h"

#include <cpuid.h>
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/error.h"

#define SCRATCH_SIZE 0x5000u
#define PML4_GPA 0x1000u
#define PDPT_GPA 0x2000u
#define PD_GPA 0x3000u
#define CODE_GPA 0x4000u

#define PTE_PRESENT (1u << 0)
#define PTE_WRITE (1u << 1)
#define PTE_USER (1u << 2)
#define PTE_LARGE (1u << 7)

#define CR0_PE (1u << 0)
#define CR0_ET (1u << 4)
#define CR0_NE (1u << 5)
#define CR0_PG (1u << 31)
#define CR4_PAE (1u << 5)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)

#define RFLAGS_ALWAYS 0x2u
#define RFLAGS_IOPL3 0x3000u

#define DONE_PORT 0x80
#define FIRST_COUNT 500.0
#define INSTRUCTIONS_PER_COUNT 2
#define MAX_GROWTH 16
#define MAX_EINTR 64
/* One slow round may be an accident; three are not, and then the budget may be overrun this many times. */
#define LEAST_ROUNDS 3
#define MOST_OVERRUN 4

static const uint8_t loop_code[] = {
    0x48, 0xff,      0xc9, /* dec %rcx */
    0x75, 0xfb,            /* jnz -5 */
    0xe6, DONE_PORT,       /* out %al, $DONE_PORT */
    0xeb, 0xf7,            /* jmp -9 */
};

typedef struct {
    int vm_fd;
    int vcpu_fd;
    void *memory;
    struct kvm_run *run;
    size_t run_size;
} Scratch;

static void
scratch_clear (Scratch *scratch)
{
    if (scratch->run != NULL)
        munmap (scratch->run, scratch->run_size);
    if (scratch->vcpu_fd >= 0)
        close (scratch->vcpu_fd);
    if (scratch->vm_fd >= 0)
        close (scratch->vm_fd);
    if (scratch->memory != NULL)
        munmap (scratch->memory, SCRATCH_SIZE);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Scratch, scratch_clear)

static bool
fail_errno (GError **error, const char *what)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "/dev/kvm: cannot measure its speed: %s: %s", what,
                 g_strerror (errno));
    return false;
}

static void
write_entry (Scratch *scratch, uint32_t gpa, uint64_t entry)
{
    entry = GUINT64_TO_LE (entry);
    memcpy ((uint8_t *)scratch->memory + gpa, &entry, sizeof entry);
}

static bool
scratch_fill_memory (Scratch *scratch, GError **error)
{
    void *memory = mmap (NULL, SCRATCH_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return fail_errno (error, "mmap");
    scratch->memory = memory;

    /* One 2 MiB page at 0 maps all of it, for both rings. */
    write_entry (scratch, PML4_GPA, PDPT_GPA | PTE_PRESENT | PTE_WRITE | PTE_USER);
    write_entry (scratch, PDPT_GPA, PD_GPA | PTE_PRESENT | PTE_WRITE | PTE_USER);
    write_entry (scratch, PD_GPA, PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_LARGE);
    memcpy ((uint8_t *)memory + CODE_GPA, loop_code, sizeof loop_code);
    return true;
}

/**
 * vmm_host_speed_create_vm:
 * @kvm_fd: an open /dev/kvm
 *
 * KVM_CREATE_VM, again while signals interrupt it: it is one of the few ioctls where they can.
 *
 * Returns: the VM's descriptor, for the caller to close, or -1 with errno set
 */
int
vmm_host_speed_create_vm (int kvm_fd)
{
    int fd = -1;

    for (int i = 0; i < MAX_EINTR; i++) {
        fd = ioctl (kvm_fd, KVM_CREATE_VM, 0UL);
        if (fd >= 0 || errno != EINTR)
            break;
    }
    return fd;
}

static bool
scratch_create (Scratch *scratch, int kvm_fd, GError **error)
{
    if (!scratch_fill_memory (scratch, error))
        return false;
    if ((scratch->vm_fd = vmm_host_speed_create_vm (kvm_fd)) < 0)
        return fail_errno (error, "KVM_CREATE_VM");

    struct kvm_userspace_memory_region region = {
        .memory_size = SCRATCH_SIZE,
        .userspace_addr = (uintptr_t)scratch->memory,
    };
    if (ioctl (scratch->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return fail_errno (error, "KVM_SET_USER_MEMORY_REGION");
    if ((scratch->vcpu_fd = ioctl (scratch->vm_fd, KVM_CREATE_VCPU, 0UL)) < 0)
        return fail_errno (error, "KVM_CREATE_VCPU");

    int run_size = ioctl (kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0UL);
    if (run_size < (int)sizeof (struct kvm_run))
        return fail_errno (error, "KVM_GET_VCPU_MMAP_SIZE");
    void *run = mmap (NULL, (size_t)run_size, PROT_READ | PROT_WRITE, MAP_SHARED, scratch->vcpu_fd, 0);
    if (run == MAP_FAILED)
        return fail_errno (error, "mmap of the vCPU");
    scratch->run = run;
    scratch->run_size = (size_t)run_size;
    return true;
}

/* Flat segments; the descriptor cache is all that counts, no table is ever read. */
static void
fill_segment (struct kvm_segment *segment, uint16_t selector, uint8_t type, uint8_t dpl, bool code)
{
    *segment = (struct kvm_segment){
        .limit = 0xffffffff,
        .selector = (uint16_t)(selector | dpl),
        .type = type,
        .present = 1,
        .dpl = dpl,
        .db = !code,
        .s = 1,
        .l = code,
        .g = 1,
    };
}

static bool
scratch_enter_long_mode (Scratch *scratch, VmmHostSpeedMode mode, GError **error)
{
    uint8_t dpl = mode == VMM_HOST_SPEED_USER ? 3 : 0;
    struct kvm_sregs sregs;

    if (ioctl (scratch->vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
        return fail_errno (error, "KVM_GET_SREGS");
    fill_segment (&sregs.cs, 0x10, 0xb, dpl, true);
    fill_segment (&sregs.ds, 0x18, 0x3, dpl, false);
    sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
    sregs.cr3 = PML4_GPA;
    sregs.cr4 = CR4_PAE;
    sregs.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
    sregs.efer = EFER_LME | EFER_LMA;
    if (ioctl (scratch->vcpu_fd, KVM_SET_SREGS, &sregs) < 0)
        return fail_errno (error, "KVM_SET_SREGS");

    struct kvm_regs regs = {
        .rip = CODE_GPA,
        .rflags = RFLAGS_ALWAYS | (dpl == 3 ? RFLAGS_IOPL3 : 0),
    };
    if (ioctl (scratch->vcpu_fd, KVM_SET_REGS, &regs) < 0)
        return fail_errno (error, "KVM_SET_REGS");
    return true;
}

/* Runs @count rounds of the loop. RIP is left alone: KVM finishes the OUT of the round before by it. */
static bool
scratch_run (Scratch *scratch, uint64_t count, double *ret_seconds, GError **error)
{
    struct kvm_regs regs;

    if (ioctl (scratch->vcpu_fd, KVM_GET_REGS, &regs) < 0)
        return fail_errno (error, "KVM_GET_REGS");
    regs.rcx = count;
    if (ioctl (scratch->vcpu_fd, KVM_SET_REGS, &regs) < 0)
        return fail_errno (error, "KVM_SET_REGS");

    int64_t start = g_get_monotonic_time ();
    int interrupted = 0;
    while (ioctl (scratch->vcpu_fd, KVM_RUN, 0UL) < 0) {
        /* A signal of the caller's; the loop goes on where it stopped. */
        if ((errno != EINTR && errno != EAGAIN) || interrupted++ == MAX_EINTR)
            return fail_errno (error, "KVM_RUN");
    }
    int64_t end = g_get_monotonic_time ();

    if (ioctl (scratch->vcpu_fd, KVM_GET_REGS, &regs) < 0)
        return fail_errno (error, "KVM_GET_REGS");
    if (scratch->run->exit_reason != KVM_EXIT_IO || scratch->run->io.port != DONE_PORT || regs.rcx != 0) {
        g_set_error (
            error, VMM_ERROR, VMM_ERROR_HOST,
            "/dev/kvm: cannot measure its speed: a loop of two instructions ended with exit reason %u at "
            "RIP 0x%" G_GINT64_MODIFIER "x",
            scratch->run->exit_reason, (guint64)regs.rip);
        return false;
    }
    *ret_seconds = (double)MAX (end - start, 1) / 1e6;
    return true;
}

/**
 * vmm_host_speed_measure:
 * @kvm_fd: an open /dev/kvm
 * @mode: the privilege to measure
 * @budget_us: how long the guest may run, in microseconds; making and freeing the scratch VM comes on top
 * @ret_mips: (out): millions of guest instructions per second
 * @error: return location for a %VMM_ERROR_HOST
 *
 * Measures how fast this KVM runs guest code. Blocks for about @budget_us, a few times as long on
 * a KVM slower than any known. Any thread may call it; it touches
 * no state but its own scratch VM.
 *
 * Returns: %true on success
 */
bool
vmm_host_speed_measure (int kvm_fd, VmmHostSpeedMode mode, int64_t budget_us, double *ret_mips,
                        GError **error)
{
    g_auto (Scratch) scratch = {.vm_fd = -1, .vcpu_fd = -1};
    double budget = (double)budget_us / 1e6, spent = 0, best = 0, seconds;
    uint64_t count = (uint64_t)FIRST_COUNT;
    unsigned rounds = 0;

    if (!scratch_create (&scratch, kvm_fd, error) || !scratch_enter_long_mode (&scratch, mode, error))
        return false;
    /* The first entry of all pays for page tables, translation and cold caches, and would drown the rest. */
    if (!scratch_run (&scratch, 1, &seconds, error))
        return false;
    do {
        if (!scratch_run (&scratch, count, &seconds, error))
            return false;
        best = MAX (best, (double)count / seconds);
        spent += seconds;
        rounds++;
        /* Half of what is left, by the best speed so far: a wrong guess can then not go far over. */
        double affordable = best * (budget - spent) / 2;
        count = (uint64_t)CLAMP (affordable, FIRST_COUNT, (double)(count * MAX_GROWTH));
    } while (spent < budget * 0.75 || (rounds < LEAST_ROUNDS && spent < budget * MOST_OVERRUN));
    *ret_mips = best * INSTRUCTIONS_PER_COUNT / 1e6;
    return true;
}

/**
 * vmm_host_speed_hypervisor:
 * @ret_signature: (out): twelve characters and a NUL
 *
 * Reads the signature of the hypervisor that this host runs under, CPUID leaf 0x40000000; "" where the host
 * is not a virtual machine (Intel SDM: leaf 1, ECX bit 31 is for hypervisors to set).
 */
void
vmm_host_speed_hypervisor (char ret_signature[13])
{
    unsigned eax, ebx, ecx, edx;

    memset (ret_signature, 0, 13);
    if (__get_cpuid (1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & (1u << 31)) == 0)
        return;
    __cpuid (0x40000000, eax, ebx, ecx, edx);
    memcpy (ret_signature, &ebx, 4);
    memcpy (ret_signature + 4, &ecx, 4);
    memcpy (ret_signature + 8, &edx, 4);
}
