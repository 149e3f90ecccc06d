/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share about one x86-64 machine. */
#ifndef VMM_ARCH_X86_64_VM_INTERNAL_H
#define VMM_ARCH_X86_64_VM_INTERNAL_H

#include "devices/device.h"
#include "devices/legacy/acpi-power.h"
#include "devices/legacy/serial.h"
#include "devices/pci/host.h"
#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/irqchip.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/topology.h"
#include "vmm/core/bus.h"

typedef struct _VmmX86SharedIrq VmmX86SharedIrq;

struct _VmmArchVm {
    VmmArchVmConfig config;
    VmmCpuTopology topology;
    VmmX86Irqchip *irqchip;
    VmmBus *ports;
    VmmBus *mmio;
    GPtrArray *devices;  /* of VmmX86Device */
    VmmAcpiPower *power; /* borrowed from devices */
    VmmSerial *serial;   /* the same */
    VmmPciHost *pci;     /* borrowed from devices */
    unsigned n_virtio_pci;
    unsigned n_virtio_mmio;
    GString *virtio_words; /* those of them that the command line tells, for it */
    VmmX86SharedIrq *shared_irqs[VMM_X86_IOAPIC_PINS];
    struct kvm_cpuid2 *cpuid; /* KVM_GET_SUPPORTED_CPUID, once */
    unsigned phys_bits;
    bool gib_pages;
    bool tsc_deadline;
    uint32_t tsc_khz;
    /* The state in which the first vCPU enters the kernel. */
    VmmKernelEntry entry;
    uint64_t entry_gpa;
    uint64_t cr3;
};

/* vm.c */
void *vmm_x86_own (VmmArchVm *vm, const VmmDeviceOps *ops, void *device);

/* virtio.c */
void vmm_x86_virtio_clear (VmmArchVm *vm);

/* cpuid.c */
bool vmm_x86_read_cpuid (VmmArchVm *vm, GError **error);

#endif
