/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A scenario is a file of groups with keys. It becomes runs in these steps:
 *
 *   scenario-scan.c     one file: its lines, and where they are
 *   scenario-file.c     the files that it builds on, put together
 *   scenario-keys.c     nothing in it that the table does not know
 *   here                what the user puts in place of what is there
 *   scenario-matrix.c   the combinations
 *
 * and then for each combination: its variables (scenario-vars.c), and with those the parts of a run. All of
 * that is done before the first machine is made, and looks at no file but scenarios: a mistake in a scenario
 * is found at once, and what is wrong with a kernel or a disk is found by the run that needs it.
 */
#include "scenario.h"

#include <string.h>

#include "report-text.h"
#include "scenario-keys.h"
#include "scenario-make.h"
#include "scenario-values.h"

#define BUDGET (UINT64_C (256) << 20)
#define CONSOLES_MAX 31u /* the ports of one device */
#define PORT_NAME_MAX 63u
#define RETRIES_MAX 100u

/* Verdicts that are none of the kernel's reports. Those that say nothing of the guest cannot be expected. */
static const char *const verdicts[] = {
    "passed",       "failed-expectation", "command-failed", "forbidden",
    "check-failed", "triple-fault",       "hang",           "timeout",
    "ended",        "reboot-loop",        "cannot-boot",    "cpu-error",
    NULL,
};

static const char *const verdicts_of_the_host[] = {"setup", "host-error", "stopped", NULL};

static GPtrArray *
names_of_troubles (const char *const *more)
{
    GPtrArray *names = g_ptr_array_new ();

    for (unsigned i = 0; i < VMM_KERNEL_N_TROUBLES; i++)
        g_ptr_array_add (names, (char *)vmm_kernel_trouble_to_string ((VmmKernelTrouble)i));
    for (; *more != NULL; more++)
        g_ptr_array_add (names, (char *)*more);
    g_ptr_array_add (names, NULL);
    return names;
}

/* @what: "verdict" */
static bool
refuse_word (const TestGroup *group, const char *key, const char *word, const char *what,
             const GPtrArray *known, GError **error)
{
    const char *meant = test_suggest (word, (const char *const *)known->pdata);
    g_autofree char *list = g_strjoinv (", ", (char **)known->pdata);
    g_autofree char *why = meant != NULL
                               ? g_strdup_printf ("there is no such %s: did you mean \"%s\"?", what, meant)
                               : g_strdup_printf ("there is no such %s: there are %s", what, list);

    return test_refuse (group, test_group_find (group, key), word, why, error);
}

static bool
make_outcome (TestMaker *maker, const TestGroup *group, GError **error)
{
    g_autoptr (GPtrArray) known = names_of_troubles (verdicts);
    TestRun *run = maker->run;

    if (!test_read_text (maker, group, "outcome", &run->outcome, error) ||
        !test_read_pattern (maker, group, "reason", false, &run->reason, error))
        return false;
    if (g_strv_contains (verdicts_of_the_host, run->outcome))
        return test_refuse (group, test_group_find (group, "outcome"), run->outcome,
                            "this says nothing of the guest, and cannot be expected", error);
    if (!g_strv_contains ((const char *const *)known->pdata, run->outcome))
        return refuse_word (group, "outcome", run->outcome, "verdict", known, error);
    if (run->reason != NULL && strstr (run->reason, TEST_TMP) != NULL)
        return test_refuse (group, test_group_find (group, "reason"), run->reason,
                            "${tmp} has another name each time: say what is behind it", error);
    if (run->reason != NULL && strcmp (run->outcome, "passed") == 0)
        return test_refuse (group, test_group_find (group, "reason"), NULL,
                            "what has passed has no reason: say which outcome it belongs to", error);
    return true;
}

static bool
make_allow (TestMaker *maker, const TestGroup *group, GError **error)
{
    g_autoptr (GPtrArray) known = names_of_troubles ((const char *const[]){"all", "none", NULL});
    TestRun *run = maker->run;

    if (!test_read_list (maker, group, "allow", &run->allow, error))
        return false;
    for (char **word = run->allow; *word != NULL; word++) {
        if (!g_strv_contains ((const char *const *)known->pdata, *word))
            return refuse_word (group, "allow", *word, "report of the kernel", known, error);
    }
    if (g_strv_contains ((const char *const *)run->allow, "none")) {
        if (run->allow[1] != NULL)
            return test_refuse (group, test_group_find (group, "allow"), NULL, "none stands alone", error);
        g_clear_pointer (&run->allow[0], g_free);
    }
    return true;
}

