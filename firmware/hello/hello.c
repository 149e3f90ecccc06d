/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * This is the guest that runs when nobody gave one. It shows what a machine was given by asking the machine
 * itself: the start info for memory and command line, CPUID for hypervisor and processor, the MADT for the
 * CPUs (each is started and must answer), probing for the devices. Then it powers off through the register
 * that the FADT names. So a run of it proves loader, boot protocol, tables, interrupt controller, serial port
 * and verdict.
 *
 * On some hosts ring 0 is interpreted, at a microsecond for each instruction or two, and each byte sent to
 * the UART is an exit: the text is short, and nothing is computed twice. It stays in 32-bit mode without
 * paging.
 */
#include <stdbool.h>
#include <stddef.h>

#include "acpi.h"
#include "console.h"
#include "cpu.h"
#include "devices.h"
#include "pvh.h"
#include "smp.h"

#define VALUE_COLUMN 16u
#define CMDLINE_SHOWN 180u
#define RANGES_SHOWN 32u

void
hello_label (Console *console, const char *name)
{
    console_text (console, "  ");
    console_text (console, name);
    console_pad (console, VALUE_COLUMN);
}

/* Four characters of a CPUID register; they end at a NUL. */
static void
show_register (Console *console, uint32_t value)
{
    for (; value != 0; value >>= 8) {
        char c = (char)value;

        /* Brand strings are padded with spaces at their start. */
        if (c != ' ' || console->used > VALUE_COLUMN)
            console_char (console, c);
    }
}

static void
show_hypervisor (Console *console)
{
    Cpuid leaf = cpu_cpuid (0x40000000);

    hello_label (console, "hypervisor");
    if ((cpu_cpuid (1).ecx & 1u << 31) == 0) {
        console_text (console, "not announced");
    } else if (leaf.ebx == 0x4b4d564bu) { /* "KVMK", of "KVMKVMKVM" */
        console_text (console, "KVM");
    } else {
        show_register (console, leaf.ebx);
        show_register (console, leaf.ecx);
        show_register (console, leaf.edx);
    }
    console_end_line (console);
}

static void
show_brand (Console *console)
{
    for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; leaf++) {
        Cpuid part = cpu_cpuid (leaf);

        show_register (console, part.eax);
        show_register (console, part.ebx);
        show_register (console, part.ecx);
        show_register (console, part.edx);
    }
}

static void
show_processor (Console *console)
{
    hello_label (console, "processor");
    if (cpu_cpuid (0x80000000).eax >= 0x80000004u)
        show_brand (console);
    if (console->used == VALUE_COLUMN) { /* nobody gave it a name: the vendor is what remains */
        Cpuid vendor = cpu_cpuid (0);

        show_register (console, vendor.ebx);
        show_register (console, vendor.edx);
        show_register (console, vendor.ecx);
    }
    console_end_line (console);
}

static void
show_cpus (Console *console, const StartInfo *info)
{
    uint32_t cpus = acpi_cpus (info);
    uint32_t answered = smp_wake (cpus);

    hello_label (console, "CPUs");
    console_decimal (console, answered, 1);
    console_text (console, " of ");
    console_decimal (console, cpus, 1);
    console_text (console, " answered");
    console_end_line (console);
}

static void
show_size (Console *console, uint64_t size)
{
    if (size >= 1u << 20) {
        console_decimal (console, (uint32_t)(size >> 20), 1);
        console_text (console, " MiB");
    } else {
        console_decimal (console, (uint32_t)size >> 10, 1);
        console_text (console, " KiB");
    }
}

static void
show_range (Console *console, const MemoryRange *range)
{
    static const char *const types[] = {"unknown", "RAM", "reserved", "ACPI", "ACPI NVS", "bad"};

    console_pad (console, VALUE_COLUMN);
    console_hex (console, range->gpa, 8);
    console_char (console, '-');
    console_hex (console, range->gpa + range->size - 1, 8);
    console_text (console, "  ");
    console_text (console, types[range->type < 6 ? range->type : 0]);
    console_text (console, ", ");
    show_size (console, range->size);
    console_end_line (console);
}

static void
show_memory (Console *console, const StartInfo *info)
{
    uint32_t count = pvh_memory_ranges (info);
    uint64_t total = 0;
    uint32_t ranges = 0;

    for (uint32_t i = 0; i < count; i++) {
        const MemoryRange *range = pvh_memory_range (info, i);

        if (range->type == PVH_MEMORY_RAM) {
            total += range->size;
            ranges++;
        }
    }
    hello_label (console, "memory");
    show_size (console, total);
    console_text (console, " in ");
    console_decimal (console, ranges, 1);
    console_text (console, ranges == 1 ? " range" : " ranges");
    console_end_line (console);
    for (uint32_t i = 0; i < count && i < RANGES_SHOWN; i++) {
        if (pvh_memory_range (info, i)->size > 0)
            show_range (console, pvh_memory_range (info, i));
    }
}

static void
show_tables (Console *console, const StartInfo *info)
{
    const AcpiTable *table;

    hello_label (console, "ACPI");
    if (acpi_table (info, 0) == NULL)
        console_text (console, "no tables");
    for (uint32_t i = 0; (table = acpi_table (info, i)) != NULL; i++) {
        for (uint32_t c = 0; c < 4; c++)
            console_char (console, table->signature[c]);
        console_char (console, ' ');
    }
    console_end_line (console);
}

static void
show_modules (Console *console, const StartInfo *info)
{
    const BootModule *modules = (const BootModule *)(uintptr_t)info->modules_gpa;

    for (uint32_t i = 0; i < info->modules && i < RANGES_SHOWN; i++) {
        hello_label (console, "module");
        show_size (console, modules[i].size);
        console_text (console, " at ");
        console_hex (console, modules[i].gpa, 8);
        console_end_line (console);
    }
}

static void
show_cmdline (Console *console, const StartInfo *info)
{
    const char *text = (const char *)(uintptr_t)info->cmdline_gpa;

    if (text == NULL || *text == '\0')
        return;
    hello_label (console, "command line");
    for (uint32_t i = 0; text[i] != '\0' && i < CMDLINE_SHOWN; i++)
        console_char (console, text[i] >= ' ' && text[i] < 0x7f ? text[i] : '?');
    console_end_line (console);
}

void
guest_main (const StartInfo *info)
{
    Console console;

    console_init (&console);
    console_text (&console, "Hello from a virtual machine.");
    console_end_line (&console);
    if (info->magic == PVH_MAGIC) {
        show_hypervisor (&console);
        show_processor (&console);
        show_cpus (&console, info);
        show_memory (&console, info);
        show_tables (&console, info);
        hello_show_devices (&console);
        show_modules (&console, info);
        show_cmdline (&console, info);
    }
    console_text (&console, "Powering off.");
    console_end_line (&console);
    if (info->magic != PVH_MAGIC || !acpi_power_off (info)) {
        console_text (&console, "The machine has no power switch: halted.");
        console_end_line (&console);
    }
}
