/* SPDX-License-Identifier: Apache-2.0 */
/* [step ...] and [forbid ...] of a run. */
#include <string.h>

#include "keys.h"
#include "scenario-keys.h"
#include "scenario-make.h"
#include "scenario-values.h"

#define EXIT_VALUE_MAX 127u /* (N << 1) | 1 is an exit code */

static bool make_send (TestMaker *maker, const TestGroup *group, TestStep *step, GError **error);
static bool make_key (TestMaker *maker, const TestGroup *group, TestStep *step, GError **error);
static bool make_run (TestMaker *maker, const TestGroup *group, TestStep *step, GError **error);
static bool make_wait (TestMaker *maker, const TestGroup *group, TestStep *step, GError **error);
static bool make_machine_action (TestMaker *maker, const TestGroup *group, TestStep *step, GError **error);
static bool make_sleep (TestMaker *maker, const TestGroup *group, TestStep *step, GError **error);
static bool make_check_file (TestMaker *maker, const TestGroup *group, TestStep *step, GError **error);

static const struct {
    const char *key;
    TestAction action;
    bool (*make) (TestMaker *maker, const TestGroup *group, TestStep *step, GError **error);
} actions[] = {
    {"send", TEST_ACTION_SEND, make_send},
    {"key", TEST_ACTION_KEY, make_key},
    {"run", TEST_ACTION_RUN, make_run},
    {"wait", TEST_ACTION_WAIT, make_wait},
    {"machine", TEST_ACTION_MACHINE, make_machine_action},
    {"sleep", TEST_ACTION_SLEEP, make_sleep},
    {"check-file", TEST_ACTION_CHECK_FILE, make_check_file},
};

/* Keys that say more about an action. */
static const struct {
    const char *key;
    TestAction action;
    const char *owner;
} details[] = {
    {"status", TEST_ACTION_RUN, "run"},
    {"output", TEST_ACTION_RUN, "run"},
    {"output-not", TEST_ACTION_RUN, "run"},
    {"error", TEST_ACTION_RUN, "run"},
    {"contains", TEST_ACTION_CHECK_FILE, "check-file"},
    {"exists", TEST_ACTION_CHECK_FILE, "check-file"},
};

/* NULL: it is not there, or has no value */
static const TestEntry *
find (const TestGroup *group, const char *key)
{
    const TestEntry *entry = test_group_find (group, key);

    return entry != NULL && *entry->value != '\0' ? entry : NULL;
}

static bool
make_send (TestMaker *maker, const TestGroup *group, TestStep *step, GError **error)
{
    step->bytes = test_keys_decode_text (step->text, error);
    return step->bytes != NULL || test_prefix (group, find (group, "send"), true, error);
}

static bool
make_key (TestMaker *maker, const TestGroup *group, TestStep *step, GError **error)
{
    step->bytes = test_keys_decode_key (step->text, error);
    return step->bytes != NULL || test_prefix (group, find (group, "key"), true, error);
}

static bool
make_run (TestMaker *maker, const TestGroup *group, TestStep *step, GError **error)
{
    const TestEntry *stderr_entry = find (group, "error");

    if (maker->run->command != NULL)
        return test_refuse (
            group, find (group, "run"), step->text,
            "[guest] has a command, so that there is no shell: leave command out, and run it in a "
            "step, too",
            error);
    if (stderr_entry != NULL && !maker->run->has_guest)
        return test_refuse (group, stderr_entry, NULL,
                            "a console does not tell standard error from the rest: use output, or [guest]",
                            error);
    return test_read_status (maker, group, &step->status, error) &&
           test_read_pattern (maker, group, "output", false, &step->output, error) &&
           test_read_pattern (maker, group, "output-not", false, &step->output_not, error) &&
           test_read_pattern (maker, group, "error", false, &step->error, error);
}

/* The last value of a key of the run's machine; NULL: there is none */
static const char *
find_setting (const TestRun *run, const char *key)
{
    const char *value = NULL;

    for (guint i = 0; i < run->machine->len; i++) {
        const TestPair *pair = run->machine->pdata[i];

        if (strcmp (pair->name, key) == 0)
            value = pair->value;
    }
    return value;
}

static bool
make_wait (TestMaker *maker, const TestGroup *group, TestStep *step, GError **error)
{
    static const char *const ends[] = {"poweroff", "reboot", "halt", "end"};
    const TestEntry *entry = find (group, "wait");
    unsigned i = 0;

    while (i < G_N_ELEMENTS (ends) && strcmp (step->text, ends[i]) != 0)
        i++;
    if (i < G_N_ELEMENTS (ends)) {
        step->wait = (TestWait)i;
        return true;
    }
    step->wait = TEST_WAIT_EXIT;
    if (!g_str_has_prefix (step->text, "exit ") ||
        !test_number_parse (step->text + strlen ("exit "), EXIT_VALUE_MAX, &step->exit_value))
        return test_refuse (group, entry, step->text,
                            "say poweroff, reboot, halt, end, or exit and a number from 0 to 127", error);
    if (g_strcmp0 (find_setting (maker->run, "debug-exit"), "off") == 0)
        return test_refuse (group, entry, step->text, "[machine] says debug-exit = off: give it a port",
                            error);
    return true;
}

