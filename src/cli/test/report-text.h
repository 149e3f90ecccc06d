/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_REPORT_TEXT_H
#define CLI_TEST_REPORT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>
#include <jansson.h>

char *test_text_clean (const char *text, size_t len);
char *test_text_to_line (const char *text);
char *test_text_of (const json_t *object, const char *key);
char *test_text_line_of (const json_t *object, const char *key);
const char *test_text_last_lines (const char *text, unsigned count);
char *test_text_first_lines (const char *text, unsigned count);
char *test_text_seconds (double seconds);
void test_text_append_lines (GString *to, const char *prefix, const char *lines);
char *test_text_replace (const char *text, const char *what, const char *with);
void test_text_disarm (char *text);

#endif
