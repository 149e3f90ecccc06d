/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_SELECT_H
#define CLI_TEST_SELECT_H

#include <jansson.h>

#include "test-options.h"

GPtrArray *test_select_runs (const TestOptions *options, GError **error);
json_t *test_select_to_json (const GPtrArray *runs);

#endif