static bool
make_machine_action (TestMaker *maker, const TestGroup *group, TestStep *step, GError **error)
{
    static const char *const words[] = {"pause", "resume", "power-button", "break"};

    for (unsigned i = 0; i < G_N_ELEMENTS (words); i++) {
        if (strcmp (step->text, words[i]) == 0) {
            step->machine = (TestMachineAction)i;
            return true;
        }
    }
    return test_refuse (group, find (group, "machine"), step->text,
                        "say pause, resume, power-button or break", error);
}

static bool
make_sleep (TestMaker *maker, const TestGroup *group, TestStep *step, GError **error)
{
    return test_read_seconds (maker, group, "sleep", 1, &step->sleep_us, error);
}

static bool
make_check_file (TestMaker *maker, const TestGroup *group, TestStep *step, GError **error)
{
    g_autofree char *exists = NULL;

    if (!test_read_text (maker, group, "exists", &exists, error) ||
        !test_read_pattern (maker, group, "contains", false, &step->contains, error))
        return false;
    step->exists = strcmp (exists, "yes") == 0;
    if (!step->exists && strcmp (exists, "no") != 0)
        return test_refuse (group, find (group, "exists"), exists, "say yes or no", error);
    if (!step->exists && step->contains != NULL)
        return test_refuse (group, find (group, "contains"), NULL,
                            "a file that does not exist contains nothing: leave one of the two out", error);
    return true;
}

/* @index: -1 for "all", where that may be said */
static bool
read_console (TestMaker *maker, const TestGroup *group, bool may_be_all, int *index, GError **error)
{
    char **consoles = maker->run->consoles;
    g_autofree char *value = NULL;
    g_autofree char *list = NULL;
    g_autofree char *why = NULL;

    if (!test_read_text (maker, group, "on", &value, error))
        return false;
    if (value == NULL || (may_be_all && strcmp (value, "all") == 0)) {
        *index = may_be_all ? -1 : 0;
        return true;
    }
    for (int i = 0; consoles[i] != NULL; i++) {
        if (strcmp (consoles[i], value) == 0) {
            *index = i;
            return true;
        }
    }
    list = g_strjoinv ("; ", consoles);
    why = g_strdup_printf ("consoles of [test] is \"%s\": add it there, or use another", list);
    return test_refuse (group, find (group, "on"), value, why, error);
}

/* One of two keys: a regular expression, or text as it is. */
static bool
read_pattern (TestMaker *maker, const TestGroup *group, const char *regex_key, const char *text_key,
              char **pattern, bool *literal, GError **error)
{
    const TestEntry *text = find (group, text_key);

    if (text != NULL && find (group, regex_key) != NULL) {
        g_autofree char *why = g_strdup_printf ("there is %s, too: leave one of the two out", regex_key);

        return test_refuse (group, text, NULL, why, error);
    }
    *literal = text != NULL;
    return test_read_pattern (maker, group, text != NULL ? text_key : regex_key, *literal, pattern, error);
}

/* @ret_at: an index into actions; their number when there is none */
static bool
find_action (const TestGroup *group, size_t *ret_at, GError **error)
{
    *ret_at = G_N_ELEMENTS (actions);
    for (size_t i = 0; i < G_N_ELEMENTS (actions); i++) {
        const TestEntry *entry = find (group, actions[i].key);

        if (entry != NULL && *ret_at < G_N_ELEMENTS (actions)) {
            g_autofree char *why = g_strdup_printf (
                "there is %s, too, and a step does one thing: make two steps of it", actions[*ret_at].key);

            return test_refuse (group, entry, NULL, why, error);
        }
        if (entry != NULL)
            *ret_at = i;
    }
    return true;
}

static bool
check_details (const TestGroup *group, TestAction action, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS (details); i++) {
        const TestEntry *entry = find (group, details[i].key);

        if (entry != NULL && details[i].action != action) {
            g_autofree char *why =
                g_strdup_printf ("it is about %s, and this step has none", details[i].owner);

            return test_refuse (group, entry, NULL, why, error);
        }
    }
    return true;
}

