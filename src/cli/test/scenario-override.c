/* SPDX-License-Identifier: Apache-2.0 */
/* What the user says on the command line, put in place of what is in the file. */
#include <string.h>

#include "scenario-keys.h"
#include "scenario-make.h"
#include "scenario-values.h"

static bool
refuse (const char *option, const char *key, GError **error, const char *why)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s %s: %s", option, key, why);
    return false;
}

static void
replace (TestEntry *entry, const char *value, const TestSource *source)
{
    g_free (entry->value);
    entry->value = g_strdup (value);
    entry->source = source;
    entry->line = 0;
    entry->fixed = true;
}

static bool
split (const char *option, const char *text, char **ret_key, const char **ret_value, GError **error)
{
    const char *equals = strchr (text, '=');

    if (equals == NULL || equals == text || !g_utf8_validate (text, -1, NULL))
        return refuse (option, text, error, "say NAME=VALUE");
    *ret_key = g_strchomp (g_strndup (text, (size_t)(equals - text)));
    *ret_value = equals + 1;
    return true;
}

static bool
check_machine_key (const char *key, const char *value, GError **error)
{
    const char *name = test_machine_key (key);

    if (name == NULL) {
        g_autoptr (GPtrArray) known = test_machine_keys ();
        const char *meant = test_suggest (key, (const char *const *)known->pdata);
        g_autofree char *why = meant != NULL ? g_strdup_printf ("no such key: did you mean \"%s\"?", meant)
                                             : g_strdup ("no such key: see vmm-config(5)");

        return refuse ("--machine", key, error, why);
    }
    if (test_machine_refusal (name) != NULL)
        return refuse ("--machine", key, error, test_machine_refusal (name));
    /* A variable of a script that was not set must not boot another kernel. */
    if (*value == '\0' && strcmp (name, "cmdline") != 0)
        return refuse ("--machine", key, error, "the value is empty");
    return true;
}

/* @seen: keys that were set before, which add to themselves if they repeat */
static bool
set_machine (TestFile *file, const TestSource *source, const char *text, GHashTable *seen, GError **error)
{
    g_autofree char *key = NULL;
    const char *value;
    TestGroup *machine;
    TestEntry *entry;

    if (!split ("--machine", text, &key, &value, error) || !check_machine_key (key, value, error))
        return false;
    machine = test_file_get (file, "machine");
    entry = test_group_find (test_file_find (file, "matrix"), key);
    if (entry == NULL)
        entry = test_group_find (machine, key);
    if (entry != NULL && !(g_hash_table_contains (seen, key) && test_machine_key_repeats (key)))
        replace (entry, value, source);
    else
        test_group_add (machine, key, value, source, 0);
    g_hash_table_add (seen, g_steal_pointer (&key));
    return true;
}

/* @file has no variable of this name. */
static bool
refuse_variable (const TestFile *file, const char *name, GError **error)
{
    const TestSource *own = file->sources->pdata[0];
    const TestGroup *group = test_file_find (file, "variables");
    g_autoptr (GPtrArray) known = g_ptr_array_new ();
    g_autofree char *why = NULL;
    const char *meant = NULL;

    for (guint i = 0; group != NULL && i < group->entries->len; i++)
        g_ptr_array_add (known, ((const TestEntry *)group->entries->pdata[i])->key);
    g_ptr_array_add (known, NULL);
    if (test_machine_key (name) == NULL)
        meant = test_suggest (name, (const char *const *)known->pdata);
    why = g_strdup_printf ("[variables] of %s has no such name%s%s%s", own->path,
                           meant != NULL ? ": did you mean \"" : "", meant != NULL ? meant : "",
                           meant != NULL                     ? "\"?"
                           : test_machine_key (name) != NULL ? ": use --machine"
                                                             : "");
    return refuse ("--set", name, error, why);
}

static bool
set_variable (TestFile *file, const TestSource *source, const char *text, GError **error)
{
    g_autofree char *name = NULL;
    const char *value;
    TestEntry *entry, *axis;

    if (!split ("--set", text, &name, &value, error))
        return false;
    entry = test_group_find (test_file_find (file, "variables"), name);
    axis = test_group_find (test_file_find (file, "matrix"), name);
    if (entry == NULL)
        return refuse_variable (file, name, error);
    replace (entry, value, source);
    if (axis != NULL)
        replace (axis, value, source);
    return true;
}

/**
 * test_override:
 * @file: changed as @options say
 *
 * Returns: false with %VMM_ERROR_USAGE
 */
bool
test_override (TestFile *file, const TestLoadOptions *options, GError **error)
{
    const char *folder = ((const TestSource *)file->sources->pdata[0])->folder;
    const TestSource *machine = test_file_add_source (file, "--machine", folder);
    const TestSource *variables = test_file_add_source (file, "--set", folder);
    g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

    for (char **m = options->machine; m != NULL && *m != NULL; m++) {
        if (!set_machine (file, machine, *m, seen, error))
            return false;
    }
    for (char **v = options->variables; v != NULL && *v != NULL; v++) {
        if (!set_variable (file, variables, *v, error))
            return false;
    }
    return true;
}
