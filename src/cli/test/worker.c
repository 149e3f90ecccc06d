/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * One run of a scenario, in a process of its own: what it holds goes when it ends, whatever befalls it, and a
 * guest that brings a worker down fails one run. The parent has one thread and forks without exec; so the
 * worker has the scenario in memory, and makes its own main context, since the parent's is shared by both.
 *
 * All happens on that context, from the machine's loop: a console's bytes, a timer, the machine's end, a
 * signal. Each goes to who is concerned, and then the steps go on as far as they can (worker-steps.c). What
 * comes of it is told to the parent, a line of JSON for each event, and the result at the end
 * (worker-events.c).
 *
 *     worker-state.c      what a worker has, and the signals that it takes
 *     worker-machine.c    the configuration, the making and the end of the machine
 *     worker-console.c    what consoles say, and what is said to them
 *     worker-command.c    commands in the guest
 *     worker-steps.c      the steps, one after the other
 *     worker-watch.c      time: quiet consoles, silent guests, limits
 *     worker-verdict.c    what it was, and why
 *
 * The guest is not trusted. Whatever it writes costs constant memory: the first and the last part of a
 * console are kept, patterns look through a window, of reports there is a limit. Nor does it get to choose
 * how long its words are listened to: a machine that is ended is ended at once.
 *
 * The end has an order. The machine goes first, and what it still had to say is then in the sockets; that is
 * heard, and steps may pass by it: a guest that prints its last line and turns itself off has done both. Only
 * then is the verdict made, the folder removed, and the result sent.
 */
#include <string.h>

#include "report.h"
#include "worker-internal.h"

static bool
check_run (const TestRun *run, GError **error)
{
    if (run->steps->len > 0 || run->command != NULL)
        return true;
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "there is nothing to do: no step, and no command");
    return false;
}

static double
since_start (const TestWorker *worker, int64_t ns)
{
    return ns != 0 ? test_worker_seconds (worker, ns / 1000) : -1;
}

/* Keeps what outlives the machine. */
static void
keep_end (TestWorker *worker, const VmmVerdict *verdict)
{
    TestEnd *end = &worker->end;
    const char *report = verdict->report != NULL ? strstr (verdict->report, "vCPU ") : NULL;

    end->there = true;
    end->kind = verdict->kind;
    end->exit_code = verdict->exit_code;
    end->reason = g_strdup (verdict->reason);
    end->where = report != NULL ? g_strndup (report, strcspn (report, "\n")) : NULL;
    if (end->kind == VMM_VERDICT_HANG && report != NULL && json_array_size (worker->samples) == 0)
        test_worker_keep_sample (worker, verdict->end_ns / 1000, verdict->report);
    end->json = report_verdict_to_json (verdict, worker->start_us * 1000);
    /* The result has them itself, of all consoles. */
    json_object_del (end->json, "kernel_reports");
    end->first_instruction = since_start (worker, verdict->first_instruction_ns);
    end->first_output = since_start (worker, verdict->first_output_ns);
    end->end = since_start (worker, verdict->end_ns);
    worker->boots = verdict->boots;
}

static void
keep_command_end (TestWorker *worker, const VmmRunResult *result)
{
    TestCommandEnd *end = &worker->command_end;

    end->end = result->end;
    end->status = result->status;
    end->message = g_strdup (result->message);
    end->files_failed = result->files_failed;
    /* That of a shell for steps tells nothing. */
    if (worker->run->command != NULL)
        end->json = report_command_to_json (result);
}

/* Until the machine has ended. */
static bool
run_machine (TestWorker *worker, GError **error)
{
    const VmmRunResult *result = NULL;
    const VmmVerdict *verdict = NULL;

    for (guint i = 0; i < worker->consoles->len; i++)
        test_console_begin (worker->consoles->pdata[i]);
    test_command_begin (worker);
    test_worker_begin_watch (worker);
    if (!vmm_machine_start (worker->machine, error))
        return false;
    test_worker_begin_steps (worker);
    if (worker->guest != NULL) {
        result = vmm_run_wait (worker->guest, error);
        verdict = result != NULL ? result->verdict : NULL;
    } else {
        verdict = vmm_machine_run (worker->machine, error);
    }
    if (verdict == NULL)
        return false;
    keep_end (worker, verdict);
    if (result != NULL)
        keep_command_end (worker, result);
    return true;
}

/* What the machine had still to say; and the steps that this lets pass. */
static void
hear_out (TestWorker *worker)
{
    /* Room for what its devices hold back. */
    for (guint i = 0; i < worker->consoles->len; i++)
        test_console_drain (worker->consoles->pdata[i], G_MAXUINT);
    test_worker_drop_machine (worker);
    for (guint i = 0; i < worker->consoles->len; i++)
        test_console_end (worker->consoles->pdata[i]);
    test_command_end (worker);
    test_worker_judge_wait (worker);
    test_worker_pump (worker);
    test_worker_conclude (worker);
}

static void
fail_to_make (TestWorker *worker, const GError *error)
{
    test_worker_drop_machine (worker);
    test_worker_decide (worker, test_worker_name_error (error), error->message);
}

/**
 * test_worker_run:
 * @run: what to do
 * @results: (nullable): a folder for the whole of what consoles say
 * @event_fd: where events go, and the result; a pipe or a socket, not closed
 *
 * In a child that the parent has forked, and that has one thread: does one run. It prints nothing.
 *
 * Returns: the exit code of the child: 0 when a result was sent
 */
int
test_worker_run (const TestRun *run, const char *results, int event_fd)
{
    TestWorker worker;
    g_autoptr (GError) error = NULL;
    json_t *result;
    bool sent;

    test_worker_init (&worker, run, results, event_fd);
    test_worker_tell_stage (&worker, "vmm");
    if (!check_run (run, &error) || !test_worker_make_tmp (&worker, &error) ||
        !test_worker_make_machine (&worker, &error) || !run_machine (&worker, &error))
        fail_to_make (&worker, error);
    else
        hear_out (&worker);
    result = test_worker_result (&worker);
    test_worker_remove_tmp (&worker);
    sent = test_worker_tell_result (&worker, result);
    test_worker_clear (&worker);
    return sent ? 0 : 1;
}
