/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_FIRMWARE_H
#define VMM_FIRMWARE_H

#include <stddef.h>
#include <stdint.h>

/*
 * The built-in guest: an ELF64 file with a PVH note, linked at 1 MiB, for any machine of at least 2 MiB. It
 * greets on COM1, shows what it was given, starts all CPUs and powers off through ACPI.
 */
extern const uint8_t vmm_firmware_hello[];
extern const size_t vmm_firmware_hello_size;

#endif
