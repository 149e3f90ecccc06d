/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of runs whose guests do one thing each: micro-guests, on /dev/kvm. */
#include <poll.h>
#include <signal.h>

#include "worker-kit.h"

/* A run of one step that waits for an end. */
static TestRun *
wait_for (const char *guest, TestWait wait)
{
    TestRun *run = make_run (guest);

    add_wait (run, "end", wait);
    return run;
}

Test (worker, good_ends, .timeout = 120)
{
    need_kvm ();
    expect_verdict (wait_for ("poweroff", TEST_WAIT_POWEROFF), "passed", "");
    expect_verdict (wait_for ("reset-acpi", TEST_WAIT_REBOOT), "passed", "");
    expect_verdict (wait_for ("halt", TEST_WAIT_HALT), "passed", "");
    expect_verdict (wait_for ("halt", TEST_WAIT_END), "passed", "");
    expect_verdict (wait_for ("debug-exit", TEST_WAIT_END), "passed", "");
}

Test (worker, debug_exit, .timeout = 60)
{
    need_kvm ();
    TestRun *run = make_run ("debug-exit");

    add_wait (run, "end", TEST_WAIT_EXIT)->exit_value = 16;
    expect_verdict (run, "passed", "");
    run = make_run ("debug-exit");
    add_wait (run, "end", TEST_WAIT_EXIT)->exit_value = 17;
    expect_verdict (
        run, "ended",
        "step \"end\": this is not what it waited for, but exit 16: the guest ended the run with code 33");
}

Test (worker, ends_that_should_not_be, .timeout = 120)
{
    need_kvm ();
    TestRun *run = make_run ("poweroff");

    add_expect (run, "log in", "login:");
    expect_verdict (run, "ended", "the guest powered off before step \"log in\" had passed");
    expect_verdict (wait_for ("reset-cf9", TEST_WAIT_POWEROFF), "ended", "the guest asked for a reboot");
    expect_verdict (wait_for ("triple-fault", TEST_WAIT_END), "triple-fault", "vCPU 0: triple fault");
    expect_verdict (wait_for ("panic", TEST_WAIT_END), "panic", "pvpanic");
    expect_verdict (wait_for ("console-panic", TEST_WAIT_END), "panic", "kernel panic: test");
    expect_verdict (wait_for ("bad-exit", TEST_WAIT_END), "cpu-error", "vCPU 0");
}

Test (worker, hangs, .timeout = 120)
{
    need_kvm ();
    TestRun *run = wait_for ("hang", TEST_WAIT_END);

    /* The watchdog of the machine. */
    set_machine (run, "watchdog", "1");
    expect_verdict (run, "hang", "with interrupts off");
    /* Nothing that can be seen, and interrupts are on. */
    run = wait_for ("idle", TEST_WAIT_END);
    ((TestStep *)run->steps->pdata[0])->silence_us = G_USEC_PER_SEC;
    Told told = do_run (run);

    check_verdict (&told, "hang", "step \"end\": no output and no work for 1");
    check_verdict (&told, "hang", "vCPU 0: at ");
    check_verdict (&told, "hang", "nothing was ever said on any console");
    cr_assert_eq (json_array_size (json_object_get (told.result, "samples")), 3);
    told_clear (&told);
    test_run_free (run);
}

Test (worker, silence_is_no_hang_while_the_step_does_not_wait, .timeout = 60)
{
    need_kvm ();
    TestRun *run = make_run ("idle");
    TestStep *sleep = add_step (run, "rest", NULL, TEST_ACTION_SLEEP, "2");
    TestStep *wait;

    sleep->sleep_us = 2 * G_USEC_PER_SEC;
    sleep->silence_us = G_USEC_PER_SEC / 2;
    sleep->within_us = G_USEC_PER_SEC / 2;
    add_step (run, "halt it", NULL, TEST_ACTION_MACHINE, "pause")->machine = TEST_MACHINE_PAUSE;
    wait = add_wait (run, "end", TEST_WAIT_END);
    wait->silence_us = G_USEC_PER_SEC / 2;
    wait->within_us = 2 * G_USEC_PER_SEC;
    expect_verdict (run, "timeout", "step \"end\": the guest had not ended after 2 s");
}

