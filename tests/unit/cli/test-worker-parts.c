/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker does without a machine: verdicts, and what they are made of. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "worker-internal.h"

/* A worker whose machine has just ended. */
typedef struct {
    TestRun *run;
    TestWorker worker;
    TestConsole *console;
    int events[2];
} Fixture;

static void
add_wait (Fixture *f, const char *name)
{
    TestStep *step = g_new0 (TestStep, 1);

    step->name = g_strdup (name);
    step->action = TEST_ACTION_WAIT;
    step->wait = TEST_WAIT_POWEROFF;
    g_ptr_array_add (f->run->steps, step);
}

static void
init (Fixture *f)
{
    cr_assert_eq (pipe2 (f->events, O_CLOEXEC), 0);
    f->run = test_run_new ();
    f->run->name = g_strdup ("by hand");
    f->run->consoles = g_strsplit ("serial", ";", -1);
    add_wait (f, "end");
    test_worker_init (&f->worker, f->run, NULL, f->events[1]);
    f->console = test_console_new (&f->worker, "serial", 0, NULL);
    cr_assert_not_null (f->console);
    g_ptr_array_add (f->worker.consoles, f->console);
}

static void
clear (Fixture *f)
{
    test_worker_clear (&f->worker);
    test_run_free (f->run);
    close (f->events[0]);
    close (f->events[1]);
}

static void
end (Fixture *f, VmmVerdictKind kind, const char *reason)
{
    f->worker.end.there = true;
    f->worker.end.kind = kind;
    f->worker.end.reason = g_strdup (reason);
}

static void
say (Fixture *f, const char *text)
{
    vmm_kernel_log_feed (f->console->log, (const uint8_t *)text, strlen (text));
}

static void
conclude (Fixture *f, const char *kind, const char *reason)
{
    vmm_kernel_log_finish (f->console->log);
    test_worker_judge_wait (&f->worker);
    test_worker_pump (&f->worker);
    test_worker_conclude (&f->worker);
    cr_assert_str_eq (f->worker.verdict.kind, kind, "%s: %s", f->worker.verdict.kind,
                      f->worker.verdict.reason);
    cr_assert_str_eq (f->worker.verdict.reason, reason);
}

#define OOPS                                                                                                 \
    "[    2.000000] BUG: kernel NULL pointer dereference, address: 0000000000000000\n"                       \
    "[    2.000001] #PF: supervisor write access in kernel mode\n"                                           \
    "[    2.000002] Oops: 0002 [#1] PREEMPT SMP NOPTI\n"                                                     \
    "[    2.000003] RIP: 0010:broken_init+0x5/0x1000 [broken]\n"                                             \
    "[    2.000004] Call Trace:\n"                                                                           \
    "[    2.000005]  <TASK>\n"                                                                               \
    "[    2.000006]  do_one_initcall+0x59/0x220\n"                                                           \
    "[    2.000007]  </TASK>\n"                                                                              \
    "[    2.000008] ---[ end trace 0000000000000000 ]---\n"
#define PANIC "[    2.000020] Kernel panic - not syncing: Fatal exception\n"

