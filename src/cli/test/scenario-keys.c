/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario-keys.h"

#include <string.h>

#include <jansson.h>
#include <vmm/vmm.h>

#include "scenario-values.h"
#include "scenario-vars.h"

static const TestKey test_keys[] = {
    {"name", "TEXT", NULL, false, "what it is called [the file's name, without its suffix]"},
    {"description", "TEXT", NULL, false, "what it is about, for people"},
    {"defaults", "LIST of FILE", NULL, false, "files like this one, whose keys hold where this one has none"},
    {"tags", "LIST of WORD", NULL, false, "words to choose scenarios by"},
    {"timeout", "SECONDS", "300", false, "how long the whole run may take"},
    {"within", "SECONDS", "60", false, "how long a step may take"},
    {"silence", "SECONDS|off", "30", false, "a guest that does nothing for so long during a step hangs"},
    {"consoles", "LIST of CONSOLE", "serial", false, "consoles to listen to: serial, hvc0, or a port's name"},
    {"outcome", "VERDICT", "passed", false, "the verdict that is expected"},
    {"reason", "REGEX", NULL, false, "the reason of that verdict must match it"},
    {"known-failure", "TEXT", NULL, false,
     "it is known to fail, and this is why: if it passes, that is news"},
    {"retries", "N", "0", false, "how often to try again after a failure"},
    {"allow", "LIST of TROUBLE", "none", false, "reports of the kernel that are no failure; all, none"},
    {NULL},
};

static const TestKey guest_keys[] = {
    {"command", "COMMAND", NULL, false, "what to run [a shell, for the steps]"},
    {"status", "N|any|failure", "0", false, "what the command must end with"},
    {"root", "PATH", NULL, false, "the guest's root: a folder, an archive or an image [busybox]"},
    {"modules", "PATH", NULL, false, "the kernel's modules: a folder or a .deb [beside the kernel]"},
    {"copy", "SRC:DST", NULL, true, "a file or a folder of the host for the guest"},
    {"out", "SRC:DST", NULL, true, "a file or a folder of the guest that comes back"},
    {"env", "NAME=VALUE", NULL, true, "a variable for the command"},
    {"cwd", "FOLDER", NULL, false, "where the command begins [/]"},
    {"user", "USER[:GROUP]", NULL, false, "who runs the command [root]"},
    {NULL},
};

static const TestKey step_keys[] = {
    {"on", "CONSOLE", NULL, false, "the console that it is about [the first one]"},
    {"expect", "REGEX", NULL, false, "wait until the console's output matches"},
    {"expect-text", "TEXT", NULL, false, "wait until the console's output has this text"},
    {"within", "SECONDS", NULL, false, "how long the step may take [within of test]"},
    {"silence", "SECONDS|off", NULL, false, "how long the guest may do nothing [silence of test]"},
    {"send", "BYTES", NULL, false, "type this, with \\n for the end of a line"},
    {"key", "KEY", NULL, false, "type this key: enter, tab, up, f1, ctrl-c"},
    {"run", "COMMAND", NULL, false, "run it in the guest's shell"},
    {"status", "N|any|failure", "0", false, "of run: what the command must end with"},
    {"output", "REGEX", NULL, false, "of run: what its output must match"},
    {"output-not", "REGEX", NULL, false, "of run: what its output must not match"},
    {"error", "REGEX", NULL, false, "of run, with a guest group: what its standard error must match"},
    {"wait", "poweroff|reboot|halt|end|exit N", NULL, false, "wait for this end of the machine"},
    {"machine", "pause|resume|power-button|break", NULL, false, "do this to the machine"},
    {"sleep", "SECONDS", NULL, false, "do nothing for so long"},
    {"check-file", "FILE", NULL, false, "look at a file of the host"},
    {"contains", "REGEX", NULL, false, "of check-file: what it must match"},
    {"exists", "yes|no", "yes", false, "of check-file: whether it must be there"},
    {NULL},
};

static const TestKey forbid_keys[] = {
    {"pattern", "REGEX", NULL, false, "what must not match"},
    {"text", "TEXT", NULL, false, "the text that must not appear"},
    {"on", "CONSOLE|all", "all", false, "where"},
    {NULL},
};

static const TestGroupKind kinds[] = {
    {"test", false, NULL, test_keys, "the test as a whole"},
    {"variables", false, "a variable, and its value", NULL, "what ${NAME} means"},
    {"matrix", false, "a key of the machine or a variable, and a LIST of its values", NULL,
     "one run for each combination"},
    {"exclude", true, "a key of the matrix, and a LIST of values", NULL, "combinations to leave out"},
    {"machine", false, NULL, NULL, "the machine: the keys of vmm-config(5)"},
    {"guest", false, NULL, guest_keys, "vmm makes the initrd, as vmm run does"},
    {"step", true, NULL, step_keys, "what is done, in this order"},
    {"forbid", true, NULL, forbid_keys, "what must not appear on a console"},
};

/**
 * test_group_kinds:
 * @ret_n: (out): how many there are
 *
 * Returns: all groups that a scenario may have
 */
