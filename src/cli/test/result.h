/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_RESULT_H
#define CLI_TEST_RESULT_H

#include <jansson.h>

#include "scenario.h"

json_t *test_result_complete (const TestRun *run, json_t *sent);
json_t *test_result_without_worker (const TestRun *run, const char *verdict, const char *reason,
                                    double seconds);
void test_result_set_string (json_t *result, const char *key, const char *text);
void test_result_shorten (json_t *result);
json_t *test_result_make_attempt (json_t *result);

#endif
