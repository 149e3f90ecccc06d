/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_TESTS_BENCH_H
#define VMM_TESTS_BENCH_H

#include "console.h"
#include "cpu.h"
#include "guest.h"
#include "pvh.h"

/*
 * What the guests of tests/bench that keep a device busy tell: "begin", then "done REQUESTS CYCLES KICKS"
 * (cycles of the time stamp counter in hexadecimal); or "failed: WHY" at any time. Zero-initialize.
 */
typedef struct {
    Console console;
    uint64_t begin;
} BenchReport;

static inline void __attribute__ ((noreturn)) bench_fail (BenchReport *report, const char *why)
{
    console_text (&report->console, "failed: ");
    console_text (&report->console, why);
    console_end_line (&report->console);
    for (;;)
        cpu_out8 (PORT_DEBUG_EXIT, DEBUG_EXIT_FAIL);
}

static inline void
bench_begin (BenchReport *report)
{
    console_text (&report->console, "begin");
    console_end_line (&report->console);
    report->begin = cpu_rdtsc ();
}

static inline void
bench_done (BenchReport *report, uint32_t requests, uint64_t kicks)
{
    uint64_t cycles = cpu_rdtsc () - report->begin;

    console_text (&report->console, "done ");
    console_decimal (&report->console, requests, 1);
    console_char (&report->console, ' ');
    console_hex (&report->console, cycles, 16);
    console_char (&report->console, ' ');
    console_decimal (&report->console, (uint32_t)kicks, 1);
    console_end_line (&report->console);
}

static inline void __attribute__ ((noreturn)) bench_spin (void)
{
    for (;;)
        cpu_pause ();
}

#endif