const TestGroupKind *
test_group_kinds (size_t *ret_n)
{
    *ret_n = G_N_ELEMENTS (kinds);
    return kinds;
}

static const TestGroupKind *
find_kind (const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS (kinds); i++) {
        if (strcmp (kinds[i].name, name) == 0)
            return &kinds[i];
    }
    return NULL;
}

/**
 * test_key_fallback:
 *
 * Returns: (nullable): what a key of the table is when it is not there
 */
const char *
test_key_fallback (const char *kind, const char *key)
{
    const TestGroupKind *group = find_kind (kind);

    for (const TestKey *k = group != NULL ? group->keys : NULL; k != NULL && k->name != NULL; k++) {
        if (strcmp (k->name, key) == 0)
            return k->fallback;
    }
    return NULL;
}

/**
 * test_machine_refusal:
 * @key: a key of vmm-config(5)
 *
 * Returns: (nullable): why a scenario's machine cannot have it, and what to do
 */
const char *
test_machine_refusal (const char *key)
{
    if (strcmp (key, "timeout") == 0)
        return "a test has a limit of its own: say timeout in [test]";
    return NULL;
}

/* Whether @key is @name, or @name with a word behind it */
static bool
is_key (const char *key, const char *name, bool repeats)
{
    size_t len = strlen (name);

    return strncmp (key, name, len) == 0 && (key[len] == '\0' || (repeats && key[len] == ' '));
}

static const VmmConfigKey *
find_machine_key (const char *key)
{
    size_t n;
    const VmmConfigKey *keys = vmm_config_keys (&n);

    for (size_t i = 0; i < n; i++) {
        if (is_key (key, keys[i].name, keys[i].repeats))
            return &keys[i];
    }
    return NULL;
}

/**
 * test_machine_key:
 * @key: "disk scratch"
 *
 * Returns: (transfer none) (nullable): the machine's key: "disk"; NULL: it is none
 */
const char *
test_machine_key (const char *key)
{
    const VmmConfigKey *found = find_machine_key (key);

    return found != NULL ? found->name : NULL;
}

/**
 * test_machine_key_repeats:
 *
 * Returns: whether a machine has several of it
 */
bool
test_machine_key_repeats (const char *key)
{
    const VmmConfigKey *found = find_machine_key (key);

    return found != NULL && found->repeats;
}

/**
 * test_machine_keys:
 *
 * Returns: (transfer full): NULL-terminated, of const char *: the names of those that a scenario may use
 */
GPtrArray *
test_machine_keys (void)
{
    GPtrArray *names = g_ptr_array_new ();
    size_t n;
    const VmmConfigKey *keys = vmm_config_keys (&n);

    for (size_t i = 0; i < n; i++) {
        if (test_machine_refusal (keys[i].name) == NULL)
            g_ptr_array_add (names, (char *)keys[i].name);
    }
    g_ptr_array_add (names, NULL);
    return names;
}

static GPtrArray *
names_of_keys (const TestKey *keys)
{
    GPtrArray *names = g_ptr_array_new ();

    for (; keys->name != NULL; keys++)
        g_ptr_array_add (names, (char *)keys->name);
    g_ptr_array_add (names, NULL);
    return names;
}

/* @key is not there; maybe its first word is, or another group has it. */
static bool
refuse_key (const TestGroup *group, const TestEntry *entry, const GPtrArray *known, GError **error)
{
    const char *meant = test_suggest (entry->key, (const char *const *)known->pdata);
    g_autofree char *list = g_strjoinv (", ", (char **)known->pdata);
    size_t first = strcspn (entry->key, " ");

    for (const char *const *k = (const char *const *)known->pdata; *k != NULL; k++) {
        if (entry->key[first] == ' ' && strlen (*k) == first && strncmp (*k, entry->key, first) == 0)
            return test_refuse_at (entry->source, entry->line, error,
                                   "[%s] %s: %s can be said once only, without a word behind it",
                                   group->title, entry->key, *k);
    }
    if (meant != NULL)
        return test_refuse_at (entry->source, entry->line, error,
                               "no key \"%s\" in [%s]: did you mean \"%s\"?", entry->key, group->title,
                               meant);
    return test_refuse_at (entry->source, entry->line, error, "no key \"%s\" in [%s]: there are %s",
                           entry->key, group->title, list);
}

static bool
check_keys (const TestGroup *group, const TestKey *keys, GError **error)
{
    g_autoptr (GPtrArray) known = names_of_keys (keys);

    for (guint i = 0; i < group->entries->len; i++) {
        const TestEntry *entry = group->entries->pdata[i];
        bool found = false;

        for (const TestKey *k = keys; k->name != NULL && !found; k++)
            found = is_key (entry->key, k->name, k->repeats);
        if (!found)
            return refuse_key (group, entry, known, error);
    }
    return true;
}

