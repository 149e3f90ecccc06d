/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The port contract: what an architecture gives to the rest of vmm. Plain functions; meson compiles one
 * folder below this one. There is no other place where the architecture shows.
 *
 * The order of calls: vmm_arch_memory_ranges(), then vmm_arch_vm_new() (before the first vCPU, interrupt
 * controllers and devices), vmm_arch_vm_add_virtio() for each virtio device, vmm_arch_vm_load() (kernel,
 * tables), vmm_arch_vcpu_new() for each vCPU.
 */
#ifndef VMM_ARCH_ARCH_H
#define VMM_ARCH_ARCH_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/chardev/chardev.h"
#include "devices/virtio/device.h"
#include "devices/virtio/transport.h"
#include "loader/initrd.h"
#include "loader/kernel-image.h"
#include "loader/kernel-load.h"
#include "vmm/core/guest-event.h"
#include "vmm/core/guest-memory.h"
#include "vmm/core/kvm.h"

#define VMM_ARCH_MEMORY_RANGES_MAX 4u

/* Which interrupt controllers KVM emulates. AUTO takes what starts fastest and serves the kernel at hand. */
typedef enum {
    VMM_IRQCHIP_AUTO,
    VMM_IRQCHIP_SPLIT,  /* KVM: local APIC; vmm: I/O APIC; no PIC, no PIT */
    VMM_IRQCHIP_KERNEL, /* KVM: all of a PC's */
} VmmIrqchip;

/* Sockets, cores, threads: 0 where the user did not say. */
typedef struct {
    unsigned cpus;
    unsigned sockets;
    unsigned cores;
    unsigned threads;
} VmmArchCpus;

/* A machine's parts and wishes, borrowed by the VmmArchVm for its whole life. */
typedef struct {
    VmmKvm *kvm;
    VmmGuestMemory *memory;
    GMainContext *context;
    VmmChardev *console;
    VmmArchCpus cpus;
    VmmIrqchip irqchip;  /* not AUTO */
    int debug_exit_port; /* -1: none */
    VmmGuestEventSink events;
    /* Called on a vCPU thread before RAM is touched that KVM may not know yet. */
    void (*wait_memory) (void *machine);
    void *machine;
} VmmArchVmConfig;

/* What is to boot. */
typedef struct {
    VmmKernelImage *image;
    VmmKernelEntry entry;
    const char *cmdline;
    VmmInitrd *initrd;   /* NULL: none */
    uint64_t memory_end; /* the kernel is placed below: RAM that KVM surely knows */
    uint64_t kaslr_seed[2];
} VmmArchBoot;

typedef struct _VmmArchVm VmmArchVm;

/* How an exit went on. */
typedef enum {
    VMM_ARCH_EXIT_HANDLED,
    VMM_ARCH_EXIT_TRIPLE_FAULT,
    VMM_ARCH_EXIT_RESET,
    VMM_ARCH_EXIT_POWEROFF,
    VMM_ARCH_EXIT_UNKNOWN,    /* vmm cannot go on: report it */
    VMM_ARCH_EXIT_HOST_ERROR, /* the host failed under the guest */
} VmmArchExit;

/* What the watchdog sees of a vCPU. */
typedef struct {
    uint64_t pc;
    uint64_t sp;
    bool off;            /* not started, or in a halt that no interrupt can end */
    bool halted;         /* waits for an interrupt */
    bool interrupts_off; /* runs, and takes no interrupt */
    bool user_mode;
    uint64_t anchor; /* where vmm_arch_kernel_anchor() is in a Linux kernel; 0: the CPU does not say */
} VmmVcpuSample;

size_t vmm_arch_memory_ranges (uint64_t size, VmmMemRange ret_ranges[VMM_ARCH_MEMORY_RANGES_MAX],
                               GError **error);
VmmIrqchip vmm_arch_choose_irqchip (const VmmKernelImage *image, VmmVirtioTransport transport);
VmmArchVm *vmm_arch_vm_new (const VmmArchVmConfig *config, GError **error);
void vmm_arch_vm_free (VmmArchVm *vm);
bool vmm_arch_vm_add_virtio (VmmArchVm *vm, VmmVirtioDevice *device, VmmVirtioTransport transport,
                             GError **error);
bool vmm_arch_vm_load (VmmArchVm *vm, const VmmArchBoot *boot, VmmLoadedKernel *ret_kernel, GError **error);
void vmm_arch_vm_press_power_button (VmmArchVm *vm);
void vmm_arch_vm_send_break (VmmArchVm *vm);

int vmm_arch_vcpu_new (VmmArchVm *vm, unsigned index, GError **error);
VmmArchExit vmm_arch_vcpu_handle_exit (VmmArchVm *vm, struct kvm_run *run);
bool vmm_arch_vcpu_sample (int vcpu_fd, VmmVcpuSample *ret_sample);
const char *vmm_arch_kernel_anchor (void);
void vmm_arch_vcpu_report (VmmArchVm *vm, int vcpu_fd, const struct kvm_run *run, GString *report);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmArchVm, vmm_arch_vm_free)

#endif
