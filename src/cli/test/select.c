/* SPDX-License-Identifier: Apache-2.0 */
/* Which runs the user asks for, of all that the scenarios have. */
#include "select.h"

#include <string.h>
#include <sys/stat.h>

#define SUFFIX ".test"

static int
compare_names (gconstpointer a, gconstpointer b)
{
    return strcmp (*(const char *const *)a, *(const char *const *)b);
}

/* Whether the file @path, which nobody has named, is to be read: a pipe would be waited for. */
static bool
is_scenario (const char *path)
{
    struct stat st;

    /* One that leads nowhere is told when it is read. */
    return stat (path, &st) != 0 || S_ISREG (st.st_mode);
}

/* The scenarios in @folder, by name. */
static bool
add_folder (GPtrArray *files, const char *folder, GError **error)
{
    g_autoptr (GError) wrong = NULL;
    g_autoptr (GDir) dir = g_dir_open (folder, 0, &wrong);
    g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
    const char *name;

    if (dir == NULL) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s", wrong->message);
        return false;
    }
    while ((name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *path =
            strcmp (folder, ".") == 0 ? g_strdup (name) : g_build_filename (folder, name, NULL);

        if (g_str_has_suffix (name, SUFFIX) && *name != '.' && is_scenario (path))
            g_ptr_array_add (names, g_steal_pointer (&path));
    }
    g_ptr_array_sort (names, compare_names);
    if (names->len > 0) {
        g_ptr_array_extend_and_steal (files, g_steal_pointer (&names));
        return true;
    }
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                 "\"%s\": no scenarios in this folder: their names end in %s", folder, SUFFIX);
    return false;
}

/* Whether @path is a file that has not been met before, under any name. */
static bool
is_new (GHashTable *met, const char *path)
{
    struct stat st;

    /* One that is not there is told when it is read. */
    return stat (path, &st) != 0 ||
           g_hash_table_add (met, g_strdup_printf ("%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino));
}

static GPtrArray *
find_files (char *const *paths, GError **error)
{
    g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);

    for (; *paths != NULL; paths++) {
        if (!g_file_test (*paths, G_FILE_TEST_IS_DIR))
            g_ptr_array_add (files, g_strdup (*paths));
        else if (!add_folder (files, *paths, error))
            return NULL;
    }
    return g_steal_pointer (&files);
}

/* Moves @more to @runs. Names are what people and reports tell runs apart by. */
static bool
add_runs (GPtrArray *runs, GHashTable *by_name, GPtrArray *more, GError **error)
{
    for (guint i = 0; i < more->len; i++) {
        TestRun *run = g_ptr_array_index (more, i);
        const TestRun *other = g_hash_table_lookup (by_name, run->name);

        if (other != NULL) {
            g_set_error (
                error, VMM_ERROR, VMM_ERROR_USAGE,
                "\"%s\": a run is named \"%s\", and one of \"%s\" is, too: give its [test] another name",
                run->file, run->name, other->file);
            return false;
        }
        g_hash_table_insert (by_name, run->name, run);
    }
    while (more->len > 0)
        g_ptr_array_add (runs, g_ptr_array_steal_index (more, 0));
    return true;
}

static GPtrArray *
load_all (const TestOptions *options, GError **error)
{
    g_autoptr (GPtrArray) files = find_files (options->paths, error);
    g_autoptr (GPtrArray) runs = g_ptr_array_new_with_free_func ((GDestroyNotify)test_run_free);
    g_autoptr (GHashTable) by_name = g_hash_table_new (g_str_hash, g_str_equal);
    g_autoptr (GHashTable) met = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; files != NULL && i < files->len; i++) {
        const char *path = g_ptr_array_index (files, i);
        g_autoptr (GPtrArray) more = NULL;

        if (!is_new (met, path))
            continue;
        more = test_scenario_load (path, &options->load, error);
        if (more == NULL || !add_runs (runs, by_name, more, error))
            return NULL;
    }
    return files != NULL ? g_steal_pointer (&runs) : NULL;
}

static bool
has_one_of (const TestRun *run, char *const *tags)
{
    for (; tags != NULL && *tags != NULL; tags++) {
        if (run->tags != NULL && g_strv_contains ((const char *const *)run->tags, *tags))
            return true;
    }
    return false;
}

/* An expression that takes too much time says nothing, and must leave out no run. */
static bool
is_wanted (const TestRun *run, const TestOptions *options, const GRegex *only, GError **error)
{
    return (only == NULL || g_regex_match_full (only, run->name, -1, 0, 0, NULL, error)) &&
           (options->tags == NULL || has_one_of (run, options->tags)) &&
           !has_one_of (run, options->skip_tags);
}

static void
refuse_only (const TestOptions *options, const char *why, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "only \"%s\": %s", options->only, why);
}

/**
 * test_select_runs:
 *
 * Reads the scenarios.
 *
 * Returns: (transfer full): of TestRun, in order, maybe none; NULL with %VMM_ERROR_USAGE
 */
GPtrArray *
test_select_runs (const TestOptions *options, GError **error)
{
    g_autoptr (GError) wrong = NULL;
    g_autoptr (GRegex) only = options->only != NULL ? g_regex_new (options->only, 0, 0, &wrong) : NULL;
    g_autoptr (GPtrArray) runs = NULL;

    if (wrong != NULL) {
        refuse_only (options, wrong->message, error);
        return NULL;
    }
    runs = load_all (options, error);
    for (guint i = runs != NULL ? runs->len : 0; i-- > 0;) {
        if (!is_wanted (g_ptr_array_index (runs, i), options, only, &wrong))
            g_ptr_array_remove_index (runs, i);
        if (wrong != NULL) {
            refuse_only (options, "it takes too long with the names of these runs: give a simpler one",
                         error);
            return NULL;
        }
    }
    return g_steal_pointer (&runs);
}

static json_t *
string_or_null (const char *text)
{
    g_autofree char *valid = text != NULL ? g_utf8_make_valid (text, -1) : NULL;

    return valid != NULL ? json_string (valid) : json_null ();
}

static json_t *
run_to_json (const TestRun *run)
{
    json_t *tags = json_array (), *axes = json_object ();

    for (char **tag = run->tags; tag != NULL && *tag != NULL; tag++)
        json_array_append_new (tags, string_or_null (*tag));
    for (guint i = 0; i < run->axes->len; i++) {
        const TestPair *axis = g_ptr_array_index (run->axes, i);

        json_object_set_new (axes, axis->name, string_or_null (axis->value));
    }
    return json_pack ("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:f}", "name",
                      string_or_null (run->name), "scenario", string_or_null (run->scenario), "file",
                      string_or_null (run->file), "description", string_or_null (run->description), "tags",
                      tags, "axes", axes, "kernel", string_or_null (run->kernel), "cpus",
                      (json_int_t)run->cpus, "memory_bytes", (json_int_t)run->memory, "timeout",
                      (double)run->timeout_us / 1e6);
}

/**
 * test_select_to_json:
 *
 * Returns: (transfer full): an array with what is known of @runs before they are made
 */
json_t *
test_select_to_json (const GPtrArray *runs)
{
    json_t *list = json_array ();

    for (guint i = 0; i < runs->len; i++)
        json_array_append_new (list, run_to_json (g_ptr_array_index (runs, i)));
    return list;
}
