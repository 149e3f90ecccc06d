/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps, one after the other. What ends a step (text that came, a command that ended, a timer) sets
 * @advance, and test_worker_pump() begins the next one: so a step that is over at once, and a hundred like
 * it, need no stack. A step waits in one of the phases; the guest's words go on to be looked at in all of
 * them.
 */
#include <string.h>

#include "worker-internal.h"

/**
 * test_worker_step:
 *
 * Returns: (transfer none) (nullable): the step that is being done; NULL when all are
 */
const TestStep *
test_worker_step (const TestWorker *worker)
{
    return worker->step < worker->run->steps->len ? worker->run->steps->pdata[worker->step] : NULL;
}

/**
 * test_worker_step_result:
 *
 * Returns: (transfer none): of the step that is being done, or else of the guest's command
 */
TestStepResult *
test_worker_step_result (TestWorker *worker)
{
    return &worker->done[worker->step];
}

static TestConsole *
console_of (const TestWorker *worker, const TestStep *step)
{
    return worker->consoles->pdata[step->console];
}

static void
stop_waiting (TestWorker *worker, const TestStep *step)
{
    TestConsole *console = console_of (worker, step);

    vmm_expect_remove_pattern (console->expect, TEST_STEP_PATTERN);
    g_clear_pointer (&console->shell, test_shell_free);
    test_worker_timer_stop (worker->within);
    test_worker_timer_stop (worker->later);
}

/**
 * test_worker_pass_step:
 *
 * The step is done, and all is well.
 */
void
test_worker_pass_step (TestWorker *worker)
{
    const TestStep *step = test_worker_step (worker);
    TestStepResult *result = test_worker_step_result (worker);

    if (step == NULL || worker->advance || test_worker_is_over (worker))
        return;
    stop_waiting (worker, step);
    result->state = TEST_STEP_PASSED;
    result->end = test_worker_seconds (worker, test_worker_now ());
    worker->boots_passed = worker->boots;
    worker->advance = true;
    test_worker_tell_step (worker, worker->step);
}

/**
 * test_worker_end_steps:
 *
 * The verdict is there: the step that is being done is not passed.
 */
void
test_worker_end_steps (TestWorker *worker)
{
    const TestStep *step = test_worker_step (worker);
    TestStepResult *result = test_worker_step_result (worker);

    if (result->state != TEST_STEP_BEGUN)
        return;
    if (step != NULL)
        stop_waiting (worker, step);
    result->state = TEST_STEP_FAILED;
    result->end = test_worker_seconds (worker, test_worker_now ());
    if (result->message == NULL)
        result->message = g_strdup (worker->verdict.reason);
    test_worker_tell_step (worker, worker->step);
}

/**
 * test_worker_failing_step:
 *
 * Returns: the index of the step that has begun and not passed, where behind the last one is the guest's
 * command; -1: there is none
 */
int
test_worker_failing_step (const TestWorker *worker)
{
    TestStepState state = worker->done[worker->step].state;

    return state == TEST_STEP_BEGUN || state == TEST_STEP_FAILED ? (int)worker->step : -1;
}

/**
 * test_worker_pass_command:
 *
 * The guest's command, if it is no shell, has ended as it should.
 */
void
test_worker_pass_command (TestWorker *worker)
{
    TestStepResult *result = test_worker_step_result (worker);

    if (worker->run->command == NULL || test_worker_step (worker) != NULL)
        return;
    result->state = TEST_STEP_PASSED;
    result->end = test_worker_seconds (worker, test_worker_now ());
    test_worker_tell_step (worker, worker->step);
}

