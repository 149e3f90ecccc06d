/* SPDX-License-Identifier: Apache-2.0 */
/* What a person reads at the end of a run: all that did not just pass, and one line of totals. */
#include "report-summary.h"

#include <glib.h>

#include "report-document.h"
#include "report-text.h"

#define LAST_LINES 10u
#define REPORT_LINES 12u
#define INDENT "       "
#define QUOTE INDENT "| "

static const struct {
    const char *label;
    const char *colour;
    const char *counted; /* as in "2 failed" */
} looks[TEST_N_STATUSES] = {
    [TEST_STATUS_PASS] = {"PASS", "\033[32m", "passed"},
    [TEST_STATUS_FAIL] = {"FAIL", "\033[1;31m", "failed"},
    [TEST_STATUS_ERROR] = {"ERROR", "\033[1;31m", "could not be judged"},
    [TEST_STATUS_SKIP] = {"SKIP", "\033[2m", "skipped"},
    [TEST_STATUS_XFAIL] = {"XFAIL", "\033[33m", "failed as known"},
    [TEST_STATUS_XPASS] = {"XPASS", "\033[1;31m", "passed but should fail"},
    [TEST_STATUS_FLAKY] = {"FLAKY", "\033[33m", "flaky"},
};

static void
append_label (GString *out, TestStatus status, bool colours)
{
    g_string_append_printf (out, "%s%-5s%s  ", colours ? looks[status].colour : "", looks[status].label,
                            colours ? "\033[0m" : "");
}

static void
append_heading (GString *out, const json_t *result, TestStatus status, bool colours)
{
    g_autofree char *title = test_result_title (result);
    g_autofree char *verdict = test_text_line_of (result, "verdict");
    g_autofree char *seconds = test_text_seconds (test_result_seconds (result));

    append_label (out, status, colours);
    g_string_append_printf (out, "%s (%s%s%s)\n", title, verdict, *verdict != '\0' ? ", " : "", seconds);
}

static void
append_paragraph (GString *out, const char *before, const char *text)
{
    if (*text != '\0')
        g_string_append_printf (out, INDENT "%s%s\n", before, text);
}

static void
append_quote (GString *out, const char *heading, const char *lines)
{
    if (*lines == '\0')
        return;
    g_string_append_printf (out, INDENT "%s:\n", heading);
    test_text_append_lines (out, QUOTE, lines);
}

static void
append_evidence (GString *out, const json_t *result)
{
    const json_t *console = test_result_console (result);
    g_autofree char *name = test_text_line_of (console, "name");
    g_autofree char *last = test_console_last_lines (console, LAST_LINES);
    g_autofree char *heading = g_strconcat ("last lines of ", name, NULL);
    g_autofree char *output = test_result_output (result, LAST_LINES);
    g_autofree char *report = test_text_of (test_result_report (result), "text");
    g_autofree char *first = test_text_first_lines (report, REPORT_LINES);

    append_quote (out, "the command wrote", output);
    append_quote (out, heading, last);
    append_quote (out, "crash report", first);
}

static void
append_attempts (GString *out, const json_t *result)
{
    const json_t *attempts = json_object_get (result, "attempts");

    for (size_t i = 0; i < json_array_size (attempts); i++) {
        g_autofree char *verdict = test_text_line_of (json_array_get (attempts, i), "verdict");
        g_autofree char *reason = test_text_line_of (json_array_get (attempts, i), "reason");

        g_string_append_printf (out, INDENT "attempt %zu: %s: %s\n", i + 1, verdict, reason);
    }
}

static void
append_result (GString *out, const json_t *result, bool colours)
{
    TestStatus status = test_result_status (result);
    g_autofree char *reason = test_text_line_of (result, "reason");
    g_autofree char *known = test_text_line_of (result, "known_failure");

    if (status == TEST_STATUS_PASS)
        return;
    append_heading (out, result, status, colours);
    append_paragraph (out, "known to fail: ", known);
    if (status != TEST_STATUS_FLAKY && status != TEST_STATUS_XPASS)
        append_paragraph (out, "", reason);
    append_attempts (out, result);
    if (status == TEST_STATUS_FAIL || status == TEST_STATUS_ERROR)
        append_evidence (out, result);
}

