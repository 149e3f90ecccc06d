/* SPDX-License-Identifier: Apache-2.0 */
/* [guest] of a run: what vmm run has options for. */
#include <string.h>

#include "scenario-make.h"

/* SOURCE:DESTINATION, of which the last colon divides, and one is in the guest */
static const char *
find_copy_trouble (const char *key, const char *value)
{
    const char *colon = strrchr (value, ':');
    const char *in_guest = strcmp (key, "copy") == 0 && colon != NULL ? colon + 1 : value;

    if (colon == NULL || colon == value || colon[1] == '\0')
        return strcmp (key, "copy") == 0 ? "say SOURCE:DESTINATION, the second one in the guest"
                                         : "say SOURCE:DESTINATION, the first one in the guest";
    return *in_guest != '/' ? "a path in the guest begins with a slash" : NULL;
}

static const char *
find_env_trouble (const char *key, const char *value)
{
    const char *equals = strchr (value, '=');

    return equals == NULL || equals == value ? "say NAME=value" : NULL;
}

/* Of @key, and of it with words behind it. */
static bool
read_all (TestMaker *maker, const TestGroup *group, const char *key,
          const char *(*find_trouble) (const char *key, const char *value), char ***ret_list, GError **error)
{
    g_autoptr (GStrvBuilder) list = g_strv_builder_new ();
    size_t len = strlen (key);

    for (guint i = 0; i < group->entries->len; i++) {
        const TestEntry *entry = group->entries->pdata[i];
        g_autofree char *value = NULL;
        const char *trouble;

        if (strncmp (entry->key, key, len) != 0 || (entry->key[len] != '\0' && entry->key[len] != ' ') ||
            *entry->value == '\0')
            continue;
        if (!test_read_entry (maker, group, entry, &value, error))
            return false;
        trouble = find_trouble (key, value);
        if (trouble != NULL)
            return test_refuse (group, entry, value, trouble, error);
        g_strv_builder_add (list, value);
    }
    *ret_list = g_strv_builder_end (list);
    return true;
}

static bool
read_command (TestMaker *maker, const TestGroup *group, GError **error)
{
    TestRun *run = maker->run;
    const TestEntry *status = test_group_find (group, "status");
    g_autofree char *command = NULL;
    g_autoptr (GError) wrong = NULL;

    if (!test_read_text (maker, group, "command", &command, error))
        return false;
    if (command == NULL && status != NULL && *status->value != '\0')
        return test_refuse (group, status, NULL, "it is that of command, and there is none", error);
    if (command != NULL && !g_shell_parse_argv (command, NULL, &run->command, &wrong))
        return test_refuse (group, test_group_find (group, "command"), command, wrong->message, error);
    return test_read_status (maker, group, &run->command_status, error);
}

/**
 * test_make_guest:
 *
 * Makes what vmm is to bring into the guest. The machine is known.
 */
bool
test_make_guest (TestMaker *maker, GError **error)
{
    const TestGroup *group = test_file_find (maker->file, "guest");
    TestRun *run = maker->run;

    if (group == NULL)
        return true;
    run->has_guest = true;
    if (run->kernel == NULL)
        return test_refuse_at (group->source, group->line, error,
                               "[guest] needs a Linux kernel: give kernel in [machine]");
    return read_command (maker, group, error) && test_read_text (maker, group, "root", &run->root, error) &&
           test_read_text (maker, group, "modules", &run->modules, error) &&
           test_read_text (maker, group, "cwd", &run->cwd, error) &&
           test_read_text (maker, group, "user", &run->user, error) &&
           read_all (maker, group, "copy", find_copy_trouble, &run->copies, error) &&
           read_all (maker, group, "out", find_copy_trouble, &run->outputs, error) &&
           read_all (maker, group, "env", find_env_trouble, &run->env, error);
}
