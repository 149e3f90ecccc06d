/* SPDX-License-Identifier: Apache-2.0 */
/* A scenario's file and those that it builds on, put together. */
#include "scenario-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vmm/vmm.h>

#include "scenario-values.h"
#include "scenario-vars.h"

#define DEPTH_MAX 8u
#define SOURCES_MAX 32u

static void
free_source (TestSource *source)
{
    g_free (source->path);
    g_free (source->folder);
    g_free (source);
}

static void
free_entry (TestEntry *entry)
{
    g_free (entry->key);
    g_free (entry->value);
    g_free (entry);
}

/**
 * test_group_new:
 * @title: what is in the brackets
 * @source: borrowed
 *
 * Returns: (transfer full): one without keys
 */
TestGroup *
test_group_new (const char *title, const TestSource *source, unsigned line)
{
    TestGroup *group = g_new0 (TestGroup, 1);
    g_autofree char *text = g_strstrip (g_strdup (title));
    size_t len = strcspn (text, " \t");

    group->kind = g_strndup (text, len);
    group->name = g_strdup (g_strchug (text + len));
    group->title = g_strdup_printf ("%s%s%s", group->kind, *group->name != '\0' ? " " : "", group->name);
    group->entries = g_ptr_array_new_with_free_func ((GDestroyNotify)free_entry);
    group->source = source;
    group->line = line;
    return group;
}

/**
 * test_group_free:
 * @group: (nullable)
 */
void
test_group_free (TestGroup *group)
{
    if (group == NULL)
        return;
    g_free (group->title);
    g_free (group->kind);
    g_free (group->name);
    g_ptr_array_unref (group->entries);
    g_free (group);
}

/**
 * test_group_find:
 * @group: (nullable)
 *
 * Returns: (nullable): the key, as it was written
 */
TestEntry *
test_group_find (const TestGroup *group, const char *key)
{
    for (guint i = 0; group != NULL && i < group->entries->len; i++) {
        TestEntry *entry = group->entries->pdata[i];

        if (strcmp (entry->key, key) == 0)
            return entry;
    }
    return NULL;
}

/**
 * test_group_add:
 *
 * Returns: a new key, behind the others
 */
TestEntry *
test_group_add (TestGroup *group, const char *key, const char *value, const TestSource *source, unsigned line)
{
    TestEntry *entry = g_new0 (TestEntry, 1);

    entry->key = g_strdup (key);
    entry->value = g_strdup (value);
    entry->source = source;
    entry->line = line;
    g_ptr_array_add (group->entries, entry);
    return entry;
}

/**
 * test_file_free:
 * @file: (nullable)
 */
void
test_file_free (TestFile *file)
{
    if (file == NULL)
        return;
    g_ptr_array_unref (file->groups);
    g_ptr_array_unref (file->sources);
    g_free (file);
}

/**
 * test_file_add_source:
 * @path: how it is called in messages
 * @folder: (nullable): absolute; NULL: that of @path
 *
 * Returns: (transfer none): lives as long as @file
 */
const TestSource *
test_file_add_source (TestFile *file, const char *path, const char *folder)
{
    TestSource *source = g_new0 (TestSource, 1);
    g_autofree char *absolute = g_canonicalize_filename (path, NULL);

    source->path = g_strdup (path);
    source->folder = folder != NULL ? g_strdup (folder) : g_path_get_dirname (absolute);
    g_ptr_array_add (file->sources, source);
    return source;
}

/**
 * test_file_find:
 *
 * Returns: (nullable): the group of that title
 */
TestGroup *
test_file_find (const TestFile *file, const char *title)
{
    for (guint i = 0; i < file->groups->len; i++) {
        TestGroup *group = file->groups->pdata[i];

        if (strcmp (group->title, title) == 0)
            return group;
    }
    return NULL;
}

/**
 * test_file_get:
 *
 * Returns: the group of that title, made when it is not there
 */
TestGroup *
test_file_get (TestFile *file, const char *title)
{
    TestGroup *group = test_file_find (file, title);

    if (group == NULL) {
        group = test_group_new (title, file->sources->pdata[0], 0);
        g_ptr_array_add (file->groups, group);
    }
    return group;
}

/* What is said again is replaced where it stands, so that a disk keeps its place among disks. */
static void
merge_group (TestFile *file, TestGroup *group)
{
    TestGroup *into = test_file_find (file, group->title);

    if (into == NULL) {
        g_ptr_array_add (file->groups, group);
        return;
    }
    into->source = group->source;
    into->line = group->line;
    for (guint i = 0; i < group->entries->len; i++) {
        const TestEntry *entry = group->entries->pdata[i];
        TestEntry *old = test_group_find (into, entry->key);

        if (old == NULL) {
            test_group_add (into, entry->key, entry->value, entry->source, entry->line);
            continue;
        }
        g_free (old->value);
        old->value = g_strdup (entry->value);
        old->source = entry->source;
        old->line = entry->line;
    }
    test_group_free (group);
}

static unsigned
count_keys (const TestFile *file)
{
    unsigned n = file->groups->len;

    for (guint i = 0; i < file->groups->len; i++)
        n += ((const TestGroup *)file->groups->pdata[i])->entries->len;
    return n;
}

static bool load (TestFile *file, const char *path, const TestEntry *from, GPtrArray *above, GError **error);

