/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices that a guest cannot find by itself, in AML (ACPI 6.5 chapters 5.3 and 6).
 *
 * The guest interprets this at each boot, on a CPU that may be emulated, so that it holds no object whose
 * absence already says the same: _SEG and _BBN are 0 where they are absent, _STA is "present", and Linux
 * takes the CPUs from the MADT. The _PRT tells only of pins that some function has.
 */
#include "vmm/arch/x86_64/dsdt.h"

#include "devices/legacy/acpi-power.h"
#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/layout.h"

#define POWER_BUTTON_PRESSED 0x80u

/* Section 6.2.13: a slot's pin goes to an input of the I/O APIC, without a device in between. */
static void
dsdt_route (GByteArray *aml, unsigned slot, unsigned pin)
{
    size_t route = vmm_aml_begin_package (aml, 4);

    vmm_aml_integer (aml, slot << 16 | 0xffff);
    vmm_aml_integer (aml, pin - 1);
    vmm_aml_integer (aml, 0);
    vmm_aml_integer (aml, vmm_x86_pci_gsi (slot, pin));
    vmm_aml_end (aml, route);
}

static void
dsdt_pci_routes (GByteArray *aml, const VmmX86AcpiConfig *config)
{
    /* Of those beyond, each has the pin of one before it in its slot. */
    unsigned n = MIN (config->n_virtio_pci, VMM_X86_VIRTIO_PCI_SLOTS * VMM_X86_PCI_PINS);
    size_t routes;

    if (n == 0)
        return;
    vmm_aml_name (aml, "_PRT");
    routes = vmm_aml_begin_package (aml, (uint8_t)n);
    for (unsigned i = 0; i < n; i++)
        dsdt_route (aml, vmm_x86_virtio_pci_slot (i), vmm_x86_virtio_pci_pin (i));
    vmm_aml_end (aml, routes);
}

static void
dsdt_pci_root (GByteArray *aml, const VmmX86AcpiConfig *config)
{
    size_t device = vmm_aml_begin_device (aml, "PCI0"), crs, osc;

    vmm_aml_name (aml, "_HID");
    vmm_aml_eisa_id (aml, "PNP0A08");
    vmm_aml_name (aml, "_CID");
    vmm_aml_eisa_id (aml, "PNP0A03");
    vmm_aml_name (aml, "_CRS");
    crs = vmm_aml_begin_resources (aml);
    vmm_aml_bus_range (aml, 0, VMM_X86_ECAM_BUSES - 1);
    vmm_aml_io (aml, VMM_X86_PORT_PCI_ADDRESS, 8);
    vmm_aml_memory32_window (aml, VMM_X86_PCI_MMIO32_START, VMM_X86_PCI_MMIO32_SIZE);
    if (config->pci_mmio64.size != 0)
        vmm_aml_memory64_window (aml, config->pci_mmio64.gpa, config->pci_mmio64.size);
    vmm_aml_end_resources (aml, crs);
    dsdt_pci_routes (aml, config);
    /* Nothing here is the firmware's to control: the OS gets all that it asks for. */
    osc = vmm_aml_begin_method (aml, "_OSC", 4, false);
    vmm_aml_return_arg (aml, 3);
    vmm_aml_end (aml, osc);
    vmm_aml_end (aml, device);
}

/* The MCFG is not believed unless the ECAM is also a motherboard resource (PCI Firmware 3.3 section 4.1.2).
 */
static void
dsdt_ecam (GByteArray *aml)
{
    size_t device = vmm_aml_begin_device (aml, "MBRD"), crs;

    vmm_aml_name (aml, "_HID");
    vmm_aml_eisa_id (aml, "PNP0C02");
    vmm_aml_name (aml, "_CRS");
    crs = vmm_aml_begin_resources (aml);
    vmm_aml_memory32_fixed (aml, VMM_X86_ECAM_BASE, VMM_X86_ECAM_SIZE);
    vmm_aml_end_resources (aml, crs);
    vmm_aml_end (aml, device);
}

static void
dsdt_com1 (GByteArray *aml)
{
    size_t device = vmm_aml_begin_device (aml, "COM1"), crs;

    vmm_aml_name (aml, "_HID");
    vmm_aml_eisa_id (aml, "PNP0501");
    vmm_aml_name (aml, "_CRS");
    crs = vmm_aml_begin_resources (aml);
    vmm_aml_io (aml, VMM_X86_PORT_COM1, 8);
    vmm_aml_irq (aml, VMM_X86_GSI_COM1);
    vmm_aml_end_resources (aml, crs);
    vmm_aml_end (aml, device);
}