static void
append_verdicts (GString *out, json_t *verdicts)
{
    const char *verdict;
    json_t *count;

    json_object_foreach (verdicts, verdict, count)
    {
        g_autofree char *line = test_text_to_line (verdict);

        g_string_append_printf (out, "; %s %" JSON_INTEGER_FORMAT, line, json_integer_value (count));
    }
}

static void
append_repeat (GString *out, const json_t *repeat)
{
    static const char *const keys[] = {"min", "median", "max"};
    const json_t *spread = json_object_get (repeat, "seconds");
    g_autofree char *name = test_text_line_of (repeat, "name");

    g_string_append_printf (out, "%s: %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " passed (%.1f %%)",
                            name, json_integer_value (json_object_get (repeat, "passed")),
                            json_integer_value (json_object_get (repeat, "runs")),
                            json_number_value (json_object_get (repeat, "rate")) * 100);
    for (size_t i = 0; json_is_object (spread) && i < G_N_ELEMENTS (keys); i++) {
        g_autofree char *seconds = test_text_seconds (json_number_value (json_object_get (spread, keys[i])));

        g_string_append_printf (out, "%s %s %s", i == 0 ? ";" : ",", keys[i], seconds);
    }
    append_verdicts (out, json_object_get (repeat, "verdicts"));
    g_string_append_c (out, '\n');
}

/**
 * test_report_total:
 * @document: of vmm test
 *
 * Returns: (transfer full): one line without a newline: "14 runs in 45.2 s: 13 passed, 1 failed"
 */
char *
test_report_total (const json_t *document)
{
    static const TestStatus order[TEST_N_STATUSES] = {
        TEST_STATUS_PASS,  TEST_STATUS_FAIL,  TEST_STATUS_XPASS, TEST_STATUS_ERROR,
        TEST_STATUS_FLAKY, TEST_STATUS_XFAIL, TEST_STATUS_SKIP,
    };
    const json_t *runs = json_object_get (document, "runs");
    size_t counts[TEST_N_STATUSES] = {0}, total = json_array_size (runs);
    g_autofree char *seconds = test_text_seconds (test_result_seconds (document));
    GString *out = g_string_new (NULL);
    const char *before = ": ";

    g_string_append_printf (out, "%zu run%s in %s", total, total == 1 ? "" : "s", seconds);
    for (size_t i = 0; i < total; i++)
        counts[test_result_status (json_array_get (runs, i))]++;
    for (size_t i = 0; i < G_N_ELEMENTS (order); i++) {
        if (counts[order[i]] > 0) {
            g_string_append_printf (out, "%s%zu %s", before, counts[order[i]], looks[order[i]].counted);
            before = ", ";
        }
    }
    return g_string_free (out, FALSE);
}

/**
 * test_report_summary:
 * @document: of vmm test; whatever it lacks is left out
 * @colours: with colours of a terminal
 *
 * Returns: (transfer full): text for people, whose last line is test_report_total()
 */
char *
test_report_summary (const json_t *document, bool colours)
{
    const json_t *runs = json_object_get (document, "runs");
    const json_t *repeats = json_object_get (document, "repeats");
    g_autofree char *total = test_report_total (document);
    GString *out = g_string_new (NULL);

    for (size_t i = 0; i < json_array_size (runs); i++)
        append_result (out, json_array_get (runs, i), colours);
    for (size_t i = 0; i < json_array_size (repeats); i++)
        append_repeat (out, json_array_get (repeats, i));
    if (out->len > 0)
        g_string_append_c (out, '\n');
    g_string_append_printf (out, "%s\n", total);
    test_text_disarm (out->str);
    return g_string_free (out, FALSE);
}
