/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of vmm test. */
#include "test-options.h"

#include <criterion/criterion.h>
#include <string.h>

/* Returns: what is wrong with @line, a command line; "" for nothing */
static char *
parse (const char *line, TestOptions *options)
{
    g_autofree char *whole = g_strconcat ("test ", line, NULL);
    g_auto (GStrv) argv = g_strsplit (whole, " ", -1);
    g_autoptr (GError) error = NULL;

    if (test_options_parse (options, (int)g_strv_length (argv), argv, &error))
        return g_strdup ("");
    cr_expect (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    return g_strdup (error->message);
}

static void
expect_wrong (const char *line, const char *part)
{
    TestOptions options = {0};
    g_autofree char *wrong = parse (line, &options);

    cr_expect (strstr (wrong, part) != NULL, "%s: \"%s\"", line, wrong);
    cr_expect (strchr (wrong, '\n') == NULL);
    test_options_clear (&options);
}

Test (test_options, what_is_not_given)
{
    TestOptions options = {0};
    g_autofree char *wrong = parse ("a.test", &options);

    cr_assert_str_eq (wrong, "");
    cr_expect_str_eq (options.paths[0], "a.test");
    cr_expect_eq (options.retries, -1);
    cr_expect_eq (options.repeat, 0);
    cr_expect_eq (options.cpus, 0);
    cr_expect_eq (options.memory, 0);
    cr_expect (options.load.time_scale >= 1 && options.load.time_scale <= 1);
    cr_expect_null (options.load.machine);
    cr_expect_not (test_options_use_stdout (&options));
    test_options_clear (&options);
}

Test (test_options, all_of_them)
{
    TestOptions options = {0};
    g_autofree char *wrong =
        parse ("--only x --tag a --tag b --skip-tag c --set N=1 --set M=2 --machine cpus=2 --kernel bzImage "
               "--jobs 3 --memory 2G --repeat 5 --retries 1 --fail-fast --time-scale 2.5 --verbose --json j "
               "--junit u "
               "--tap - --html h --github --results r a.test dir",
               &options);

    cr_assert_str_eq (wrong, "");
    cr_expect_str_eq (options.only, "x");
    cr_expect_eq (g_strv_length (options.tags), 2);
    cr_expect_str_eq (options.skip_tags[0], "c");
    cr_expect_str_eq (options.load.variables[1], "M=2");
    cr_expect_str_eq (options.load.machine[0], "cpus=2");
    cr_expect_str_eq (options.load.machine[1], "kernel=bzImage");
    cr_expect_eq (g_strv_length (options.load.machine), 2);
    cr_expect_eq (options.cpus, 3);
    cr_expect_eq (options.memory, UINT64_C (2) << 30);
    cr_expect (options.repeat == 5 && options.retries == 1 && options.fail_fast && options.verbose &&
               options.github);
    cr_expect (options.load.time_scale > 2.4 && options.load.time_scale < 2.6);
    cr_expect_str_eq (options.results, "r");
    cr_expect (test_options_use_stdout (&options));
    cr_expect_str_eq (options.paths[1], "dir");
    test_options_clear (&options);
}

Test (test_options, what_makes_no_sense)
{
    expect_wrong ("--quiet", "name a scenario");
    expect_wrong ("--nonsense a", "see vmm test --help");
    expect_wrong ("--kernel= a", "kernel \"\": give the name of a file");
    expect_wrong ("--jobs many a", "see vmm test --help");
    expect_wrong ("--jobs -1 a", "jobs \"-1\": say a number from 0");
    expect_wrong ("--repeat -1 a", "repeat \"-1\"");
    expect_wrong ("--retries 5000 a", "retries \"5000\"");
    expect_wrong ("--memory much a", "memory \"much\": say how much");
    expect_wrong ("--time-scale fast a", "time-scale \"fast\"");
    expect_wrong ("--time-scale 0 a", "time-scale \"0\"");
    expect_wrong ("--time-scale nan a", "time-scale \"nan\"");
    expect_wrong ("--json - --tap - a", "tap \"-\": --json goes there already");
    expect_wrong ("--json x --html x a", "html \"x\": --json goes there already");
    expect_wrong ("--json x --tap ./a/../x a", "tap \"./a/../x\": --json goes there already");
}

Test (test_options, jobs_may_be_written_as_for_make)
{
    TestOptions options = {0};
    g_autofree char *wrong = parse ("-j4 a.test -- -j5", &options);

    cr_assert_str_eq (wrong, "");
    cr_expect_eq (options.cpus, 4);
    cr_expect_str_eq (options.paths[0], "a.test");
    cr_expect_str_eq (options.paths[1], "-j5");
    test_options_clear (&options);
}

Test (test_options, quiet_is_found_in_what_is_wrong)
{
    char *quiet[] = {(char *)"test", (char *)"--nonsense", (char *)"--quiet", NULL};
    char *file[] = {(char *)"test", (char *)"--", (char *)"--quiet", NULL};

    char *together[] = {(char *)"test", (char *)"-vq", NULL};
    char *jobs[] = {(char *)"test", (char *)"-jq", (char *)"--quick", (char *)"-v", (char *)"q", NULL};

    cr_expect (test_options_ask_for_quiet (3, quiet));
    cr_expect (test_options_ask_for_quiet (2, together));
    cr_expect_not (test_options_ask_for_quiet (5, jobs));
    cr_expect_not (test_options_ask_for_quiet (2, quiet));
    cr_expect_not (test_options_ask_for_quiet (3, file));
}
