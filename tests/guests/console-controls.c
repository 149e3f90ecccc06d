/* SPDX-License-Identifier: Apache-2.0 */
/* Panics with words that would do something to a terminal, each of a different kind. */
#include "console.h"
#include "cpu.h"
#include "guest.h"
#include "pvh.h"

void
guest_main (const StartInfo *info)
{
    Console console;

    console_init (&console);
    console_text (&console, "[    0.123456] Kernel panic - not syncing: Fatal \xc2\x9b"
                            "31m \b\b\a\x0e \x7f \x1b]0;title\a");
    console_end_line (&console);
    console_text (&console, "[    0.123460] ---[ end Kernel panic - not syncing: Fatal \xc2\x9b"
                            "31m ]---");
    console_end_line (&console);
    cpu_out8 (PORT_PVPANIC, PVPANIC_PANICKED);
    for (;;)
        cpu_pause ();
}
