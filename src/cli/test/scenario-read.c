/* SPDX-License-Identifier: Apache-2.0 */
/* Values of keys, variables replaced, in the shape that the key's table says. */
#include <string.h>

#include "scenario-keys.h"
#include "scenario-make.h"
#include "scenario-values.h"

/**
 * test_prefix:
 * @with_key: the message does not name the key itself
 *
 * Puts the place before a message.
 *
 * Returns: false
 */
bool
test_prefix (const TestGroup *group, const TestEntry *entry, bool with_key, GError **error)
{
    if (entry->line == 0)
        g_prefix_error (error, "%s%s%s: ", entry->source->path, with_key ? " " : "",
                        with_key ? entry->key : "");
    else
        g_prefix_error (error, "%s:%u: [%s] %s%s", entry->source->path, entry->line, group->title,
                        with_key ? entry->key : "", with_key ? ": " : "");
    return false;
}

/**
 * test_read_entry:
 * @ret_value: (out) (transfer full): the value of a key
 */
bool
test_read_entry (TestMaker *maker, const TestGroup *group, const TestEntry *entry, char **ret_value,
                 GError **error)
{
    char *value = test_vars_expand (maker->vars, entry->value, entry->source->folder, error);

    if (value == NULL)
        return test_prefix (group, entry, true, error);
    *ret_value = g_strstrip (value);
    if (maker->run != NULL && strstr (value, TEST_TMP) != NULL)
        maker->run->needs_tmp = true;
    return true;
}

/* @ret_entry: NULL: the value is the table's; @ret_value: NULL: there is none */
static bool
fetch (TestMaker *maker, const TestGroup *group, const char *key, const TestEntry **ret_entry,
       char **ret_value, GError **error)
{
    const TestEntry *entry = test_group_find (group, key);

    /* Nothing behind the "=": as if the line were not there, so that a default can be taken back. */
    if (entry != NULL && *entry->value == '\0')
        entry = NULL;
    *ret_entry = entry;
    if (entry == NULL) {
        *ret_value = group != NULL ? g_strdup (test_key_fallback (group->kind, key)) : NULL;
        return true;
    }
    if (!test_read_entry (maker, group, entry, ret_value, error))
        return false;
    if (**ret_value != '\0')
        return true;
    g_clear_pointer (ret_value, g_free);
    return test_refuse (group, entry, NULL, "nothing is left when its variables are replaced", error);
}

/**
 * test_read_text:
 * @text: (inout): replaced by the value
 */
bool
test_read_text (TestMaker *maker, const TestGroup *group, const char *key, char **text, GError **error)
{
    const TestEntry *entry;
    char *value;

    if (!fetch (maker, group, key, &entry, &value, error))
        return false;
    if (value != NULL) {
        g_free (*text);
        *text = value;
    }
    return true;
}

/**
 * test_read_list:
 * @list: (inout): replaced by the elements
 */
bool
test_read_list (TestMaker *maker, const TestGroup *group, const char *key, char ***list, GError **error)
{
    g_autofree char *value = NULL;

    if (!test_read_text (maker, group, key, &value, error))
        return false;
    if (value != NULL) {
        g_strfreev (*list);
        *list = test_list_split (value);
    }
    return true;
}

/**
 * test_read_seconds:
 * @scale: by which they are multiplied
 * @us: (inout): 0 for "off", where the table has that
 */
bool
test_read_seconds (TestMaker *maker, const TestGroup *group, const char *key, double scale, int64_t *us,
                   GError **error)
{
    const TestEntry *entry;
    g_autofree char *value = NULL;
    int64_t time = 0;
    const char *why;

    if (!fetch (maker, group, key, &entry, &value, error))
        return false;
    if (value == NULL)
        return true;
    if (strcmp (value, "off") == 0 && strcmp (key, "silence") == 0) {
        *us = 0;
        return true;
    }
    if (!test_seconds_parse (value, &time, &why))
        return test_refuse (group, entry, value, why, error);
    *us = MAX (1, (int64_t)((double)time * scale));
    return true;
}

/**
 * test_read_number:
 * @number: (inout): at most @max
 */
bool
test_read_number (TestMaker *maker, const TestGroup *group, const char *key, unsigned max, unsigned *number,
                  GError **error)
{
    const TestEntry *entry;
    g_autofree char *value = NULL;
    g_autofree char *why = NULL;

    if (!fetch (maker, group, key, &entry, &value, error))
        return false;
    if (value == NULL || test_number_parse (value, max, number))
        return true;
    why = g_strdup_printf ("give a whole number from 0 to %u", max);
    return test_refuse (group, entry, value, why, error);
}

/**
 * test_read_status:
 * @status: (inout): the key of that name, as in TestStep
 */
bool
test_read_status (TestMaker *maker, const TestGroup *group, int *status, GError **error)
{
    const TestEntry *entry;
    g_autofree char *value = NULL;
    unsigned number;

    if (!fetch (maker, group, "status", &entry, &value, error))
        return false;
    if (value == NULL)
        return true;
    if (strcmp (value, "any") == 0)
        *status = TEST_STATUS_ANY;
    else if (strcmp (value, "failure") == 0)
        *status = TEST_STATUS_FAILURE;
    else if (test_number_parse (value, 255, &number))
        *status = (int)number;
    else
        return test_refuse (group, entry, value, "give an exit status from 0 to 255, or any, or failure",
                            error);
    return true;
}

/* A pattern that finds nothing in front of two bytes that nobody prints would find it everywhere. */
static bool
check_pattern (const char *pattern, bool literal, GError **error)
{
    static const uint8_t probe[] = {1, 1};
    g_autoptr (VmmExpect) expect = vmm_expect_new (VMM_EXPECT_WINDOW_MIN, false);
    VmmExpectEvent event;

    if (!vmm_expect_add_pattern (expect, 0, pattern, literal ? VMM_EXPECT_LITERAL : VMM_EXPECT_REGEX, error))
        return false;
    vmm_expect_feed (expect, probe, sizeof probe);
    if (!vmm_expect_next (expect, &event) || event.error != NULL || event.text.len > 0)
        return true;
    g_set_error (
        error, VMM_ERROR, VMM_ERROR_USAGE,
        "pattern \"%.80s\": it matches nothing at all, and so everywhere: ask for one character at least",
        pattern);
    return false;
}

/**
 * test_read_pattern:
 * @literal: it is plain text
 * @pattern: (inout): replaced by one that VmmExpect takes
 */
bool
test_read_pattern (TestMaker *maker, const TestGroup *group, const char *key, bool literal, char **pattern,
                   GError **error)
{
    const TestEntry *entry;
    char *value = NULL;
    g_autofree char *id = NULL;

    if (!fetch (maker, group, key, &entry, &value, error))
        return false;
    if (value == NULL)
        return true;
    g_free (*pattern);
    *pattern = value;
    id = g_strdup_printf ("%c%s", literal ? 'l' : 'r', value);
    if (g_hash_table_contains (maker->patterns, id))
        return true;
    if (!check_pattern (value, literal, error))
        return test_prefix (group, entry, true, error);
    g_hash_table_add (maker->patterns, g_steal_pointer (&id));
    return true;
}
