/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever a guest writes, and for however long: what reads its console needs the same memory, and finds what
 * comes at the end. VMM_TEST_LONG=1 writes a gigabyte of each ordinary stream.
 */
#include "console-streams.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "vmm/expect.h"
#include "vmm/kernel-log.h"

#define MIB (UINT64_C (1) << 20)

/* AddressSanitizer keeps what was freed for a while. */
#ifdef __SANITIZE_ADDRESS__
#define MORE_KIB 600000
#else
#define MORE_KIB 2048
#endif

typedef struct {
    VmmExpect *expect;
    VmmKernelLog *log;
    uint64_t fed;
    uint64_t lines;
    uint64_t panic_line;
    uint64_t panic_offset;
    uint64_t prompt_line;
    uint64_t prompt_offset;
} Reader;

static void
on_report (void *user, const VmmKernelReport *report)
{
    Reader *reader = user;

    cr_assert_leq (report->text_len, VMM_KERNEL_REPORT_MAX);
    if (report->kind != VMM_KERNEL_PANIC)
        return;
    reader->panic_line = report->line;
    reader->panic_offset = report->offset;
}

static void
look (Reader *reader)
{
    VmmExpectEvent event;

    while (vmm_expect_next (reader->expect, &event)) {
        cr_assert_null (event.error, "%s", event.error);
        if (event.id != 1)
            continue;
        reader->prompt_line = event.line;
        reader->prompt_offset = event.offset;
    }
}

static void
feed (Reader *reader, const uint8_t *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        done += vmm_expect_feed (reader->expect, data + done, len - done);
        look (reader);
    }
    vmm_kernel_log_feed (reader->log, data, len);
    reader->fed += len;
    for (const uint8_t *p = data; (p = memchr (p, '\n', (size_t)(data + len - p))) != NULL; p++)
        reader->lines++;
}

static void
reader_init (Reader *reader)
{
    *reader = (Reader){.expect = vmm_expect_new (0, true)};
    reader->log = vmm_kernel_log_new (on_report, reader);
    cr_assert (vmm_expect_add_pattern (reader->expect, 1, "^the (end)> $", VMM_EXPECT_REGEX, NULL));
    cr_assert (
        vmm_expect_add_pattern (reader->expect, 2, "segfault at [0-9a-f]+", VMM_EXPECT_THROUGHOUT, NULL));
    cr_assert (
        vmm_expect_add_pattern (reader->expect, 3, "(?i)assertion .* failed", VMM_EXPECT_THROUGHOUT, NULL));
    cr_assert (vmm_expect_add_pattern (reader->expect, 4, "Bread", VMM_EXPECT_LITERAL | VMM_EXPECT_THROUGHOUT,
                                       NULL));
}

static void
reader_clear (Reader *reader)
{
    vmm_expect_free (reader->expect);
    vmm_kernel_log_free (reader->log);
}

static long
peak_kib (void)
{
    struct rusage usage;

    getrusage (RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void
check_stream (const ConsoleStream *stream, uint64_t bytes)
{
    static const char panic[] = "\n[99999.000000] Kernel panic - not syncing: at the end\n",
                      prompt[] = "the end> ";
    g_autofree uint8_t *block = g_malloc (CONSOLE_BLOCK);
    uint64_t panic_line, panic_offset;
    Reader reader;
    long before = 0;

    stream->fill (block);
    reader_init (&reader);
    while (reader.fed < bytes) {
        feed (&reader, block + reader.fed % CONSOLE_BLOCK, 4096);
        if (reader.fed == MIB)
            before = peak_kib ();
    }
    cr_assert_lt (peak_kib () - before, MORE_KIB, "%s: %ld KiB more", stream->name, peak_kib () - before);
    panic_line = reader.lines + 2;
    panic_offset = reader.fed + 1;
    feed (&reader, (const uint8_t *)panic, sizeof panic - 1);
    feed (&reader, (const uint8_t *)prompt, sizeof prompt - 1);
    vmm_expect_settle (reader.expect);
    look (&reader);
    vmm_kernel_log_finish (reader.log);
    cr_assert_eq (reader.panic_line, panic_line, "%s", stream->name);
    cr_assert_eq (reader.panic_offset, panic_offset, "%s", stream->name);
    cr_assert_eq (reader.prompt_line, panic_line + 1, "%s", stream->name);
    cr_assert_eq (reader.prompt_offset, reader.fed - (sizeof prompt - 1), "%s", stream->name);
    reader_clear (&reader);
}

Test (console_streams, their_end_is_found_in_constant_memory, .timeout = 1800)
{
    bool is_long = getenv ("VMM_TEST_LONG") != NULL;

    for (size_t i = 0; i < G_N_ELEMENTS (console_streams); i++)
        check_stream (&console_streams[i], !is_long                       ? 8 * MIB
                                           : i < CONSOLE_STREAMS_ORDINARY ? 1024 * MIB
                                                                          : 128 * MIB);
}
