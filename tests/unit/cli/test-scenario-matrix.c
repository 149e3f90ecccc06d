/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario-rig.h"

static void
expect_names (const GPtrArray *runs, const char *joined)
{
    g_autoptr (GString) names = g_string_new (NULL);

    for (guint i = 0; i < runs->len; i++)
        g_string_append_printf (names, "%s%s", i > 0 ? " " : "", run_at (runs, i)->name);
    cr_assert_str_eq (names->str, joined);
}

static const char *
setting (const TestRun *run, const char *key)
{
    const char *value = NULL;

    for (guint i = 0; i < run->machine->len; i++) {
        const TestPair *pair = run->machine->pdata[i];

        if (strcmp (pair->name, key) == 0)
            value = pair->value;
    }
    return value;
}

Test (scenario_matrix, makes_a_run_of_each_combination_the_last_key_fastest)
{
    g_autoptr (GPtrArray) runs = make_runs ("[matrix]\nkernel = 6.1; 6.12\ncpus = 1; 4;\n"
                                            "[machine]\ncpus = 2\nmem = 64M\n"
                                            "[test]\ndescription = ${kernel} on ${cpus}\n");
    const TestPair *axis;

    expect_names (runs, "smoke[6.1,1] smoke[6.1,4] smoke[6.12,1] smoke[6.12,4]");
    cr_assert_str_eq (run_at (runs, 2)->scenario, "smoke");
    cr_assert_str_eq (run_at (runs, 2)->kernel, "6.12");
    cr_assert_str_eq (run_at (runs, 2)->description, "6.12 on 1");
    cr_assert_str_eq (setting (run_at (runs, 1), "cpus"), "4");
    cr_assert_str_eq (setting (run_at (runs, 1), "mem"), "64M");
    cr_assert_eq (run_at (runs, 1)->machine->len, 2);
    cr_assert_eq (run_at (runs, 1)->axes->len, 2);
    axis = run_at (runs, 1)->axes->pdata[1];
    cr_assert_str_eq (axis->name, "cpus");
    cr_assert_str_eq (axis->value, "4");
}

Test (scenario_matrix, calls_a_run_by_the_ends_of_paths_where_these_differ)
{
    g_autoptr (GPtrArray) apart = make_runs ("[matrix]\nkernel = /boot/a; /boot/b; c\n");
    g_autoptr (GPtrArray) alike = make_runs ("[matrix]\nkernel = /new/a; /old/a; a; /new/b\n");

    expect_names (apart, "smoke[a] smoke[b] smoke[c]");
    cr_assert_str_eq (run_at (apart, 0)->kernel, "/boot/a");
    expect_names (alike, "smoke[/new/a] smoke[/old/a] smoke[a] smoke[b]");
}

Test (scenario_matrix, goes_over_variables_too)
{
    g_autoptr (GPtrArray) runs = make_runs ("[variables]\nHOW = fast\nALSO = ${HOW}ly\nall = slow; odd\\;ly\n"
                                            "[matrix]\nHOW = ${all}; $$x\n"
                                            "[test]\ndescription = ${ALSO}\n");

    expect_names (runs, "smoke[slow] smoke[odd;ly] smoke[$x]");
    cr_assert_str_eq (run_at (runs, 1)->description, "odd;lyly");
    cr_assert_str_eq (run_at (runs, 2)->description, "$xly");
}

Test (scenario_matrix, an_empty_value_leaves_the_key_out)
{
    g_autoptr (GPtrArray) runs = make_runs ("[matrix]\nrng = ; on\n[machine]\nrng = on\n");

    expect_names (runs, "smoke[] smoke[on]");
    cr_assert_null (setting (run_at (runs, 0), "rng"));
    cr_assert_str_eq (setting (run_at (runs, 1), "rng"), "on");
}

Test (scenario_matrix, one_of_several_disks_may_vary)
{
    g_autoptr (GPtrArray) runs =
        make_runs ("[machine]\ndisk = a\ndisk b = b\ndisk c = c\n[matrix]\ndisk b = x; y\n");

    cr_assert_eq (runs->len, 2);
    cr_assert_str_eq (((TestPair *)run_at (runs, 1)->machine->pdata[1])->value, "y");
    cr_assert_str_eq (((TestPair *)run_at (runs, 1)->machine->pdata[2])->value, "c");
}

Test (scenario_matrix, leaves_out_what_all_keys_of_an_exclusion_fit)
{
    g_autoptr (GPtrArray) runs = make_runs ("[matrix]\nkernel = a; b; c\ncpus = 1; 4\n"
                                            "[exclude old kernels]\nkernel = a; b\ncpus = 4\n"
                                            "[exclude c]\nkernel = c\n");

    expect_names (runs, "smoke[a,1] smoke[b,1]");
}

