/* SPDX-License-Identifier: Apache-2.0 */
/* How a scenario becomes runs: what scenario.c and its parts share. */
#ifndef CLI_TEST_SCENARIO_MAKE_H
#define CLI_TEST_SCENARIO_MAKE_H

#include "scenario-file.h"
#include "scenario-vars.h"
#include "scenario.h"

/**
 * TestAxis:
 * @entry: its line; borrowed
 * @group: [matrix]; borrowed
 * @values: NULL-terminated: what it may be, at least one
 * @machine_key: (nullable): which key of the machine it sets; NULL: it is a variable
 *
 * One line of the matrix.
 */
typedef struct {
    const TestGroup *group;
    const TestEntry *entry;
    char **values;
    const char *machine_key;
} TestAxis;

/**
 * TestMatrix:
 * @axes: of TestAxis, in order
 * @places: of guint *, one number for each axis: an index into its values. The combinations that are left
 */
typedef struct {
    GPtrArray *axes;
    GPtrArray *places;
} TestMatrix;

/**
 * TestMaker:
 * @file: what is read
 * @options: of the user
 * @patterns: regular expressions that are known to be good
 * @budget: bytes that values may take yet, over all runs
 * @matrix: of the scenario
 * @place: of @run in it
 * @vars: of @run
 * @run: what is made
 * @within_us: of a step that says nothing else
 * @silence_us: in the same way
 */
typedef struct {
    const TestFile *file;
    const TestLoadOptions *options;
    GHashTable *patterns;
    size_t budget;
    const TestMatrix *matrix;
    const guint *place;
    TestVars *vars;
    TestRun *run;
    int64_t within_us;
    int64_t silence_us;
} TestMaker;

/* scenario-read.c: values. What is not there, and has no fallback in the table, leaves the output as it was.
 */
bool test_read_text (TestMaker *maker, const TestGroup *group, const char *key, char **text, GError **error);
bool test_read_list (TestMaker *maker, const TestGroup *group, const char *key, char ***list, GError **error);
bool test_read_seconds (TestMaker *maker, const TestGroup *group, const char *key, double scale, int64_t *us,
                        GError **error);
bool test_read_number (TestMaker *maker, const TestGroup *group, const char *key, unsigned max,
                       unsigned *number, GError **error);
bool test_read_status (TestMaker *maker, const TestGroup *group, int *status, GError **error);
bool test_read_pattern (TestMaker *maker, const TestGroup *group, const char *key, bool literal,
                        char **pattern, GError **error);
bool test_read_entry (TestMaker *maker, const TestGroup *group, const TestEntry *entry, char **ret_value,
                      GError **error);
bool test_prefix (const TestGroup *group, const TestEntry *entry, bool with_key, GError **error);

/* scenario.c */
GPtrArray *test_scenario_make (TestFile *file, const TestLoadOptions *options, GError **error);

/* scenario-override.c */
bool test_override (TestFile *file, const TestLoadOptions *options, GError **error);

/* scenario-matrix.c */
TestMatrix *test_matrix_new (TestMaker *maker, GError **error);
void test_matrix_free (TestMatrix *matrix);
const char *test_matrix_value (const TestMaker *maker, const char *key, const TestAxis **ret_axis);

/* scenario-machine.c, scenario-guest.c, scenario-steps.c: parts of a run */
bool test_make_machine (TestMaker *maker, GError **error);
bool test_make_guest (TestMaker *maker, GError **error);
bool test_make_steps (TestMaker *maker, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestMatrix, test_matrix_free)

#endif
