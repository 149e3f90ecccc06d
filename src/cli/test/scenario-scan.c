/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file's text: what the lines are, and where. GKeyFile reads the values; it takes groups and keys that
 * are there twice for one, and knows no line numbers, so a scan of the lines goes before it.
 */
#include <string.h>

#include <vmm/vmm.h>

#include "scenario-file.h"

/* Of messages about a value. */
#define SHOWN_MAX 80

typedef struct {
    const TestSource *source;
    GPtrArray *groups;     /* of TestGroup; what has been found so far */
    GPtrArray *raw_titles; /* of char *: as GKeyFile knows each of them */
    GHashTable *lines;     /* of the keys of the last group, to the numbers of their lines */
    unsigned n;            /* groups and keys */
    unsigned line;
} Scan;

/**
 * test_refuse_at:
 * @source: where it stands
 * @line: from 1; 0: no line of a file
 *
 * Returns: false, with %VMM_ERROR_USAGE and a message that begins with the place
 */
bool
test_refuse_at (const TestSource *source, unsigned line, GError **error, const char *format, ...)
{
    g_autofree char *what = NULL;
    va_list args;

    va_start (args, format);
    what = g_strdup_vprintf (format, args);
    va_end (args);
    if (line > 0)
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s:%u: %s", source->path, line, what);
    else
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s: %s", source->path, what);
    return false;
}

/* For a message: one line that is not too long. */
static char *
shorten (const char *value)
{
    const char *end = g_utf8_offset_to_pointer (value, MIN (SHOWN_MAX, g_utf8_strlen (value, -1)));
    char *shown = g_strdup_printf ("%.*s%s", (int)(end - value), value, *end != '\0' ? "…" : "");

    /* The environment's values are not lines of a file. */
    for (char *p = shown; *p != '\0'; p++) {
        if (g_ascii_iscntrl (*p))
            *p = '?';
    }
    return shown;
}

/**
 * test_refuse:
 * @group: whose key it is
 * @entry: the key
 * @value: (nullable): its value as it is understood, variables replaced; NULL: as written
 * @why: what is wrong, and what to do
 *
 * Returns: false, with %VMM_ERROR_USAGE and a message that names the place, the group, the key and the value
 */
bool
test_refuse (const TestGroup *group, const TestEntry *entry, const char *value, const char *why,
             GError **error)
{
    g_autofree char *shown = shorten (value != NULL ? value : entry->value);
    /* People expect one behind a value to be a comment, as elsewhere. */
    const char *hint = strstr (shown, " #") != NULL ? "; a comment needs a line of its own" : "";

    if (entry->line == 0)
        return test_refuse_at (entry->source, 0, error, "%s \"%s\": %s", entry->key, shown, why);
    return test_refuse_at (entry->source, entry->line, error, "[%s] %s \"%s\": %s%s", group->title,
                           entry->key, shown, why, hint);
}

static bool
has_control_characters (const char *text)
{
    for (; *text != '\0'; text = g_utf8_next_char (text)) {
        if (g_unichar_iscntrl (g_utf8_get_char (text)))
            return true;
    }
    return false;
}

static bool
count_one (Scan *scan, GError **error)
{
    return ++scan->n <= TEST_FILE_KEYS_MAX ||
           test_refuse_at (scan->source, scan->line, error, "there are more than %u groups and keys",
                           TEST_FILE_KEYS_MAX);
}

static bool
take_group (Scan *scan, const char *text, GError **error)
{
    size_t len = strlen (text);
    g_autofree char *inside = g_strndup (text + 1, len > 1 ? len - 2 : 0);
    g_autoptr (TestGroup) group = NULL;

    if (len < 3 || text[len - 1] != ']' || strpbrk (inside, "[]") != NULL || has_control_characters (inside))
        return test_refuse_at (
            scan->source, scan->line, error,
            "a group is one name in brackets, with nothing behind it, such as [step boot]");
    if (len > TEST_NAME_MAX)
        return test_refuse_at (scan->source, scan->line, error,
                               "the name of this group is too long: %u bytes at most", TEST_NAME_MAX);
    group = test_group_new (inside, scan->source, scan->line);
    for (guint i = 0; i < scan->groups->len; i++) {
        const TestGroup *other = scan->groups->pdata[i];

        if (strcmp (other->title, group->title) == 0)
            return test_refuse_at (scan->source, scan->line, error,
                                   "[%s] is in line %u already: put its keys together%s", group->title,
                                   other->line, *group->name != '\0' ? ", or choose another name" : "");
    }
    g_ptr_array_add (scan->groups, g_steal_pointer (&group));
    g_ptr_array_add (scan->raw_titles, g_steal_pointer (&inside));
    g_hash_table_remove_all (scan->lines);
    return count_one (scan, error);
}

