/* SPDX-License-Identifier: Apache-2.0 */
/* The shapes that values have. */
#ifndef CLI_TEST_SCENARIO_VALUES_H
#define CLI_TEST_SCENARIO_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

char **test_list_split (const char *text);
char **test_list_split_all (const char *text);
bool test_seconds_parse (const char *text, int64_t *ret_us, const char **ret_why);
bool test_number_parse (const char *text, unsigned max, unsigned *ret_number);
const char *test_suggest (const char *word, const char *const *known);

#endif
