/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A kernel is put into memory by the loader; here it gets what it must find there besides: the command line,
 * the initrd, the memory map, the ACPI tables, and the state of the CPU that its entry asks for:
 *
 * - 64-bit entry (Documentation/arch/x86/boot.rst, "64-bit boot protocol"): long mode, the first 4 GiB mapped
 *   one to one, RSI at struct boot_params;
 * - PVH (Xen's docs/misc/pvh.pandoc): 32-bit protected mode without paging, EBX at struct hvm_start_info.
 */
#include <string.h>

#include "loader/cmdline.h"
#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/boot-params.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/page-tables.h"
#include "vmm/arch/x86_64/pvh.h"
#include "vmm/arch/x86_64/vm-internal.h"
#include "vmm/error.h"

/* All of a PCI device's 64-bit BARs together; at the top of what the CPU can address. */
#define PCI_MMIO64_SIZE (UINT64_C (64) << 30)
#define PHYS_BITS_FOR_MMIO64 38u

typedef struct {
    uint64_t cmdline_gpa;
    uint64_t initrd_gpa;
    uint64_t initrd_size;
    uint64_t rsdp_gpa;
    VmmX86E820 e820;
} Placed;

/**
 * vmm_arch_memory_ranges:
 * @size: bytes of RAM, a multiple of 4 KiB
 * @ret_ranges: (out): where the guest has it
 *
 * Returns: how many ranges there are; 0 with an error when @size cannot be placed
 */
size_t
vmm_arch_memory_ranges (uint64_t size, VmmMemRange ret_ranges[VMM_ARCH_MEMORY_RANGES_MAX], GError **error)
{
    size_t n = 0;

    G_STATIC_ASSERT (VMM_X86_MEM_RANGES_MAX <= VMM_ARCH_MEMORY_RANGES_MAX);
    return vmm_x86_memory_ranges (size, ret_ranges, &n, error) ? n : 0;
}

/**
 * vmm_arch_choose_irqchip:
 * @image: what is to boot
 * @transport: how it is to find its devices
 *
 * Returns: the interrupt controllers that serve it best: Linux with ACPI does without PIC and PIT, other
 * kernels may not
 */
VmmIrqchip
vmm_arch_choose_irqchip (const VmmKernelImage *image, VmmVirtioTransport transport)
{
    return image->is_linux && transport != VMM_VIRTIO_TRANSPORT_MMIO_CMDLINE ? VMM_IRQCHIP_SPLIT
                                                                             : VMM_IRQCHIP_KERNEL;
}

static VmmMemRange
pci_window64 (const VmmArchVm *vm)
{
    uint64_t top = UINT64_C (1) << MIN (vm->phys_bits, 46);
    uint64_t ram_end = VMM_X86_RAM64_START + vmm_guest_memory_size (vm->config.memory);

    if (vm->phys_bits < PHYS_BITS_FOR_MMIO64 || ram_end + PCI_MMIO64_SIZE > top)
        return (VmmMemRange){0, 0};
    return (VmmMemRange){top - PCI_MMIO64_SIZE, PCI_MMIO64_SIZE};
}

static bool
load_kernel (VmmArchVm *vm, const VmmArchBoot *boot, uint64_t low_end, VmmLoadedKernel *ret_kernel,
             GError **error)
{
    uint64_t initrd_room = boot->initrd != NULL ? vmm_initrd_size (boot->initrd) : 0;
    uint64_t end = MIN (low_end, boot->memory_end);
    VmmKernelLoadOptions options = {
        .entry = boot->entry,
        .low_end = low_end,
        .phys_min = VMM_X86_HIGH_RAM_START,
        /* An initrd goes as high as it can, which is beyond boot->memory_end where there is that much RAM. */
        .phys_max = low_end > end && low_end - end > initrd_room ? end : end - MIN (initrd_room, end),
        .kaslr = !vmm_cmdline_find (boot->cmdline, "nokaslr", NULL),
        .random_virtual = boot->kaslr_seed[0],
        .random_physical = boot->kaslr_seed[1],
    };

    return vmm_kernel_image_load (boot->image, vm->config.memory, &options, ret_kernel, error);
}

static bool
place_cmdline (VmmArchVm *vm, const VmmArchBoot *boot, const VmmLoadedKernel *kernel, GError **error)
{
    size_t max = MIN (kernel->cmdline_max, VMM_X86_CMDLINE_MAX - 1);
    g_autofree char *line = vmm_cmdline_insert (boot->cmdline, vm->virtio_words->str);

    if (!vmm_cmdline_check (line, max, error))
        return false;
    /* Cannot fail: the smallest machine has RAM there. */
    return vmm_guest_memory_write (vm->config.memory, VMM_X86_CMDLINE_GPA, line, strlen (line) + 1);
}

static bool
place_initrd (VmmArchVm *vm, const VmmArchBoot *boot, const VmmLoadedKernel *kernel, uint64_t low_end,
              Placed *placed, GError **error)
{
    VmmInitrdPlace place = {
        .low_end = low_end,
        .addr_max = kernel->initrd_addr_max,
        .kernel_start = kernel->start,
        .kernel_end = kernel->end,
    };

    if (boot->initrd == NULL || vmm_initrd_size (boot->initrd) == 0)
        return true;
    placed->initrd_size = vmm_initrd_size (boot->initrd);
    return vmm_initrd_load (boot->initrd, vm->config.memory, &place, &placed->initrd_gpa, error);
}

/*
 * Linux on a machine with hardware-reduced ACPI restarts by EFI, and without EFI "by the BIOS": in real mode,
 * at the address where a CPU starts after a reset. All that a BIOS has to do there for us is to reset the
 * machine.
 */
static bool
place_reset_vector (VmmArchVm *vm)
{
    static const uint8_t code[] = {
        0xb0, 0xfe,                       /* mov $0xfe, %al: pulse the reset line */
        0xe6, VMM_X86_PORT_I8042_COMMAND, /* out %al, $0x64 */
        0xf4,                             /* hlt */
        0xeb, 0xfd,                       /* jmp to the hlt */
    };

    return vmm_guest_memory_write (vm->config.memory, VMM_X86_RESET_VECTOR_GPA, code, sizeof code);
}

static bool
place_tables (VmmArchVm *vm, const VmmLoadedKernel *kernel, Placed *placed, GError **error)
{
    VmmX86AcpiConfig acpi = {
        .topology = &vm->topology,
        .pci = true,
        .pci_mmio64 = pci_window64 (vm),
        .com1 = true,
        .rtc = true,
        .i8042 = false,
        .pvpanic = true,
        .n_virtio_pci = vm->n_virtio_pci,
        /* Told once: what is in the words must not be found by ACPI as well. */
        .n_virtio_mmio = vm->virtio_words->len == 0 ? vm->n_virtio_mmio : 0,
    };

    if (!place_reset_vector (vm) || !vmm_x86_acpi_write (vm->config.memory, &acpi, &placed->rsdp_gpa, error))
        return false;
    if (kernel->entry == VMM_KERNEL_ENTRY_PVH) {
        VmmX86PvhInfo info = {
            .e820 = &placed->e820,
            .cmdline_gpa = placed->cmdline_gpa,
            .initrd_gpa = placed->initrd_gpa,
            .initrd_size = placed->initrd_size,
            .rsdp_gpa = placed->rsdp_gpa,
        };

        return vmm_x86_gdt_write (vm->config.memory, VMM_X86_GDT_FLAT32, error) &&
               vmm_x86_pvh_write (vm->config.memory, &info, error);
    } else {
        VmmX86BootParams params = {
            .setup_header = {kernel->setup_header, kernel->setup_header_len},
            .e820 = &placed->e820,
            .cmdline_gpa = placed->cmdline_gpa,
            .initrd_gpa = placed->initrd_gpa,
            .initrd_size = placed->initrd_size,
            .rsdp_gpa = placed->rsdp_gpa,
        };

        return vmm_x86_gdt_write (vm->config.memory, VMM_X86_GDT_LONG, error) &&
               vmm_x86_page_tables_write (vm->config.memory, VMM_X86_PAGE_TABLES_MAP_MAX, vm->gib_pages,
                                          &vm->cr3, error) &&
               vmm_x86_boot_params_write (vm->config.memory, &params, error);
    }
}

/**
 * vmm_arch_vm_load:
 * @boot: what is to boot; borrowed for the call
 * @ret_kernel: (out): where the kernel is
 *
 * Puts everything into guest memory that the first vCPU needs, and notes the state in which it starts.
 *
 * Returns: false with %VMM_ERROR_NOT_BOOTABLE or %VMM_ERROR_USAGE when it does not fit
 */
bool
vmm_arch_vm_load (VmmArchVm *vm, const VmmArchBoot *boot, VmmLoadedKernel *ret_kernel, GError **error)
{
    uint64_t low_end = vmm_guest_memory_region (vm->config.memory, 0)->size;
    VmmMemRange ranges[VMM_X86_MEM_RANGES_MAX];
    Placed placed = {.cmdline_gpa = VMM_X86_CMDLINE_GPA};
    size_t n_ranges;

    if (!vmm_x86_memory_ranges (vmm_guest_memory_size (vm->config.memory), ranges, &n_ranges, error) ||
        !vmm_x86_e820_build (ranges, n_ranges, &placed.e820, error) ||
        !load_kernel (vm, boot, low_end, ret_kernel, error) || !place_cmdline (vm, boot, ret_kernel, error) ||
        !place_initrd (vm, boot, ret_kernel, low_end, &placed, error) ||
        !place_tables (vm, ret_kernel, &placed, error))
        return false;
    vm->entry = ret_kernel->entry;
    vm->entry_gpa = ret_kernel->entry_gpa;
    return true;
}