static bool
take_key (Scan *scan, const char *text, GError **error)
{
    const char *equals = strchr (text, '=');
    TestGroup *group = scan->groups->len > 0 ? scan->groups->pdata[scan->groups->len - 1] : NULL;
    g_autofree char *key = NULL;
    unsigned before;

    if (equals == NULL)
        return test_refuse_at (scan->source, scan->line, error, "this is not of the form key = value%s",
                               *text == ';' ? ": a comment begins with #" : "");
    key = g_strchomp (g_strndup (text, (size_t)(equals - text)));
    if (*key == '\0' || strpbrk (key, "[]") != NULL || strlen (key) > TEST_NAME_MAX ||
        has_control_characters (key))
        return test_refuse_at (scan->source, scan->line, error,
                               "before the \"=\" belongs the name of a key, with no brackets in it");
    if (group == NULL)
        return test_refuse_at (scan->source, scan->line, error,
                               "\"%s\" belongs to no group: put a line such as [test] before it", key);
    before = GPOINTER_TO_UINT (g_hash_table_lookup (scan->lines, key));
    if (before > 0)
        return test_refuse_at (scan->source, scan->line, error,
                               "[%s] %s is in line %u already; where a key may be repeated, a word behind it "
                               "tells them apart: \"%s 2\"",
                               group->title, key, before, key);
    test_group_add (group, key, "", scan->source, scan->line);
    g_hash_table_insert (scan->lines, g_steal_pointer (&key), GUINT_TO_POINTER (scan->line));
    return count_one (scan, error);
}

static bool
take_lines (Scan *scan, const char *text, GError **error)
{
    g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

    for (char **l = lines; *l != NULL; l++) {
        const char *line = g_strstrip (*l);

        scan->line++;
        if (*line == '\0' || *line == '#')
            continue;
        if (!(*line == '[' ? take_group : take_key) (scan, line, error))
            return false;
    }
    return true;
}

static bool
read_value (TestEntry *entry, const char *title, const char *raw_title, GKeyFile *values, GError **error)
{
    g_autoptr (GError) wrong = NULL;
    char *value = g_key_file_get_value (values, raw_title, entry->key, &wrong);

    if (value == NULL)
        return test_refuse_at (entry->source, entry->line, error, "%s", wrong->message);
    g_free (entry->value);
    entry->value = g_strstrip (value);
    if (strlen (value) > TEST_VALUE_MAX)
        return test_refuse_at (entry->source, entry->line, error,
                               "[%s] %s: the value is too long: %u bytes at most", title, entry->key,
                               TEST_VALUE_MAX);
    return true;
}

static bool
read_values (Scan *scan, const char *text, size_t len, GError **error)
{
    g_autoptr (GKeyFile) values = g_key_file_new ();
    g_autoptr (GError) wrong = NULL;

    /* Its own words have no line: what it refuses, the scan should have refused before. */
    if (len > 0 && !g_key_file_load_from_data (values, text, len, G_KEY_FILE_NONE, &wrong))
        return test_refuse_at (scan->source, 0, error, "%s", wrong->message);
    for (guint i = 0; i < scan->groups->len; i++) {
        const TestGroup *group = scan->groups->pdata[i];

        for (guint j = 0; j < group->entries->len; j++) {
            if (!read_value (group->entries->pdata[j], group->title, scan->raw_titles->pdata[i], values,
                             error))
                return false;
        }
    }
    return true;
}

static bool
check_encoding (const char *text, size_t len, const TestSource *source, GError **error)
{
    const char *end = NULL;
    unsigned line = 1;

    if (g_utf8_validate_len (text, len, &end))
        return true;
    for (const char *p = text; p < end; p++)
        line += *p == '\n';
    return test_refuse_at (source, line, error, "this is not text in UTF-8");
}

/**
 * test_scan:
 * @text: of a file
 * @len: bytes of it
 * @source: its name; borrowed by what is returned
 *
 * Returns: (transfer full) (nullable): of TestGroup; NULL with %VMM_ERROR_USAGE
 */
GPtrArray *
test_scan (const char *text, size_t len, const TestSource *source, GError **error)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    g_autoptr (GPtrArray) groups = g_ptr_array_new_with_free_func ((GDestroyNotify)test_group_free);
    g_autoptr (GPtrArray) raw_titles = g_ptr_array_new_with_free_func (g_free);
    g_autoptr (GHashTable) lines = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *copy = NULL;
    Scan scan = {.source = source, .groups = groups, .raw_titles = raw_titles, .lines = lines};

    if (!check_encoding (text, len, source, error))
        return NULL;
    copy = g_strndup (text, len);
    if (g_str_has_prefix (copy, byte_order_mark))
        memset (copy, ' ', strlen (byte_order_mark));
    if (!take_lines (&scan, copy, error) || !read_values (&scan, copy, len, error))
        return NULL;
    return g_steal_pointer (&groups);
}
