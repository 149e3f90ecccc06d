/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_FIRMWARE_SMP_H
#define VMM_FIRMWARE_SMP_H

#include <stdint.h>

/*
 * Starts all other CPUs by a broadcast of INIT and SIPI and waits, for a bounded time, until @cpus (this one
 * included) run. Each counts itself and halts. Uses the page at 0x80000 and, where the local APIC is not in
 * x2APIC mode, its MMIO page. Returns how many CPUs answered, this one included.
 */
uint32_t smp_wake (uint32_t cpus);

#endif
