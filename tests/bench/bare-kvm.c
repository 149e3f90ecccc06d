/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that a program can do to run a guest: one VM, its memory, one vCPU, a few instructions, the end.
 * What this takes is the kernel's own share of a start, and the yardstick for vmm's.
 *
 *     bare-kvm [MEM_MIB]      exits with 33, as the bench-first guest makes the others do
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    ENTRY = 0x1000,
    DEBUG_EXIT_PORT = 0xf4,
    HOLE_START_MIB = 3072,
};

static int
need (int result, const char *what)
{
    if (result < 0) {
        fprintf (stderr, "bare-kvm: %s: %s\n", what, strerror (errno));
        exit (4);
    }
    return result;
}

static void
add_memory (int vm, uint32_t slot, uint64_t gpa, size_t size, uint8_t *memory)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot, .guest_phys_addr = gpa, .memory_size = size, .userspace_addr = (uintptr_t)memory};
    need (ioctl (vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

static void
enter_real_mode (int cpu)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = ENTRY, .rflags = 2};
    need (ioctl (cpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    need (ioctl (cpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
    need (ioctl (cpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

int
main (int argc, char **argv)
{
    static const uint8_t code[] = {0xb0, 0x10, 0xe6, DEBUG_EXIT_PORT, 0xf4}; /* mov $0x10, %al; out; hlt */
    size_t mib = argc > 1 ? strtoul (argv[1], NULL, 10) : 512;
    size_t low = mib < HOLE_START_MIB ? mib : HOLE_START_MIB;
    int kvm = need (open ("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
    int vm = need (ioctl (kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    uint8_t *memory = mmap (NULL, mib << 20, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED)
        need (-1, "mmap");
    memcpy (memory + ENTRY, code, sizeof code);
    add_memory (vm, 0, 0, low << 20, memory);
    if (mib > low)
        add_memory (vm, 1, 4ull << 30, (mib - low) << 20, memory + (low << 20));
    int cpu = need (ioctl (vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    size_t run_size = (size_t)need (ioctl (kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
    struct kvm_run *run = mmap (NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
    if (run == MAP_FAILED)
        need (-1, "mmap of the vCPU");
    enter_real_mode (cpu);
    need (ioctl (cpu, KVM_RUN, 0), "KVM_RUN");
    if (run->exit_reason != KVM_EXIT_IO || run->io.port != DEBUG_EXIT_PORT)
        return 20;
    return ((const uint8_t *)run)[run->io.data_offset] << 1 | 1;
}
