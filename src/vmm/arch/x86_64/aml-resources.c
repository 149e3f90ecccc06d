/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resource descriptors of _CRS (ACPI 6.5 section 6.4): which ports, memory and interrupts a device
 * decodes.
 */
#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/table-bytes.h"

#define RES_IRQ 0x22u
#define RES_IO 0x47u
#define RES_MEMORY32_FIXED 0x86u
#define RES_DWORD_ADDRESS 0x87u
#define RES_WORD_ADDRESS 0x88u
#define RES_INTERRUPT 0x89u
#define RES_QWORD_ADDRESS 0x8au
#define RES_DECODE16 0x01u
#define RES_READ_WRITE 0x01u
#define RES_CONSUMER_EDGE 0x03u
#define RES_CONSUMER_SHARED_LEVEL 0x09u
#define RES_TYPE_MEMORY 0u
#define RES_TYPE_BUS 2u
#define RES_FIXED 0x0cu /* both ends of the range are fixed, decoded positively */

/**
 * vmm_aml_io:
 * @aml: where to put it
 * @port: the first port
 * @size: how many ports
 */
void
vmm_aml_io (GByteArray *aml, uint16_t port, uint8_t size)
{
    vmm_table_put_u8 (aml, RES_IO);
    vmm_table_put_u8 (aml, RES_DECODE16);
    vmm_table_put_u16 (aml, port);
    vmm_table_put_u16 (aml, port);
    vmm_table_put_u8 (aml, 1); /* alignment */
    vmm_table_put_u8 (aml, size);
}

/**
 * vmm_aml_irq:
 * @aml: where to put it
 * @irq: less than 16; edge-triggered, active high, not shared
 */
void
vmm_aml_irq (GByteArray *aml, unsigned irq)
{
    vmm_table_put_u8 (aml, RES_IRQ);
    vmm_table_put_u16 (aml, (uint16_t)(1u << irq));
}

static void
put_interrupt (GByteArray *aml, uint8_t flags, uint32_t gsi)
{
    vmm_table_put_u8 (aml, RES_INTERRUPT);
    vmm_table_put_u16 (aml, 6);
    vmm_table_put_u8 (aml, flags);
    vmm_table_put_u8 (aml, 1);
    vmm_table_put_u32 (aml, gsi);
}

/**
 * vmm_aml_edge_interrupt:
 * @aml: where to put it
 * @gsi: edge-triggered, active high, not shared
 */
void
vmm_aml_edge_interrupt (GByteArray *aml, uint32_t gsi)
{
    put_interrupt (aml, RES_CONSUMER_EDGE, gsi);
}

/**
 * vmm_aml_level_interrupt:
 * @aml: where to put it
 * @gsi: level-triggered, active high, shared
 */
void
vmm_aml_level_interrupt (GByteArray *aml, uint32_t gsi)
{
    put_interrupt (aml, RES_CONSUMER_SHARED_LEVEL, gsi);
}

/**
 * vmm_aml_memory32_fixed:
 * @aml: where to put it
 * @base: first address
 * @size: bytes
 */
void
vmm_aml_memory32_fixed (GByteArray *aml, uint32_t base, uint32_t size)
{
    vmm_table_put_u8 (aml, RES_MEMORY32_FIXED);
    vmm_table_put_u16 (aml, 9);
    vmm_table_put_u8 (aml, RES_READ_WRITE);
    vmm_table_put_u32 (aml, base);
    vmm_table_put_u32 (aml, size);
}

/**
 * vmm_aml_bus_range:
 * @aml: where to put it
 * @first: the first PCI bus
 * @last: the last
 */
void
vmm_aml_bus_range (GByteArray *aml, uint16_t first, uint16_t last)
{
    vmm_table_put_u8 (aml, RES_WORD_ADDRESS);
    vmm_table_put_u16 (aml, 13);
    vmm_table_put_u8 (aml, RES_TYPE_BUS);
    vmm_table_put_u8 (aml, RES_FIXED);
    vmm_table_put_u8 (aml, 0);
    vmm_table_put_u16 (aml, 0); /* granularity */
    vmm_table_put_u16 (aml, first);
    vmm_table_put_u16 (aml, last);
    vmm_table_put_u16 (aml, 0); /* translation */
    vmm_table_put_u16 (aml, (uint16_t)(last - first + 1));
}

/**
 * vmm_aml_memory32_window:
 * @aml: where to put it
 * @base: first address
 * @size: bytes; the window ends below 4 GiB
 */
void
vmm_aml_memory32_window (GByteArray *aml, uint32_t base, uint32_t size)
{
    vmm_table_put_u8 (aml, RES_DWORD_ADDRESS);
    vmm_table_put_u16 (aml, 23);
    vmm_table_put_u8 (aml, RES_TYPE_MEMORY);
    vmm_table_put_u8 (aml, RES_FIXED);
    vmm_table_put_u8 (aml, RES_READ_WRITE);
    vmm_table_put_u32 (aml, 0);
    vmm_table_put_u32 (aml, base);
    vmm_table_put_u32 (aml, base + (size - 1));
    vmm_table_put_u32 (aml, 0);
    vmm_table_put_u32 (aml, size);
}

/**
 * vmm_aml_memory64_window:
 * @aml: where to put it
 * @base: first address
 * @size: bytes
 */
void
vmm_aml_memory64_window (GByteArray *aml, uint64_t base, uint64_t size)
{
    vmm_table_put_u8 (aml, RES_QWORD_ADDRESS);
    vmm_table_put_u16 (aml, 43);
    vmm_table_put_u8 (aml, RES_TYPE_MEMORY);
    vmm_table_put_u8 (aml, RES_FIXED);
    vmm_table_put_u8 (aml, RES_READ_WRITE);
    vmm_table_put_u64 (aml, 0);
    vmm_table_put_u64 (aml, base);
    vmm_table_put_u64 (aml, base + (size - 1));
    vmm_table_put_u64 (aml, 0);
    vmm_table_put_u64 (aml, size);
}