static bool
is_end (const TestStep *step, const TestEnd *end)
{
    switch (step->wait) {
    case TEST_WAIT_POWEROFF:
        return end->kind == VMM_VERDICT_POWEROFF;
    case TEST_WAIT_REBOOT:
        return end->kind == VMM_VERDICT_REBOOT;
    case TEST_WAIT_HALT:
        return end->kind == VMM_VERDICT_HALT;
    case TEST_WAIT_EXIT:
        /* What a guest writes is told as QEMU's isa-debug-exit tells it. */
        return end->kind == VMM_VERDICT_GUEST_EXIT &&
               (unsigned)end->exit_code == ((step->exit_value << 1 | 1) & 0xff);
    case TEST_WAIT_END:
        return end->kind == VMM_VERDICT_POWEROFF || end->kind == VMM_VERDICT_REBOOT ||
               end->kind == VMM_VERDICT_HALT || end->kind == VMM_VERDICT_GUEST_EXIT;
    }
    return false;
}

/**
 * test_worker_judge_wait:
 *
 * The machine has ended, or the guest has rebooted: passes a step that waits for that.
 */
void
test_worker_judge_wait (TestWorker *worker)
{
    const TestStep *step = test_worker_step (worker);

    if (step == NULL || worker->advance || test_worker_step_result (worker)->state != TEST_STEP_BEGUN ||
        worker->phase != TEST_PHASE_WAIT)
        return;
    if (worker->end.there ? is_end (step, &worker->end)
                          : step->wait == TEST_WAIT_REBOOT && worker->boots > worker->boots_begun)
        test_worker_pass_step (worker);
}

static void
do_to_machine (TestWorker *worker, const TestStep *step)
{
    g_autoptr (GError) error = NULL;
    bool ok = worker->machine != NULL;

    if (!ok)
        return; /* it has ended: so the verdict will say */
    switch (step->machine) {
    case TEST_MACHINE_PAUSE:
        ok = vmm_machine_pause (worker->machine, &error);
        worker->paused = worker->paused || ok;
        break;
    case TEST_MACHINE_RESUME:
        ok = vmm_machine_resume (worker->machine, &error);
        worker->paused = worker->paused && !ok;
        break;
    case TEST_MACHINE_POWER_BUTTON:
        vmm_machine_press_power_button (worker->machine);
        break;
    case TEST_MACHINE_BREAK:
        vmm_machine_send_break (worker->machine);
        break;
    }
    if (ok)
        test_worker_pass_step (worker);
    else if (vmm_machine_get_verdict (worker->machine) == NULL)
        test_worker_fail (worker, "setup", "%s", error->message);
}

/* What the step does, now that its text has come. */
static void
act (TestWorker *worker, const TestStep *step)
{
    bool over = worker->end.there;

    switch (step->action) {
    case TEST_ACTION_NONE:
        test_worker_pass_step (worker);
        break;
    case TEST_ACTION_SEND:
    case TEST_ACTION_KEY:
        if (over)
            break;
        test_console_send (console_of (worker, step), g_bytes_get_data (step->bytes, NULL),
                           g_bytes_get_size (step->bytes));
        test_worker_pass_step (worker);
        break;
    case TEST_ACTION_RUN:
        worker->phase = TEST_PHASE_RUN;
        if (!over)
            test_command_run (worker, step);
        break;
    case TEST_ACTION_WAIT:
        worker->phase = TEST_PHASE_WAIT;
        /* A shell that has nothing more to do ends, and its machine with it. */
        if (worker->guest != NULL && worker->run->command == NULL)
            test_command_finish_input (worker);
        test_worker_judge_wait (worker);
        break;
    case TEST_ACTION_MACHINE:
        do_to_machine (worker, step);
        break;
    case TEST_ACTION_SLEEP:
        worker->phase = TEST_PHASE_SLEEP;
        test_worker_timer_arm (worker->later, test_worker_now () + step->sleep_us);
        if (over)
            test_worker_pass_step (worker);
        break;
    case TEST_ACTION_CHECK_FILE:
        worker->phase = TEST_PHASE_FILE;
        test_worker_check_file (worker);
        break;
    }
}

/**
 * test_worker_matched:
 * @event: of the step's pattern: it was found, or had to be given up
 */
