/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends lines of 64 bytes to COM1, a number of eight hexadecimal digits at the start of each, 1 MiB in all or
 * "bytes=N", and powers off. Three ways by "how=": string (REP OUTSB, never looks whether there is room),
 * byte (OUT, never looks), polled (looks at the line status before each byte).
 */
#include "acpi.h"
#include "console.h"
#include "cpu.h"
#include "flood.h"

#define LSR (CONSOLE_COM1 + 5)
#define LSR_THR_EMPTY 0x20u

static void
fill_line (char *line, uint32_t number)
{
    flood_fill_line (line, number);
    line[FLOOD_LINE - 2] = '\r';
    line[FLOOD_LINE - 1] = '\n';
}

void
guest_main (const StartInfo *info)
{
    const char *how = pvh_cmdline_value (info, "how=");
    uint32_t bytes = pvh_cmdline_number (info, "bytes=", 1u << 20);
    char way = how != 0 ? *how : 's';
    Console console;
    char line[FLOOD_LINE];

    console_init (&console);
    for (uint32_t number = 0; number < bytes / FLOOD_LINE; number++) {
        fill_line (line, number);
        if (way == 's') {
            cpu_out_string8 (CONSOLE_COM1, line, FLOOD_LINE);
            continue;
        }
        for (uint32_t i = 0; i < FLOOD_LINE; i++) {
            while (way == 'p' && (cpu_in8 (LSR) & LSR_THR_EMPTY) == 0)
                cpu_pause ();
            cpu_out8 (CONSOLE_COM1, (uint8_t)line[i]);
        }
    }
    acpi_power_off (info);
}
