/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where everything is in the guest-physical address space and in the port space of the x86-64 machine.
 *
 *   0x0000_0000  RAM: boot structures below 0x9fc00, nothing of them is needed once the kernel runs
 *   0x000a_0000  hole of the PC (VGA, ROM): the ACPI tables are at 0xe0000, reserved in the memory map
 *   0x0010_0000  RAM, up to 3 GiB
 *   0xc000_0000  PCI MMIO window, ECAM, I/O APIC, local APIC
 *   0x1_0000_0000  RAM, all that did not fit below
 */
#ifndef VMM_ARCH_X86_64_LAYOUT_H
#define VMM_ARCH_X86_64_LAYOUT_H

/* Boot structures in low RAM. */
#define VMM_X86_GDT_GPA 0x500u
#define VMM_X86_PVH_INFO_GPA 0x6000u    /* struct hvm_start_info, module list and memory map: one page */
#define VMM_X86_ZERO_PAGE_GPA 0x7000u   /* struct boot_params */
#define VMM_X86_PAGE_TABLES_GPA 0x9000u /* PML4, PDPT, four PDs: 4 GiB mapped one to one */
#define VMM_X86_CMDLINE_GPA 0x20000u
#define VMM_X86_CMDLINE_MAX 0x10000u
#define VMM_X86_LOW_RAM_END 0x9fc00u /* the EBDA would start here */

#define VMM_X86_HOLE_START 0xa0000u
#define VMM_X86_ACPI_GPA 0xe0000u
#define VMM_X86_ACPI_MAX 0x1fff0u
#define VMM_X86_RESET_VECTOR_GPA 0xffff0u /* F000:FFF0, where a kernel jumps that restarts "by the BIOS" */
#define VMM_X86_HIGH_RAM_START 0x100000u

/* The hole below 4 GiB. */
#define VMM_X86_HOLE32_START 0xc0000000ull
#define VMM_X86_PCI_MMIO32_START 0xc0000000ull
#define VMM_X86_PCI_MMIO32_SIZE 0x20000000ull
#define VMM_X86_ECAM_BASE 0xe0000000ull
#define VMM_X86_ECAM_BUSES 1u
#define VMM_X86_ECAM_SIZE (VMM_X86_ECAM_BUSES << 20)
#define VMM_X86_IOAPIC_BASE 0xfec00000ull
#define VMM_X86_IOAPIC_SIZE 0x1000u
#define VMM_X86_IOAPIC_PINS 24u
#define VMM_X86_LAPIC_BASE 0xfee00000ull
#define VMM_X86_KVM_IDENTITY_MAP 0xfffbc000ull
#define VMM_X86_KVM_TSS 0xfffbd000ull
#define VMM_X86_RAM64_START 0x100000000ull

/* Virtio devices that are not on PCI, one after another. */
#define VMM_X86_VIRTIO_MMIO_BASE 0xfd000000u
#define VMM_X86_VIRTIO_MMIO_STEP 0x1000u
#define VMM_X86_VIRTIO_MMIO_MAX 256u

/* Ports. */
#define VMM_X86_PORT_I8042_DATA 0x60u
#define VMM_X86_PORT_I8042_COMMAND 0x64u
#define VMM_X86_PORT_RTC 0x70u
#define VMM_X86_PORT_COM1 0x3f8u
#define VMM_X86_PORT_DEBUG_EXIT 0xf4u
#define VMM_X86_PORT_PVPANIC 0x505u
#define VMM_X86_PORT_POWER 0x600u /* see devices/legacy/acpi-power.h */
#define VMM_X86_PORT_PCI_ADDRESS 0xcf8u
#define VMM_X86_PORT_PCI_DATA 0xcfcu

/* Interrupts (GSIs). */
#define VMM_X86_GSI_COM1 4u
#define VMM_X86_GSI_RTC 8u
#define VMM_X86_GSI_GED 9u     /* power button, by a generic event device */
#define VMM_X86_GSI_VIRTIO 16u /* and those after it, shared by all virtio devices */
#define VMM_X86_GSI_VIRTIO_COUNT 8u

/* Virtio devices on PCI: function 0 of each slot first, then function 1, and so on. */
#define VMM_X86_VIRTIO_PCI_FIRST_SLOT 1u
#define VMM_X86_VIRTIO_PCI_SLOTS 31u
#define VMM_X86_VIRTIO_PCI_MAX (8u * VMM_X86_VIRTIO_PCI_SLOTS)
#define VMM_X86_PCI_PINS 4u

static inline unsigned
vmm_x86_virtio_pci_slot (unsigned index)
{
    return VMM_X86_VIRTIO_PCI_FIRST_SLOT + index % VMM_X86_VIRTIO_PCI_SLOTS;
}

static inline unsigned
vmm_x86_virtio_pci_function (unsigned index)
{
    return index / VMM_X86_VIRTIO_PCI_SLOTS;
}

/* 1 (INTA#) for function 0, and so on around. */
static inline unsigned
vmm_x86_virtio_pci_pin (unsigned index)
{
    return 1 + vmm_x86_virtio_pci_function (index) % VMM_X86_PCI_PINS;
}

/* Where a slot's pin goes: neighbours go to different inputs, as on a PC's board. */
static inline unsigned
vmm_x86_pci_gsi (unsigned slot, unsigned pin)
{
    return VMM_X86_GSI_VIRTIO + (slot + pin - 1) % VMM_X86_GSI_VIRTIO_COUNT;
}

static inline unsigned
vmm_x86_virtio_mmio_gsi (unsigned index)
{
    return VMM_X86_GSI_VIRTIO + index % VMM_X86_GSI_VIRTIO_COUNT;
}

/*
 * The same for devices that the command line tells. A kernel without ACPI knows only the PICs' inputs: these
 * are the ones that nothing else of this machine has, those first that legacy drivers leave alone.
 */
static inline unsigned
vmm_x86_virtio_isa_irq (unsigned index)
{
    static const unsigned char irqs[] = {5, 10, 11, 14, 15, 6, 7, 12};

    return irqs[index % sizeof irqs];
}

static inline unsigned
vmm_x86_virtio_mmio_gpa (unsigned index)
{
    return VMM_X86_VIRTIO_MMIO_BASE + index * VMM_X86_VIRTIO_MMIO_STEP;
}

#endif
