/* SPDX-License-Identifier: Apache-2.0 */
/*
 * [machine] of a run. The library checks the values, as far as it can without looking at the host: whether a
 * kernel is there is the run's affair, for it may be what is tested.
 */
#include <string.h>

#include "scenario-keys.h"
#include "scenario-make.h"

/* "file=a,name=b": what is behind "name="; NULL: nothing is */
static char *
find_port_name (const char *value)
{
    g_auto (GStrv) words = g_strsplit (value, ",", -1);

    for (char **w = words; *w != NULL; w++) {
        if (g_str_has_prefix (*w, "name="))
            return g_strdup (*w + strlen ("name="));
    }
    return NULL;
}

/* Why a console cannot be where the scenario puts it; NULL: it can. */
static const char *
find_console_trouble (const TestRun *run, const char *key, const char *value)
{
    g_autofree char *port = strcmp (key, "console") == 0 ? find_port_name (value) : NULL;
    const char *console = port != NULL ? port : strcmp (key, "console") == 0 ? "hvc0" : "serial";

    if (strcmp (key, "console") != 0 && strcmp (key, "serial") != 0)
        return NULL;
    if (strcmp (value, "stdio") == 0 || g_str_has_prefix (value, "stdio,"))
        return "a test has no terminal: leave this out, and name the console in consoles of [test]";
    if (g_strv_contains ((const char *const *)run->consoles, console))
        return "vmm test listens to this console itself: leave this out, or take it out of consoles in "
               "[test]";
    return NULL;
}

static bool
apply (TestMaker *maker, const TestGroup *group, const TestEntry *entry, const char *value, GError **error)
{
    TestRun *run = maker->run;
    const char *key = test_machine_key (entry->key);
    const char *trouble;

    /* "without it", in a matrix; only a command line can be an empty one. */
    if (*value == '\0' && strcmp (key, "cmdline") != 0)
        return true;
    if (strstr (value, TEST_TMP) != NULL)
        run->needs_tmp = true;
    if (strcmp (key, "kernel") == 0) {
        g_free (run->kernel);
        run->kernel = g_strdup (value);
        return true;
    }
    trouble = find_console_trouble (run, key, value);
    if (trouble != NULL)
        return test_refuse (group, entry, value, trouble, error);
    if (!vmm_config_set (run->config, key, value, error))
        return test_prefix (group, entry, false, error);
    g_ptr_array_add (run->machine, test_pair_new (key, value));
    return true;
}

static bool
apply_entry (TestMaker *maker, const TestGroup *group, const TestEntry *entry, GError **error)
{
    const TestAxis *axis = NULL;
    const char *place = test_matrix_value (maker, entry->key, &axis);
    g_autofree char *value = NULL;

    if (place != NULL)
        return apply (maker, axis->group, axis->entry, place, error);
    if (!test_read_entry (maker, group, entry, &value, error))
        return false;
    if (*value == '\0' && *entry->value != '\0')
        return test_refuse (group, entry, NULL, "nothing is left when its variables are replaced", error);
    return apply (maker, group, entry, value, error);
}

/* What the matrix alone sets. */
static bool
apply_axes (TestMaker *maker, const TestGroup *machine, GError **error)
{
    for (guint i = 0; i < maker->matrix->axes->len; i++) {
        const TestAxis *axis = maker->matrix->axes->pdata[i];

        if (axis->machine_key != NULL && test_group_find (machine, axis->entry->key) == NULL &&
            !apply (maker, axis->group, axis->entry, axis->values[maker->place[i]], error))
            return false;
    }
    return true;
}

/**
 * test_make_machine:
 *
 * Makes the run's machine. Its consoles are known.
 */
bool
test_make_machine (TestMaker *maker, GError **error)
{
    const TestGroup *group = test_file_find (maker->file, "machine");

    for (guint i = 0; group != NULL && i < group->entries->len; i++) {
        if (!apply_entry (maker, group, group->entries->pdata[i], error))
            return false;
    }
    if (!apply_axes (maker, group, error))
        return false;
    maker->run->cpus = vmm_config_get_cpus (maker->run->config);
    maker->run->memory = vmm_config_get_memory (maker->run->config);
    return true;
}
