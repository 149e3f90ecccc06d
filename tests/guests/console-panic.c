/* SPDX-License-Identifier: Apache-2.0 */
/* Prints what a Linux kernel prints when it panics, tells nobody else, and stays, as with panic=0. */
#include "console.h"
#include "cpu.h"
#include "pvh.h"

void
guest_main (const StartInfo *info)
{
    Console console;

    console_init (&console);
    console_text (&console, "[    0.123400] Run /init as init process");
    console_end_line (&console);
    console_text (&console, "[    0.123456] Kernel panic - not syncing: test");
    console_end_line (&console);
    console_text (&console, "[    0.123460] ---[ end Kernel panic - not syncing: test ]---");
    console_end_line (&console);
    for (;;)
        cpu_pause ();
}
