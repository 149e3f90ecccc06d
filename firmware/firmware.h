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

/*
 * vmm-init: a static program, the first process of a Linux guest that runs one command for the host. What it
 * reads is in vmm-init/boot.h, what it speaks in vmm-init/protocol.h.
 */
extern const uint8_t vmm_firmware_init[];
extern const size_t vmm_firmware_init_size;

#endif
