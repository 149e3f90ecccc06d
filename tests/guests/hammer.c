/* SPDX-License-Identifier: Apache-2.0 */
#include "hammer.h"

#include "console.h"
#include "cpu.h"

#define PORTS_A_ROUND 1024u

uint64_t
hammer_random (Hammer *hammer)
{
    hammer->state ^= hammer->state << 13;
    hammer->state ^= hammer->state >> 7;
    hammer->state ^= hammer->state << 17;
    return hammer->state;
}

static void
find_limits (Hammer *hammer, const StartInfo *info)
{
    uint32_t bits = 36;

    if (cpu_cpuid (0x80000000).eax >= 0x80000008u)
        bits = cpu_cpuid (0x80000008).eax & 0xff;
    hammer->limit = 1ull << (bits > 51 ? 51 : bits);
    hammer->top = 1ull << 32;
    for (uint32_t i = 0; i < pvh_memory_ranges (info); i++) {
        const MemoryRange *range = pvh_memory_range (info, i);

        if (range->type == PVH_MEMORY_RAM && range->gpa + range->size > hammer->top)
            hammer->top = range->gpa + range->size;
    }
}

void
guest_main (const StartInfo *info)
{
    uint32_t seed = pvh_cmdline_number (info, "seed=", 1);
    Hammer hammer = {.state = (seed + 1ull) * 0x9e3779b97f4a7c15ull | 1};
    Console console;

    hammer_load_idt ();
    find_limits (&hammer, info);
    for (uint32_t round = 0;; round++) {
        console_init (&console);
        console_text (&console, "hammer: seed ");
        console_decimal (&console, seed, 1);
        console_text (&console, ", round ");
        console_decimal (&console, round, 1);
        console_end_line (&console);
        hammer_uart (&hammer);
        hammer_known_ports (&hammer);
        hammer_pci (&hammer);
        hammer_memory (&hammer);
        hammer_sweep_ports (&hammer, round * PORTS_A_ROUND, PORTS_A_ROUND);
    }
}
