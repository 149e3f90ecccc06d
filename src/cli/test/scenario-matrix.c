/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix: all combinations of the values of its axes, the last axis the fastest, without those that are
 * excluded. Axes are worked out once, before there is a run, so none can depend on another.
 */
#include <string.h>

#include "scenario-keys.h"
#include "scenario-make.h"
#include "scenario-values.h"

#define COMBINATIONS_MAX 4096u
#define AXES_MAX 32u

static void
free_axis (TestAxis *axis)
{
    g_strfreev (axis->values);
    g_free (axis);
}

/**
 * test_matrix_free:
 * @matrix: (nullable)
 */
void
test_matrix_free (TestMatrix *matrix)
{
    if (matrix == NULL)
        return;
    g_ptr_array_unref (matrix->axes);
    g_ptr_array_unref (matrix->places);
    g_free (matrix);
}

/* What an axis may be called. */
static bool
refuse_axis (TestMaker *maker, const TestGroup *group, const TestEntry *entry, GError **error)
{
    const TestGroup *variables = test_file_find (maker->file, "variables");
    g_autoptr (GPtrArray) known = test_machine_keys ();
    const char *meant;

    g_ptr_array_set_size (known, (gint)known->len - 1);
    for (guint i = 0; variables != NULL && i < variables->entries->len; i++)
        g_ptr_array_add (known, ((const TestEntry *)variables->entries->pdata[i])->key);
    g_ptr_array_add (known, NULL);
    meant = test_suggest (entry->key, (const char *const *)known->pdata);
    return test_refuse_at (
        entry->source, entry->line, error,
        "[%s] %s: this is neither a key of the machine nor in [variables]%s%s%s", group->title, entry->key,
        meant != NULL ? ": did you mean \"" : "", meant != NULL ? meant : "",
        meant != NULL ? "\"?" : ": put it there, with a value for when it is not in the matrix");
}

static bool
check_values (const TestAxis *axis, GError **error)
{
    if (axis->values[0] == NULL)
        return test_refuse (axis->group, axis->entry, NULL,
                            "give at least one value, with \";\" between several", error);
    if (g_strv_length (axis->values) > COMBINATIONS_MAX)
        return test_refuse (axis->group, axis->entry, NULL,
                            "there are more than 4096 values: divide the scenario", error);
    for (char **v = axis->values; *v != NULL; v++) {
        if (g_strv_contains ((const char *const *)v + 1, *v)) {
            g_autofree char *why = g_strdup_printf ("\"%s\" is there twice: leave one out", *v);

            return test_refuse (axis->group, axis->entry, NULL, why, error);
        }
    }
    return true;
}

static bool
add_axis (TestMaker *maker, TestMatrix *matrix, const TestGroup *group, const TestEntry *entry,
          GError **error)
{
    TestAxis *axis = g_new0 (TestAxis, 1);
    g_autofree char *value = NULL;

    g_ptr_array_add (matrix->axes, axis);
    axis->group = group;
    axis->entry = entry;
    axis->machine_key = test_machine_key (entry->key);
    if (axis->machine_key == NULL &&
        test_group_find (test_file_find (maker->file, "variables"), entry->key) == NULL)
        return refuse_axis (maker, group, entry, error);
    if (axis->machine_key != NULL && test_machine_refusal (axis->machine_key) != NULL)
        return test_refuse (group, entry, NULL, test_machine_refusal (axis->machine_key), error);
    if (!test_read_entry (maker, group, entry, &value, error))
        return false;
    if (entry->fixed) {
        axis->values = g_new0 (char *, 2);
        axis->values[0] = g_steal_pointer (&value);
        return true;
    }
    axis->values = test_list_split_all (value);
    return check_values (axis, error);
}

static guint
find_axis (const TestMatrix *matrix, const char *key)
{
    for (guint i = 0; i < matrix->axes->len; i++) {
        if (strcmp (((const TestAxis *)matrix->axes->pdata[i])->entry->key, key) == 0)
            return i;
    }
    return G_MAXUINT;
}

