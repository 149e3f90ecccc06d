/* SPDX-License-Identifier: Apache-2.0 */
#include "acpi.h"

#include <stddef.h>

#include "cpu.h"

#define RSDP_XSDT 24u
#define HEADER_SIZE 36u
#define FADT_SLEEP_CONTROL 244u /* a generic address structure of 12 bytes */
#define FADT_SLEEP_STATUS 256u
#define GAS_ADDRESS 4u
#define GAS_SPACE_MEMORY 0u
#define GAS_SPACE_IO 1u
#define SLP_EN (1u << 5)
#define SLP_TYP_S5 (5u << 2)
#define MADT_ENTRIES 44u
#define MADT_LOCAL_APIC 0u
#define MADT_LOCAL_X2APIC 9u
#define MADT_ENABLED 1u

/* Tables keep 64-bit fields at any 4-byte boundary. */
static uint64_t
read64 (const void *at)
{
    const uint32_t *words = at;

    return (uint64_t)words[1] << 32 | words[0];
}

static bool
has_signature (const AcpiTable *table, const char *signature)
{
    for (uint32_t i = 0; i < 4; i++) {
        if (table->signature[i] != signature[i])
            return false;
    }
    return true;
}

const AcpiTable *
acpi_table (const StartInfo *info, uint32_t index)
{
    const uint8_t *rsdp = (const uint8_t *)(uintptr_t)info->rsdp_gpa;
    const AcpiTable *xsdt;

    if (rsdp == NULL || *(const uint32_t *)rsdp != 0x20445352u /* "RSD " */)
        return NULL;
    xsdt = (const AcpiTable *)(uintptr_t)read64 (rsdp + RSDP_XSDT);
    if (xsdt == NULL || !has_signature (xsdt, "XSDT") || HEADER_SIZE + 8 * index + 8 > xsdt->length)
        return NULL;
    return (const AcpiTable *)(uintptr_t)read64 ((const uint8_t *)xsdt + HEADER_SIZE + 8 * index);
}

const AcpiTable *
acpi_find (const StartInfo *info, const char *signature)
{
    const AcpiTable *table;

    for (uint32_t i = 0; (table = acpi_table (info, i)) != NULL; i++) {
        if (has_signature (table, signature))
            return table;
    }
    return NULL;
}

uint32_t
acpi_cpus (const StartInfo *info)
{
    const AcpiTable *madt = acpi_find (info, "APIC");
    const uint8_t *bytes = (const uint8_t *)madt;
    uint32_t cpus = 0;

    if (madt == NULL)
        return 1;
    for (uint32_t at = MADT_ENTRIES; at + 8 <= madt->length && bytes[at + 1] >= 2; at += bytes[at + 1]) {
        uint32_t type = bytes[at];

        if ((type == MADT_LOCAL_APIC && (bytes[at + 4] & MADT_ENABLED) != 0) ||
            (type == MADT_LOCAL_X2APIC && (bytes[at + 8] & MADT_ENABLED) != 0))
            cpus++;
    }
    return cpus;
}

bool
acpi_power_off (const StartInfo *info)
{
    const AcpiTable *fadt = acpi_find (info, "FACP");
    const uint8_t *gas;
    uint64_t address;

    if (fadt == NULL || fadt->length < FADT_SLEEP_STATUS)
        return false;
    gas = (const uint8_t *)fadt + FADT_SLEEP_CONTROL;
    address = read64 (gas + GAS_ADDRESS);
    if (address == 0)
        return false;
    if (gas[0] == GAS_SPACE_IO)
        cpu_out8 ((uint16_t)address, SLP_EN | SLP_TYP_S5);
    else if (gas[0] == GAS_SPACE_MEMORY)
        *(volatile uint8_t *)(uintptr_t)address = SLP_EN | SLP_TYP_S5;
    /* The machine ends a moment later: the CPU may still run a little. */
    for (uint32_t i = 0; i < 100000; i++)
        cpu_pause ();
    return false;
}
