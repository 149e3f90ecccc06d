/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Little-endian fields appended to a byte array: how the ACPI tables and the AML in them are put together.
 */
#ifndef VMM_ARCH_X86_64_TABLE_BYTES_H
#define VMM_ARCH_X86_64_TABLE_BYTES_H

#include <glib.h>
#include <stdint.h>
#include <string.h>

static inline void
vmm_table_put_u8 (GByteArray *table, uint8_t value)
{
    g_byte_array_append (table, (const uint8_t *)&value, sizeof value);
}

static inline void
vmm_table_put_u16 (GByteArray *table, uint16_t value)
{
    g_byte_array_append (table, (const uint8_t *)&value, sizeof value);
}

static inline void
vmm_table_put_u32 (GByteArray *table, uint32_t value)
{
    g_byte_array_append (table, (const uint8_t *)&value, sizeof value);
}

static inline void
vmm_table_put_u64 (GByteArray *table, uint64_t value)
{
    g_byte_array_append (table, (const uint8_t *)&value, sizeof value);
}

static inline void
vmm_table_put_zeros (GByteArray *table, size_t n)
{
    size_t len = table->len;

    g_byte_array_set_size (table, (guint)(len + n));
    memset (table->data + len, 0, n);
}

#endif