/* NULL: nothing is wrong with it */
static const char *
find_console_trouble (const char *console)
{
    if (strcmp (console, "serial") == 0 || strcmp (console, "hvc0") == 0)
        return NULL;
    if (g_str_has_prefix (console, "tty"))
        return "the serial console is called serial";
    if (g_str_has_prefix (console, "hvc"))
        return "a guest has one console of this kind: hvc0";
    if (strcmp (console, "all") == 0)
        return "name each of them";
    if (console[0] == '.' || strlen (console) > PORT_NAME_MAX ||
        strspn (console, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-") != strlen (console))
        return "a port's name has letters, digits, \".\", \"_\" and \"-\", at most 63";
    return NULL;
}

static bool
make_consoles (TestMaker *maker, const TestGroup *group, GError **error)
{
    const TestEntry *entry = test_group_find (group, "consoles");
    char **consoles;

    if (!test_read_list (maker, group, "consoles", &maker->run->consoles, error))
        return false;
    consoles = maker->run->consoles;
    for (char **c = consoles; *c != NULL; c++) {
        const char *why = find_console_trouble (*c);

        if (g_strv_contains ((const char *const *)c + 1, *c))
            why = "it is there twice";
        if (why != NULL)
            return test_refuse (group, entry, *c, why, error);
    }
    if (consoles[0] == NULL || g_strv_length (consoles) > CONSOLES_MAX)
        return test_refuse (group, entry, NULL, "give from 1 to 31 consoles", error);
    return true;
}

static bool
has_control_characters (const char *text)
{
    while (*text != '\0' && !g_unichar_iscntrl (g_utf8_get_char (text)))
        text = g_utf8_next_char (text);
    return *text != '\0';
}

static bool
check_name (const TestGroup *group, const char *name, GError **error)
{
    const char *why = NULL;

    if (strlen (name) > TEST_NAME_MAX)
        why = "it is too long: 200 bytes at most";
    else if (strchr (name, '/') != NULL)
        why = "there is a slash in it: reports make names of files of it";
    else if (has_control_characters (name))
        why = "there is a control character in it";
    else if (strstr (name, TEST_TMP) != NULL)
        why = "it must be the same each time";
    return why == NULL || test_refuse (group, test_group_find (group, "name"), name, why, error);
}

/* A path is long, and mostly its end tells enough: as long as it is the end of no other value's. */
static const char *
get_short (const TestAxis *axis, const char *value)
{
    const char *slash = strrchr (value, '/');

    if (slash == NULL || slash[1] == '\0')
        return value;
    for (char **other = axis->values; *other != NULL; other++) {
        const char *end = strrchr (*other, '/');

        if (strcmp (*other, value) != 0 && strcmp (end != NULL ? end + 1 : *other, slash + 1) == 0)
            return value;
    }
    return slash + 1;
}

/* "smoke[debian-6.1,4]" */
static void
place_run (TestMaker *maker)
{
    TestRun *run = maker->run;
    g_autoptr (GString) name = g_string_new (run->scenario);
    const char *before = "[";

    for (guint i = 0; i < maker->matrix->axes->len; i++) {
        const TestAxis *axis = maker->matrix->axes->pdata[i];
        const char *value = axis->values[maker->place[i]];

        if (axis->entry->fixed)
            continue;
        g_ptr_array_add (run->axes, test_pair_new (axis->entry->key, value));
        g_string_append_printf (name, "%s%s", before, get_short (axis, value));
        before = ",";
    }
    if (run->axes->len > 0)
        g_string_append_c (name, ']');
    run->name = test_text_to_line (name->str);
}

/* A file's name may have any bytes, and a run's is printed, line by line. */
static char *
name_of_file (const char *path)
{
    g_autofree char *name = g_path_get_basename (path);
    char *dot = strrchr (name, '.');

    if (dot != NULL && dot != name)
        *dot = '\0';
    return test_text_to_line (name);
}

static bool
make_test (TestMaker *maker, GError **error)
{
    static const TestSource nowhere = {0};
    TestRun *run = maker->run;
    const TestGroup *group = test_file_find (maker->file, "test");
    g_autoptr (TestGroup) none = group == NULL ? test_group_new ("test", &nowhere, 0) : NULL;
    const TestSource *source = maker->file->sources->pdata[0];
    double scale = maker->options->time_scale;

    if (group == NULL)
        group = none;
    run->file = g_strdup (source->path);
    run->scenario = name_of_file (source->path);
    run->tags = g_new0 (char *, 1);
    if (!test_read_text (maker, group, "name", &run->scenario, error) ||
        !check_name (group, run->scenario, error) ||
        !test_read_text (maker, group, "description", &run->description, error) ||
        !test_read_list (maker, group, "tags", &run->tags, error) ||
        !test_read_seconds (maker, group, "timeout", scale, &run->timeout_us, error) ||
        !test_read_seconds (maker, group, "within", scale, &maker->within_us, error) ||
        !test_read_seconds (maker, group, "silence", scale, &maker->silence_us, error))
        return false;
    place_run (maker);
    return make_consoles (maker, group, error) && make_outcome (maker, group, error) &&
           test_read_text (maker, group, "known-failure", &run->known_failure, error) &&
           test_read_number (maker, group, "retries", RETRIES_MAX, &run->retries, error) &&
           make_allow (maker, group, error);
}

/* All that ${...} may name. @maker has no matrix: what does not depend on it. */
static TestVars *
make_variables (TestMaker *maker)
{
    static const char *const titles[] = {"variables", "machine"};
    TestVars *vars = test_vars_new (&maker->budget);
    const TestGroup *matrix = test_file_find (maker->file, "matrix");

    for (size_t t = 0; t < G_N_ELEMENTS (titles); t++) {
        const TestGroup *group = test_file_find (maker->file, titles[t]);

        for (guint i = 0; group != NULL && i < group->entries->len; i++) {
            const TestEntry *entry = group->entries->pdata[i];

            if (test_group_find (matrix, entry->key) == NULL)
                test_vars_set (vars, entry->key, entry->value, entry->source->folder);
        }
    }
    for (guint i = 0; maker->matrix != NULL && i < maker->matrix->axes->len; i++) {
        const TestAxis *axis = maker->matrix->axes->pdata[i];

        test_vars_set_result (vars, axis->entry->key, axis->values[maker->place[i]]);
    }
    return vars;
}

/* Those that nothing needs, too: they would fail whoever needs them next. */
static bool
check_variables (TestMaker *maker, GError **error)
{
    const TestGroup *group = test_file_find (maker->file, "variables");

    for (guint i = 0; group != NULL && i < group->entries->len; i++) {
        const TestEntry *entry = group->entries->pdata[i];

        if (test_matrix_value (maker, entry->key, NULL) == NULL &&
            test_vars_get (maker->vars, entry->key, error) == NULL)
            return test_prefix (group, entry, false, error);
    }
    return true;
}

static bool
make_run (TestMaker *maker, GError **error)
{
    return check_variables (maker, error) && make_test (maker, error) && test_make_machine (maker, error) &&
           test_make_guest (maker, error) && test_make_steps (maker, error);
}

/* One run for each place of the matrix. */
static GPtrArray *
make_runs (TestMaker *maker, GError **error)
{
    g_autoptr (GPtrArray) runs = g_ptr_array_new_with_free_func ((GDestroyNotify)test_run_free);
    g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);

    for (guint i = 0; i < maker->matrix->places->len; i++) {
        g_autoptr (TestVars) vars = NULL;

        maker->place = maker->matrix->places->pdata[i];
        maker->vars = vars = make_variables (maker);
        maker->run = test_run_new ();
        g_ptr_array_add (runs, maker->run);
        if (!make_run (maker, error))
            return NULL;
        if (!g_hash_table_add (names, maker->run->name)) {
            test_refuse_at (maker->file->sources->pdata[0], 0, error,
                            "[matrix] makes two runs that are called \"%s\": change a value",
                            maker->run->name);
            return NULL;
        }
    }
    return g_steal_pointer (&runs);
}

static GPtrArray *
make (TestMaker *maker, GError **error)
{
    g_autoptr (TestVars) vars = NULL;
    g_autoptr (TestMatrix) matrix = NULL;

    maker->vars = vars = make_variables (maker);
    matrix = test_matrix_new (maker, error);
    maker->matrix = matrix;
    return matrix != NULL ? make_runs (maker, error) : NULL;
}

/**
 * test_scenario_make:
 * @file: what was read; changed
 * @options: of the user
 *
 * Returns: (transfer full) (nullable): of TestRun, at least one; NULL with %VMM_ERROR_USAGE
 */
GPtrArray *
test_scenario_make (TestFile *file, const TestLoadOptions *options, GError **error)
{
    g_autoptr (GHashTable) patterns = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    TestLoadOptions own = *options;
    TestMaker maker = {.file = file, .options = &own, .patterns = patterns, .budget = BUDGET};

    if (own.time_scale <= 0)
        own.time_scale = 1;
    if (!test_keys_check (file, error) || !test_override (file, options, error))
        return NULL;
    return make (&maker, error);
}

/**
 * test_scenario_load:
 * @path: a scenario's file
 * @options: of the user
 *
 * Returns: (transfer full) (nullable): of TestRun, at least one; NULL with %VMM_ERROR_USAGE, and a message
 * that names the place of the mistake
 */
GPtrArray *
test_scenario_load (const char *path, const TestLoadOptions *options, GError **error)
{
    g_autoptr (TestFile) file = test_file_load (path, error);

    if (file == NULL)
        return NULL;
    /* What a program wrote that failed, or a file that was lost, must not pass. */
    if (file->groups->len == 0) {
        test_refuse_at (file->sources->pdata[0], 0, error,
                        "there is nothing in it: say at least [machine], which then may be empty");
        return NULL;
    }
    return test_scenario_make (file, options, error);
}