Test (scenario_matrix, the_users_value_takes_the_keys_place)
{
    char *machine[] = {(char *)"kernel=x;y", NULL};
    char *variables[] = {(char *)"A=1;2", (char *)"B=5; 6", NULL};
    TestLoadOptions options = {.time_scale = 1, .machine = machine, .variables = variables};
    g_autoptr (GError) error = NULL;
    g_autoptr (GPtrArray) runs = make_runs_with ("[variables]\nA = 0\nB = 3; 4\n"
                                                 "[matrix]\nkernel = a; b\nA = 1; 2\ncpus = ${B}\n"
                                                 "[exclude a]\nkernel = a\n",
                                                 &options, &error);

    cr_assert_not_null (runs, "%s", error != NULL ? error->message : "");
    expect_names (runs, "smoke[5] smoke[6]");
    cr_assert_str_eq (run_at (runs, 0)->kernel, "x;y");
    cr_assert_eq (run_at (runs, 0)->axes->len, 1);
}

Test (scenario_matrix, an_exclusion_holds_for_the_users_value)
{
    char *machine[] = {(char *)"kernel=a", NULL};
    TestLoadOptions options = {.time_scale = 1, .machine = machine};
    g_autoptr (GPtrArray) runs = make_runs_with ("[matrix]\nkernel = a; b\ncpus = 1; 4\n"
                                                 "[exclude a]\nkernel = a\ncpus = 4\n",
                                                 &options, NULL);

    expect_names (runs, "smoke[1]");
}

Test (scenario_matrix, that_makes_no_sense_is_refused)
{
    static const struct {
        const char *text;
        const char *said;
    } bad[] = {
        {"[matrix]\nkernal = a; b\n",
         "2: [matrix] kernal: this is neither a key of the machine nor in [variables]: did "
         "you mean \"kernel\"?"},
        {"[variables]\nMODE = a\n[matrix]\nMOED = a; b\n", "did you mean \"MODE\"?"},
        {"[matrix]\nflavour = a; b\n", "[variables]: put it there, with a value"},
        {"[matrix]\ntimeout = 1; 2\n", "2: [matrix] timeout \"1; 2\": a test has a limit of its own"},
        {"[matrix]\nkernel =\n", "2: [matrix] kernel \"\": give at least one value"},
        {"[matrix]\nkernel = a; b; a\n", "2: [matrix] kernel \"a; b; a\": \"a\" is there twice"},
        {"[matrix]\nmem = 64M; lots\n", "2: [matrix] mem \"lots\": not a size"},
        {"[matrix]\ncpus = 1; 2\nkernel = ${cpus}\n", "3: [matrix] kernel: there is no variable ${cpus}"},
        {"[matrix]\nkernel = a; b\n[exclude x]\n", "3: [exclude x] says nothing"},
        {"[matrix]\nkernel = a; b\n[exclude x]\ncpus = 1\n", "4: [exclude x] cpus: [matrix] has no such key"},
        {"[matrix]\nkernel = a; b\n[exclude x]\nkernel = c\n",
         "4: [exclude x] kernel \"c\": kernel of [matrix] is never that: it is a; b"},
        {"[matrix]\nkernel = a; b\n[exclude x]\nkernel =\n", "4: [exclude x] kernel \"\": give the value"},
        {"[matrix]\nkernel = a; b\n[exclude x]\nkernel = b; a\n", "1: [matrix]: no combination is left"},
        {"[exclude x]\nkernel = a\n", "2: [exclude x] kernel: [matrix] has no such key"},
        {"[variables]\nA =\n[matrix]\nA = a,b; a\ncpus = 1; 2\n[machine]\nmem = 64M\ndisk = x\n[exclude "
         "y]\nA = q\n",
         "never that"},
        {"[variables]\nA =\nB =\n[matrix]\nA = a,b; a\nB = c; b,c\n",
         "[matrix] makes two runs that are called "
         "\"smoke[a,b,c]\""},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (bad); i++)
        expect_refusal (bad[i].text, bad[i].said);
}

Test (scenario_matrix, has_an_end)
{
    g_autoptr (GString) text = g_string_new ("[variables]\nA =\nB =\n[matrix]\nA = ");
    g_autoptr (GPtrArray) runs = NULL;

    for (unsigned i = 0; i < 64; i++)
        g_string_append_printf (text, "%u;", i);
    g_string_append (text, "\nB = ");
    for (unsigned i = 0; i < 64; i++)
        g_string_append_printf (text, "%u;", i);
    runs = make_runs (text->str);
    cr_assert_eq (runs->len, 4096);
    g_string_append (text, "64\n");
    expect_refusal (text->str, "4: [matrix] makes 4160 runs, and 4096 are the most: divide the scenario");
    g_string_append (text, "cpus = 1; 2\n");
    expect_refusal (text->str, "4: [matrix] makes more than 4160 runs");
}

Test (scenario_matrix, all_runs_together_have_a_size, .timeout = 60)
{
    g_autoptr (GString) text = g_string_new ("[matrix]\ncpus = ");

    for (unsigned i = 1; i <= 4000; i++)
        g_string_append_printf (text, "%u;", i);
    g_string_append (text, "\n[variables]\nX = ");
    for (unsigned i = 0; i < 60000; i++)
        g_string_append_c (text, 'x');
    g_string_append (text, "\n[step a]\nsend = ${X}\n[step b]\nsend = ${X}\n");
    expect_refusal (text->str, "the values of all runs are too much together: make the matrix smaller");
}
