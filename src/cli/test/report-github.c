/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands for the runner of GitHub Actions, which it finds in what a step prints ("Workflow commands for
 * GitHub Actions" in GitHub's documentation). It looks for them in each line, also in what a guest wrote: so
 * lines of a console never begin with their own text, and test_text_disarm() sees to the older form.
 */
#include "report-github.h"

#include <string.h>

#include <glib.h>

#include "report-document.h"
#include "report-text.h"

#define ANNOTATION_LINES 12u
#define GROUP_LINES 200u

static void
append_escaped (GString *out, const char *text, const char *special)
{
    for (; *text != '\0'; text++) {
        if (strchr (special, *text) != NULL)
            g_string_append_printf (out, "%%%02X", (unsigned)(unsigned char)*text);
        else
            g_string_append_c (out, *text);
    }
}

static void
append_property (GString *out, const char *name, const char *value)
{
    g_string_append_printf (out, "%s=", name);
    append_escaped (out, value, "%\r\n:,");
}

static void
append_data (GString *out, const char *text)
{
    append_escaped (out, text, "%\r\n");
}

/* What the annotation shows beside the file: why, and the few lines that say most. */
static char *
describe (const json_t *result, TestStatus status)
{
    g_autofree char *reason = test_text_line_of (result, "reason");
    g_autofree char *known = test_text_line_of (result, "known_failure");
    g_autofree char *report = test_text_of (test_result_report (result), "text");
    g_autofree char *first = test_text_first_lines (report, ANNOTATION_LINES);
    g_autofree char *last = test_console_last_lines (test_result_console (result), ANNOTATION_LINES);
    g_autofree char *output = test_result_output (result, ANNOTATION_LINES);
    g_autoptr (GString) text = g_string_new (NULL);
    const json_t *attempts = json_object_get (result, "attempts");

    if (status == TEST_STATUS_XPASS)
        return g_strdup_printf ("passed, but is known to fail: %s", known);
    if (status == TEST_STATUS_FLAKY) {
        g_autofree char *why = test_text_line_of (json_array_get (attempts, 0), "reason");

        return g_strdup_printf ("passed only when it was tried again (%zu failed before): %s",
                                json_array_size (attempts), why);
    }
    g_string_append_printf (text, "%s\n\n", reason);
    test_text_append_lines (text, "", *first != '\0' ? first : *output != '\0' ? output : last);
    return g_string_free (g_steal_pointer (&text), FALSE);
}

/* The runner wants names below the repository's folder, wherever the step works. */
static char *
relative_to (const char *file, const char *root)
{
    g_autofree char *absolute = g_canonicalize_filename (file, NULL);
    size_t len = root != NULL ? strlen (root) : 0;

    while (len > 0 && root[len - 1] == '/')
        len--;
    return g_strdup (
        len > 0 && strncmp (absolute, root, len) == 0 && absolute[len] == '/' ? absolute + len + 1 : file);
}

static void
append_annotation (GString *out, const json_t *result, TestStatus status, const char *root)
{
    g_autofree char *file = test_text_line_of (result, "file");
    g_autofree char *title = test_result_title (result);
    g_autofree char *verdict = test_text_line_of (result, "verdict");
    g_autofree char *message = describe (result, status);
    g_autofree char *heading = g_strdup_printf (
        "%s: %s", title,
        status == TEST_STATUS_FAIL && *verdict != '\0' ? verdict : test_status_to_string (status));

    g_string_append (out, status == TEST_STATUS_FLAKY ? "::warning " : "::error ");
    if (*file != '\0') {
        g_autofree char *relative = relative_to (file, root);

        append_property (out, "file", relative);
        g_string_append_c (out, ',');
    }
    append_property (out, "title", heading);
    g_string_append (out, "::");
    append_data (out, g_strchomp (message));
    g_string_append_c (out, '\n');
}

static void
append_group (GString *out, const char *title, const char *what, const char *lines)
{
    if (*lines == '\0')
        return;
    g_string_append (out, "::group::");
    append_data (out, title);
    g_string_append (out, ": ");
    append_data (out, what);
    g_string_append_c (out, '\n');
    test_text_append_lines (out, "| ", lines);
    g_string_append (out, "::endgroup::\n");
}

static void
append_logs (GString *out, const json_t *result)
{
    g_autofree char *title = test_result_title (result);
    g_autofree char *report = test_text_of (test_result_report (result), "text");
    const json_t *consoles = json_object_get (result, "consoles");

    append_group (out, title, "crash report", report);
    for (size_t i = 0; i < json_array_size (consoles); i++) {
        const json_t *console = json_array_get (consoles, i);
        g_autofree char *name = test_text_line_of (console, "name");
        g_autofree char *lines = test_console_last_lines (console, GROUP_LINES);
        g_autofree char *what = g_strconcat ("console ", name, NULL);

        append_group (out, title, what, lines);
    }
}

/**
 * test_report_github:
 * @document: of vmm test; whatever it lacks is left out
 * @root: (nullable): the folder of the repository, which files are named without
 *
 * Returns: (transfer full): annotations and logs of all that wants attention, for standard output; "" when
 * nothing does
 */
char *
test_report_github (const json_t *document, const char *root)
{
    const json_t *runs = json_object_get (document, "runs");
    GString *out = g_string_new (NULL);

    for (size_t i = 0; i < json_array_size (runs); i++) {
        const json_t *result = json_array_get (runs, i);
        TestStatus status = test_result_status (result);

        if (status == TEST_STATUS_FAIL || status == TEST_STATUS_ERROR)
            append_logs (out, result);
        if (status == TEST_STATUS_FAIL || status == TEST_STATUS_ERROR || status == TEST_STATUS_XPASS ||
            status == TEST_STATUS_FLAKY)
            append_annotation (out, result, status, root);
    }
    test_text_disarm (out->str);
    return g_string_free (out, FALSE);
}