static bool
fill_step (TestMaker *maker, const TestGroup *group, TestStep *step, GError **error)
{
    double scale = maker->options->time_scale;
    int console = 0;
    size_t at;

    if (!read_console (maker, group, false, &console, error) ||
        !read_pattern (maker, group, "expect", "expect-text", &step->expect, &step->expect_literal, error) ||
        !test_read_seconds (maker, group, "within", scale, &step->within_us, error) ||
        !test_read_seconds (maker, group, "silence", scale, &step->silence_us, error) ||
        !find_action (group, &at, error))
        return false;
    step->console = (unsigned)console;
    if (at == G_N_ELEMENTS (actions) && step->expect == NULL)
        return test_refuse_at (
            group->source, group->line, error,
            "[%s] does nothing: give expect, send, key, run, wait, machine, sleep or check-file",
            group->title);
    step->action = at < G_N_ELEMENTS (actions) ? actions[at].action : TEST_ACTION_NONE;
    if (!check_details (group, step->action, error))
        return false;
    return step->action == TEST_ACTION_NONE ||
           (test_read_text (maker, group, actions[at].key, &step->text, error) &&
            actions[at].make (maker, group, step, error));
}

static TestStep *
new_step (const TestMaker *maker, const char *name)
{
    TestStep *step = g_new0 (TestStep, 1);

    step->name = g_strdup (name);
    step->within_us = maker->within_us;
    step->silence_us = maker->silence_us;
    return step;
}

/* Whether the machine goes on behind it. */
static bool
is_end (const TestRun *run, const TestStep *step)
{
    if (step->action != TEST_ACTION_WAIT)
        return false;
    return step->wait != TEST_WAIT_REBOOT || run->has_guest ||
           g_strcmp0 (find_setting (run, "on-reboot"), "reboot") != 0;
}

/* @end: (nullable): the step before, at which the machine ends */
static bool
check_order (const TestGroup *group, const TestStep *step, const TestStep *end, GError **error)
{
    if (end == NULL || (step->action == TEST_ACTION_CHECK_FILE && step->expect == NULL) ||
        (step->action == TEST_ACTION_SLEEP && step->expect == NULL))
        return true;
    return test_refuse_at (
        group->source, group->line, error,
        "[%s] comes too late: the machine ends with [step %s], and only files can be looked at", group->title,
        end->name);
}

static bool
make_steps (TestMaker *maker, GError **error)
{
    TestRun *run = maker->run;
    const TestStep *end = NULL;

    for (guint i = 0; i < maker->file->groups->len; i++) {
        const TestGroup *group = maker->file->groups->pdata[i];
        TestStep *step;

        if (strcmp (group->kind, "step") != 0)
            continue;
        step = new_step (maker, group->name);
        g_ptr_array_add (run->steps, step);
        if (!fill_step (maker, group, step, error) || !check_order (group, step, end, error))
            return false;
        if (is_end (run, step))
            end = step;
    }
    return true;
}

/* A scenario that only says what boots is one of a guest that powers off. */
static bool
add_implied_step (TestMaker *maker, GError **error)
{
    const TestGroup *guest = test_file_find (maker->file, "guest");
    const TestGroup *test = test_file_find (maker->file, "test");
    TestRun *run = maker->run;
    TestStep *step;

    if (run->steps->len > 0 || run->command != NULL)
        return true;
    if (run->has_guest)
        return test_refuse_at (guest->source, guest->line, error,
                               "[guest] has nothing to do: give a command, or steps with run");
    step = new_step (maker, "power off");
    step->action = TEST_ACTION_WAIT;
    step->wait = TEST_WAIT_POWEROFF;
    step->text = g_strdup ("poweroff");
    if (find (test, "within") == NULL)
        step->within_us = run->timeout_us;
    g_ptr_array_add (run->steps, step);
    return true;
}

static bool
make_forbids (TestMaker *maker, GError **error)
{
    for (guint i = 0; i < maker->file->groups->len; i++) {
        const TestGroup *group = maker->file->groups->pdata[i];
        TestForbid *forbid;

        if (strcmp (group->kind, "forbid") != 0)
            continue;
        forbid = g_new0 (TestForbid, 1);
        forbid->name = g_strdup (group->name);
        g_ptr_array_add (maker->run->forbids, forbid);
        if (!read_console (maker, group, true, &forbid->console, error) ||
            !read_pattern (maker, group, "pattern", "text", &forbid->pattern, &forbid->literal, error))
            return false;
        if (forbid->pattern == NULL)
            return test_refuse_at (group->source, group->line, error,
                                   "[%s] forbids nothing: give pattern or text", group->title);
    }
    return true;
}

/**
 * test_make_steps:
 *
 * Makes what is done and what must not appear. All else of the run is known.
 */
bool
test_make_steps (TestMaker *maker, GError **error)
{
    return make_steps (maker, error) && add_implied_step (maker, error) && make_forbids (maker, error);
}
