/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Says all that a kernel says at its end, one after the other, through every channel there is, and stays.
 * What cannot all be true must not confuse vmm: it panicked.
 */
#include "console.h"
#include "cpu.h"
#include "guest.h"
#include "pvh.h"

void
guest_main (const StartInfo *info)
{
    Console console;

    console_init (&console);
    console_text (&console, "reboot: Restarting system");
    console_end_line (&console);
    cpu_out8 (PORT_PVPANIC, PVPANIC_PANICKED);
    console_text (&console, "reboot: System halted");
    console_end_line (&console);
    console_text (&console, "# ---[ end Kernel panic - not syncing: not the start of a line ]---");
    console_end_line (&console);
    console_text (&console, "done");
    console_end_line (&console);
    for (;;)
        cpu_pause ();
}
