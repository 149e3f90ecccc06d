/* SPDX-License-Identifier: Apache-2.0 */
/* What a scenario asks for, found again in its runs. */
#include <glib/gstdio.h>

#include "scenario-rig.h"

static void
expect_list (char **list, const char *joined)
{
    g_autofree char *text = g_strjoinv ("|", list);

    cr_assert_str_eq (text, joined);
}

static const char *
setting (const TestRun *run, guint i)
{
    static char text[256];
    const TestPair *pair;

    cr_assert_lt (i, run->machine->len);
    pair = run->machine->pdata[i];
    g_snprintf (text, sizeof text, "%s=%s", pair->name, pair->value);
    return text;
}

Test (scenario, an_empty_one_boots_the_built_in_guest_and_waits_for_its_end)
{
    g_autoptr (GPtrArray) runs = make_runs ("");
    const TestRun *run = run_at (runs, 0);
    const TestStep *step = step_at (runs, 0);

    cr_assert_eq (runs->len, 1);
    cr_assert_str_eq (run->name, "smoke");
    cr_assert_str_eq (run->scenario, "smoke");
    cr_assert_str_eq (run->file, "/scenarios/smoke.test");
    cr_assert_null (run->description);
    cr_assert_null (run->kernel);
    cr_assert_null (run->reason);
    cr_assert_null (run->known_failure);
    cr_assert_not (run->has_guest);
    cr_assert_not (run->needs_tmp);
    cr_assert_str_eq (run->outcome, "passed");
    cr_assert_eq (run->retries, 0);
    cr_assert_eq (run->timeout_us, 300 * G_USEC_PER_SEC);
    expect_list (run->consoles, "serial");
    expect_list (run->tags, "");
    expect_list (run->allow, "");
    cr_assert_eq (run->machine->len, 0);
    cr_assert_eq (run->forbids->len, 0);
    cr_assert_eq (run->steps->len, 1);
    cr_assert_eq (step->action, TEST_ACTION_WAIT);
    cr_assert_eq (step->wait, TEST_WAIT_POWEROFF);
    cr_assert_str_eq (step->text, "poweroff");
    /* The end of all is not late after a minute. */
    cr_assert_eq (step->within_us, 300 * G_USEC_PER_SEC);
    cr_assert_eq (step->silence_us, 30 * G_USEC_PER_SEC);
}

Test (scenario, says_how_the_test_goes)
{
    g_autoptr (GPtrArray) runs = make_runs ("[test]\n"
                                            "name = the panic\n"
                                            "description = what a panic looks like\n"
                                            "tags = quick; boot ;\n"
                                            "timeout = 10.5\n"
                                            "within = 2s\n"
                                            "silence = off\n"
                                            "consoles = hvc0; agent.1\n"
                                            "outcome = panic\n"
                                            "reason = sysrq (triggered )?crash\n"
                                            "known-failure = bug 17\n"
                                            "retries = 3\n"
                                            "allow = warning; oom\n");
    const TestRun *run = run_at (runs, 0);

    cr_assert_str_eq (run->name, "the panic");
    cr_assert_str_eq (run->description, "what a panic looks like");
    expect_list (run->tags, "quick|boot");
    cr_assert_eq (run->timeout_us, 10500000);
    cr_assert_eq (step_at (runs, 0)->within_us, 2000000);
    cr_assert_eq (step_at (runs, 0)->silence_us, 0);
    expect_list (run->consoles, "hvc0|agent.1");
    cr_assert_str_eq (run->outcome, "panic");
    cr_assert_str_eq (run->reason, "sysrq (triggered )?crash");
    cr_assert_str_eq (run->known_failure, "bug 17");
    cr_assert_eq (run->retries, 3);
    expect_list (run->allow, "warning|oom");
}

