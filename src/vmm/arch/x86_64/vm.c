/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The x86-64 machine: two buses, interrupt controllers, and the few devices of a PC that a kernel cannot do
 * without or expects to find. Each device is made in a function of its own below, which is the place to add
 * the next one; where it lies is in layout.h, how the guest hears of it in acpi.c.
 */
#include "devices/legacy/debug-exit.h"
#include "devices/legacy/i8042.h"
#include "devices/legacy/pvpanic.h"
#include "devices/legacy/rtc.h"
#include "devices/legacy/serial.h"
#include "devices/pci/host.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/vm-internal.h"
#include "vmm/error.h"

typedef struct {
    const VmmDeviceOps *ops;
    void *device;
} VmmX86Device;

static void
device_free (gpointer data)
{
    VmmX86Device *entry = data;

    entry->ops->free (entry->device);
    g_free (entry);
}

/**
 * vmm_x86_own:
 *
 * The machine owns @device from now on.
 *
 * Returns: @device
 */
void *
vmm_x86_own (VmmArchVm *vm, const VmmDeviceOps *ops, void *device)
{
    VmmX86Device *entry = g_new (VmmX86Device, 1);

    *entry = (VmmX86Device){ops, device};
    g_ptr_array_add (vm->devices, entry);
    return device;
}

static bool
add_serial (VmmArchVm *vm, GError **error)
{
    VmmIrqLine irq = vmm_x86_irqchip_line (vm->irqchip, VMM_X86_GSI_COM1);

    vm->serial = vmm_x86_own (vm, &vmm_serial_device_ops, vmm_serial_new (vm->config.console, &irq));
    return vmm_bus_add (vm->ports, "serial", VMM_X86_PORT_COM1, 8, &vmm_serial_bus_ops, vm->serial, error);
}

static bool
add_i8042 (VmmArchVm *vm, GError **error)
{
    void *i8042 = vmm_x86_own (vm, &vmm_i8042_device_ops, vmm_i8042_new (&vm->config.events));

    return vmm_bus_add (vm->ports, "i8042", VMM_X86_PORT_I8042_DATA, 1, &vmm_i8042_data_bus_ops, i8042,
                        error) &&
           vmm_bus_add (vm->ports, "i8042", VMM_X86_PORT_I8042_COMMAND, 1, &vmm_i8042_command_bus_ops, i8042,
                        error);
}

static bool
add_rtc (VmmArchVm *vm, GError **error)
{
    VmmIrqLine irq = vmm_x86_irqchip_line (vm->irqchip, VMM_X86_GSI_RTC);
    void *rtc = vmm_x86_own (vm, &vmm_rtc_device_ops, vmm_rtc_new (&irq, vm->config.context, NULL));

    return vmm_bus_add (vm->ports, "rtc", VMM_X86_PORT_RTC, 2, &vmm_rtc_bus_ops, rtc, error);
}

static bool
add_power (VmmArchVm *vm, GError **error)
{
    VmmIrqLine irq = vmm_x86_irqchip_line (vm->irqchip, VMM_X86_GSI_GED);

    vm->power = vmm_x86_own (vm, &vmm_acpi_power_device_ops, vmm_acpi_power_new (&irq, &vm->config.events));
    return vmm_bus_add (vm->ports, "acpi-power", VMM_X86_PORT_POWER, VMM_ACPI_POWER_SIZE,
                        &vmm_acpi_power_bus_ops, vm->power, error);
}

static bool
add_pvpanic (VmmArchVm *vm, GError **error)
{
    void *pvpanic = vmm_x86_own (vm, &vmm_pvpanic_device_ops, vmm_pvpanic_new (&vm->config.events));

    return vmm_bus_add (vm->ports, "pvpanic", VMM_X86_PORT_PVPANIC, 1, &vmm_pvpanic_bus_ops, pvpanic, error);
}

static bool
add_pci (VmmArchVm *vm, GError **error)
{
    void *host =
        vmm_x86_own (vm, &vmm_pci_host_device_ops, vmm_pci_host_new (VMM_X86_ECAM_BUSES, &vm->config.events));

    vm->pci = host;
    return vmm_bus_add (vm->ports, "pci", VMM_X86_PORT_PCI_ADDRESS, 8, &vmm_pci_host_port_ops, host, error) &&
           vmm_bus_add (vm->mmio, "pci", VMM_X86_ECAM_BASE, VMM_X86_ECAM_SIZE, &vmm_pci_host_ecam_ops, host,
                        error);
}

