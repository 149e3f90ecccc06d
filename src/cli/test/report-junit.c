/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JUnit's XML. There is no standard of it, but readers: Jenkins, GitLab and the actions of GitHub. What is
 * written here is what all of them take: the elements of Maven Surefire's schema in its order, inside
 * <testsuites>, and no attribute that Jenkins' schema refuses. A run's place in the matrix has to be said by
 * properties of a suite, hence there is one suite for each name, and in it the run, or its repeats.
 */
#include "report-junit.h"

#include <string.h>

#include <glib.h>

#include "report-document.h"
#include "report-text.h"

/* What a page of a CI service still shows well. */
#define LINES_OF_FAILURE 400u
#define LINES_OF_SUCCESS 20u
#define LINES_IN_REASON 25u

static void
append_attribute (GString *xml, const char *name, const char *value)
{
    /* It also keeps newlines of an attribute, as &#10;. */
    g_autofree char *escaped = g_markup_escape_text (value, -1);
    g_auto (GStrv) lines = g_strsplit (escaped, "\n", -1);
    g_autofree char *joined = g_strjoinv ("&#10;", lines);

    g_string_append_printf (xml, " %s=\"%s\"", name, joined);
}

static void
append_seconds (GString *xml, double seconds)
{
    g_string_append_printf (xml, " time=\"%.3f\"", MIN (seconds, 1e9));
}

static void
append_element (GString *xml, const char *indent, const char *name, const char *text)
{
    g_autofree char *escaped = g_markup_escape_text (text, -1);

    if (*text != '\0')
        g_string_append_printf (xml, "%s<%s>%s</%s>\n", indent, name, escaped, name);
}

static void
append_property (GString *xml, const char *name, const char *value)
{
    if (*value == '\0')
        return;
    g_string_append (xml, "      <property");
    append_attribute (xml, "name", name);
    append_attribute (xml, "value", value);
    g_string_append (xml, "/>\n");
}

static void
append_properties (GString *xml, const json_t *result)
{
    static const char *const keys[] = {"scenario", "description"};
    json_t *axes = json_object_get (result, "axes");
    const json_t *tags = json_object_get (result, "tags");
    const char *key;
    json_t *value;

    g_string_append (xml, "    <properties>\n");
    for (size_t i = 0; i < G_N_ELEMENTS (keys); i++) {
        g_autofree char *text = test_text_line_of (result, keys[i]);

        append_property (xml, keys[i], text);
    }
    json_object_foreach (axes, key, value)
    {
        g_autofree char *name = test_text_clean (key, strlen (key));
        g_autofree char *text = test_text_line_of (axes, key);

        append_property (xml, name, text);
    }
    for (size_t i = 0; i < json_array_size (tags); i++) {
        const char *tag = json_string_value (json_array_get (tags, i));
        g_autofree char *text = tag != NULL ? test_text_clean (tag, strlen (tag)) : g_strdup ("");

        append_property (xml, "tag", text);
    }
    g_string_append (xml, "    </properties>\n");
}

/* What a failure's text is: the crash report, or what the command said, or else the last lines. */
static char *
explain (const json_t *result)
{
    g_autofree char *report = test_text_of (test_result_report (result), "text");
    g_autofree char *machine = test_text_of (json_object_get (result, "machine"), "report");
    g_autofree char *lines = test_console_last_lines (test_result_console (result), LINES_IN_REASON);
    g_autofree char *output = test_result_output (result, LINES_IN_REASON);
    g_autofree char *reason = test_text_line_of (result, "reason");
    const char *body = *report != '\0' ? report : *output != '\0' ? output : lines;

    return g_strdup_printf ("%s\n%s%s%s%s", reason, *body != '\0' ? "\n" : "", body,
                            *machine != '\0' ? "\n" : "", machine);
}

