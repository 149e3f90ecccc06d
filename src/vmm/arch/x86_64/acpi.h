/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_ARCH_X86_64_ACPI_H
#define VMM_ARCH_X86_64_ACPI_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/arch/x86_64/topology.h"
#include "vmm/core/guest-memory.h"

#define VMM_X86_ACPI_TABLES_MAX 8u

/**
 * VmmX86AcpiConfig:
 * @topology: the CPUs, borrowed
 * @pci: there is a PCI root with ECAM
 * @pci_mmio64: the PCI window above RAM; its size is 0 when there is none
 * @com1: there is a UART at COM1
 * @rtc: there is a CMOS clock
 * @i8042: there is a keyboard controller that a driver should look for
 * @pvpanic: there is a pvpanic port
 * @n_virtio_pci: how many virtio devices are on PCI
 * @n_virtio_mmio: how many memory-mapped virtio devices there are
 */
typedef struct {
    const VmmCpuTopology *topology;
    bool pci;
    VmmMemRange pci_mmio64;
    bool com1;
    bool rtc;
    bool i8042;
    bool pvpanic;
    unsigned n_virtio_pci;
    unsigned n_virtio_mmio;
} VmmX86AcpiConfig;

/**
 * VmmX86AcpiTable:
 * @signature: four letters and a NUL; the RSDP is called "RSDP"
 * @offset: where it starts in the image
 * @len: bytes
 */
typedef struct {
    char signature[5];
    uint32_t offset;
    uint32_t len;
} VmmX86AcpiTable;

/**
 * VmmX86AcpiTables:
 * @image: all tables as they lie in guest memory from VMM_X86_ACPI_GPA on, the RSDP first
 * @tables: where each of them is
 * @n_tables: how many there are
 */
typedef struct {
    GByteArray *image;
    VmmX86AcpiTable tables[VMM_X86_ACPI_TABLES_MAX];
    size_t n_tables;
} VmmX86AcpiTables;

bool vmm_x86_acpi_build (const VmmX86AcpiConfig *config, VmmX86AcpiTables *ret_tables, GError **error);
void vmm_x86_acpi_tables_clear (VmmX86AcpiTables *tables);
bool vmm_x86_acpi_write (VmmGuestMemory *memory, const VmmX86AcpiConfig *config, uint64_t *ret_rsdp_gpa,
                         GError **error);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VmmX86AcpiTables, vmm_x86_acpi_tables_clear)

#endif