static bool
add_debug_exit (VmmArchVm *vm, GError **error)
{
    void *device;

    if (vm->config.debug_exit_port < 0)
        return true;
    device = vmm_x86_own (vm, &vmm_debug_exit_device_ops, vmm_debug_exit_new (&vm->config.events));
    if (vmm_bus_add (vm->ports, "debug-exit", (uint64_t)vm->config.debug_exit_port, 4,
                     &vmm_debug_exit_bus_ops, device, error))
        return true;
    /* Only the user's choice of a port can collide here. */
    if (error != NULL && *error != NULL)
        (*error)->code = VMM_ERROR_USAGE;
    return false;
}

static bool
add_ioapic (VmmArchVm *vm, GError **error)
{
    VmmIoapic *ioapic = vmm_x86_irqchip_ioapic (vm->irqchip);

    return ioapic == NULL || vmm_bus_add (vm->mmio, "ioapic", VMM_X86_IOAPIC_BASE, VMM_X86_IOAPIC_SIZE,
                                          &vmm_ioapic_bus_ops, ioapic, error);
}

/* Where KVM may put what Intel CPUs without "unrestricted guest" need in guest-physical space. */
static bool
set_kvm_places (VmmArchVm *vm, GError **error)
{
    uint64_t identity_map = VMM_X86_KVM_IDENTITY_MAP;
    int fd = vmm_kvm_vm_fd (vm->config.kvm);

    return vmm_kvm_ioctl (fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map, "KVM_SET_IDENTITY_MAP_ADDR", error) &&
           vmm_kvm_ioctl (fd, KVM_SET_TSS_ADDR, (void *)VMM_X86_KVM_TSS, "KVM_SET_TSS_ADDR", error);
}

static bool
enable_capabilities (VmmArchVm *vm, GError **error)
{
    VmmKvm *kvm = vm->config.kvm;

    vm->tsc_deadline = vmm_kvm_check (kvm, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    return !vmm_x86_needs_x2apic (&vm->topology) ||
           vmm_kvm_enable (kvm, KVM_CAP_X2APIC_API,
                           KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK, error);
}

/**
 * vmm_arch_vm_new:
 * @config: the machine's parts; copied, what it points to is borrowed and outlives the result
 *
 * Gives @config->kvm interrupt controllers, and the machine its buses and devices. Before the first vCPU.
 *
 * Returns: (transfer full) (nullable): NULL with %VMM_ERROR_HOST or %VMM_ERROR_USAGE
 */
VmmArchVm *
vmm_arch_vm_new (const VmmArchVmConfig *config, GError **error)
{
    g_autoptr (VmmArchVm) vm = g_new0 (VmmArchVm, 1);

    vm->config = *config;
    vm->devices = g_ptr_array_new_with_free_func (device_free);
    vm->virtio_words = g_string_new (NULL);
    vm->ports = vmm_bus_new ("port");
    vm->mmio = vmm_bus_new ("MMIO");
    if (!vmm_cpu_topology_init (&vm->topology, config->cpus.cpus, config->cpus.sockets, config->cpus.cores,
                                config->cpus.threads, error) ||
        !enable_capabilities (vm, error) || !set_kvm_places (vm, error) || !vmm_x86_read_cpuid (vm, error))
        return NULL;
    vm->irqchip = vmm_x86_irqchip_new (config->kvm, config->irqchip, error);
    if (vm->irqchip == NULL || !add_ioapic (vm, error) || !add_serial (vm, error) || !add_i8042 (vm, error) ||
        !add_rtc (vm, error) || !add_power (vm, error) || !add_pvpanic (vm, error) || !add_pci (vm, error) ||
        !add_debug_exit (vm, error))
        return NULL;
    return g_steal_pointer (&vm);
}

/**
 * vmm_arch_vm_free:
 * @vm: (nullable): no vCPU runs any more
 */
void
vmm_arch_vm_free (VmmArchVm *vm)
{
    if (vm == NULL)
        return;
    /* The last first: functions are on the PCI host. */
    while (vm->devices->len > 0)
        g_ptr_array_remove_index (vm->devices, vm->devices->len - 1);
    g_ptr_array_unref (vm->devices);
    vmm_x86_virtio_clear (vm);
    vmm_x86_irqchip_free (vm->irqchip);
    vmm_bus_free (vm->ports);
    vmm_bus_free (vm->mmio);
    g_string_free (vm->virtio_words, TRUE);
    g_free (vm->cpuid);
    g_free (vm);
}

/**
 * vmm_arch_vm_press_power_button:
 *
 * Any thread: asks the guest to shut down. What it does about that is its own decision.
 */
void
vmm_arch_vm_press_power_button (VmmArchVm *vm)
{
    vmm_acpi_power_press_button (vm->power);
}

/**
 * vmm_arch_vm_send_break:
 *
 * The machine's thread: the serial port receives a BREAK.
 */
void
vmm_arch_vm_send_break (VmmArchVm *vm)
{
    vmm_serial_send_break (vm->serial);
}