static void
append_verdict (GString *xml, const char *element, const json_t *result)
{
    g_autofree char *verdict = test_text_line_of (result, "verdict");
    g_autofree char *reason = test_text_line_of (result, "reason");
    g_autofree char *text = explain (result);
    g_autofree char *escaped = g_markup_escape_text (text, -1);

    g_string_append_printf (xml, "      <%s", element);
    append_attribute (xml, "message", reason);
    append_attribute (xml, "type", *verdict != '\0' ? verdict : "unknown");
    g_string_append_printf (xml, ">%s</%s>\n", escaped, element);
}

/* It has passed, that is the failure; the reason is why it should not have. */
static void
append_unexpected_pass (GString *xml, const json_t *result)
{
    g_autofree char *known = test_text_line_of (result, "known_failure");
    g_autofree char *message = g_strconcat ("passed, but is known to fail: ", known, NULL);

    g_string_append (xml, "      <failure");
    append_attribute (xml, "message", message);
    g_string_append (xml, " type=\"xpass\"/>\n");
}

static void
append_skipped (GString *xml, const json_t *result)
{
    g_autofree char *reason = test_text_line_of (result, "reason");
    g_autofree char *known = test_text_line_of (result, "known_failure");
    bool is_known = test_result_status (result) == TEST_STATUS_XFAIL;
    g_autofree char *message =
        is_known ? g_strdup_printf ("known failure: %s: %s", known, reason) : g_strdup (reason);

    g_string_append (xml, "      <skipped");
    append_attribute (xml, "message", message);
    g_string_append (xml, "/>\n");
}

static void
append_attempts (GString *xml, const json_t *result, const char *kind)
{
    const json_t *attempts = json_object_get (result, "attempts");

    for (size_t i = 0; i < json_array_size (attempts); i++) {
        const json_t *attempt = json_array_get (attempts, i);
        g_autofree char *verdict = test_text_line_of (attempt, "verdict");
        g_autofree char *reason = test_text_line_of (attempt, "reason");
        g_autofree char *text = explain (attempt);
        g_autofree char *lines = test_console_last_lines (test_result_console (attempt), LINES_OF_FAILURE);

        g_string_append_printf (xml, "      <%s", kind);
        append_attribute (xml, "message", reason);
        append_attribute (xml, "type", *verdict != '\0' ? verdict : "unknown");
        g_string_append (xml, ">\n");
        append_element (xml, "        ", "stackTrace", text);
        append_element (xml, "        ", "system-out", lines);
        g_string_append_printf (xml, "      </%s>\n", kind);
    }
}

/* Surefire's schema wants this order: failures, skipped, error, and again of earlier attempts. */
static void
append_outcome (GString *xml, const json_t *result)
{
    switch (test_result_status (result)) {
    case TEST_STATUS_FAIL:
        append_verdict (xml, "failure", result);
        append_attempts (xml, result, "rerunFailure");
        break;
    case TEST_STATUS_XPASS:
        append_unexpected_pass (xml, result);
        append_attempts (xml, result, "rerunFailure");
        break;
    case TEST_STATUS_ERROR:
        append_verdict (xml, "error", result);
        append_attempts (xml, result, "rerunError");
        break;
    case TEST_STATUS_SKIP:
    case TEST_STATUS_XFAIL:
        append_skipped (xml, result);
        break;
    case TEST_STATUS_FLAKY:
        append_attempts (xml, result, "flakyFailure");
        break;
    default:
        break;
    }
}

static void
append_consoles (GString *xml, const json_t *result)
{
    const json_t *consoles = json_object_get (result, "consoles");
    unsigned count = test_result_status (result) == TEST_STATUS_PASS ? LINES_OF_SUCCESS : LINES_OF_FAILURE;
    g_autoptr (GString) text = g_string_new (NULL);

    for (size_t i = 0; i < json_array_size (consoles); i++) {
        const json_t *console = json_array_get (consoles, i);
        g_autofree char *lines = test_console_last_lines (console, count);
        g_autofree char *name = test_text_line_of (console, "name");

        if (json_array_size (consoles) > 1 && *lines != '\0')
            g_string_append_printf (text, "--- %s ---\n", name);
        g_string_append (text, lines);
        if (text->len > 0 && text->str[text->len - 1] != '\n')
            g_string_append_c (text, '\n');
    }
    append_element (xml, "      ", "system-out", text->str);
}