void
test_worker_matched (TestWorker *worker, TestConsole *console, const VmmExpectEvent *event)
{
    const TestStep *step = test_worker_step (worker);

    if (step == NULL || worker->phase != TEST_PHASE_EXPECT || worker->advance || test_worker_is_over (worker))
        return;
    if (event->error != NULL) {
        test_worker_fail (worker, "failed-expectation", "%s", event->error);
        return;
    }
    test_worker_step_result (worker)->line = event->line;
    vmm_expect_remove_pattern (console->expect, TEST_STEP_PATTERN);
    act (worker, step);
}

static void
expect (TestWorker *worker, const TestStep *step)
{
    TestConsole *console = console_of (worker, step);
    g_autoptr (GError) error = NULL;

    worker->phase = TEST_PHASE_EXPECT;
    if (vmm_expect_add_pattern (console->expect, TEST_STEP_PATTERN, step->expect,
                                step->expect_literal ? VMM_EXPECT_LITERAL : VMM_EXPECT_REGEX, &error))
        console->asks = true; /* it may have come before */
    else
        test_worker_fail (worker, "setup", "%s", error->message);
}

static void
begin (TestWorker *worker)
{
    const TestStep *step = test_worker_step (worker);
    TestStepResult *result = test_worker_step_result (worker);
    int64_t now = test_worker_now ();

    result->state = TEST_STEP_BEGUN;
    result->begin = test_worker_seconds (worker, now);
    if (step == NULL && worker->run->command == NULL) {
        result->state = TEST_STEP_NOT_RUN;
        worker->passing = true;
        test_command_finish_input (worker);
        if (worker->guest == NULL)
            test_worker_stop_machine (worker, "all steps have passed");
        return;
    }
    test_worker_tell_step (worker, worker->step);
    if (step == NULL)
        return; /* the guest's command ends the machine */
    /* A sleep is no waiting. */
    worker->within_us = now + step->within_us + (step->action == TEST_ACTION_SLEEP ? step->sleep_us : 0);
    test_worker_timer_arm (worker->within, worker->within_us);
    worker->boots_begun = worker->boots;
    test_worker_begin_silence (worker);
    if (step->expect != NULL)
        expect (worker, step);
    else
        act (worker, step);
}

/**
 * test_worker_pump:
 *
 * Goes on as far as it can: begins steps, and has consoles asked what they found.
 */
void
test_worker_pump (TestWorker *worker)
{
    bool asked;

    do {
        asked = false;
        while (worker->advance && !test_worker_is_over (worker)) {
            worker->advance = false;
            worker->step++;
            begin (worker);
        }
        for (guint i = 0; i < worker->consoles->len; i++)
            asked = test_console_pump (worker->consoles->pdata[i]) || asked;
    } while (asked);
}

/**
 * test_worker_on_within:
 *
 * A timer: the step has had its time.
 */
void
test_worker_on_within (TestWorker *worker)
{
    const TestStep *step = test_worker_step (worker);
    int64_t due;

    if (step == NULL || worker->advance || test_worker_is_over (worker) || worker->sampling)
        return;
    if (worker->machine != NULL)
        test_worker_look_at_cpus (worker);
    due = test_worker_due (worker);
    if (test_worker_now () < due) {
        test_worker_timer_arm (worker->within, due);
        return;
    }
    test_worker_time_is_over (worker, step);
    test_worker_pump (worker);
}

/**
 * test_worker_on_later:
 *
 * A timer: a sleep is over, or a file may be there.
 */
void
test_worker_on_later (TestWorker *worker)
{
    if (test_worker_is_over (worker) || worker->advance)
        return;
    if (worker->phase == TEST_PHASE_SLEEP)
        test_worker_pass_step (worker);
    else if (worker->phase == TEST_PHASE_FILE)
        test_worker_check_file (worker);
    test_worker_pump (worker);
}

/**
 * test_worker_begin_steps:
 *
 * The machine is about to start: begins the first one.
 */
void
test_worker_begin_steps (TestWorker *worker)
{
    begin (worker);
    test_worker_pump (worker);
}
