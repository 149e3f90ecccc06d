/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario-rig.h"

static void
expect_bytes (const TestStep *step, const char *bytes)
{
    gsize len;
    const char *data = g_bytes_get_data (step->bytes, &len);

    cr_assert_eq (len, strlen (bytes));
    cr_assert_eq (memcmp (data, bytes, len), 0);
}

Test (scenario_steps, come_in_order_with_their_console)
{
    g_autoptr (GPtrArray) runs = make_runs ("[test]\nconsoles = serial; hvc0\n"
                                            "[step log in]\nexpect = login: $\nsend = root\\n\nwithin = 30\n"
                                            "[step 2]\non = hvc0\nexpect-text = [ok]\n"
                                            "[step 3]\nkey = ctrl-c\n");

    cr_assert_eq (run_at (runs, 0)->steps->len, 3);
    cr_assert_str_eq (step_at (runs, 0)->name, "log in");
    cr_assert_str_eq (step_at (runs, 0)->expect, "login: $");
    cr_assert_not (step_at (runs, 0)->expect_literal);
    cr_assert_eq (step_at (runs, 0)->console, 0);
    cr_assert_eq (step_at (runs, 0)->within_us, 30 * G_USEC_PER_SEC);
    cr_assert_eq (step_at (runs, 0)->action, TEST_ACTION_SEND);
    cr_assert_str_eq (step_at (runs, 0)->text, "root\\n");
    expect_bytes (step_at (runs, 0), "root\n");
    cr_assert_eq (step_at (runs, 1)->console, 1);
    cr_assert (step_at (runs, 1)->expect_literal);
    cr_assert_str_eq (step_at (runs, 1)->expect, "[ok]");
    cr_assert_eq (step_at (runs, 1)->action, TEST_ACTION_NONE);
    cr_assert_eq (step_at (runs, 1)->within_us, 60 * G_USEC_PER_SEC);
    cr_assert_eq (step_at (runs, 2)->action, TEST_ACTION_KEY);
    expect_bytes (step_at (runs, 2), "\003");
}

Test (scenario_steps, run_commands_and_say_how_they_must_end)
{
    g_autoptr (GPtrArray) runs =
        make_runs ("[machine]\nkernel = k\n[guest]\n"
                   "[step a]\nrun = uname -r; echo $HOME $$ $${x}\n"
                   "[step b]\nrun = x\nstatus = any\noutput = 6\\.1\noutput-not = bad\n"
                   "error = warn\n"
                   "[step c]\nrun = x\nstatus = failure\n"
                   "[step d]\nrun = x\nstatus = 77\n");

    cr_assert_eq (step_at (runs, 0)->action, TEST_ACTION_RUN);
    cr_assert_str_eq (step_at (runs, 0)->text, "uname -r; echo $HOME $ ${x}");
    cr_assert_eq (step_at (runs, 0)->status, 0);
    cr_assert_eq (step_at (runs, 1)->status, TEST_STATUS_ANY);
    cr_assert_str_eq (step_at (runs, 1)->output, "6\\.1");
    cr_assert_str_eq (step_at (runs, 1)->output_not, "bad");
    cr_assert_str_eq (step_at (runs, 1)->error, "warn");
    cr_assert_eq (step_at (runs, 2)->status, TEST_STATUS_FAILURE);
    cr_assert_eq (step_at (runs, 3)->status, 77);
    cr_assert_null (run_at (runs, 0)->command);
}

Test (scenario_steps, wait_for_each_end)
{
    static const struct {
        const char *value;
        TestWait wait;
        unsigned exit_value;
    } ends[] = {
        {"poweroff", TEST_WAIT_POWEROFF, 0}, {"reboot", TEST_WAIT_REBOOT, 0},
        {"halt", TEST_WAIT_HALT, 0},         {"end", TEST_WAIT_END, 0},
        {"exit 127", TEST_WAIT_EXIT, 127},   {"exit 0x10", TEST_WAIT_EXIT, 16},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (ends); i++) {
        g_autofree char *text = g_strdup_printf ("[step a]\nwait = %s\n", ends[i].value);
        g_autoptr (GPtrArray) runs = make_runs (text);

        cr_assert_eq (step_at (runs, 0)->action, TEST_ACTION_WAIT);
        cr_assert_eq (step_at (runs, 0)->wait, ends[i].wait);
        cr_assert_eq (step_at (runs, 0)->exit_value, ends[i].exit_value);
        cr_assert_eq (step_at (runs, 0)->within_us, 60 * G_USEC_PER_SEC);
    }
}

Test (scenario_steps, act_on_the_machine_and_look_at_files)
{
    g_autoptr (GPtrArray) runs = make_runs ("[step a]\nmachine = pause\n[step b]\nmachine = resume\n"
                                            "[step c]\nmachine = power-button\n"
                                            "[step c2]\nmachine = break\n"
                                            "[step d]\nwait = poweroff\n"
                                            "[step e]\ncheck-file = log.txt\ncontains = all \\d+ passed\n"
                                            "[step f]\ncheck-file = core\nexists = no\n");

    cr_assert_eq (step_at (runs, 0)->action, TEST_ACTION_MACHINE);
    cr_assert_eq (step_at (runs, 0)->machine, TEST_MACHINE_PAUSE);
    cr_assert_eq (step_at (runs, 1)->machine, TEST_MACHINE_RESUME);
    cr_assert_eq (step_at (runs, 2)->machine, TEST_MACHINE_POWER_BUTTON);
    cr_assert_eq (step_at (runs, 3)->machine, TEST_MACHINE_BREAK);
    cr_assert_eq (step_at (runs, 5)->action, TEST_ACTION_CHECK_FILE);
    cr_assert_str_eq (step_at (runs, 5)->text, "log.txt");
    cr_assert_str_eq (step_at (runs, 5)->contains, "all \\d+ passed");
    cr_assert (step_at (runs, 5)->exists);
    cr_assert_not (step_at (runs, 6)->exists);
}