/* What says nothing of what is tested. */
static void
append_notes (GString *xml, const json_t *result)
{
    const json_t *notes = json_object_get (result, "notes");
    g_autoptr (GString) text = g_string_new (NULL);

    for (size_t i = 0; i < json_array_size (notes); i++) {
        const char *note = json_string_value (json_array_get (notes, i));
        g_autofree char *line = note != NULL ? test_text_clean (note, strlen (note)) : g_strdup ("");

        g_string_append_printf (text, "%s\n", line);
    }
    append_element (xml, "      ", "system-err", text->str);
}

static void
append_case (GString *xml, const json_t *result)
{
    g_autofree char *title = test_result_title (result);
    g_autofree char *scenario = test_text_line_of (result, "scenario");

    g_string_append (xml, "    <testcase");
    append_attribute (xml, "name", title);
    append_attribute (xml, "classname", *scenario != '\0' ? scenario : title);
    append_seconds (xml, test_result_seconds (result));
    g_string_append (xml, ">\n");
    append_outcome (xml, result);
    append_consoles (xml, result);
    append_notes (xml, result);
    g_string_append (xml, "    </testcase>\n");
}

typedef struct {
    unsigned tests, failures, errors, skipped;
    double seconds;
} Counts;

static void
count (Counts *counts, const json_t *result)
{
    TestStatus status = test_result_status (result);

    counts->tests++;
    counts->failures += status == TEST_STATUS_FAIL || status == TEST_STATUS_XPASS;
    counts->errors += status == TEST_STATUS_ERROR;
    counts->skipped += status == TEST_STATUS_SKIP || status == TEST_STATUS_XFAIL;
    counts->seconds += test_result_seconds (result);
}

static void
append_suite (GString *xml, const json_t *document, GPtrArray *results)
{
    const json_t *first = results->pdata[0];
    g_autofree char *name = test_text_line_of (first, "name");
    g_autofree char *started = test_text_line_of (document, "started");
    g_autofree char *file = test_text_line_of (first, "file");
    Counts counts = {0};

    for (guint i = 0; i < results->len; i++)
        count (&counts, results->pdata[i]);
    g_string_append (xml, "  <testsuite");
    append_attribute (xml, "name", *name != '\0' ? name : "(no name)");
    g_string_append_printf (xml, " tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\"", counts.tests,
                            counts.failures, counts.errors, counts.skipped);
    append_seconds (xml, counts.seconds);
    if (*started != '\0')
        append_attribute (xml, "timestamp", started);
    if (*file != '\0')
        append_attribute (xml, "file", file);
    g_string_append (xml, ">\n");
    append_properties (xml, first);
    for (guint i = 0; i < results->len; i++)
        append_case (xml, results->pdata[i]);
    g_string_append (xml, "  </testsuite>\n");
}

/**
 * test_report_junit:
 * @document: of vmm test; whatever it lacks is left out
 *
 * Returns: (transfer full): it as JUnit's XML
 */
char *
test_report_junit (const json_t *document)
{
    const json_t *runs = json_object_get (document, "runs");
    g_autoptr (GPtrArray) groups = test_results_by_name (runs);
    GString *xml = g_string_new ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"vmm test\"");
    Counts counts = {0};
    char *text;

    for (size_t i = 0; i < json_array_size (runs); i++)
        count (&counts, json_array_get (runs, i));
    g_string_append_printf (xml, " tests=\"%u\" failures=\"%u\" errors=\"%u\"", counts.tests, counts.failures,
                            counts.errors);
    append_seconds (xml, test_result_seconds (document));
    g_string_append (xml, ">\n");
    for (guint i = 0; i < groups->len; i++)
        append_suite (xml, document, groups->pdata[i]);
    g_string_append (xml, "</testsuites>\n");
    /* On the standard output of an action of GitHub, too: see test_text_disarm(). */
    text = test_text_replace (xml->str, "##[", "#&#35;[");
    g_string_free (xml, TRUE);
    return text;
}