Test (worker, time_limits, .timeout = 60)
{
    need_kvm ();
    TestRun *run = make_run ("echo");
    Told told;

    add_expect (run, "prompt", "> ");
    add_expect (run, "log in", "login:")->within_us = G_USEC_PER_SEC / 2;
    add_expect (run, "never", "never");
    told = do_run (run);
    /* A busy host may be told of in between. */
    check_verdict (&told, "failed-expectation", "step \"log in\": no match for /login:/ within 0.5 s");
    check_verdict (&told, "failed-expectation", "; the last line on serial was \">");
    cr_assert_eq (json_integer_value (json_object_get (told.result, "step")), 1);
    cr_assert_str_eq (text_of (step_of (&told, 0), "state"), "passed");
    cr_assert_eq (json_integer_value (json_object_get (step_of (&told, 0), "line")), 1);
    cr_assert_str_eq (text_of (step_of (&told, 1), "state"), "failed");
    cr_assert_str_eq (text_of (step_of (&told, 1), "message"), text_of (told.result, "reason"));
    cr_assert_str_eq (text_of (step_of (&told, 2), "state"), "not-run");
    told_clear (&told);
    run->timeout_us = G_USEC_PER_SEC / 4;
    told = do_run (run);
    check_verdict (&told, "timeout", "step \"log in\": the run was not done after 0.25 s");
    check_verdict (&told, "timeout", "; the last line on serial was \">");
    told_clear (&told);
    test_run_free (run);
}

Test (worker, reboots, .timeout = 60)
{
    need_kvm ();
    TestRun *run = make_run ("reset-acpi");

    set_machine (run, "on-reboot", "reboot");
    add_wait (run, "once", TEST_WAIT_REBOOT);
    add_wait (run, "again", TEST_WAIT_REBOOT);
    expect_verdict (run, "passed", "");
    run = wait_for ("reset-acpi", TEST_WAIT_POWEROFF);
    set_machine (run, "on-reboot", "reboot");
    expect_verdict (run, "reboot-loop", "step \"end\": the guest has rebooted ");
}

Test (worker, machines_that_cannot_be_made, .timeout = 60)
{
    need_kvm ();
    TestRun *run = wait_for ("no-such-guest", TEST_WAIT_END);

    expect_verdict (run, "setup", "no-such-guest.elf");
    run = wait_for ("poweroff", TEST_WAIT_END);
    set_machine (run, "disk", "/no/such/disk");
    expect_verdict (run, "setup", "/no/such/disk");
    run = wait_for ("poweroff", TEST_WAIT_END);
    g_free (run->kernel);
    run->kernel = g_strdup ("/proc/self/exe");
    expect_verdict (run, "cannot-boot", "/proc/self/exe");
    expect_verdict (make_run ("poweroff"), "setup", "there is nothing to do");
}

Test (worker, steps_in_their_order, .timeout = 60)
{
    need_kvm ();
    TestRun *run = make_run ("echo");
    Told told;

    add_step (run, "hello", "^> $", TEST_ACTION_SEND, "hello\r");
    add_expect (run, "answer", "^line: (\\w+)$");
    /* That of the first prompt is used up. */
    add_step (run, "quit", "^> $", TEST_ACTION_SEND, "quit\r");
    add_wait (run, "end", TEST_WAIT_POWEROFF);
    told = do_run (run);
    check_verdict (&told, "passed", "all steps have passed");
    cr_assert (json_is_null (json_object_get (told.result, "step")));
    for (size_t i = 0; i < 4; i++) {
        json_t *step = step_of (&told, i);

        cr_assert_str_eq (text_of (step, "state"), "passed");
        cr_assert_leq (json_real_value (json_object_get (step, "begin")),
                       json_real_value (json_object_get (step, "end")));
    }
    cr_assert_eq (json_integer_value (json_object_get (step_of (&told, 1), "line")), 2);
    cr_assert_eq (json_integer_value (json_object_get (step_of (&told, 2), "line")), 3);
    cr_assert_str_eq (text_of (json_object_get (told.result, "machine"), "verdict"), "poweroff");
    told_clear (&told);
    test_run_free (run);
}

