/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * There is one verdict, and what is found first makes it. But what was said goes before what was not: a step
 * whose time is over, or a guest that turned itself off, is explained by the kernel's oops that is still on
 * its way. So such verdicts are soft, and a report in the machine's last words replaces them.
 *
 * What must not be said (a forbidden text, a report that is not allowed) is suspected first: steps stop, and
 * the machine runs on until the report is whole and the panic that may follow is there, too; then it decides.
 * The first report names the verdict, since what follows comes of it: a panic alone is a panic, and one
 * because of an oops is an oops; the reason tells both.
 */
#include <stdarg.h>
#include <string.h>

#include "worker-internal.h"

/* A panic follows at once, if it does. */
#define CONSEQUENCE_US (500 * 1000)
#define WHOLE_US (5 * G_USEC_PER_SEC)
#define LOOK_US (100 * 1000)

#define REPORTS_MAX 100u
#define REPORT_BYTES_MAX (512u << 10)

/**
 * test_worker_name_end:
 *
 * Returns: (transfer none): the verdict of a run whose machine ended like that when it should not have
 */
const char *
test_worker_name_end (VmmVerdictKind kind)
{
    switch (kind) {
    case VMM_VERDICT_POWEROFF:
    case VMM_VERDICT_GUEST_EXIT:
    case VMM_VERDICT_REBOOT:
    case VMM_VERDICT_HALT:
        return "ended";
    case VMM_VERDICT_PANIC:
    case VMM_VERDICT_TRIPLE_FAULT:
    case VMM_VERDICT_HANG:
    case VMM_VERDICT_TIMEOUT:
    case VMM_VERDICT_CPU_ERROR:
    case VMM_VERDICT_STOPPED:
    case VMM_VERDICT_HOST_ERROR:
        break;
    }
    return vmm_verdict_kind_to_string (kind);
}

/**
 * test_worker_is_over:
 *
 * Returns: whether the steps are over, and not all of them have passed: a verdict is there or suspected
 */
bool
test_worker_is_over (const TestWorker *worker)
{
    return worker->verdict.kind != NULL || worker->trouble.kind != NULL;
}

/**
 * test_worker_decide:
 * @kind: (transfer none): a literal
 * @reason: one line
 *
 * Makes the verdict, unless there is one, and ends the machine.
 */
void
test_worker_decide (TestWorker *worker, const char *kind, const char *reason)
{
    if (worker->verdict.kind != NULL)
        return;
    worker->verdict.kind = kind;
    worker->verdict.reason = g_strdup (reason);
    worker->verdict.step = test_worker_failing_step (worker);
    test_worker_end_steps (worker);
    test_worker_stop_machine (worker, reason);
}

/* With the step's name before it. */
static char *
in_step (const TestWorker *worker, const char *reason)
{
    const TestStep *step = test_worker_step (worker);

    return step != NULL ? g_strdup_printf ("step \"%s\": %s", step->name, reason) : g_strdup (reason);
}

/* Where a step got to that waits for something on a console. */
static void
mark_line (TestWorker *worker)
{
    const TestStep *step = test_worker_step (worker);
    TestConsole *console = step != NULL ? worker->consoles->pdata[step->console] : NULL;

    if (console == NULL || console->bytes == 0 || console->fail_line > 0)
        return;
    if (worker->phase == TEST_PHASE_EXPECT || worker->phase == TEST_PHASE_WAIT || console->shell != NULL)
        console->fail_line = console->lines + (console->at_line_end ? 0 : 1);
}

/**
 * test_worker_fail:
 * @kind: (transfer none): a literal
 *
 * What the step waits for does not come.
 */
void
test_worker_fail (TestWorker *worker, const char *kind, const char *format, ...)
{
    g_autofree char *text = NULL;
    g_autofree char *reason = NULL;
    va_list arguments;

    if (test_worker_is_over (worker))
        return;
    va_start (arguments, format);
    text = g_strdup_vprintf (format, arguments);
    va_end (arguments);
    reason = in_step (worker, text);
    mark_line (worker);
    worker->verdict.soft = true;
    test_worker_decide (worker, kind, reason);
}

/**
 * test_worker_hears_report:
 *
 * Returns: whether some console is in the middle of a kernel's report
 */
bool
test_worker_hears_report (const TestWorker *worker)
{
    for (guint i = 0; i < worker->consoles->len; i++) {
        if (vmm_kernel_log_is_in_report (((const TestConsole *)worker->consoles->pdata[i])->log))
            return true;
    }
    return false;
}

/**
 * test_worker_on_trouble_end:
 *
 * A timer: decides when all was heard.
 */
