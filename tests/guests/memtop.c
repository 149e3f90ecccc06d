/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the RAM there that the memory map promises? Writes a word of its own to the first and the last eight
 * bytes of every RAM range and to each GiB in between, reads all of them back after the last write, so that
 * two addresses of the same memory show, and restores what was there. Prints each place that fails and a
 * summary; powers off when all is well, else ends with DEBUG_EXIT_FAIL.
 */
#include "acpi.h"
#include "console.h"
#include "cpu.h"
#include "guest.h"
#include "window.h"

#define PLACES_MAX 2048u
#define GIB (1ull << 30)

typedef struct {
    uint64_t gpa;
    uint64_t saved;
} Place;

typedef struct {
    uint32_t n;
    Place places[PLACES_MAX];
} Places;

static void
add_place (Places *places, uint64_t gpa)
{
    if (places->n < PLACES_MAX)
        places->places[places->n++].gpa = gpa;
}

static void
add_range (Places *places, const MemoryRange *range)
{
    uint64_t last = range->gpa + range->size - 8;

    add_place (places, range->gpa);
    for (uint64_t gpa = (range->gpa + GIB) & ~(GIB - 1); gpa < last; gpa += GIB)
        add_place (places, gpa);
    add_place (places, last);
}

static volatile uint64_t *
word_at (uint64_t gpa)
{
    return (volatile uint64_t *)window_map (gpa);
}

static uint64_t
pattern (uint64_t gpa)
{
    return (gpa + 1) * 0x9e3779b97f4a7c15ull;
}

static uint32_t
check_places (Places *places, Console *console)
{
    uint32_t bad = 0;

    for (uint32_t i = 0; i < places->n; i++) {
        places->places[i].saved = *word_at (places->places[i].gpa);
        *word_at (places->places[i].gpa) = pattern (places->places[i].gpa);
    }
    for (uint32_t i = 0; i < places->n; i++) {
        if (*word_at (places->places[i].gpa) == pattern (places->places[i].gpa))
            continue;
        bad++;
        console_text (console, "no memory at ");
        console_hex (console, places->places[i].gpa, 8);
        console_end_line (console);
    }
    for (uint32_t i = places->n; i > 0; i--)
        *word_at (places->places[i - 1].gpa) = places->places[i - 1].saved;
    return bad;
}

void
guest_main (const StartInfo *info)
{
    static Places places;
    Console console;
    uint64_t total = 0;
    uint32_t bad;

    console_init (&console);
    for (uint32_t i = 0; i < pvh_memory_ranges (info); i++) {
        const MemoryRange *range = pvh_memory_range (info, i);

        if (range->type != PVH_MEMORY_RAM || range->size < 16)
            continue;
        total += range->size;
        add_range (&places, range);
    }
    bad = check_places (&places, &console);
    console_decimal (&console, (uint32_t)(total >> 10), 1);
    console_text (&console, " KiB, ");
    console_decimal (&console, places.n, 1);
    console_text (&console, " places, ");
    console_decimal (&console, bad, 1);
    console_text (&console, " bad");
    console_end_line (&console);
    if (bad == 0 && places.n > 0)
        acpi_power_off (info);
    cpu_out8 (PORT_DEBUG_EXIT, DEBUG_EXIT_FAIL);
}