Test (worker, long_texts_arrive_whole, .timeout = 60)
{
    need_kvm ();
    TestRun *run = make_run ("echo");
    g_autoptr (GString) text = g_string_new (NULL);
    g_autoptr (GString) answer = g_string_new (NULL);

    /* Sixteen bytes fit into the chip. */
    for (unsigned i = 0; i < 100; i++) {
        g_autofree char *line =
            g_strdup_printf ("%03u:%s", i, "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ");

        g_string_append_printf (text, "%s\r", line);
        g_string_append_printf (answer, "> %s\nline: %s\n", line, line);
    }
    g_string_append (text, "quit\r");
    add_step (run, "type", "> ", TEST_ACTION_SEND, text->str);
    add_expect (run, "last", "^line: 099:abc.*XYZ$");
    add_wait (run, "end", TEST_WAIT_POWEROFF);
    Told told = do_run (run);
    const json_t *console = json_array_get (json_object_get (told.result, "consoles"), 0);
    g_auto (GStrv) parts = g_strsplit (text_of (console, "head"), "\r", -1);
    g_autofree char *said = g_strjoinv ("", parts);

    check_verdict (&told, "passed", "");
    cr_assert_not_null (strstr (said, answer->str), "something is lost: %s", said);
    told_clear (&told);
    test_run_free (run);
}

Test (worker, last_words_count, .timeout = 60)
{
    need_kvm ();
    TestRun *run = make_run ("garbage");

    /* Said just before the guest powers off. */
    add_expect (run, "word", "^done$");
    add_wait (run, "end", TEST_WAIT_POWEROFF);
    expect_verdict (run, "passed", "");
    run = make_run ("garbage");
    add_forbid (run, "no end", "^do[mn]e$");
    add_wait (run, "end", TEST_WAIT_POWEROFF);
    expect_verdict (run, "forbidden", "forbid \"no end\": the guest said \"done\", on line ");
}

Test (worker, patterns_that_blow_up, .timeout = 120)
{
    need_kvm ();
    TestRun *run = make_run ("garbage");
    TestStep *step = add_expect (run, "nonsense", "(x+x+)+y");

    step->silence_us = 0;
    expect_verdict (run, "failed-expectation", "step \"nonsense\": pattern \"(x+x+)+y\"");
}

Test (worker, patterns_that_are_none, .timeout = 60)
{
    need_kvm ();
    TestRun *run = make_run ("echo");

    add_expect (run, "wrong", "(");
    expect_verdict (run, "setup", "step \"wrong\": pattern \"(\"");
    run = make_run ("echo");
    add_wait (run, "end", TEST_WAIT_END);
    add_forbid (run, "wrong", "[");
    expect_verdict (run, "setup", "forbid \"wrong\": pattern \"[\"");
}

Test (worker, kernel_reports_that_are_allowed, .timeout = 60)
{
    need_kvm ();
    TestRun *run = wait_for ("console-panic", TEST_WAIT_END);

    run->allow = g_strsplit ("warning;panic", ";", -1);
    Told told = do_run (run);
    const json_t *report = json_array_get (json_object_get (told.result, "reports"), 0);

    /* The machine does not go on for all that. */
    check_verdict (&told, "panic", "the guest's kernel panicked");
    cr_assert_str_eq (text_of (report, "kind"), "panic");
    cr_assert (json_is_true (json_object_get (report, "allowed")));
    cr_assert_eq (json_integer_value (json_object_get (report, "line")), 2);
    told_clear (&told);
    test_run_free (run);
}

Test (worker, signals_stop_it, .timeout = 60)
{
    need_kvm ();
    TestRun *run = wait_for ("idle", TEST_WAIT_END);
    int fd;
    pid_t child = start_worker (run, NULL, &fd);
    struct pollfd spoken = {.fd = fd, .events = POLLIN};
    Told told;

    /* Once it has spoken it can hear, too. */
    cr_assert_eq (poll (&spoken, 1, 30000), 1);
    kill (child, SIGTERM);
    told = hear (child, fd);
    check_verdict (&told, "stopped", "by signal TERM");
    told_clear (&told);
    test_run_free (run);
}