Test (scenario_steps, go_on_behind_a_reboot_that_starts_the_guest_again)
{
    g_autoptr (GPtrArray) runs = make_runs ("[machine]\non-reboot = reboot\n"
                                            "[step a]\nwait = reboot\n[step b]\nexpect = again\n");

    cr_assert_eq (run_at (runs, 0)->steps->len, 2);
    expect_refusal ("[step a]\nwait = reboot\n[step b]\nexpect = again\n",
                    "3: [step b] comes too late: the machine ends with [step a]");
    /* vmm run's init does not begin anew. */
    expect_refusal ("[machine]\non-reboot = reboot\nkernel = k\n[guest]\n"
                    "[step a]\nwait = reboot\n[step b]\nexpect = again\n",
                    "7: [step b] comes too late");
}

Test (scenario_steps, forbid_on_one_console_or_on_all)
{
    g_autoptr (GPtrArray) runs = make_runs ("[test]\nconsoles = serial; hvc0\n"
                                            "[forbid a]\npattern = I/O error\n"
                                            "[forbid b]\ntext = (bad)\non = hvc0\n");
    const TestRun *run = run_at (runs, 0);
    const TestForbid *a = run->forbids->pdata[0], *b = run->forbids->pdata[1];

    cr_assert_eq (run->forbids->len, 2);
    cr_assert_str_eq (a->name, "a");
    cr_assert_str_eq (a->pattern, "I/O error");
    cr_assert_not (a->literal);
    cr_assert_eq (a->console, -1);
    cr_assert_str_eq (b->pattern, "(bad)");
    cr_assert (b->literal);
    cr_assert_eq (b->console, 1);
}

Test (scenario_steps, that_make_no_sense_are_refused)
{
    static const struct {
        const char *text;
        const char *said;
    } bad[] = {
        {"[step a]\n", "1: [step a] does nothing: give expect, send, key"},
        {"[step a]\nwithin = 3\n", "1: [step a] does nothing"},
        {"[step a]\nsend = x\nkey = enter\n", "3: [step a] key \"enter\": there is send, too"},
        {"[step a]\nexpect = a\nexpect-text = b\n", "3: [step a] expect-text \"b\": there is expect, too"},
        {"[step a]\nexpect = (a\n", "2: [step a] expect: pattern \"(a\": missing closing parenthesis"},
        {"[step a]\nexpect = a*\n", "2: [step a] expect: pattern \"a*\": it matches nothing at all"},
        {"[step a]\nexpect = ^\n", "matches nothing at all"},
        {"[step a]\nexpect = x\\r\\n\n", "leave out the \\r"},
        {"[step a]\non = hvc0\nexpect = x\n", "2: [step a] on \"hvc0\": consoles of [test] is \"serial\""},
        {"[step a]\nexpect = x\nstatus = 1\n", "3: [step a] status \"1\": it is about run"},
        {"[step a]\nrun = x\ncontains = y\n", "3: [step a] contains \"y\": it is about check-file"},
        {"[step a]\nrun = x\nstatus = 256\n",
         "3: [step a] status \"256\": give an exit status from 0 to 255"},
        {"[step a]\nrun = x\nerror = y\n", "3: [step a] error \"y\": a console does not tell"},
        {"[step a]\nrun = x\noutput = [\n", "3: [step a] output: pattern \"[\""},
        {"[step a]\nsend = a\\q\n", "2: [step a] send: \"\\q\": no such escape"},
        {"[step a]\nkey = entr\n", "2: [step a] key: \"entr\" is no key: did you mean \"enter\"?"},
        {"[step a]\nwait = exit\n",
         "2: [step a] wait \"exit\": say poweroff, reboot, halt, end, or exit and"},
        {"[step a]\nwait = exit 128\n", "from 0 to 127"},
        {"[machine]\ndebug-exit = off\n[step a]\nwait = exit 1\n",
         "4: [step a] wait \"exit 1\": [machine] says"},
        {"[step a]\nmachine = stop\n",
         "2: [step a] machine \"stop\": say pause, resume, power-button or break"},
        {"[step a]\nsleep = soon\n", "2: [step a] sleep \"soon\": not a time"},
        {"[step a]\nsleep = off\n", "2: [step a] sleep \"off\": not a time"},
        {"[step a]\nsleep = 1\nwithin = 0\n", "3: [step a] within \"0\": give a microsecond at least"},
        {"[step a]\ncheck-file = x\nexists = maybe\n", "3: [step a] exists \"maybe\": say yes or no"},
        {"[step a]\ncheck-file = x\nexists = no\ncontains = y\n", "4: [step a] contains \"y\": a file that"},
        {"[step a]\nwait = end\n[step b]\nsend = x\n", "3: [step b] comes too late"},
        {"[step a]\nwait = end\n[step b]\nexpect = x\ncheck-file = x\n", "3: [step b] comes too late"},
        {"[forbid a]\n", "1: [forbid a] forbids nothing: give pattern or text"},
        {"[forbid a]\npattern = x\ntext = y\n", "3: [forbid a] text \"y\": there is pattern, too"},
        {"[forbid a]\npattern = x\non = hvc0\n", "3: [forbid a] on \"hvc0\": consoles"},
        {"[machine]\nkernel = k\n[guest]\ncommand = true\n[step a]\nrun = x\n",
         "6: [step a] run \"x\": [guest] has a command"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (bad); i++)
        expect_refusal (bad[i].text, bad[i].said);
}
