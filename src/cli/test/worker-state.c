/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker has, from its start to its end; and who ends it early. */
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

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

/**
 * test_worker_init:
 *
 * Makes a worker that has all but its machine; see test_worker_run(). Its context is the thread's default.
 */
void
test_worker_init (TestWorker *worker, const TestRun *run, const char *results, int event_fd)
{
    *worker = (TestWorker){.run = run, .results = results, .event_fd = event_fd};
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
    init_timers (worker);
}

/**
 * test_worker_clear:
 *
 * Frees all that it has. Its machine has gone.
 */
void
test_worker_clear (TestWorker *worker)
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
    test_cpu_count_clear (&worker->cpus);
    test_cpu_time_clear (&worker->cpus_active);
    test_cpu_time_clear (&worker->cpus_begun);
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