void
test_worker_on_trouble_end (TestWorker *worker)
{
    int64_t now = test_worker_now ();
    bool whole = !test_worker_hears_report (worker) && now >= worker->trouble.heard_us + CONSEQUENCE_US;

    if (worker->trouble.kind == NULL || worker->verdict.kind != NULL)
        return;
    if (whole || now >= worker->trouble.since_us + WHOLE_US)
        test_worker_decide (worker, worker->trouble.kind, worker->trouble.reason);
    else
        test_worker_timer_arm (worker->trouble_end, now + LOOK_US);
}

/**
 * test_worker_suspect:
 * @kind: (transfer none): a literal
 * @reason: one line
 * @line: of the console; 0: unknown
 *
 * Something was said that must not be.
 */
void
test_worker_suspect (TestWorker *worker, TestConsole *console, const char *kind, const char *reason,
                     uint64_t line)
{
    TestTrouble *trouble = &worker->trouble;

    if (trouble->kind != NULL || (worker->verdict.kind != NULL && !worker->verdict.soft))
        return;
    trouble->kind = kind;
    trouble->reason = g_strdup (reason);
    trouble->since_us = trouble->heard_us = test_worker_now ();
    if (line > 0)
        console->fail_line = line;
    test_worker_timer_arm (worker->trouble_end, trouble->since_us + LOOK_US);
}

static bool
is_allowed (const TestRun *run, const char *kind)
{
    const char *const *allow = (const char *const *)run->allow;

    return allow != NULL && (g_strv_contains (allow, kind) || g_strv_contains (allow, "all"));
}

/* A kernel with two consoles says all of it twice. */
static bool
is_echo (TestWorker *worker, const TestConsole *console, const VmmKernelReport *report)
{
    size_t i;
    json_t *known;

    json_array_foreach (worker->reports, i, known)
    {
        if (strcmp (json_string_value (json_object_get (known, "title")), report->title) == 0 &&
            strcmp (json_string_value (json_object_get (known, "console")), console->name) != 0)
            return true;
    }
    return false;
}

static void
keep_report (TestWorker *worker, const TestConsole *console, const VmmKernelReport *report, bool allowed)
{
    bool decides = !allowed && worker->trouble.kind == NULL;
    bool room = decides || worker->report_bytes + report->text_len <= REPORT_BYTES_MAX;

    if (json_array_size (worker->reports) >= REPORTS_MAX && !decides)
        return;
    worker->report_bytes += room ? report->text_len : 0;
    json_array_append_new (
        worker->reports,
        json_pack ("{s:s, s:o, s:o, s:o, s:o, s:s, s:I, s:b}", "kind",
                   vmm_kernel_trouble_to_string (report->kind), "summary",
                   test_worker_text_to_json (report->summary, TEST_REASON_MAX), "title",
                   test_worker_text_to_json (report->title, TEST_REASON_MAX), "function",
                   test_worker_text_to_json (report->function, TEST_REASON_MAX), "text",
                   test_worker_text_to_json (room ? report->text : report->title, VMM_KERNEL_REPORT_MAX),
                   "console", console->name, "line", (json_int_t)report->line, "allowed", allowed));
}

/* A panic behind the first report. */
static void
add_panic (TestTrouble *trouble, const VmmKernelReport *report)
{
    g_autofree char *first = g_steal_pointer (&trouble->reason);

    trouble->heard_us = test_worker_now ();
    if (trouble->panicked || !vmm_kernel_trouble_is_panic (report->kind)) {
        trouble->reason = g_steal_pointer (&first);
        return;
    }
    trouble->panicked = true;
    trouble->reason = g_strdup_printf ("%s; then: %s", first, report->summary);
}

/**
 * test_worker_take_report:
 * @user: the console's TestConsole
 *
 * A kernel has reported trouble.
 */
void
test_worker_take_report (void *user, const VmmKernelReport *report)
{
    TestConsole *console = user;
    TestWorker *worker = console->worker;
    const char *kind = vmm_kernel_trouble_to_string (report->kind);
    bool allowed = is_allowed (worker->run, kind);

    if (is_echo (worker, console, report))
        return;
    keep_report (worker, console, report, allowed);
    if (allowed)
        return;
    if (worker->trouble.kind != NULL) {
        add_panic (&worker->trouble, report);
        return;
    }
    test_worker_suspect (worker, console, kind, report->summary, report->line);
    worker->trouble.panicked = vmm_kernel_trouble_is_panic (report->kind);
}

