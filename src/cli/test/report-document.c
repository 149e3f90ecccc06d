/* SPDX-License-Identifier: Apache-2.0 */
/* The document that all reports are made of: vmm-test(5) describes it. And what reports ask of its results.
 */
#include "report-document.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report-text.h"

#define SCHEMA 1

static const char *const status_names[TEST_N_STATUSES] = {
    [TEST_STATUS_PASS] = "pass",   [TEST_STATUS_FAIL] = "fail",   [TEST_STATUS_ERROR] = "error",
    [TEST_STATUS_SKIP] = "skip",   [TEST_STATUS_XFAIL] = "xfail", [TEST_STATUS_XPASS] = "xpass",
    [TEST_STATUS_FLAKY] = "flaky",
};

/**
 * test_status_to_string:
 *
 * Returns: its name in documents
 */
const char *
test_status_to_string (TestStatus status)
{
    return status_names[status];
}

/**
 * test_result_status:
 * @result: (nullable): of any type
 *
 * Returns: its status. What does not say a known one is an error: never taken for good
 */
TestStatus
test_result_status (const json_t *result)
{
    const char *name = json_string_value (json_object_get (result, "status"));

    for (TestStatus status = 0; name != NULL && status < TEST_N_STATUSES; status++) {
        if (strcmp (name, status_names[status]) == 0)
            return status;
    }
    return TEST_STATUS_ERROR;
}

/**
 * test_result_name:
 * @result: (nullable): of any type
 *
 * Returns: the run's name as it is in the document
 */
const char *
test_result_name (const json_t *result)
{
    const char *name = json_string_value (json_object_get (result, "name"));

    return name != NULL ? name : "";
}

/**
 * test_result_title:
 * @result: (nullable): of any type
 *
 * Returns: (transfer full): the run's name for people; repeats have their number behind it
 */
char *
test_result_title (const json_t *result)
{
    g_autofree char *name = test_text_line_of (result, "name");
    json_int_t repeat = json_integer_value (json_object_get (result, "repeat"));
    const char *shown = *name != '\0' ? name : "(no name)";

    return repeat > 0 ? g_strdup_printf ("%s #%" JSON_INTEGER_FORMAT, shown, repeat) : g_strdup (shown);
}

/**
 * test_result_seconds:
 * @result: (nullable): of any type
 *
 * Returns: how long the run took; 0 where that is not known
 */
double
test_result_seconds (const json_t *result)
{
    double seconds = json_number_value (json_object_get (result, "seconds"));

    return isfinite (seconds) && seconds > 0 ? seconds : 0;
}

static const json_t *
failing_step (const json_t *result)
{
    const json_t *index = json_object_get (result, "step");
    json_int_t number = json_is_integer (index) ? json_integer_value (index) : -1;
    const json_t *steps = json_object_get (result, "steps");

    return number >= 0 && (size_t)number < json_array_size (steps) ? json_array_get (steps, (size_t)number)
                                                                   : NULL;
}

/* How much a console has to do with a failure. */
static int
console_weight (const json_t *console, const char *failing)
{
    const char *name = json_string_value (json_object_get (console, "name"));
    const json_t *head = json_object_get (console, "head");

    return (json_is_integer (json_object_get (console, "fail_line")) ? 4 : 0) +
           (name != NULL && failing != NULL && strcmp (name, failing) == 0 ? 2 : 0) +
           (json_string_length (head) > 0 ? 1 : 0);
}

/**
 * test_result_console:
 * @result: (nullable): of any type
 *
 * Returns: (transfer none) (nullable): the console that tells most of how the run ended
 */
const json_t *
test_result_console (const json_t *result)
{
    const json_t *consoles = json_object_get (result, "consoles");
    const char *failing = json_string_value (json_object_get (failing_step (result), "console"));
    const json_t *best = NULL;

    for (size_t i = 0; i < json_array_size (consoles); i++) {
        const json_t *console = json_array_get (consoles, i);

        if (best == NULL || console_weight (console, failing) > console_weight (best, failing))
            best = console;
    }
    return best;
}

/**
 * test_console_last_lines:
 * @console: (nullable): of any type
 * @count: of lines, at least 1
 *
 * Returns: (transfer full): the console's last lines, cleaned
 */
char *
test_console_last_lines (const json_t *console, unsigned count)
{
    bool was_cut = json_string_length (json_object_get (console, "tail")) > 0;
    g_autofree char *text = test_text_of (console, was_cut ? "tail" : "head");

    return g_strdup (test_text_last_lines (text, count));
}

/**
 * test_result_report:
 * @result: (nullable): of any type
 *
 * Returns: (transfer none) (nullable): the crash report that tells most: the first that is not allowed
 */
const json_t *
test_result_report (const json_t *result)
{
    const json_t *reports = json_object_get (result, "reports");

    for (size_t i = 0; i < json_array_size (reports); i++) {
        const json_t *report = json_array_get (reports, i);

        if (json_is_object (report) && !json_is_true (json_object_get (report, "allowed")))
            return report;
    }
    return NULL;
}

/**
 * test_result_output:
 * @result: (nullable): of any type
 * @count: of lines, at least 1
 *
 * Returns: (transfer full): the last lines that the command of the failing step wrote, cleaned: its standard
 * error, or else its output; "" when it was no command
 */
char *
test_result_output (const json_t *result, unsigned count)
{
    const json_t *step = failing_step (result);
    bool has_errors = json_string_length (json_object_get (step, "stderr")) > 0;
    g_autofree char *text = test_text_of (step, has_errors ? "stderr" : "stdout");

    return g_strdup (test_text_last_lines (text, count));
}