Test (worker_verdict, names_of_ends)
{
    static const struct {
        VmmVerdictKind kind;
        const char *name;
    } rows[] = {
        {VMM_VERDICT_POWEROFF, "ended"},
        {VMM_VERDICT_GUEST_EXIT, "ended"},
        {VMM_VERDICT_REBOOT, "ended"},
        {VMM_VERDICT_HALT, "ended"},
        {VMM_VERDICT_PANIC, "panic"},
        {VMM_VERDICT_TRIPLE_FAULT, "triple-fault"},
        {VMM_VERDICT_HANG, "hang"},
        {VMM_VERDICT_TIMEOUT, "timeout"},
        {VMM_VERDICT_CPU_ERROR, "cpu-error"},
        {VMM_VERDICT_STOPPED, "stopped"},
        {VMM_VERDICT_HOST_ERROR, "host-error"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++)
        cr_expect_str_eq (test_worker_name_end (rows[i].kind), rows[i].name);
}

Test (worker_verdict, the_end_that_was_waited_for)
{
    Fixture f;

    init (&f);
    test_worker_begin_steps (&f.worker);
    end (&f, VMM_VERDICT_POWEROFF, "the guest powered off");
    conclude (&f, "passed", "all steps have passed");
    clear (&f);
}

Test (worker_verdict, another_end)
{
    Fixture f;

    init (&f);
    test_worker_begin_steps (&f.worker);
    end (&f, VMM_VERDICT_HALT, "the guest halted");
    conclude (&f, "ended", "step \"end\": this is not what it waited for: the guest halted");
    cr_assert_eq (f.worker.verdict.step, 0);
    cr_assert_eq (f.worker.done[0].state, TEST_STEP_FAILED);
    clear (&f);
}

Test (worker_verdict, a_panic_alone_is_a_panic)
{
    Fixture f;

    init (&f);
    test_worker_begin_steps (&f.worker);
    say (&f, PANIC);
    end (&f, VMM_VERDICT_PANIC, "the guest's kernel panicked: Fatal exception");
    conclude (&f, "panic", "kernel panic: Fatal exception");
    cr_assert_eq (f.console->fail_line, 1);
    clear (&f);
}

Test (worker_verdict, a_panic_of_an_oops_is_that)
{
    Fixture f;

    init (&f);
    test_worker_begin_steps (&f.worker);
    say (&f, "[    1.000000] all is well\n" OOPS PANIC);
    end (&f, VMM_VERDICT_PANIC, "the guest's kernel panicked: Fatal exception");
    conclude (&f, "bug",
              "kernel BUG: kernel NULL pointer dereference, address: 0000000000000000 in broken_init; then: "
              "kernel panic: Fatal exception");
    clear (&f);
}

Test (worker_verdict, what_the_kernel_says_goes_before_a_limit)
{
    Fixture f;

    init (&f);
    test_worker_begin_steps (&f.worker);
    test_worker_fail (&f.worker, "timeout", "it took too long");
    say (&f, PANIC);
    end (&f, VMM_VERDICT_STOPPED, "stopped");
    conclude (&f, "panic", "kernel panic: Fatal exception");
    cr_assert_str_eq (f.worker.done[0].message, "kernel panic: Fatal exception");
    clear (&f);
}

Test (worker_verdict, what_was_decided_stays)
{
    Fixture f;

    init (&f);
    test_worker_begin_steps (&f.worker);
    test_worker_decide (&f.worker, "stopped", "by signal TERM");
    test_worker_fail (&f.worker, "timeout", "it took too long");
    say (&f, PANIC);
    end (&f, VMM_VERDICT_STOPPED, "stopped");
    conclude (&f, "stopped", "by signal TERM");
    clear (&f);
}

Test (worker_verdict, reports_behind_the_last_step_count)
{
    Fixture f;

    init (&f);
    test_worker_begin_steps (&f.worker);
    end (&f, VMM_VERDICT_POWEROFF, "the guest powered off");
    test_worker_judge_wait (&f.worker);
    test_worker_pump (&f.worker);
    cr_assert (f.worker.passing);
    say (&f, PANIC);
    conclude (&f, "panic", "kernel panic: Fatal exception");
    cr_assert_eq (f.worker.verdict.step, -1);
    clear (&f);
}

/* Its standard error had still to be marked when the machine ended. */
Test (worker_verdict, a_command_that_has_ended_counts)
{
    Fixture f;
    TestStep *step;

    init (&f);
    step = f.run->steps->pdata[0];
    step->action = TEST_ACTION_RUN;
    step->text = g_strdup ("poweroff -d 0 &");
    f.worker.phase = TEST_PHASE_RUN;
    f.worker.done[0].state = TEST_STEP_BEGUN;
    f.worker.command.mark = g_strdup ("mark");
    f.worker.command.output = g_bytes_new_static ("bye\n", 4);
    f.worker.command.out.fd = f.worker.command.err.fd = -1;
    f.worker.command.out.theirs = f.worker.command.err.theirs = -1;
    end (&f, VMM_VERDICT_POWEROFF, "the guest powered off");
    test_command_end (&f.worker);
    conclude (&f, "passed", "all steps have passed");
    cr_assert_eq (f.worker.done[0].state, TEST_STEP_PASSED);
    cr_assert_str_eq (f.worker.done[0].out, "bye\n");
    clear (&f);
}

Test (worker_verdict, a_kernel_with_two_consoles_says_it_once)
{
    Fixture f;
    TestConsole *other;

    init (&f);
    other = test_console_new (&f.worker, "hvc0", -1, NULL);
    g_ptr_array_add (f.worker.consoles, other);
    say (&f, PANIC);
    vmm_kernel_log_feed (other->log, (const uint8_t *)PANIC, strlen (PANIC));
    vmm_kernel_log_finish (other->log);
    vmm_kernel_log_finish (f.console->log);
    cr_assert_eq (json_array_size (f.worker.reports), 1);
    clear (&f);
}

Test (worker_verdict, reports_are_bounded)
{
    Fixture f;

    init (&f);
    for (unsigned i = 0; i < 1000; i++) {
        g_autofree char *text =
            g_strdup_printf ("[ %4u.000000] Kernel panic - not syncing: %u\n", 100 * i, i);

        say (&f, text);
    }
    vmm_kernel_log_finish (f.console->log);
    cr_assert_leq (json_array_size (f.worker.reports), 100);
    cr_assert_str_eq (f.worker.trouble.reason, "kernel panic: 0");
    clear (&f);
}

/* As much as its parent takes, whatever the guest says. */
Test (worker_verdict, results_are_bounded)
{
    Fixture f;
    g_autofree char *text = g_strnfill (300000, '\x01');
    json_t *result;

    init (&f);
    for (unsigned i = 1; i < 31; i++) {
        g_autofree char *name = g_strdup_printf ("port%u", i);
        TestConsole *console = test_console_new (&f.worker, name, -1, NULL);

        test_capture_feed (console->capture, (const uint8_t *)text, 300000);
        g_ptr_array_add (f.worker.consoles, console);
    }
    f.worker.done[0].out = g_strndup (text, 20000);
    test_worker_fail (&f.worker, "timeout", "it took too long");
    result = test_worker_result (&f.worker);
    cr_assert_lt (json_dumpb (result, NULL, 0, JSON_COMPACT), TEST_CHILD_LINE_MAX - 4096);
    cr_assert_eq (json_array_size (json_object_get (result, "notes")), 1);
    cr_assert_eq (json_array_size (json_object_get (result, "consoles")), 31);
    json_decref (result);
    clear (&f);
}

static bool
search (const char *pattern, const char *text, char **ret_wrong)
{
    TestSearch search = {0};
    bool found;

    cr_assert (test_search_init (&search, pattern, true, NULL));
    for (const char *p = text; *p != '\0'; p++)
        test_search_feed (&search, p, 1);
    found = test_search_finish (&search);
    *ret_wrong = g_strdup (search.wrong);
    test_search_clear (&search);
    return found;
}

Test (worker_search, finds)
{
    g_autofree char *wrong = NULL;
    g_autofree char *long_line = g_strnfill (50000, 'x');

    cr_expect (search ("^b+$", "a\nbbb", &wrong));
    cr_expect (search ("bb", "a\x1b[1mb\x1b[0mb\n", &wrong));
    cr_expect_not (search ("^bb$", "a\nbbb\n", &wrong));
    cr_expect_not (search (".", "", &wrong));
    cr_expect_null (wrong);
    cr_expect_not (search ("(x+x+)+[yz]", long_line, &wrong));
    cr_expect_not_null (wrong);
}

Test (worker_search, refuses_what_is_no_pattern)
{
    TestSearch search = {0};
    g_autoptr (GError) error = NULL;

    cr_expect_not (test_search_init (&search, "(", true, &error));
    cr_expect_not_null (error);
    test_search_clear (&search);
}

static void
write_whole (Fixture *f, const char *text)
{
    size_t len = strlen (text);

    for (size_t at = 0; at < len;) {
        ssize_t n = write (f->console->guest_fd, text + at, MIN (len - at, 65536));

        cr_assert_gt (n, 0);
        at += (size_t)n;
        while (f->console->bytes < at)
            g_main_context_iteration (f->worker.context, TRUE);
        f->console->bytes = at;
    }
    f->console->bytes = 0;
}

/* A command at a console, whose output has @middle between a megabyte and another one. */
static void
run_command (Fixture *f, const char *output, const char *output_not, const char *middle)
{
    g_autoptr (GString) text = g_string_new ("\nVMM-");
    g_autofree char *word = NULL;
    const char *typed;
    TestStep *step;

    init (f);
    step = f->run->steps->pdata[0];
    step->action = TEST_ACTION_RUN;
    step->text = g_strdup ("dmesg");
    step->output = g_strdup (output);
    step->output_not = g_strdup (output_not);
    step->within_us = G_MAXINT32;
    test_worker_begin_steps (&f->worker);
    test_worker_timer_stop (f->worker.beat);
    test_console_begin (f->console);
    g_byte_array_append (f->console->to_send, (const guint8 *)"", 1);
    typed = strstr ((const char *)f->console->to_send->data, "+\\n' ");
    cr_assert_not_null (typed);
    word = g_strndup (typed + 5, strcspn (typed + 5, ";"));
    g_string_append_printf (text, "%s+\n", word);
    for (unsigned i = 0; i < 50000; i++)
        g_string_append (text, "[    1.000000] a line\n");
    g_string_append (text, middle);
    for (unsigned i = 0; i < 50000; i++)
        g_string_append (text, "[    2.000000] a line\n");
    g_string_append_printf (text, "last\n\nVMM-%s=0\n", word);
    write_whole (f, text->str);
}

Test (worker_command, all_of_a_long_output_is_searched, .timeout = 60)
{
    Fixture f;

    run_command (&f, "^needle (\\d+)$", "^thorn$", "needle 5\n");
    cr_expect_eq (f.worker.done[0].state, TEST_STEP_PASSED, "%s", f.worker.done[0].message);
    cr_expect_lt (strlen (f.worker.done[0].out), 20000u, "of it, a part is kept");
    clear (&f);
    run_command (&f, NULL, "^thorn$", "thorn\n");
    cr_expect_eq (f.worker.done[0].state, TEST_STEP_FAILED);
    cr_expect_str_eq (
        f.worker.done[0].message,
        "step \"end\": a match for /^thorn$/ in the output of \"dmesg\"; its last line was \"last\"");
    clear (&f);
    run_command (&f, "^needle$", NULL, "thorn\n");
    cr_expect_eq (f.worker.done[0].state, TEST_STEP_FAILED);
    cr_expect_str_eq (
        f.worker.done[0].message,
        "step \"end\": no match for /^needle$/ in the output of \"dmesg\"; its last line was \"last\"");
    clear (&f);
    run_command (&f, "\\Aa first", "^\\[ +3\\.", "");
    cr_expect_eq (f.worker.done[0].state, TEST_STEP_FAILED);
    clear (&f);
    run_command (&f, "\\A\\[    1[^\\n]*\n", "(x+x+)+y", "");
    cr_expect_eq (f.worker.done[0].state, TEST_STEP_PASSED, "%s", f.worker.done[0].message);
    clear (&f);
}

Test (worker_text, results_hold_valid_text_of_bounded_length)
{
    g_autofree char *line = test_worker_line ("a\x1b[31mb\tc\xff\x01");
    g_autofree char *long_text = g_strnfill (100, 'x');
    json_t *json = test_worker_text_to_json (long_text, 10);

    cr_expect_str_eq (line, "ab c\xef\xbf\xbd");
    cr_expect_str_eq (json_string_value (json), "xxxxxxxxxx…");
    json_decref (json);
    json = test_worker_text_to_json ("12345678äöü", 11);
    cr_expect_str_eq (json_string_value (json), "12345678ä…");
    json_decref (json);
    json = test_worker_text_to_json ("\xff", 10);
    cr_expect_str_eq (json_string_value (json), "\xef\xbf\xbd");
    json_decref (json);
    json = test_worker_text_to_json (NULL, 10);
    cr_expect (json_is_null (json));
    json_decref (json);
}

#define FLOOD (32u << 20)
/* Pages. A sanitizer keeps what was freed for a while, which is a part of the flood at most. */
#ifdef __SANITIZE_ADDRESS__
#define GROWTH_MAX 4096u
#else
#define GROWTH_MAX 1024u
#endif

static void
fill (uint8_t *bytes, size_t len, unsigned kind)
{
    static const char escapes[] = "\x1b[31mab\x1b[0m\x1b]0;t\x07\x1b[";

    for (size_t i = 0; i < len; i++) {
        bytes[i] = kind == 0   ? 0
                   : kind == 1 ? (uint8_t)g_random_int ()
                   : kind == 2 ? (uint8_t)escapes[i % (sizeof escapes - 1)]
                   : kind == 3 ? 'x'
                               : (uint8_t)(i % 64 == 63 ? '\n' : 'a' + i % 26);
    }
}

/* Writes a lot to a console, as a guest would. */
static pid_t
start_flood (const TestConsole *console, unsigned kind)
{
    pid_t child = fork ();

    if (child == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        g_autofree uint8_t *bytes = g_malloc (1 << 20);

        fill (bytes, 1 << 20, kind);
        for (size_t sent = 0; sent < FLOOD;) {
            ssize_t n = write (console->guest_fd, bytes, MIN (1u << 20, FLOOD - sent));

            if (n < 0)
                _exit (1);
            sent += (size_t)n;
        }
        _exit (0);
    }
    return child;
}

static unsigned long
resident_pages (void)
{
    g_autofree char *text = NULL;

    cr_assert (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL));
    return strtoul (strchr (text, ' '), NULL, 10);
}

Test (worker_console, memory_is_constant_whatever_comes, .timeout = 300)
{
    for (unsigned kind = 0; kind < 5; kind++) {
        Fixture f;
        TestStep *step;
        unsigned long before, after;
        pid_t child;
        int status;

        init (&f);
        step = f.run->steps->pdata[0];
        step->action = TEST_ACTION_NONE;
        step->expect = g_strdup ("login: $");
        step->within_us = G_MAXINT32;
        f.worker.kernel_console = f.console;
        test_worker_begin_steps (&f.worker);
        /* There is no machine to look at. */
        test_worker_timer_stop (f.worker.beat);
        test_console_begin (f.console);
        before = resident_pages ();
        child = start_flood (f.console, kind);
        cr_assert_geq (child, 0);
        while (f.console->bytes < FLOOD)
            g_main_context_iteration (f.worker.context, TRUE);
        after = resident_pages ();
        cr_assert_eq (waitpid (child, &status, 0), child);
        cr_assert_eq (status, 0);
        cr_assert_leq (after, before + GROWTH_MAX, "kind %u: from %lu to %lu pages", kind, before, after);
        cr_assert_null (f.worker.verdict.kind);
        clear (&f);
    }
}
