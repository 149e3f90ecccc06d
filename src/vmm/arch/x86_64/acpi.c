/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables (ACPI 6.5). The machine is hardware-reduced (section 4.1): no PM1 blocks, no SCI, no PM
 * timer and no legacy PIC or PIT, all of which a guest would probe and wait for. The power button comes by a
 * generic event device.
 *
 * There is no FACS: no firmware waking vector, no global lock.
 *
 * The MADT has no interrupt source overrides: the UART, the clock and the event device are at the I/O APIC
 * pins of their own numbers, edge-triggered and active high, which is what an ISA interrupt is without one.
 */
#include "vmm/arch/x86_64/acpi.h"

#include <string.h>

#include "devices/legacy/acpi-power.h"
#include "vmm/arch/x86_64/dsdt.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/table-bytes.h"
#include "vmm/core/bytes.h"
#include "vmm/error.h"

#define TABLE_ALIGN 16u
#define RSDP_SIZE 36u
#define RSDP_V1_SIZE 20u
#define RSDP_REVISION 2u
#define HEADER_SIZE 36u
#define HEADER_LENGTH 4u
#define HEADER_CHECKSUM 9u

#define XSDT_REVISION 1u
#define FADT_REVISION 6u
#define FADT_SIZE 276u
#define MADT_REVISION 5u
#define MCFG_REVISION 1u
#define DSDT_REVISION 2u /* integers have 64 bits */

#define OEM_ID "VMM   "
#define OEM_TABLE_ID "VMMX8664"
#define OEM_REVISION 1u
#define CREATOR_ID "VMM "
#define CREATOR_REVISION 1u

/* FADT, section 5.2.9: offsets and bits. */
#define FADT_DSDT 40u
#define FADT_P_LVL2_LAT 96u
#define FADT_P_LVL3_LAT 98u
#define FADT_IAPC_BOOT_ARCH 109u
#define FADT_FLAGS 112u
#define FADT_RESET_REG 116u
#define FADT_RESET_VALUE 128u
#define FADT_X_DSDT 140u
#define FADT_SLEEP_CONTROL_REG 244u
#define FADT_SLEEP_STATUS_REG 256u
#define FADT_NO_C_STATE 0x0fffu

#define BOOT_LEGACY_DEVICES 0x01u
#define BOOT_8042 0x02u
#define BOOT_NO_VGA 0x04u
#define BOOT_NO_ASPM 0x10u
#define BOOT_NO_RTC 0x20u

#define FLAG_WBINVD (1u << 0)
#define FLAG_PROC_C1 (1u << 2)
#define FLAG_PWR_BUTTON (1u << 4) /* not a fixed-feature button */
#define FLAG_SLP_BUTTON (1u << 5) /* likewise */
#define FLAG_FIX_RTC (1u << 6)    /* its wake status is not in a fixed register */
#define FLAG_RESET_REG_SUP (1u << 10)
#define FLAG_HW_REDUCED (1u << 20)

/* MADT, section 5.2.12. */
#define MADT_LAPIC 0u
#define MADT_IOAPIC 1u
#define MADT_LAPIC_NMI 4u
#define MADT_X2APIC 9u
#define MADT_X2APIC_NMI 10u
#define MADT_ENABLED 1u
#define MADT_ALL_CPUS 0xffu
#define MADT_NMI_LINT 1u

/* What makes @len bytes sum up to 0. */
static uint8_t
checksum (const uint8_t *bytes, size_t len)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum += bytes[i];
    return (uint8_t)-sum;
}

/* Begins a table with its header (section 5.2.6); end_table() fills in the rest of it. */
static size_t
begin_table (VmmX86AcpiTables *tables, const char *signature, uint8_t revision)
{
    GByteArray *image = tables->image;
    VmmX86AcpiTable *table = &tables->tables[tables->n_tables++];

    vmm_table_put_zeros (image, -image->len % TABLE_ALIGN);
    g_strlcpy (table->signature, signature, sizeof table->signature);
    table->offset = image->len;
    g_byte_array_append (image, (const uint8_t *)signature, 4);
    vmm_table_put_u32 (image, 0);
    vmm_table_put_u8 (image, revision);
    vmm_table_put_u8 (image, 0);
    g_byte_array_append (image, (const uint8_t *)OEM_ID, 6);
    g_byte_array_append (image, (const uint8_t *)OEM_TABLE_ID, 8);
    vmm_table_put_u32 (image, OEM_REVISION);
    g_byte_array_append (image, (const uint8_t *)CREATOR_ID, 4);
    vmm_table_put_u32 (image, CREATOR_REVISION);
    return table->offset;
}

static uint64_t
end_table (VmmX86AcpiTables *tables)
{
    VmmX86AcpiTable *table = &tables->tables[tables->n_tables - 1];
    uint8_t *start = tables->image->data + table->offset;

    table->len = tables->image->len - table->offset;
    vmm_put_u32 (start + HEADER_LENGTH, table->len);
    start[HEADER_CHECKSUM] = checksum (start, table->len);
    return VMM_X86_ACPI_GPA + table->offset;
}