/**
 * test_results_by_name:
 * @results: (nullable): an array; outlives what is returned
 *
 * Returns: (transfer full): arrays of results of one name, in the order in which the names come first
 */
GPtrArray *
test_results_by_name (const json_t *results)
{
    g_autoptr (GHashTable) known = g_hash_table_new (g_str_hash, g_str_equal);
    GPtrArray *groups = g_ptr_array_new_with_free_func ((GDestroyNotify)g_ptr_array_unref);

    for (size_t i = 0; i < json_array_size (results); i++) {
        json_t *result = json_array_get (results, i);
        const char *name = test_result_name (result);
        GPtrArray *group = g_hash_table_lookup (known, name);

        if (group == NULL) {
            group = g_ptr_array_new ();
            g_hash_table_insert (known, (gpointer)name, group);
            g_ptr_array_add (groups, group);
        }
        g_ptr_array_add (group, result);
    }
    return groups;
}

static json_t *
count_statuses (const json_t *results)
{
    json_int_t counts[TEST_N_STATUSES] = {0};
    json_t *summary = json_object ();

    for (size_t i = 0; i < json_array_size (results); i++)
        counts[test_result_status (json_array_get (results, i))]++;
    json_object_set_new (summary, "total", json_integer ((json_int_t)json_array_size (results)));
    for (TestStatus status = 0; status < TEST_N_STATUSES; status++)
        json_object_set_new (summary, status_names[status], json_integer (counts[status]));
    return summary;
}

static int
compare_numbers (const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static json_t *
spread_to_json (GArray *seconds)
{
    double *all = (double *)(void *)seconds->data;
    guint n = seconds->len;

    if (n == 0)
        return json_null ();
    qsort (all, n, sizeof *all, compare_numbers);
    return json_pack ("{s:f, s:f, s:f}", "min", all[0], "median", (all[(n - 1) / 2] + all[n / 2]) / 2, "max",
                      all[n - 1]);
}

static void
count_verdict (json_t *verdicts, const json_t *result)
{
    const char *verdict = json_string_value (json_object_get (result, "verdict"));
    json_int_t known;

    if (verdict == NULL)
        verdict = "unknown";
    known = json_integer_value (json_object_get (verdicts, verdict));
    json_object_set_new (verdicts, verdict, json_integer (known + 1));
}

/* @results: all of one name. One that passed only when it was tried again has not passed here. */
static json_t *
repeat_to_json (const GPtrArray *results)
{
    g_autoptr (GArray) seconds = g_array_new (FALSE, FALSE, sizeof (double));
    json_t *verdicts = json_object ();
    json_int_t runs = 0, passed = 0;

    for (guint i = 0; i < results->len; i++) {
        const json_t *result = results->pdata[i];
        TestStatus status = test_result_status (result);
        double duration = test_result_seconds (result);

        if (status == TEST_STATUS_SKIP)
            continue;
        runs++;
        passed += status == TEST_STATUS_PASS || status == TEST_STATUS_XFAIL;
        g_array_append_val (seconds, duration);
        count_verdict (verdicts, result);
    }
    return json_pack ("{s:s, s:I, s:I, s:o, s:o, s:o}", "name", test_result_name (results->pdata[0]), "runs",
                      runs, "passed", passed, "rate",
                      runs > 0 ? json_real ((double)passed / (double)runs) : json_null (), "seconds",
                      spread_to_json (seconds), "verdicts", verdicts);
}

static json_t *
repeats_to_json (const json_t *results)
{
    g_autoptr (GPtrArray) names = test_results_by_name (results);
    json_t *repeats = json_array ();

    for (guint i = 0; i < names->len; i++)
        json_array_append_new (repeats, repeat_to_json (names->pdata[i]));
    return repeats;
}

static json_t *
strings_to_json (const char *const *strings)
{
    json_t *list = json_array ();

    for (; strings != NULL && *strings != NULL; strings++) {
        g_autofree char *valid = g_utf8_make_valid (*strings, -1);

        json_array_append_new (list, json_string (valid));
    }
    return list;
}

/**
 * test_document_new:
 * @results: an array of what workers sent, with what the parent adds
 *
 * Returns: (transfer full): the document that --json writes and that reports are made of
 */
json_t *
test_document_new (json_t *results, const TestDocumentFacts *facts)
{
    json_t *document = json_pack (
        "{s:i, s:s, s:s, s:o, s:o, s:o, s:O}", "schema", SCHEMA, "vmm", facts->version, "started",
        facts->started, "seconds", json_real (isfinite (facts->seconds) ? facts->seconds : 0), "command_line",
        strings_to_json (facts->command_line), "summary", count_statuses (results), "runs", results);

    if (facts->repeats)
        json_object_set_new (document, "repeats", repeats_to_json (results));
    return document;
}

/**
 * test_document_to_text:
 *
 * Returns: (transfer full): @document as JSON text with a newline at its end. On the standard output of an
 * action of GitHub, too, nothing in it is a command: see test_text_disarm()
 */
char *
test_document_to_text (const json_t *document)
{
    char *dump = json_dumps (document, JSON_INDENT (2));
    g_autofree char *text = test_text_replace (dump != NULL ? dump : "null", "##[", "#\\u0023[");

    free (dump);
    return g_strconcat (text, "\n", NULL);
}