/* A good end at a bad time. */
static char *
describe_early_end (const TestWorker *worker)
{
    const TestStep *step = test_worker_step (worker);
    const TestCommandEnd *command = &worker->command_end;
    const char *reason = worker->end.reason;
    g_autofree char *number = NULL;

    if (step == NULL)
        return g_strdup_printf ("%s before its command had ended", reason);
    if (worker->run->command == NULL && command->end == VMM_COMMAND_EXITED)
        return g_strdup_printf ("the guest's shell exited with %d before step \"%s\" had passed",
                                command->status, step->name);
    if (worker->run->command == NULL && command->end == VMM_COMMAND_SIGNALLED)
        return g_strdup_printf ("the guest's shell was ended by signal %d before step \"%s\" had passed",
                                command->status, step->name);
    /* "wait = exit N" has the number that the guest wrote, and not the code that comes of it. */
    if (worker->end.kind == VMM_VERDICT_GUEST_EXIT)
        number = g_strdup_printf (", but exit %d", worker->end.exit_code >> 1);
    if (worker->phase == TEST_PHASE_WAIT)
        return g_strdup_printf ("step \"%s\": this is not what it waited for%s: %s", step->name,
                                number != NULL ? number : "", reason);
    return g_strdup_printf ("%s before step \"%s\" had passed", reason, step->name);
}

/* The machine has ended by itself, and something was left to do. */
static void
judge_end (TestWorker *worker)
{
    const TestEnd *end = &worker->end;
    const char *kind = test_worker_name_end (end->kind);
    g_autofree char *text = NULL;

    if (strcmp (kind, "ended") == 0)
        text = describe_early_end (worker);
    else if (end->kind == VMM_VERDICT_HANG && end->where != NULL)
        text = g_strdup_printf ("%s; %s", end->reason, end->where);
    else
        text = g_strdup (end->reason);
    test_worker_decide (worker, kind, text);
}

/* What is wrong with the end of the guest's command; NULL: nothing. */
static char *
describe_command_end (TestWorker *worker)
{
    const TestCommandEnd *command = &worker->command_end;
    int wanted = worker->run->command_status;
    g_autofree char *number = g_strdup_printf ("%d", wanted);

    if (command->end == VMM_COMMAND_NOT_STARTED)
        return g_strdup_printf ("the guest's command was not started: %s", command->message);
    if (command->end == VMM_COMMAND_SIGNALLED && !test_command_is_status (command->status + 128, wanted))
        return g_strdup_printf ("the guest's command was ended by signal %d", command->status);
    if (command->end == VMM_COMMAND_EXITED && !test_command_is_status (command->status, wanted))
        return g_strdup_printf (
            "the guest's command exited with %d, and %s was expected; its last line was \"%s\"",
            command->status, wanted == TEST_STATUS_FAILURE ? "a failure" : number,
            test_command_last_line (worker));
    return NULL;
}

static void
judge_command (TestWorker *worker)
{
    TestStepResult *result = &worker->done[worker->run->steps->len];
    g_autofree char *text = describe_command_end (worker);

    result->has_status = worker->command_end.end == VMM_COMMAND_EXITED;
    result->status = worker->command_end.status;
    if (text != NULL)
        test_worker_decide (worker, "command-failed", text);
}

/* All that there is to know of a run that has a [guest]. */
static void
judge_guest (TestWorker *worker)
{
    const TestCommandEnd *command = &worker->command_end;

    /* The shell of steps that have passed may have turned the machine off. */
    if (command->end == VMM_COMMAND_UNKNOWN && !(worker->passing && worker->end.kind == VMM_VERDICT_POWEROFF))
        judge_end (worker);
    else if (worker->run->command != NULL)
        judge_command (worker);
    if (command->files_failed)
        test_worker_decide (worker, "check-failed", command->message);
    if (worker->end.kind == VMM_VERDICT_HOST_ERROR)
        judge_end (worker);
}

/* Nothing is decided; the step that has failed has, for another reason. */
static void
replace_verdict (TestWorker *worker)
{
    TestStepResult *result = test_worker_step_result (worker);

    g_clear_pointer (&worker->verdict.reason, g_free);
    worker->verdict.kind = NULL;
    if (result->state != TEST_STEP_FAILED)
        return;
    g_free (result->message);
    result->message = g_strdup (worker->trouble.reason);
}

/**
 * test_worker_conclude:
 *
 * The machine has gone, and all that it said was heard: there is a verdict now.
 */
void
test_worker_conclude (TestWorker *worker)
{
    const TestVerdict *verdict = &worker->verdict;

    if (worker->trouble.kind != NULL && (verdict->kind == NULL || verdict->soft)) {
        replace_verdict (worker);
        test_worker_decide (worker, worker->trouble.kind, worker->trouble.reason);
    }
    if (verdict->kind == NULL && worker->run->has_guest)
        judge_guest (worker);
    if (verdict->kind == NULL && test_worker_step (worker) != NULL)
        judge_end (worker);
    if (verdict->kind != NULL)
        return;
    test_worker_pass_command (worker);
    test_worker_decide (worker, "passed",
                        worker->run->steps->len > 0 ? "all steps have passed" : "the command has ended well");
}