static void
dsdt_rtc (GByteArray *aml)
{
    size_t device = vmm_aml_begin_device (aml, "RTC"), crs;

    vmm_aml_name (aml, "_HID");
    vmm_aml_eisa_id (aml, "PNP0B00");
    vmm_aml_name (aml, "_CRS");
    crs = vmm_aml_begin_resources (aml);
    vmm_aml_io (aml, VMM_X86_PORT_RTC, 2);
    vmm_aml_irq (aml, VMM_X86_GSI_RTC);
    vmm_aml_end_resources (aml, crs);
    vmm_aml_end (aml, device);
}

static void
dsdt_pvpanic (GByteArray *aml)
{
    size_t device = vmm_aml_begin_device (aml, "PEVT"), crs;

    vmm_aml_name (aml, "_HID");
    vmm_aml_string (aml, "QEMU0001");
    vmm_aml_name (aml, "_CRS");
    crs = vmm_aml_begin_resources (aml);
    vmm_aml_io (aml, VMM_X86_PORT_PVPANIC, 1);
    vmm_aml_end_resources (aml, crs);
    vmm_aml_end (aml, device);
}

/* Virtio 1.2 section 4.2 leaves the name to the platform; this is the one that Linux knows. */
static void
dsdt_virtio_mmio (GByteArray *aml, unsigned index)
{
    g_autofree char *name = g_strdup_printf ("V%03X", index);
    size_t device = vmm_aml_begin_device (aml, name), crs;

    vmm_aml_name (aml, "_HID");
    vmm_aml_string (aml, "LNRO0005");
    vmm_aml_name (aml, "_UID");
    vmm_aml_integer (aml, index);
    vmm_aml_name (aml, "_CRS");
    crs = vmm_aml_begin_resources (aml);
    vmm_aml_memory32_fixed (aml, vmm_x86_virtio_mmio_gpa (index), VMM_X86_VIRTIO_MMIO_STEP);
    vmm_aml_level_interrupt (aml, vmm_x86_virtio_mmio_gsi (index));
    vmm_aml_end_resources (aml, crs);
    vmm_aml_end (aml, device);
}

/* Section 5.6.9: the interrupt of a generic event device runs _EVT, which asks what happened. */
static void
dsdt_power_button (GByteArray *aml)
{
    size_t device, crs, field, method, condition;

    device = vmm_aml_begin_device (aml, "PWRB");
    vmm_aml_name (aml, "_HID");
    vmm_aml_eisa_id (aml, "PNP0C0C");
    vmm_aml_end (aml, device);

    device = vmm_aml_begin_device (aml, "GED");
    vmm_aml_name (aml, "_HID");
    vmm_aml_string (aml, "ACPI0013");
    vmm_aml_name (aml, "_CRS");
    crs = vmm_aml_begin_resources (aml);
    vmm_aml_edge_interrupt (aml, VMM_X86_GSI_GED);
    vmm_aml_end_resources (aml, crs);
    vmm_aml_port_region (aml, "EVTR", VMM_X86_PORT_POWER + VMM_ACPI_POWER_EVENTS, 1);
    field = vmm_aml_begin_field (aml, "EVTR");
    vmm_aml_field_unit (aml, "EVTS", 8);
    vmm_aml_end (aml, field);
    method = vmm_aml_begin_method (aml, "_EVT", 1, true);
    condition = vmm_aml_begin_if (aml);
    vmm_aml_and (aml, "EVTS", VMM_ACPI_POWER_EVENT_BUTTON);
    vmm_aml_notify (aml, "PWRB", POWER_BUTTON_PRESSED);
    vmm_aml_end (aml, condition);
    vmm_aml_end (aml, method);
    vmm_aml_end (aml, device);
}

/**
 * vmm_x86_dsdt_put:
 * @aml: where to put it
 * @config: the machine
 *
 * Puts the DSDT's definition block, without the table's header.
 */
void
vmm_x86_dsdt_put (GByteArray *aml, const VmmX86AcpiConfig *config)
{
    size_t scope, package;

    vmm_aml_name (aml, "_S5");
    package = vmm_aml_begin_package (aml, 4);
    vmm_aml_integer (aml, VMM_ACPI_POWER_SLP_TYP_S5);
    vmm_aml_integer (aml, 0);
    vmm_aml_integer (aml, 0);
    vmm_aml_integer (aml, 0);
    vmm_aml_end (aml, package);

    scope = vmm_aml_begin_scope (aml, "\\_SB");
    if (config->pci) {
        dsdt_pci_root (aml, config);
        dsdt_ecam (aml);
    }
    if (config->com1)
        dsdt_com1 (aml);
    if (config->rtc)
        dsdt_rtc (aml);
    if (config->pvpanic)
        dsdt_pvpanic (aml);
    for (unsigned i = 0; i < config->n_virtio_mmio; i++)
        dsdt_virtio_mmio (aml, i);
    dsdt_power_button (aml);
    vmm_aml_end (aml, scope);
}
