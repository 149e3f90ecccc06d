/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console to type at: it polls COM1, echoes each byte (control characters as ^C), and at the end of a line
 * prints "line: TEXT". The line "quit" powers off.
 */
#include <stdbool.h>

#include "acpi.h"
#include "console.h"
#include "cpu.h"

#define LSR (CONSOLE_COM1 + 5)
#define LSR_DATA_READY 0x01u
#define LINE_MAX 200u

static char
read_char (void)
{
    while ((cpu_in8 (LSR) & LSR_DATA_READY) == 0)
        cpu_pause ();
    return (char)cpu_in8 (CONSOLE_COM1);
}

static void
echo (Console *console, char c)
{
    if ((unsigned char)c < ' ') {
        console_char (console, '^');
        console_char (console, (char)(c + '@'));
    } else {
        console_char (console, c);
    }
    console_flush (console);
}

/* Returns how many characters @line got. */
static uint32_t
read_line (Console *console, char *line)
{
    uint32_t n = 0;

    console_text (console, "> ");
    console_flush (console);
    for (;;) {
        char c = read_char ();

        if (c == '\r' || c == '\n') {
            console_end_line (console);
            return n;
        }
        echo (console, c);
        if ((unsigned char)c >= ' ' && n < LINE_MAX)
            line[n++] = c;
    }
}

static bool
is_quit (const char *line, uint32_t n)
{
    return n == 4 && line[0] == 'q' && line[1] == 'u' && line[2] == 'i' && line[3] == 't';
}

void
guest_main (const StartInfo *info)
{
    Console console;
    char line[LINE_MAX];
    uint32_t n;

    console_init (&console);
    while (n = read_line (&console, line), !is_quit (line, n)) {
        console_text (&console, "line: ");
        for (uint32_t i = 0; i < n; i++)
            console_char (&console, line[i]);
        console_end_line (&console);
    }
    acpi_power_off (info);
}