/* A generic address structure (section 5.2.3.2) that names one byte of the power device. */
static void
power_register (uint8_t gas[12], unsigned offset)
{
    gas[0] = 1; /* system I/O space */
    gas[1] = 8; /* bits */
    gas[2] = 0;
    gas[3] = 1; /* byte access */
    vmm_put_u64 (gas + 4, VMM_X86_PORT_POWER + offset);
}

static uint64_t
build_dsdt (VmmX86AcpiTables *tables, const VmmX86AcpiConfig *config)
{
    begin_table (tables, "DSDT", DSDT_REVISION);
    vmm_x86_dsdt_put (tables->image, config);
    return end_table (tables);
}

static uint64_t
build_fadt (VmmX86AcpiTables *tables, const VmmX86AcpiConfig *config, uint64_t dsdt_gpa)
{
    size_t start = begin_table (tables, "FACP", FADT_REVISION);
    uint16_t boot = BOOT_NO_VGA | BOOT_NO_ASPM;
    uint8_t *fadt;

    if (config->com1)
        boot |= BOOT_LEGACY_DEVICES;
    if (config->i8042)
        boot |= BOOT_8042;
    if (!config->rtc)
        boot |= BOOT_NO_RTC;
    vmm_table_put_zeros (tables->image, FADT_SIZE - HEADER_SIZE);
    fadt = tables->image->data + start;
    /* Both forms name it: a guest that knows ACPI 1.0 reads only the first. */
    vmm_put_u32 (fadt + FADT_DSDT, (uint32_t)dsdt_gpa);
    vmm_put_u64 (fadt + FADT_X_DSDT, dsdt_gpa);
    vmm_put_u16 (fadt + FADT_P_LVL2_LAT, FADT_NO_C_STATE);
    vmm_put_u16 (fadt + FADT_P_LVL3_LAT, FADT_NO_C_STATE);
    vmm_put_u16 (fadt + FADT_IAPC_BOOT_ARCH, boot);
    vmm_put_u32 (fadt + FADT_FLAGS, FLAG_WBINVD | FLAG_PROC_C1 | FLAG_PWR_BUTTON | FLAG_SLP_BUTTON |
                                        FLAG_FIX_RTC | FLAG_RESET_REG_SUP | FLAG_HW_REDUCED);
    power_register (fadt + FADT_RESET_REG, VMM_ACPI_POWER_RESET);
    fadt[FADT_RESET_VALUE] = VMM_ACPI_POWER_RESET_VALUE;
    power_register (fadt + FADT_SLEEP_CONTROL_REG, VMM_ACPI_POWER_SLEEP_CONTROL);
    power_register (fadt + FADT_SLEEP_STATUS_REG, VMM_ACPI_POWER_SLEEP_STATUS);
    return end_table (tables);
}

/* A CPU's ACPI UID is its number; ids that one byte cannot hold need the x2APIC form (section 5.2.12.12). */
static void
madt_cpu (GByteArray *image, uint32_t uid, uint32_t apic_id)
{
    if (apic_id < VMM_X86_APIC_ID_X2APIC) {
        vmm_table_put_u8 (image, MADT_LAPIC);
        vmm_table_put_u8 (image, 8);
        vmm_table_put_u8 (image, (uint8_t)uid);
        vmm_table_put_u8 (image, (uint8_t)apic_id);
        vmm_table_put_u32 (image, MADT_ENABLED);
        return;
    }
    vmm_table_put_u8 (image, MADT_X2APIC);
    vmm_table_put_u8 (image, 16);
    vmm_table_put_u16 (image, 0);
    vmm_table_put_u32 (image, apic_id);
    vmm_table_put_u32 (image, MADT_ENABLED);
    vmm_table_put_u32 (image, uid);
}

static uint64_t
build_madt (VmmX86AcpiTables *tables, const VmmX86AcpiConfig *config)
{
    GByteArray *image = tables->image;

    begin_table (tables, "APIC", MADT_REVISION);
    vmm_table_put_u32 (image, VMM_X86_LAPIC_BASE);
    vmm_table_put_u32 (image, 0); /* no dual 8259 */
    for (unsigned cpu = 0; cpu < config->topology->cpus; cpu++)
        madt_cpu (image, cpu, vmm_x86_apic_id (config->topology, cpu));

    vmm_table_put_u8 (image, MADT_IOAPIC);
    vmm_table_put_u8 (image, 12);
    vmm_table_put_u8 (image, 0); /* its id */
    vmm_table_put_u8 (image, 0);
    vmm_table_put_u32 (image, VMM_X86_IOAPIC_BASE);
    vmm_table_put_u32 (image, 0); /* its first GSI */

    vmm_table_put_u8 (image, MADT_LAPIC_NMI);
    vmm_table_put_u8 (image, 6);
    vmm_table_put_u8 (image, MADT_ALL_CPUS);
    vmm_table_put_u16 (image, 0);
    vmm_table_put_u8 (image, MADT_NMI_LINT);
    if (vmm_x86_needs_x2apic (config->topology)) {
        vmm_table_put_u8 (image, MADT_X2APIC_NMI);
        vmm_table_put_u8 (image, 12);
        vmm_table_put_u16 (image, 0);
        vmm_table_put_u32 (image, UINT32_MAX); /* all */
        vmm_table_put_u8 (image, MADT_NMI_LINT);
        vmm_table_put_zeros (image, 3);
    }
    return end_table (tables);
}