static bool
check_machine_keys (const TestGroup *group, GError **error)
{
    g_autoptr (GPtrArray) known = test_machine_keys ();

    for (guint i = 0; i < group->entries->len; i++) {
        const TestEntry *entry = group->entries->pdata[i];
        const char *key = test_machine_key (entry->key);

        if (key == NULL)
            return refuse_key (group, entry, known, error);
        if (test_machine_refusal (key) != NULL)
            return test_refuse (group, entry, NULL, test_machine_refusal (key), error);
    }
    return true;
}

static bool
check_variables (const TestGroup *group, GError **error)
{
    for (guint i = 0; i < group->entries->len; i++) {
        const TestEntry *entry = group->entries->pdata[i];
        const char *key = entry->key;

        if (strspn (key, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_-.") != strlen (key))
            return test_refuse_at (entry->source, entry->line, error,
                                   "[variables] %s: a name has letters, digits, \"_\", \"-\" and \".\" only",
                                   key);
        if (test_vars_is_reserved (key) || test_machine_key (key) != NULL)
            return test_refuse_at (entry->source, entry->line, error,
                                   "[variables] %s: ${%s} has a meaning already: choose another name", key,
                                   key);
    }
    return true;
}

static bool
check_kind (const TestGroup *group, const TestGroupKind *kind, GError **error)
{
    if (kind->named && *group->name == '\0')
        return test_refuse_at (group->source, group->line, error,
                               "[%s] needs a name of its own, such as [%s 1]", kind->name, kind->name);
    if (!kind->named && *group->name != '\0')
        return test_refuse_at (group->source, group->line, error,
                               "[%s]: there is one [%s] only, without a name", group->title, kind->name);
    if (kind->keys != NULL)
        return check_keys (group, kind->keys, error);
    if (strcmp (kind->name, "machine") == 0)
        return check_machine_keys (group, error);
    return strcmp (kind->name, "variables") != 0 || check_variables (group, error);
}

static bool
refuse_group (const TestGroup *group, GError **error)
{
    const char *names[G_N_ELEMENTS (kinds) + 1] = {NULL};
    g_autofree char *list = NULL;
    const char *meant;

    for (size_t i = 0; i < G_N_ELEMENTS (kinds); i++)
        names[i] = kinds[i].name;
    list = g_strjoinv (", ", (char **)names);
    meant = test_suggest (group->kind, names);
    if (meant != NULL)
        return test_refuse_at (group->source, group->line, error, "no group [%s]: did you mean [%s%s%s]?",
                               group->title, meant, *group->name != '\0' ? " " : "", group->name);
    return test_refuse_at (group->source, group->line, error, "no group [%s]: there are %s", group->title,
                           list);
}

/**
 * test_keys_check:
 *
 * Returns: whether a scenario has groups and keys of the table only; else false with %VMM_ERROR_USAGE. What
 *   [matrix] and [exclude] name is not looked at
 */
bool
test_keys_check (const TestFile *file, GError **error)
{
    for (guint i = 0; i < file->groups->len; i++) {
        const TestGroup *group = file->groups->pdata[i];
        const TestGroupKind *kind = find_kind (group->kind);

        if (kind == NULL)
            return refuse_group (group, error);
        if (!check_kind (group, kind, error))
            return false;
    }
    return true;
}

static json_t *
pack_key (const char *value, const char *fallback, bool repeats, const char *summary)
{
    return json_pack ("{s:s, s:s?, s:b, s:s}", "value", value, "default", fallback, "repeats", repeats,
                      "summary", summary);
}

static json_t *
pack_machine_keys (void)
{
    json_t *object = json_object ();
    size_t n;
    const VmmConfigKey *keys = vmm_config_keys (&n);

    for (size_t i = 0; i < n; i++) {
        if (test_machine_refusal (keys[i].name) == NULL)
            json_object_set_new (object, keys[i].name,
                                 pack_key (keys[i].value, NULL, keys[i].repeats, keys[i].summary));
    }
    return object;
}

static json_t *
pack_group (const TestGroupKind *kind)
{
    json_t *object = kind->keys == NULL && kind->any == NULL ? pack_machine_keys () : json_object ();

    for (const TestKey *k = kind->keys; k != NULL && k->name != NULL; k++)
        json_object_set_new (object, k->name, pack_key (k->value, k->fallback, k->repeats, k->summary));
    return json_pack ("{s:s, s:b, s:s?, s:o}", "summary", kind->summary, "named", kind->named, "any",
                      kind->any, "keys", object);
}

/**
 * test_scenario_schema_json:
 *
 * Returns: (transfer full): the table, for programs; vmm-test(5) describes it
 */
char *
test_scenario_schema_json (void)
{
    json_t *groups = json_object ();
    json_t *schema = json_pack ("{s:i, s:o}", "schema", 1, "groups", groups);
    char *text, *copy;

    for (size_t i = 0; i < G_N_ELEMENTS (kinds); i++)
        json_object_set_new (groups, kinds[i].name, pack_group (&kinds[i]));
    text = json_dumps (schema, JSON_INDENT (2));
    copy = g_strdup (text);
    free (text);
    json_decref (schema);
    return copy;
}
