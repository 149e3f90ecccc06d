/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_REPORT_DOCUMENT_H
#define CLI_TEST_REPORT_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>
#include <jansson.h>

/**
 * TestStatus:
 * @TEST_STATUS_PASS: the outcome that was expected
 * @TEST_STATUS_FAIL: another one
 * @TEST_STATUS_ERROR: it could not be judged
 * @TEST_STATUS_SKIP: it was not run
 * @TEST_STATUS_XFAIL: it failed, as is known
 * @TEST_STATUS_XPASS: it passed, although it is known to fail: counts as failed
 * @TEST_STATUS_FLAKY: it failed, and passed when it was tried again
 *
 * What a run means to the one who asked for it.
 */
typedef enum {
    TEST_STATUS_PASS,
    TEST_STATUS_FAIL,
    TEST_STATUS_ERROR,
    TEST_STATUS_SKIP,
    TEST_STATUS_XFAIL,
    TEST_STATUS_XPASS,
    TEST_STATUS_FLAKY,
    TEST_N_STATUSES,
} TestStatus;

/**
 * TestDocumentFacts:
 * @version: vmm's
 * @started: ISO 8601
 * @seconds: how long all of it took
 * @command_line: NULL-terminated
 * @repeats: --repeat was given: runs of one name are put together
 */
typedef struct {
    const char *version;
    const char *started;
    double seconds;
    const char *const *command_line;
    bool repeats;
} TestDocumentFacts;

json_t *test_document_new (json_t *results, const TestDocumentFacts *facts);
char *test_document_to_text (const json_t *document);

const char *test_status_to_string (TestStatus status);
TestStatus test_result_status (const json_t *result);
const char *test_result_name (const json_t *result);
char *test_result_title (const json_t *result);
double test_result_seconds (const json_t *result);
GPtrArray *test_results_by_name (const json_t *results);
const json_t *test_result_console (const json_t *result);
char *test_console_last_lines (const json_t *console, unsigned count);
const json_t *test_result_report (const json_t *result);
char *test_result_output (const json_t *result, unsigned count);

#endif
