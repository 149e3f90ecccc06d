/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_BYTE_REGS_H
#define VMM_DEVICES_BYTE_REGS_H

#include <stdint.h>

/*
 * The ISA bus cuts a wider access to an 8-bit device into byte cycles at rising addresses, the low byte
 * first. Software relies on it: a 16-bit OUT to the RTC's index port writes the index and then the data.
 */
static inline uint64_t
vmm_byte_regs_read (uint8_t (*read) (void *device, unsigned reg), void *device, uint64_t offset,
                    unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)read (device, (unsigned)offset + i) << (8 * i);
    return value;
}

static inline void
vmm_byte_regs_write (void (*write) (void *device, unsigned reg, uint8_t value), void *device, uint64_t offset,
                     unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++)
        write (device, (unsigned)offset + i, (uint8_t)(value >> (8 * i)));
}

#endif