/* One group [exclude]: for each axis, which of its values it names. */
typedef struct {
    GArray *named; /* of char *: one byte for each value; NULL for an axis that it does not name */
} Exclusion;

static void
clear_named (char **named)
{
    g_free (*named);
}

static void
free_exclusion (Exclusion *exclusion)
{
    g_array_unref (exclusion->named);
    g_free (exclusion);
}

static bool
is_overridden (const TestMaker *maker)
{
    return (maker->options->variables != NULL && maker->options->variables[0] != NULL) ||
           (maker->options->machine != NULL && maker->options->machine[0] != NULL);
}

/* Marks the values of @axis that @entry names. */
static bool
mark_values (TestMaker *maker, const TestGroup *group, const TestEntry *entry, const TestAxis *axis,
             char *named, GError **error)
{
    g_autofree char *value = NULL;
    g_auto (GStrv) values = NULL;

    if (!test_read_entry (maker, group, entry, &value, error))
        return false;
    values = test_list_split_all (value);
    if (values[0] == NULL)
        return test_refuse (group, entry, NULL, "give the value that is to be left out", error);
    for (char **v = values; *v != NULL; v++) {
        bool found = false;

        for (guint i = 0; axis->values[i] != NULL; i++) {
            if (strcmp (axis->values[i], *v) == 0)
                named[i] = found = true;
        }
        /* The user's own values may be others than the file's. */
        if (!found && !is_overridden (maker)) {
            g_autofree char *list = g_strjoinv ("; ", axis->values);
            g_autofree char *why =
                g_strdup_printf ("%s of [matrix] is never that: it is %s", entry->key, list);

            return test_refuse (group, entry, *v, why, error);
        }
    }
    return true;
}

static bool
read_exclusion (TestMaker *maker, const TestMatrix *matrix, const TestGroup *group, Exclusion *exclusion,
                GError **error)
{
    g_array_set_size (exclusion->named, matrix->axes->len);
    if (group->entries->len == 0)
        return test_refuse_at (group->source, group->line, error,
                               "[%s] says nothing: give a value of the matrix", group->title);
    for (guint i = 0; i < group->entries->len; i++) {
        const TestEntry *entry = group->entries->pdata[i];
        guint at = find_axis (matrix, entry->key);
        const TestAxis *axis = at != G_MAXUINT ? matrix->axes->pdata[at] : NULL;
        char **named;

        if (axis == NULL)
            return test_refuse_at (entry->source, entry->line, error,
                                   "[%s] %s: [matrix] has no such key, so that there is nothing to leave out",
                                   group->title, entry->key);
        named = &g_array_index (exclusion->named, char *, at);
        *named = g_new0 (char, g_strv_length (axis->values));
        if (!mark_values (maker, group, entry, axis, *named, error))
            return false;
    }
    return true;
}

static GPtrArray *
read_exclusions (TestMaker *maker, const TestMatrix *matrix, GError **error)
{
    g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func ((GDestroyNotify)free_exclusion);

    for (guint i = 0; i < maker->file->groups->len; i++) {
        const TestGroup *group = maker->file->groups->pdata[i];
        Exclusion *exclusion;

        if (strcmp (group->kind, "exclude") != 0)
            continue;
        exclusion = g_new0 (Exclusion, 1);
        exclusion->named = g_array_new (FALSE, TRUE, sizeof (char *));
        g_array_set_clear_func (exclusion->named, (GDestroyNotify)clear_named);
        g_ptr_array_add (all, exclusion);
        if (!read_exclusion (maker, matrix, group, exclusion, error))
            return NULL;
    }
    return g_steal_pointer (&all);
}

static bool
is_excluded (const GPtrArray *exclusions, const guint *place)
{
    for (guint i = 0; i < exclusions->len; i++) {
        const GArray *named = ((const Exclusion *)exclusions->pdata[i])->named;
        bool all = true;

        for (guint axis = 0; axis < named->len && all; axis++) {
            const char *values = g_array_index (named, char *, axis);

            all = values == NULL || values[place[axis]];
        }
        if (all)
            return true;
    }
    return false;
}

