/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_JUDGE_H
#define CLI_TEST_JUDGE_H

#include <stdbool.h>

#include <jansson.h>

#include "report-document.h"
#include "scenario.h"

/* What vmm test exits with, besides the codes of vmm and 128 and a signal's number. */
#define TEST_EXIT_FAILED 1
#define TEST_EXIT_NOT_JUDGED 125
#define TEST_EXIT_QUIET_USAGE 128

bool test_verdict_is_known (const char *verdict);
TestStatus test_judge (const TestRun *run, const char *verdict, const char *reason, char **ret_reason);
int test_judge_all (const json_t *results, int signal);

#endif
