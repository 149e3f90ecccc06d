/* SPDX-License-Identifier: Apache-2.0 */
/* ${NAME} in values. */
#ifndef CLI_TEST_SCENARIO_VARS_H
#define CLI_TEST_SCENARIO_VARS_H

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

typedef struct _TestVars TestVars;

TestVars *test_vars_new (size_t *budget);
void test_vars_free (TestVars *vars);
void test_vars_set (TestVars *vars, const char *name, const char *value, const char *folder);
void test_vars_set_result (TestVars *vars, const char *name, const char *value);
char *test_vars_expand (TestVars *vars, const char *text, const char *folder, GError **error);
const char *test_vars_get (TestVars *vars, const char *name, GError **error);
bool test_vars_is_reserved (const char *name);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestVars, test_vars_free)

#endif
