/* SPDX-License-Identifier: Apache-2.0 */
/* Starts all CPUs of the MADT, says how many answered, and powers off. */
#include "smp.h"

#include "acpi.h"
#include "console.h"
#include "cpu.h"
#include "guest.h"

void
guest_main (const StartInfo *info)
{
    Console console;
    uint32_t cpus = acpi_cpus (info);
    uint32_t answered = smp_wake (cpus);

    console_init (&console);
    console_decimal (&console, answered, 1);
    console_text (&console, " of ");
    console_decimal (&console, cpus, 1);
    console_text (&console, " CPUs answered");
    console_end_line (&console);
    acpi_power_off (info);
    cpu_out8 (PORT_DEBUG_EXIT, DEBUG_EXIT_FAIL);
}
