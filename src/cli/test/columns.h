/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_COLUMNS_H
#define CLI_TEST_COLUMNS_H

#include <stdbool.h>

#include <glib.h>

bool test_columns_utf8_wanted (void);
unsigned test_columns_of (const char *text);
void test_columns_append (GString *line, const char *text, unsigned columns, bool fill);

#endif
