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
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "report.h"
#include "worker-internal.h"

static gboolean
on_signal (gint fd, GIOCondition condition, gpointer user)
{
    TestWorker *worker = user;
    struct signalfd_siginfo info;
    g_autofree char *reason = NULL;

    if (read (fd, &info, sizeof info) != sizeof info)
        return G_SOURCE_CONTINUE;
    reason = g_strdup_printf ("by signal %s", sigabbrev_np ((int)info.ssi_signo));
    test_worker_decide (worker, "stopped", reason);
    return G_SOURCE_CONTINUE;
}

/* A parent that was killed has nobody left to tell, and nobody to clean up. */
static gboolean
on_reader_gone (gint fd, GIOCondition condition, gpointer user)
{
    TestWorker *worker = user;

    worker->deaf = true;
    test_worker_decide (worker, "stopped", "nobody listens any more");
    g_clear_pointer (&worker->reader, g_source_unref);
    return G_SOURCE_REMOVE;
}

/* Before the machine's first thread, so that all have them blocked. */
static int
take_signals (void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    sigset_t set;

    sigemptyset (&set);
    for (size_t i = 0; i < G_N_ELEMENTS (signals); i++)
        sigaddset (&set, signals[i]);
    sigprocmask (SIG_BLOCK, &set, NULL);
    /* Readers that go away, and limits of files, are told by errors. */
    signal (SIGPIPE, SIG_IGN);
    signal (SIGXFSZ, SIG_IGN);
    return signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void
init (TestWorker *worker)
{
    worker->start_us = test_worker_now ();
    worker->signal_fd = take_signals ();
    worker->context = g_main_context_new ();
    g_main_context_push_thread_default (worker->context);
    worker->consoles = g_ptr_array_new_with_free_func ((GDestroyNotify)test_console_free);
    worker->notes = g_ptr_array_new_with_free_func (g_free);
    worker->done = g_new0 (TestStepResult, worker->run->steps->len + 1);
    worker->timeline = test_timeline_new ();
    worker->reports = json_array ();
    worker->samples = json_array ();
    worker->command.in = worker->command.out = worker->command.err =
        (TestStream){.worker = worker, .fd = -1, .theirs = -1};
    worker->end = (TestEnd){.first_instruction = -1, .first_output = -1};
    worker->verdict.step = -1;
    if (worker->signal_fd >= 0)
        worker->signals = test_worker_watch (worker, worker->signal_fd, G_IO_IN, on_signal, worker);
    worker->reader =
        test_worker_watch (worker, worker->event_fd, G_IO_ERR | G_IO_HUP, on_reader_gone, worker);
}

/* None of them is armed before there is something to wait for. */
static void
init_timers (TestWorker *worker)
{
    worker->within = test_worker_timer_new (worker, test_worker_on_within);
    worker->later = test_worker_timer_new (worker, test_worker_on_later);
    worker->quiet = test_worker_timer_new (worker, test_worker_on_quiet);
    worker->beat = test_worker_timer_new (worker, test_worker_on_beat);
    worker->total = test_worker_timer_new (worker, test_worker_on_total);
    worker->trouble_end = test_worker_timer_new (worker, test_worker_on_trouble_end);
    worker->command.patience = test_worker_timer_new (worker, test_command_on_patience);
}

static void
clear (TestWorker *worker)
{
    GSource **const sources[] = {&worker->signals, &worker->reader, &worker->within, &worker->total,
                                 &worker->later,   &worker->quiet,  &worker->beat,   &worker->trouble_end};

    for (size_t i = 0; i < G_N_ELEMENTS (sources); i++)
        test_worker_source_clear (sources[i]);
    test_command_clear (worker);
    g_ptr_array_unref (worker->consoles);
    g_ptr_array_unref (worker->notes);
    for (guint i = 0; i <= worker->run->steps->len; i++) {
        g_free (worker->done[i].out);
        g_free (worker->done[i].err);
        g_free (worker->done[i].message);
    }
    g_free (worker->done);
    test_timeline_free (worker->timeline);
    json_decref (worker->reports);
    json_decref (worker->samples);
    json_decref (worker->end.json);
    g_free (worker->end.reason);
    g_free (worker->end.where);
    g_free (worker->command_end.message);
    json_decref (worker->command_end.json);
    g_free (worker->trouble.reason);
    g_free (worker->verdict.reason);
    g_free (worker->file_wrong);
    g_free (worker->stage);
    g_free (worker->kernel);
    test_run_free (worker->own_run);
    g_main_context_pop_thread_default (worker->context);
    g_main_context_unref (worker->context);
    if (worker->signal_fd >= 0)
        close (worker->signal_fd);
}

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
    TestWorker worker = {.run = run, .results = results, .event_fd = event_fd};
    g_autoptr (GError) error = NULL;
    json_t *result;
    bool sent;

    init (&worker);
    init_timers (&worker);
    test_worker_tell_stage (&worker, "vmm");
    if (!check_run (run, &error) || !test_worker_make_tmp (&worker, &error) ||
        !test_worker_make_machine (&worker, &error) || !run_machine (&worker, &error))
        fail_to_make (&worker, error);
    else
        hear_out (&worker);
    result = test_worker_result (&worker);
    test_worker_remove_tmp (&worker);
    sent = test_worker_tell_result (&worker, result);
    clear (&worker);
    return sent ? 0 : 1;
}