Test (scenario, the_machine_gets_its_keys_in_order_and_the_kernel_stays_a_name)
{
    g_autoptr (GPtrArray) runs = make_runs ("[machine]\n"
                                            "kernel = debian-6.12\n"
                                            "mem = 256M\n"
                                            "disk = /dev/null\n"
                                            "disk scratch = b.img,readonly\n"
                                            "append = quiet\n"
                                            "append 2 = init=/bin/sh\n"
                                            "cmdline =\n"
                                            "symbols =\n");
    const TestRun *run = run_at (runs, 0);
    g_autofree char *cmdline = vmm_config_build_cmdline (run->config);

    cr_assert_str_eq (run->kernel, "debian-6.12");
    cr_assert_eq (run->machine->len, 6);
    cr_assert_str_eq (setting (run, 0), "mem=256M");
    cr_assert_str_eq (setting (run, 1), "disk=/dev/null");
    cr_assert_str_eq (setting (run, 2), "disk=b.img,readonly");
    cr_assert_str_eq (setting (run, 3), "append=quiet");
    cr_assert_str_eq (setting (run, 5), "cmdline=");
    cr_assert_str_eq (cmdline, "quiet init=/bin/sh");
}

Test (scenario, tells_what_the_machine_needs_of_the_host)
{
    g_autoptr (GPtrArray) runs = make_runs ("");
    g_autoptr (GPtrArray) large = make_runs ("[machine]\ncpus = 8,sockets=2\n[matrix]\nmem = 1G; 64M\n");

    cr_assert_eq (run_at (runs, 0)->cpus, 1);
    cr_assert_eq (run_at (runs, 0)->memory, UINT64_C (512) << 20);
    cr_assert_eq (run_at (large, 0)->cpus, 8);
    cr_assert_eq (run_at (large, 0)->memory, UINT64_C (1) << 30);
    cr_assert_eq (run_at (large, 1)->memory, UINT64_C (64) << 20);
}

Test (scenario, a_guest_gets_what_vmm_run_has_options_for)
{
    g_autoptr (GPtrArray) runs = make_runs ("[machine]\nkernel = k\n"
                                            "[guest]\n"
                                            "command = sh -c 'make check' \"a b\"\n"
                                            "status = failure\n"
                                            "root = r\nmodules = m\ncwd = /src\nuser = nobody:7\n"
                                            "copy = a:b:/src\ncopy 2 = c:/d/\n"
                                            "out = /log:out\n"
                                            "env = A=1\nenv B = B=\n");
    const TestRun *run = run_at (runs, 0);

    cr_assert (run->has_guest);
    expect_list (run->command, "sh|-c|make check|a b");
    cr_assert_eq (run->command_status, TEST_STATUS_FAILURE);
    cr_assert_str_eq (run->root, "r");
    cr_assert_str_eq (run->modules, "m");
    cr_assert_str_eq (run->cwd, "/src");
    cr_assert_str_eq (run->user, "nobody:7");
    expect_list (run->copies, "a:b:/src|c:/d/");
    expect_list (run->outputs, "/log:out");
    expect_list (run->env, "A=1|B=");
    cr_assert_eq (run->steps->len, 0);
}

Test (scenario, time_limits_are_scaled_and_sleeping_is_not)
{
    TestLoadOptions options = {.time_scale = 2.5};
    g_autoptr (GPtrArray) runs = make_runs_with ("[test]\ntimeout = 4\nwithin = 2\n"
                                                 "[step a]\nsleep = 1\nsilence = 10\n",
                                                 &options, NULL);

    cr_assert_eq (run_at (runs, 0)->timeout_us, 10000000);
    cr_assert_eq (step_at (runs, 0)->within_us, 5000000);
    cr_assert_eq (step_at (runs, 0)->silence_us, 25000000);
    cr_assert_eq (step_at (runs, 0)->sleep_us, 1000000);
}

Test (scenario, without_a_scale_times_are_as_they_are)
{
    TestLoadOptions options = {0};
    g_autoptr (GPtrArray) runs = make_runs_with ("[test]\ntimeout = 4\n", &options, NULL);

    cr_assert_eq (run_at (runs, 0)->timeout_us, 4000000);
}

