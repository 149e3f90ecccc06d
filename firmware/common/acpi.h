/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_FIRMWARE_ACPI_H
#define VMM_FIRMWARE_ACPI_H

#include <stdbool.h>
#include <stdint.h>

#include "pvh.h"

/* Reads the ACPI tables that the start info points at (ACPI 6.5 section 5.2), those below 4 GiB. */

typedef struct {
    char signature[4];
    uint32_t length;
    uint8_t rest[28];
} AcpiTable;

/* @index: counts from 0; NULL after the last table of the XSDT, or when there is none */
const AcpiTable *acpi_table (const StartInfo *info, uint32_t index);
/* NULL when there is none of this signature */
const AcpiTable *acpi_find (const StartInfo *info, const char *signature);
/* CPUs that the MADT says are enabled; 1 without a MADT */
uint32_t acpi_cpus (const StartInfo *info);
/* Enters S5 through the FADT's sleep control register; returns false when there is no such register or it did
 * not work */
bool acpi_power_off (const StartInfo *info);

#endif
