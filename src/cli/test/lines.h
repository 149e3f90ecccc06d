/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_LINES_H
#define CLI_TEST_LINES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct _TestLines TestLines;

TestLines *test_lines_new (int fd);
void test_lines_free (TestLines *lines);
void test_lines_say (TestLines *lines, const char *text);
void test_lines_write (TestLines *lines, const char *text);
bool test_lines_flush (TestLines *lines);
int64_t test_lines_draw (TestLines *lines, int64_t now_us);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestLines, test_lines_free)

#endif
