/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What reading a console costs, where "vmm test" waits for a prompt, forbids three patterns, and looks for
 * the kernel's reports: MB/s of each part and of all, and how much memory a gigabyte takes more than a
 * kilobyte.
 *
 *     consoles [MIB [LEAST]]      of each stream; 1024 when not given. Exits with 1 when ordinary streams are
 * read more slowly than LEAST MB/s
 */
#include <vmm/vmm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "console-streams.h"

#define MIB (UINT64_C (1) << 20)
/* What a console's reader gets in one go. */
#define PIECE 8192u

static void
on_report (void *user, const VmmKernelReport *report)
{
    ++*(unsigned *)user;
}

static VmmExpect *
make_expect (void)
{
    static const char *const forbidden[] = {"segfault at [0-9a-f]+", "Failed to start .*\\.service",
                                            "(?i)assertion .* failed"};
    VmmExpect *expect = vmm_expect_new (0, true);

    vmm_expect_add_pattern (expect, 0, "^vm login: $", VMM_EXPECT_REGEX, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS (forbidden); i++)
        vmm_expect_add_pattern (expect, i + 1, forbidden[i], VMM_EXPECT_THROUGHOUT, NULL);
    return expect;
}

static void
feed_expect (VmmExpect *expect, const uint8_t *data, size_t len, unsigned *events)
{
    VmmExpectEvent event;

    for (size_t done = 0; done < len;) {
        done += vmm_expect_feed (expect, data + done, len - done);
        while (vmm_expect_next (expect, &event))
            ++*events;
    }
}

static double
cpu_seconds (void)
{
    struct timespec ts;

    clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static long
max_rss_kib (void)
{
    struct rusage usage;

    getrusage (RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* MB/s of one stream through the parts that are wanted. */
static double
measure (const uint8_t *block, uint64_t bytes, bool with_expect, bool with_log, unsigned *events)
{
    g_autoptr (VmmExpect) expect = with_expect ? make_expect () : NULL;
    g_autoptr (VmmKernelLog) log = with_log ? vmm_kernel_log_new (on_report, events) : NULL;
    double start = cpu_seconds ();

    for (uint64_t done = 0; done < bytes; done += PIECE) {
        const uint8_t *piece = block + done % CONSOLE_BLOCK;

        if (expect != NULL)
            feed_expect (expect, piece, PIECE, events);
        if (log != NULL)
            vmm_kernel_log_feed (log, piece, PIECE);
    }
    return (double)bytes / 1e6 / (cpu_seconds () - start);
}

int
main (int argc, char **argv)
{
    uint64_t bytes = (argc > 1 ? strtoull (argv[1], NULL, 10) : 1024) * MIB;
    double least = argc > 2 ? g_ascii_strtod (argv[2], NULL) : 0;
    g_autofree uint8_t *block = g_malloc (CONSOLE_BLOCK);
    int code = 0;

    printf ("%-10s %10s %10s %10s %10s %10s\n", "stream", "expect", "kernel log", "both MB/s", "events",
            "more KiB");
    for (size_t i = 0; i < G_N_ELEMENTS (console_streams); i++) {
        bool ordinary = i < CONSOLE_STREAMS_ORDINARY;
        uint64_t n = ordinary ? bytes : bytes / 16;
        unsigned events = 0, ignored = 0;
        double expect, log, both;
        long before;

        console_streams[i].fill (block);
        measure (block, CONSOLE_BLOCK, true, true, &ignored);
        before = max_rss_kib ();
        both = measure (block, n, true, true, &events);
        expect = measure (block, n / 8, true, false, &ignored);
        log = measure (block, n / 8, false, true, &ignored);
        printf ("%-10s %10.0f %10.0f %10.0f %10u %10ld\n", console_streams[i].name, expect, log, both, events,
                max_rss_kib () - before);
        fflush (stdout);
        if (ordinary && both < least)
            code = 1;
    }
    return code;
}