Test (scenario, nothing_behind_the_equals_sign_is_no_value)
{
    g_autoptr (GPtrArray) runs = make_runs ("[test]\nname =\ntimeout =\nknown-failure =\n"
                                            "[step a]\nsend =\nexpect = x\n");

    cr_assert_str_eq (run_at (runs, 0)->name, "smoke");
    cr_assert_null (run_at (runs, 0)->known_failure);
    cr_assert_eq (run_at (runs, 0)->timeout_us, 300 * G_USEC_PER_SEC);
    cr_assert_eq (step_at (runs, 0)->action, TEST_ACTION_NONE);
}

Test (scenario, a_file_is_read_and_its_name_is_the_tests)
{
    TestLoadOptions options = {.time_scale = 1};
    g_autoptr (GError) error = NULL;
    g_autofree char *folder = g_dir_make_tmp ("vmm-scenario-XXXXXX", NULL);
    g_autofree char *path = g_build_filename (folder, "boot.x.test", NULL);
    g_autoptr (GPtrArray) runs = NULL;

    cr_assert (g_file_set_contents (path, "\xef\xbb\xbf[test]\r\ndescription = ${dir}\r\n", -1, NULL));
    runs = test_scenario_load (path, &options, &error);
    cr_assert_not_null (runs, "%s", error != NULL ? error->message : "");
    cr_assert_str_eq (run_at (runs, 0)->name, "boot.x");
    cr_assert_str_eq (run_at (runs, 0)->file, path);
    cr_assert_str_eq (run_at (runs, 0)->description, folder);
    cr_assert_eq (g_unlink (path), 0);
    cr_assert_null (test_scenario_load (path, &options, &error));
    cr_assert_not_null (strstr (error->message, "No such file"));
    cr_assert_eq (g_rmdir (folder), 0);
}

Test (scenario, what_the_user_gives_is_in_place_of_the_files)
{
    char *machine[] = {(char *)"mem=1G", (char *)"kernel=mine", (char *)"append=a", (char *)"append=b", NULL};
    char *variables[] = {(char *)"WHO=the user", NULL};
    TestLoadOptions options = {.time_scale = 1, .machine = machine, .variables = variables};
    g_autoptr (GError) error = NULL;
    g_autoptr (GPtrArray) runs = make_runs_with ("[variables]\nWHO = nobody\n"
                                                 "[test]\ndescription = ${WHO}, ${kernel}\n"
                                                 "[machine]\nappend = quiet\nappend 2 = x\nmem = 32M\n",
                                                 &options, &error);

    cr_assert_not_null (runs, "%s", error != NULL ? error->message : "");
    cr_assert_str_eq (run_at (runs, 0)->description, "the user, mine");
    cr_assert_str_eq (run_at (runs, 0)->kernel, "mine");
    cr_assert_str_eq (setting (run_at (runs, 0), 0), "append=a");
    cr_assert_str_eq (setting (run_at (runs, 0), 1), "append=x");
    cr_assert_str_eq (setting (run_at (runs, 0), 2), "mem=1G");
    cr_assert_str_eq (setting (run_at (runs, 0), 3), "append=b");
}

Test (scenario, the_private_folder_stays_to_be_filled_in)
{
    g_autoptr (GPtrArray) runs = make_runs ("[machine]\ncontrol = ${tmp}/control\n");
    g_autoptr (GPtrArray) matrix = make_runs ("[variables]\nA =\n[matrix]\nA = ${tmp}; x\n"
                                              "[step a]\ncheck-file = ${A}/b\n");

    cr_assert (run_at (runs, 0)->needs_tmp);
    cr_assert_str_eq (setting (run_at (runs, 0), 0), "control=${tmp}/control");
    cr_assert (run_at (matrix, 0)->needs_tmp);
    cr_assert_str_eq (step_at (matrix, 0)->text, "${tmp}/b");
    cr_assert_not (run_at (matrix, 1)->needs_tmp);
}