static uint64_t
build_mcfg (VmmX86AcpiTables *tables)
{
    GByteArray *image = tables->image;

    begin_table (tables, "MCFG", MCFG_REVISION);
    vmm_table_put_zeros (image, 8);
    vmm_table_put_u64 (image, VMM_X86_ECAM_BASE);
    vmm_table_put_u16 (image, 0); /* segment group */
    vmm_table_put_u8 (image, 0);
    vmm_table_put_u8 (image, VMM_X86_ECAM_BUSES - 1);
    vmm_table_put_zeros (image, 4);
    return end_table (tables);
}

/* Section 5.2.5.3. The first 20 bytes have a checksum of their own. */
static void
fill_rsdp (uint8_t rsdp[RSDP_SIZE], uint64_t xsdt_gpa)
{
    memcpy (rsdp, "RSD PTR ", 8);
    memcpy (rsdp + 9, OEM_ID, 6);
    rsdp[15] = RSDP_REVISION;
    vmm_put_u32 (rsdp + 20, RSDP_SIZE);
    vmm_put_u64 (rsdp + 24, xsdt_gpa);
    rsdp[8] = checksum (rsdp, RSDP_V1_SIZE);
    rsdp[32] = checksum (rsdp, RSDP_SIZE);
}

/**
 * vmm_x86_acpi_tables_clear:
 * @tables: (nullable): what vmm_x86_acpi_build() gave, or zeros
 */
void
vmm_x86_acpi_tables_clear (VmmX86AcpiTables *tables)
{
    if (tables == NULL)
        return;
    g_clear_pointer (&tables->image, g_byte_array_unref);
    tables->n_tables = 0;
}

/**
 * vmm_x86_acpi_build:
 * @config: the machine
 * @ret_tables: the tables; free with vmm_x86_acpi_tables_clear()
 * @error: %VMM_ERROR_USAGE when there are too many CPUs for the space
 *
 * Makes RSDP, XSDT, FADT, MADT, DSDT and, with PCI, MCFG, as they lie from %VMM_X86_ACPI_GPA on.
 */
bool
vmm_x86_acpi_build (const VmmX86AcpiConfig *config, VmmX86AcpiTables *ret_tables, GError **error)
{
    g_auto (VmmX86AcpiTables) tables = {.image = g_byte_array_new ()};
    uint64_t pointers[3], xsdt_gpa;
    size_t n = 0;

    tables.tables[tables.n_tables++] = (VmmX86AcpiTable){"RSDP", 0, RSDP_SIZE};
    vmm_table_put_zeros (tables.image, RSDP_SIZE);
    pointers[n++] = build_fadt (&tables, config, build_dsdt (&tables, config));
    pointers[n++] = build_madt (&tables, config);
    if (config->pci)
        pointers[n++] = build_mcfg (&tables);

    begin_table (&tables, "XSDT", XSDT_REVISION);
    for (size_t i = 0; i < n; i++)
        vmm_table_put_u64 (tables.image, pointers[i]);
    xsdt_gpa = end_table (&tables);
    fill_rsdp (tables.image->data, xsdt_gpa);

    if (tables.image->len > VMM_X86_ACPI_MAX) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "ACPI tables: %u CPUs need %u bytes and there is room for %u; use fewer CPUs",
                     config->topology->cpus, tables.image->len, VMM_X86_ACPI_MAX);
        return false;
    }
    *ret_tables = tables;
    tables.image = NULL;
    return true;
}

/**
 * vmm_x86_acpi_write:
 * @memory: guest memory
 * @config: the machine
 * @ret_rsdp_gpa: where the RSDP is
 * @error: as vmm_x86_acpi_build()
 *
 * Writes the tables to %VMM_X86_ACPI_GPA. The RSDP is also where a PC's firmware would have it, for a guest
 * that looks for it between 0xe0000 and 1 MiB.
 */
bool
vmm_x86_acpi_write (VmmGuestMemory *memory, const VmmX86AcpiConfig *config, uint64_t *ret_rsdp_gpa,
                    GError **error)
{
    g_auto (VmmX86AcpiTables) tables = {NULL};

    if (!vmm_x86_acpi_build (config, &tables, error))
        return false;
    if (!vmm_guest_memory_write (memory, VMM_X86_ACPI_GPA, tables.image->data, tables.image->len)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "ACPI tables: no guest RAM at 0x%x", VMM_X86_ACPI_GPA);
        return false;
    }
    *ret_rsdp_gpa = VMM_X86_ACPI_GPA;
    return true;
}
