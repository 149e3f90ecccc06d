/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TAP, version 14 (testanything.org). Diagnostics are YAML whose strings are written as JSON writes them:
 * that is YAML, too, and nothing in them can be taken for an end of the block or for another test.
 */
#include "report-tap.h"

#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "report-document.h"
#include "report-text.h"

#define LAST_LINES 25u
#define REPORT_LINES 60u

/* "Escaping": a # would begin a directive. */
static void
append_description (GString *tap, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '#' || *text == '\\')
            g_string_append_c (tap, '\\');
        g_string_append_c (tap, *text);
    }
}

static void
append_quoted (GString *tap, const char *text, size_t len)
{
    json_t *value = json_stringn (text, len);
    char *dump = value != NULL ? json_dumps (value, JSON_ENCODE_ANY) : NULL;

    /* Also on the standard output of an action of GitHub: see test_text_disarm(). */
    if (dump != NULL) {
        g_autofree char *safe = test_text_replace (dump, "##[", "#\\u0023[");

        g_string_append (tap, safe);
    } else {
        g_string_append (tap, "\"\"");
    }
    free (dump);
    json_decref (value);
}

static void
append_text (GString *tap, const char *key, const char *text)
{
    if (*text == '\0')
        return;
    g_string_append_printf (tap, "  %s: ", key);
    append_quoted (tap, text, strlen (text));
    g_string_append_c (tap, '\n');
}

static void
append_line_of (GString *tap, const json_t *result, const char *key)
{
    g_autofree char *text = test_text_line_of (result, key);

    append_text (tap, key, text);
}

/* A sequence of lines; reads better than one long string. */
static void
append_lines (GString *tap, const char *key, const char *lines)
{
    if (*lines == '\0')
        return;
    g_string_append_printf (tap, "  %s:\n", key);
    while (*lines != '\0') {
        size_t len = strcspn (lines, "\n");

        g_string_append (tap, "    - ");
        append_quoted (tap, lines, len);
        g_string_append_c (tap, '\n');
        lines += len + (lines[len] == '\n');
    }
}

static void
append_attempts (GString *tap, const json_t *result)
{
    const json_t *attempts = json_object_get (result, "attempts");
    g_autoptr (GString) lines = g_string_new (NULL);

    for (size_t i = 0; i < json_array_size (attempts); i++) {
        g_autofree char *verdict = test_text_line_of (json_array_get (attempts, i), "verdict");
        g_autofree char *reason = test_text_line_of (json_array_get (attempts, i), "reason");

        g_string_append_printf (lines, "%s: %s\n", verdict, reason);
    }
    append_lines (tap, "earlier_attempts", lines->str);
}

static void
append_failure (GString *tap, const json_t *result)
{
    const json_t *report = test_result_report (result);
    const json_t *console = test_result_console (result);
    g_autofree char *text = test_text_of (report, "text");
    g_autofree char *first = test_text_first_lines (text, REPORT_LINES);
    g_autofree char *last = test_console_last_lines (console, LAST_LINES);
    g_autofree char *output = test_result_output (result, LAST_LINES);
    g_autofree char *name = test_text_line_of (console, "name");

    append_lines (tap, "command_output", output);
    append_lines (tap, "crash_report", first);
    if (*last != '\0')
        append_text (tap, "console", name);
    append_lines (tap, "last_lines", last);
}

static void
append_diagnostics (GString *tap, const json_t *result, TestStatus status)
{
    g_string_append_printf (tap, "  ---\n  status: %s\n", test_status_to_string (status));
    append_line_of (tap, result, "verdict");
    append_line_of (tap, result, "reason");
    append_line_of (tap, result, "known_failure");
    append_line_of (tap, result, "file");
    g_string_append_printf (tap, "  duration_ms: %.0f\n", MIN (test_result_seconds (result), 1e9) * 1e3);
    append_attempts (tap, result);
    if (status != TEST_STATUS_PASS && status != TEST_STATUS_SKIP && status != TEST_STATUS_FLAKY)
        append_failure (tap, result);
    g_string_append (tap, "  ...\n");
}

/* "Directives": a test that is known to fail is "not ok" and does not count. Nothing makes an ok count as
 * bad. */
static void
append_directive (GString *tap, const json_t *result, TestStatus status)
{
    bool is_skip = status == TEST_STATUS_SKIP;
    g_autofree char *why = test_text_line_of (result, is_skip ? "reason" : "known_failure");

    if (is_skip || status == TEST_STATUS_XFAIL)
        g_string_append_printf (tap, " # %s %s",
                                is_skip ? "SKIP"
                                        : "TO"
                                          "DO",
                                why);
}

static void
append_result (GString *tap, size_t number, const json_t *result)
{
    TestStatus status = test_result_status (result);
    bool ok = status == TEST_STATUS_PASS || status == TEST_STATUS_SKIP || status == TEST_STATUS_FLAKY;
    g_autofree char *title = test_result_title (result);

    g_string_append_printf (tap, "%sok %zu - ", ok ? "" : "not ", number);
    append_description (tap, title);
    append_directive (tap, result, status);
    g_string_append_c (tap, '\n');
    append_diagnostics (tap, result, status);
}

/**
 * test_report_tap:
 * @document: of vmm test; whatever it lacks is left out
 *
 * Returns: (transfer full): it as TAP 14
 */
char *
test_report_tap (const json_t *document)
{
    const json_t *runs = json_object_get (document, "runs");
    size_t count = json_array_size (runs);
    GString *tap = g_string_new ("TAP version 14\n");

    g_string_append_printf (tap, "1..%zu%s\n", count, count == 0 ? " # SKIP nothing was run" : "");
    for (size_t i = 0; i < count; i++)
        append_result (tap, i + 1, json_array_get (runs, i));
    return g_string_free (tap, FALSE);
}
