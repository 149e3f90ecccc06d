/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console that is no text: NULs, every byte value, sequences that break off, a line without an end, words
 * that only look like a panic. Then "done" on a line of its own and power-off.
 */
#include "acpi.h"
#include "console.h"

#define LONG_LINE 20000u

void
guest_main (const StartInfo *info)
{
    static const char nuls[16];
    static const char broken[] = "\xc3\x28\xf0\x9f\x92\x1b[\x1b]0;title\xff\xfe\r\r\n\n\x7f";
    Console console;
    char every[256];

    console_init (&console);
    console_send (nuls, sizeof (nuls));
    for (uint32_t i = 0; i < sizeof (every); i++)
        every[i] = (char)i;
    console_send (every, sizeof (every));
    console_send (broken, sizeof (broken));
    for (uint32_t sent = 0; sent < LONG_LINE; sent += 16)
        console_send ("xxxxxxxxxxxxxxxx", 16);
    console_text (&console, "Kernel pan");
    console_end_line (&console);
    console_text (&console, "[    0.1] Kernel panicked? not syncing");
    console_end_line (&console);
    console_text (&console, "done");
    console_end_line (&console);
    acpi_power_off (info);
}
