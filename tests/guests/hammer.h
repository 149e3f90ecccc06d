/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_TESTS_HAMMER_H
#define VMM_TESTS_HAMMER_H

#include <stdint.h>

#include "pvh.h"

/*
 * Theory of operation
 *
 * The hammer is a guest without manners. Round after round, with other pseudo-random values each time, it
 * writes every byte to the UART registers, reads and writes ports and MMIO holes with all sizes, aligned,
 * unaligned and across boundaries, by single and by string instructions, and fills the PCI configuration
 * space with garbage. It must never end the machine by a defined way, so what would do that (reset, power,
 * panic and exit values) is tamed before it is written, and nothing is sent that could stop its own CPU: no
 * IPIs, no unmasked I/O APIC entries of odd delivery modes. What a machine does then is run until its
 * timeout.
 *
 * One round takes about a second where ring 0 is interpreted. "seed=N" starts with other values. An
 * exception, which the machine must not cause, ends with the debug-exit value 0x7f: exit code 255.
 */

typedef struct {
    uint64_t state; /* never 0 */
    uint64_t top;   /* the first gpa above all RAM, at least 4 GiB */
    uint64_t limit; /* the first gpa that the CPU cannot address */
} Hammer;

uint64_t hammer_random (Hammer *hammer);

/* From now on an exception ends with the debug-exit value 0x7f. */
void hammer_load_idt (void);

void hammer_uart (Hammer *hammer);
void hammer_known_ports (Hammer *hammer);
void hammer_sweep_ports (Hammer *hammer, uint32_t first, uint32_t n);
void hammer_pci (Hammer *hammer);
void hammer_memory (Hammer *hammer);

#endif
