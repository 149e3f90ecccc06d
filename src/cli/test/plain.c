/* SPDX-License-Identifier: Apache-2.0 */
/* What people read while runs are made: a line for each that has ended, and others as they come. */
#include "plain.h"

#include <string.h>

#include "columns.h"
#include "report-document.h"
#include "report-text.h"

#define END_COLOUR "\033[0m"
#define INDENT "      "
/* Of what a worker said before it died. */
#define LAST_WORDS 20u

static const struct {
    const char *label;
    const char *mark;
    const char *colour;
} looks[TEST_N_STATUSES] = {
    [TEST_STATUS_PASS] = {"PASS ", "✓", "\033[32m"},    [TEST_STATUS_FAIL] = {"FAIL ", "✗", "\033[1;31m"},
    [TEST_STATUS_ERROR] = {"ERROR", "✗", "\033[1;31m"}, [TEST_STATUS_SKIP] = {"SKIP ", "-", "\033[2m"},
    [TEST_STATUS_XFAIL] = {"XFAIL", "✓", "\033[33m"},   [TEST_STATUS_XPASS] = {"XPASS", "✗", "\033[1;31m"},
    [TEST_STATUS_FLAKY] = {"FLAKY", "✓", "\033[33m"},
};

/* Returns: @label, in colour, and as much of @text behind it as there is room for. */
static char *
make_line (const char *label, const char *colour, const char *text, const TestPlainStyle *style)
{
    GString *line = g_string_new (NULL);
    unsigned used = test_columns_of (label) + 1;

    g_string_append_printf (line, "%s%s%s ", style->colours ? colour : "", label,
                            style->colours ? END_COLOUR : "");
    if (style->columns == 0)
        g_string_append (line, text);
    else
        test_columns_append (line, text, style->columns - MIN (used, style->columns), false);
    test_text_disarm (line->str);
    return g_string_free (line, FALSE);
}

/* "a reason", "known failure, bug 1: a reason" */
static char *
make_reason (const json_t *result, TestStatus status)
{
    g_autofree char *reason = test_text_line_of (result, "reason");
    g_autofree char *known = test_text_line_of (result, "known_failure");

    if (status == TEST_STATUS_XFAIL)
        return g_strdup_printf (": known failure, %s: %s", known, reason);
    return status == TEST_STATUS_PASS || *reason == '\0' ? g_strdup ("") : g_strdup_printf (": %s", reason);
}

/**
 * test_plain_ended:
 * @result: of any type
 * @again: the run is tried again
 *
 * Returns: (transfer full): a line without a newline
 */
char *
test_plain_ended (const json_t *result, bool again, const TestPlainStyle *style)
{
    TestStatus status = test_result_status (result);
    g_autofree char *title = test_result_title (result);
    g_autofree char *seconds = test_text_seconds (test_result_seconds (result));
    g_autofree char *reason = make_reason (result, status);
    g_autofree char *text =
        g_strdup_printf ("%s %s%s%s", title, seconds, again ? ", is tried again" : "", reason);
    g_autofree char *label = style->marks ? g_strdup_printf ("%s %s", looks[status].mark, looks[status].label)
                                          : g_strdup (looks[status].label);

    return make_line (label, again ? "\033[33m" : looks[status].colour, text, style);
}

/**
 * test_plain_words:
 * @result: of any type
 *
 * Returns: (transfer full) (nullable): lines without a newline at their end: what the worker said, where it
 * is to blame
 */
char *
test_plain_words (const json_t *result, const TestPlainStyle *style)
{
    g_autofree char *text = test_text_of (result, "worker_output");
    const char *verdict = json_string_value (json_object_get (result, "verdict"));
    g_auto (GStrv) lines = g_strsplit (test_text_last_lines (text, LAST_WORDS), "\n", -1);
    GString *out;

    if (*text == '\0' || g_strcmp0 (verdict, "host-error") != 0)
        return NULL;
    out = g_string_new (NULL);
    for (char **line = lines; *line != NULL; line++) {
        g_autofree char *shown = NULL;

        if (**line == '\0')
            continue;
        g_strdelimit (*line, "\t", ' ');
        shown = make_line (INDENT "|", "\033[2m", *line, style);
        g_string_append_printf (out, "%s%s", out->len > 0 ? "\n" : "", shown);
    }
    return g_string_free (out, FALSE);
}

/**
 * test_plain_log:
 * @result: of any type
 *
 * Returns: (transfer full) (nullable): a line without a newline, where not all of a log could be written
 */
char *
test_plain_log (const json_t *result, const TestPlainStyle *style)
{
    const json_t *consoles = json_object_get (result, "consoles");
    g_autofree char *title = test_result_title (result);

    for (size_t i = 0; i < json_array_size (consoles); i++) {
        g_autofree char *wrong = test_text_line_of (json_array_get (consoles, i), "log_error");
        g_autofree char *text = g_strdup_printf ("%s: %s", title, wrong);

        if (*wrong != '\0')
            return test_plain_note (text, style);
    }
    return NULL;
}

/**
 * test_plain_step:
 * @state: "passed" or "failed"
 *
 * Returns: (transfer full): a line without a newline
 */
char *
test_plain_step (const TestJob *job, const char *state, double t, const TestPlainStyle *style)
{
    bool failed = strcmp (state, "failed") == 0;
    g_autofree char *seconds = test_text_seconds (t);
    g_autofree char *name = test_text_clean (job->run->name, strlen (job->run->name));
    g_autofree char *repeat = job->repeat > 0 ? g_strdup_printf (" #%u", job->repeat) : g_strdup ("");
    g_autofree char *text =
        g_strdup_printf ("%s%s: step %u \"%s\" %s after %s", name, repeat, job->step,
                         job->step_name != NULL ? job->step_name : "", failed ? "failed" : "passed", seconds);

    return make_line (failed ? "  not" : "   ok", failed ? "\033[31m" : "\033[2m", text, style);
}

/**
 * test_plain_note:
 *
 * Returns: (transfer full): a line without a newline
 */
char *
test_plain_note (const char *text, const TestPlainStyle *style)
{
    return make_line ("note:", "\033[33m", text, style);
}