/* What the file builds on: it comes first. */
static bool
load_defaults (TestFile *file, const TestGroup *test, GPtrArray *above, GError **error)
{
    const TestEntry *entry = test_group_find (test, "defaults");
    g_autoptr (TestVars) vars = test_vars_new (NULL);
    g_autofree char *value = NULL;
    g_auto (GStrv) paths = NULL;

    if (entry == NULL)
        return true;
    value = test_vars_expand (vars, entry->value, entry->source->folder, error);
    if (value == NULL) {
        g_prefix_error (error, "%s:%u: [test] defaults: ", entry->source->path, entry->line);
        return false;
    }
    paths = test_list_split (value);
    for (char **path = paths; *path != NULL; path++) {
        g_autofree char *beside = g_canonicalize_filename (*path, entry->source->folder);

        if (!load (file, g_path_is_absolute (*path) ? *path : beside, entry, above, error))
            return false;
    }
    return true;
}

/* @above: of char *: the files that are being read */
static bool
add_text (TestFile *file, const char *text, size_t len, const TestSource *source, GPtrArray *above,
          GError **error)
{
    g_autoptr (GPtrArray) groups = test_scan (text, len, source, error);

    if (groups == NULL)
        return false;
    for (guint i = 0; i < groups->len; i++) {
        const TestGroup *group = groups->pdata[i];

        if (strcmp (group->title, "test") == 0 && !load_defaults (file, group, above, error))
            return false;
    }
    g_ptr_array_set_free_func (groups, NULL);
    for (guint i = 0; i < groups->len; i++)
        merge_group (file, groups->pdata[i]);
    if (count_keys (file) > TEST_FILE_KEYS_MAX)
        return test_refuse_at (source, 0, error, "with its defaults, there are more than %u groups and keys",
                               TEST_FILE_KEYS_MAX);
    return true;
}

/* At most one byte more than is allowed. A pipe is welcome where a person names it: vmm test <(generate). */
static GString *
read_bytes (const char *path, bool may_be_pipe, const char **ret_why)
{
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (may_be_pipe ? 0 : O_NONBLOCK));
    g_autoptr (GString) text = g_string_new (NULL);
    struct stat st;
    ssize_t n = -1;

    if (fd < 0 || fstat (fd, &st) < 0) {
        *ret_why = g_strerror (errno);
    } else if (S_ISDIR (st.st_mode)) {
        *ret_why = "this is a folder";
    } else if (!S_ISREG (st.st_mode) && !(may_be_pipe && S_ISFIFO (st.st_mode))) {
        *ret_why = "this is no regular file";
    } else {
        do {
            char buffer[16384];

            n = read (fd, buffer, MIN (sizeof buffer, TEST_FILE_BYTES_MAX + 1 - text->len));
            if (n > 0)
                g_string_append_len (text, buffer, n);
        } while (n > 0 || (n < 0 && errno == EINTR));
        *ret_why = n < 0 ? g_strerror (errno) : NULL;
    }
    if (fd >= 0)
        close (fd);
    return n == 0 ? g_steal_pointer (&text) : NULL;
}

static bool
is_among (const GPtrArray *above, const char *path)
{
    for (guint i = 0; i < above->len; i++) {
        if (strcmp (above->pdata[i], path) == 0)
            return true;
    }
    return false;
}

/* @from: (nullable): what names it; NULL: the user does */
static bool
load (TestFile *file, const char *path, const TestEntry *from, GPtrArray *above, GError **error)
{
    g_autofree char *real = g_canonicalize_filename (path, NULL);
    g_autoptr (GString) text = NULL;
    g_autofree char *at = from != NULL
                              ? g_strdup_printf ("%s:%u: [test] defaults ", from->source->path, from->line)
                              : g_strdup ("");
    const char *why = NULL;
    bool ok;

    if (is_among (above, real))
        why = "it is one of its own defaults";
    else if (above->len >= DEPTH_MAX || file->sources->len >= SOURCES_MAX)
        why = "there are too many defaults of defaults";
    else
        text = read_bytes (path, from == NULL, &why);
    if (text != NULL && text->len > TEST_FILE_BYTES_MAX)
        why = "this is longer than 1 MiB, and no scenario";
    if (why != NULL) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s\"%s\": %s", at, path, why);
        return false;
    }
    g_ptr_array_add (above, real);
    ok = add_text (file, text->str, text->len, test_file_add_source (file, path, NULL), above, error);
    g_ptr_array_remove_index (above, above->len - 1);
    return ok;
}

static TestFile *
new_file (void)
{
    TestFile *file = g_new0 (TestFile, 1);

    file->sources = g_ptr_array_new_with_free_func ((GDestroyNotify)free_source);
    file->groups = g_ptr_array_new_with_free_func ((GDestroyNotify)test_group_free);
    return file;
}

/**
 * test_file_load:
 * @path: of a scenario
 *
 * Reads it, and what it names as its defaults.
 *
 * Returns: (transfer full) (nullable): NULL with %VMM_ERROR_USAGE
 */
TestFile *
test_file_load (const char *path, GError **error)
{
    g_autoptr (TestFile) file = new_file ();
    g_autoptr (GPtrArray) above = g_ptr_array_new ();

    return load (file, path, NULL, above, error) ? g_steal_pointer (&file) : NULL;
}

/**
 * test_file_parse:
 * @text: of a scenario
 * @len: bytes of it
 * @path: what to call it; relative defaults are beside it
 *
 * Returns: (transfer full) (nullable): as test_file_load()
 */
TestFile *
test_file_parse (const char *text, size_t len, const char *path, GError **error)
{
    g_autoptr (TestFile) file = new_file ();
    g_autoptr (GPtrArray) above = g_ptr_array_new ();
    const TestSource *source = test_file_add_source (file, path, NULL);

    return add_text (file, text, len, source, above, error) ? g_steal_pointer (&file) : NULL;
}
