/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_TEST_OPTIONS_H
#define CLI_TEST_TEST_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "scenario.h"

/* Where a report is to go to standard output. */
#define TEST_STDOUT "-"

/**
 * TestOptions:
 * @paths: files and folders of scenarios
 * @list: only tell which runs there are
 * @schema: only tell what may stand in a scenario
 * @only: (nullable): regular expression for names of runs
 * @tags: (nullable): a run must have one of them
 * @skip_tags: (nullable): and none of them
 * @load: what is stronger than the files
 * @cpus: budget; 0: find it out
 * @memory: budget in bytes; 0: find it out
 * @repeat: 0: once
 * @retries: -1: as the scenarios say
 * @json, @junit, @tap, @html: (nullable): files for reports, or %TEST_STDOUT
 * @github: report for GitHub Actions
 * @results: (nullable): folder for logs
 *
 * What the user asks vmm test for.
 */
typedef struct {
    char **paths;
    gboolean list;
    gboolean schema;
    char *only;
    char **tags;
    char **skip_tags;
    TestLoadOptions load;
    int cpus;
    uint64_t memory;
    int repeat;
    int retries;
    gboolean fail_fast;
    gboolean quiet;
    gboolean verbose;
    char *json;
    char *junit;
    char *tap;
    char *html;
    gboolean github;
    char *results;
} TestOptions;

/**
 * TestReportOption:
 * @option: its name
 * @path: (nullable): where it goes
 */
typedef struct {
    const char *option;
    const char *path;
} TestReportOption;

#define TEST_N_REPORTS 4u

bool test_options_parse (TestOptions *options, int argc, char *const *argv, GError **error);
bool test_options_check_runs (const TestOptions *options, const GPtrArray *runs, GError **error);
bool test_options_ask_for_quiet (int argc, char *const *argv);
void test_options_clear (TestOptions *options);
void test_options_reports (const TestOptions *options, TestReportOption ret_reports[TEST_N_REPORTS]);
bool test_options_use_stdout (const TestOptions *options);

#endif
