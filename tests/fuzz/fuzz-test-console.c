/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest writes, to all in vmm test that reads it: what is kept is text, a shell's command ends or does
 * not, a session becomes a scenario, and a line matches the pattern that is made of it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "record-internal.h"
#include "scenario-file.h"
#include "scenario-make.h"
#include "shell.h"
#include "timeline.h"

#define PIECE 32u

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
need (bool holds)
{
    if (!holds)
        abort ();
}

static void
check_capture (const uint8_t *data, size_t size)
{
    g_autoptr (TestCapture) capture = test_capture_new (64, 64);
    json_t *json;

    for (size_t at = 0; at < size; at += PIECE)
        test_capture_feed (capture, data + at, MIN (PIECE, size - at));
    need (g_utf8_validate (test_capture_last_line (capture), -1, NULL));
    need (g_utf8_strlen (test_capture_last_line (capture), -1) <= (glong)TEST_CAPTURE_LINE_MAX);
    json = test_capture_to_json (capture);
    need (json_integer_value (json_object_get (json, "bytes")) == (json_int_t)size);
    need (json_is_string (json_object_get (json, "head")) && json_is_string (json_object_get (json, "tail")));
    json_decref (json);
}

static void
check_timeline (const uint8_t *data, size_t size)
{
    g_autoptr (TestTimeline) timeline = test_timeline_new ();
    json_t *stages, *stage, *initcalls;
    double last = 0;
    size_t i;

    for (size_t at = 0; at < size; at += PIECE)
        test_timeline_feed (timeline, data + at, MIN (PIECE, size - at), (double)at / 10);
    need (test_timeline_stage (timeline) != NULL);
    stages = test_timeline_stages (timeline, 0.5, 1, (double)size / 10 + 1);
    json_array_foreach (stages, i, stage)
    {
        need (json_real_value (json_object_get (stage, "begin")) == last);
        last = json_real_value (json_object_get (stage, "end"));
    }
    initcalls = test_timeline_initcalls (timeline);
    need (json_array_size (initcalls) <= TEST_TIMELINE_INITCALLS_MAX);
    json_decref (stages);
    json_decref (initcalls);
}

static void
check_shell (const uint8_t *data, size_t size)
{
    g_autoptr (TestShell) shell = test_shell_new (size % 2 == 0);
    g_autoptr (GBytes) line = test_shell_command (shell, "true", NULL);
    g_autoptr (GBytes) output = NULL;

    need (line != NULL);
    /* Nothing that was thought of before the line is its end. */
    need (!test_shell_feed (shell, data, size));
    output = test_shell_output (shell, NULL);
    need (g_bytes_get_size (output) <= 2 * 8192 + 100);
}

static void
check_pattern (const uint8_t *data, size_t size)
{
    const uint8_t *line_end = memchr (data, '\n', size);
    size_t len = line_end != NULL ? (size_t)(line_end - data) : size;
    g_autoptr (TestRecordLine) line = test_record_line_new ((const char *)data, len, true);
    g_autoptr (VmmExpect) expect = vmm_expect_new (0, false);
    g_autofree char *pattern = NULL;
    VmmExpectEvent event;
    bool literal;

    if (line == NULL)
        return;
    pattern = test_record_line_to_pattern (line, &literal);
    need (g_utf8_validate (pattern, -1, NULL) && strchr (pattern, '\n') == NULL);
    need (vmm_expect_add_pattern (expect, 1, pattern, literal ? VMM_EXPECT_LITERAL : VMM_EXPECT_REGEX, NULL));
    vmm_expect_feed (expect, (const uint8_t *)line->text->str, MIN (line->text->len, VMM_EXPECT_WINDOW / 2));
    vmm_expect_settle (expect);
    need (line->text->len > VMM_EXPECT_WINDOW / 2 || vmm_expect_next (expect, &event));
}

static void
check_record (const uint8_t *data, size_t size)
{
    g_autoptr (TestRecord) record = test_record_new ();
    const VmmVerdict verdict = {.kind = (VmmVerdictKind)(size % (VMM_VERDICT_HOST_ERROR + 1)),
                                .exit_code = 33};
    TestLoadOptions options = {.time_scale = 1};
    g_autofree char *text = NULL;
    g_autoptr (TestFile) file = NULL;
    g_autoptr (GPtrArray) runs = NULL;

    test_record_keep_secrets (record, true);
    for (size_t at = 0; at < size;) {
        size_t n = MIN (data[at] % PIECE + 1u, size - at);

        if (at % 3 == 0)
            test_record_typed (record, data + at, n, (double)at);
        else
            test_record_output (record, data + at, n, (double)at);
        at += n;
    }
    test_record_end (record, &verdict, (double)size);
    text = test_record_to_scenario (record);
    file = test_file_parse (text, strlen (text), "/nowhere/fuzz.test", NULL);
    need (file != NULL);
    runs = test_scenario_make (file, &options, NULL);
    need (runs != NULL && runs->len == 1);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    check_capture (data, size);
    check_timeline (data, size);
    check_shell (data, size);
    check_pattern (data, size);
    check_record (data, size);
    return 0;
}