static bool
count_combinations (const TestMatrix *matrix, guint64 *ret_n, GError **error)
{
    guint64 n = 1;

    for (guint i = 0; i < matrix->axes->len; i++) {
        const TestAxis *axis = matrix->axes->pdata[i];

        /* Stays small enough: an axis has less values than a line has bytes. */
        n *= g_strv_length (axis->values);
        if (n > COMBINATIONS_MAX)
            return test_refuse_at (axis->group->source, axis->group->line, error,
                                   "[matrix] makes %s%" G_GUINT64_FORMAT
                                   " runs, and %u are the most: divide the "
                                   "scenario",
                                   i + 1 < matrix->axes->len ? "more than " : "", n, COMBINATIONS_MAX);
    }
    *ret_n = n;
    return true;
}

static bool
list_places (TestMatrix *matrix, const GPtrArray *exclusions, GError **error)
{
    guint n_axes = matrix->axes->len;
    guint64 n = 0;

    if (!count_combinations (matrix, &n, error))
        return false;
    for (guint64 number = 0; number < n; number++) {
        g_autofree guint *place = g_new0 (guint, n_axes + 1);
        guint64 rest = number;

        for (guint i = n_axes; i > 0; i--) {
            guint length = g_strv_length (((const TestAxis *)matrix->axes->pdata[i - 1])->values);

            place[i - 1] = (guint)(rest % length);
            rest /= length;
        }
        if (!is_excluded (exclusions, place))
            g_ptr_array_add (matrix->places, g_steal_pointer (&place));
    }
    return true;
}

/**
 * test_matrix_new:
 * @maker: with variables that know nothing of the matrix
 *
 * Returns: (transfer full) (nullable): of a scenario without one, a matrix with one place and no axes; NULL
 *   with %VMM_ERROR_USAGE
 */
TestMatrix *
test_matrix_new (TestMaker *maker, GError **error)
{
    g_autoptr (TestMatrix) matrix = g_new0 (TestMatrix, 1);
    const TestGroup *group = test_file_find (maker->file, "matrix");
    g_autoptr (GPtrArray) exclusions = NULL;

    matrix->axes = g_ptr_array_new_with_free_func ((GDestroyNotify)free_axis);
    matrix->places = g_ptr_array_new_with_free_func (g_free);
    if (group != NULL && group->entries->len > AXES_MAX) {
        test_refuse_at (group->source, group->line, error, "[matrix] has more than %u keys", AXES_MAX);
        return NULL;
    }
    for (guint i = 0; group != NULL && i < group->entries->len; i++) {
        if (!add_axis (maker, matrix, group, group->entries->pdata[i], error))
            return NULL;
    }
    exclusions = read_exclusions (maker, matrix, error);
    if (exclusions == NULL || !list_places (matrix, exclusions, error))
        return NULL;
    if (matrix->places->len == 0) {
        test_refuse_at (
            group->source, group->line, error,
            "[matrix]: no combination is left, since the groups [exclude ...] leave out all of them");
        return NULL;
    }
    return g_steal_pointer (&matrix);
}

/**
 * test_matrix_value:
 * @key: of [matrix]
 * @ret_axis: (out) (optional)
 *
 * Returns: (nullable): what the run's place in the matrix makes it; NULL: it is no axis
 */
const char *
test_matrix_value (const TestMaker *maker, const char *key, const TestAxis **ret_axis)
{
    guint at = maker->matrix != NULL ? find_axis (maker->matrix, key) : G_MAXUINT;
    const TestAxis *axis;

    if (at == G_MAXUINT)
        return NULL;
    axis = maker->matrix->axes->pdata[at];
    if (ret_axis != NULL)
        *ret_axis = axis;
    return axis->values[maker->place[at]];
}
