/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * One thread, one poll(2): the workers' pipes, the signals, which come through a descriptor, and the times at
 * which something is due. There must be no other thread, for the workers are forks that never exec.
 *
 * Machines run at the same time as far as the budgets of virtual CPUs and of memory go, in the order of the
 * scenarios. Where the next one does not fit, one behind it may, but not for ever: a large one that has been
 * passed over often enough has the next turn. One that is larger than a budget has all of it, alone. And
 * where the host has no descriptors or no processes for one more, that one waits until another has ended.
 *
 * Results are put away until all have ended, or each fork would take longer than the one before.
 *
 * Whatever ends the pool early, a signal or a failure, ends it the same way: nothing more is started, the
 * workers are asked to end and killed when they do not, and each job has a result in the end.
 *
 * A worker that is late is killed. But a pool that was stopped itself (Ctrl-Z), or held up otherwise, is the
 * one who is late: what workers had to say waits in their pipes then, and they have time to say it.
 */
#include "pool.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "report-document.h"
#include "result.h"
#include "store.h"

#define SECOND INT64_C (1000000)
#define GRACE_US (10 * SECOND)
#define OVERTIME_US (30 * SECOND)
/* What a worker needs beside its machine's memory. */
#define WORKER_BYTES (UINT64_C (24) << 20)
/* How often a job may be passed over by smaller ones. */
#define PATIENCE 16u
/* So much later than it wanted, the pool was held up. */
#define HELD_UP_US SECOND
#define MAX_ALARM_SECONDS (INT64_C (1) << 30)

struct _TestPool {
    TestPoolOptions options;
    TestPoolView view;
    void *user;
    GPtrArray *jobs;    /* of TestJob, in order */
    GPtrArray *running; /* some of them */
    TestStore *results; /* of jobs that have ended */
    GHashTable *passed; /* runs that have, once at least */
    guint first;        /* those before it have ended */
    unsigned n_ended;
    unsigned n_bad;
    unsigned cpus;   /* in use */
    uint64_t memory; /* in use */
    bool full;       /* none that waits can start before one has ended */
    bool noted_cpus, noted_memory;
    int signal_fd;
    sigset_t old_mask;
    int signal; /* that stopped it; 0: none */
    int64_t signal_us;
    char *stopped; /* why nothing more is started; NULL: it goes on */
    int64_t now_us;
};

static void
note (const TestPool *pool, const char *text)
{
    if (pool->view.note != NULL)
        pool->view.note (pool->user, text);
}

/* As options_take_signals() does it: one that was ignored from the start stays so, for nohup(1). */
static int
take_signals (sigset_t *ret_old_mask)
{
    const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGCONT, SIGCHLD};
    struct sigaction action;
    sigset_t set;

    /* Else a child that has ended is nobody's. */
    signal (SIGCHLD, SIG_DFL);
    sigemptyset (&set);
    for (size_t i = 0; i < G_N_ELEMENTS (signals); i++) {
        if (sigaction (signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset (&set, signals[i]);
    }
    sigprocmask (SIG_BLOCK, &set, ret_old_mask);
    return signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void
add_jobs (TestPool *pool, const GPtrArray *runs)
{
    unsigned repeats = MAX (pool->options.repeat, 1);

    for (unsigned repeat = 1; repeat <= repeats; repeat++) {
        for (guint i = 0; i < runs->len; i++) {
            const TestRun *run = g_ptr_array_index (runs, i);
            TestJob *job = test_job_new (run, pool->options.repeat > 0 ? repeat : 0);

            job->index = pool->jobs->len;
            job->cpus = CLAMP (run->cpus, 1, pool->options.cpus);
            job->memory = MIN (run->memory + WORKER_BYTES, pool->options.memory);
            g_ptr_array_add (pool->jobs, job);
        }
    }
}

/**
 * test_pool_new:
 * @runs: of TestRun; outlives the pool
 * @view: who is told what happens
 * @user: what it gets
 *
 * From now on signals are taken by the pool, until it is freed.
 *
 * Returns: (transfer full): one that has not begun
 */
TestPool *
test_pool_new (const GPtrArray *runs, const TestPoolOptions *options, const TestPoolView *view, void *user)
{
    TestPool *pool = g_new0 (TestPool, 1);

    pool->options = *options;
    pool->options.cpus = MAX (options->cpus, 1);
    pool->options.memory = MAX (options->memory, 1);
    pool->options.grace_us = options->grace_us > 0 ? options->grace_us : GRACE_US;
    pool->options.overtime_us = options->overtime_us > 0 ? options->overtime_us : OVERTIME_US;
    pool->view = *view;
    pool->user = user;
    pool->jobs = g_ptr_array_new_with_free_func ((GDestroyNotify)test_job_free);
    pool->running = g_ptr_array_new ();
    pool->results = test_store_new ();
    pool->passed = g_hash_table_new (NULL, NULL);
    pool->signal_fd = take_signals (&pool->old_mask);
    pool->now_us = g_get_monotonic_time ();
    add_jobs (pool, runs);
    return pool;
}

/**
 * test_pool_free:
 * @pool: (nullable): workers that still run are killed
 */
void
test_pool_free (TestPool *pool)
{
    if (pool == NULL)
        return;
    g_hash_table_unref (pool->passed);
    test_store_free (pool->results);
    g_ptr_array_unref (pool->running);
    g_ptr_array_unref (pool->jobs);
    if (pool->signal_fd >= 0)
        close (pool->signal_fd);
    sigprocmask (SIG_SETMASK, &pool->old_mask, NULL);
    g_free (pool->stopped);
    g_free (pool);
}

/* @job has its last result. */
static TestStatus
end_job (TestPool *pool, TestJob *job)
{
    TestStatus status = test_result_status (job->result);

    /* A thousand consoles of one good run say no more than one, and would fill the reports. */
    if (status == TEST_STATUS_PASS && !g_hash_table_add (pool->passed, (gpointer)job->run))
        test_result_shorten (job->result);
    pool->n_ended++;
    pool->n_bad += status == TEST_STATUS_FAIL || status == TEST_STATUS_XPASS || status == TEST_STATUS_ERROR;
    if (pool->view.ended != NULL)
        pool->view.ended (pool->user, job, job->result, false);
    test_store_set (pool->results, job->index, g_steal_pointer (&job->result));
    return status;
}

static void
skip_waiting (TestPool *pool)
{
    for (guint i = pool->first; i < pool->jobs->len; i++) {
        TestJob *job = g_ptr_array_index (pool->jobs, i);

        if (job->state != TEST_JOB_WAITING)
            continue;
        test_job_skip (job, pool->stopped);
        end_job (pool, job);
    }
}

static void
signal_running (TestPool *pool, int signal)
{
    for (guint i = 0; i < pool->running->len; i++) {
        TestJob *job = g_ptr_array_index (pool->running, i);

        job->kill_us = MIN (job->kill_us, pool->now_us + pool->options.grace_us);
        test_child_signal (job->child, signal);
    }
}

/* @why: why nothing more is started, and what runs is ended */
static void
stop (TestPool *pool, char *why)
{
    pool->stopped = why;
    signal_running (pool, SIGTERM);
    skip_waiting (pool);
}

/* An attempt has its @result. */
static void
conclude (TestPool *pool, TestJob *job, json_t *result)
{
    unsigned retries = pool->options.retries >= 0 ? (unsigned)pool->options.retries : job->run->retries;
    const char *stopped = pool->stopped;
    TestStatus status = pool->signal != 0 ? TEST_STATUS_ERROR : TEST_STATUS_SKIP;

    if (test_job_conclude (job, result, retries, stopped, status)) {
        if (pool->view.ended != NULL)
            pool->view.ended (pool->user, job, job->failed, true);
        return;
    }
    status = end_job (pool, job);
    if (pool->options.fail_fast && stopped == NULL &&
        (status == TEST_STATUS_FAIL || status == TEST_STATUS_XPASS))
        stop (pool, g_strdup_printf ("not run to its end: \"%s\" failed, and --fail-fast ends the rest",
                                     job->run->name));
}

/* In a child that was just forked. */
static void
close_parents (void *user)
{
    TestPool *pool = user;

    close (pool->signal_fd);
    test_store_close_fd (pool->results);
    for (guint i = 0; i < pool->running->len; i++) {
        TestJob *job = g_ptr_array_index (pool->running, i);
        int events, words;

        test_child_get_fds (job->child, &events, &words);
        if (events >= 0)
            close (events);
        if (words >= 0)
            close (words);
    }
}

/* Repeats and attempts have folders of their own, for their logs have the names of their runs. */
static char *
make_folder (const TestPool *pool, const TestJob *job, GError **error)
{
    g_autoptr (GString) path = g_string_new (pool->options.results);

    if (pool->options.results == NULL)
        return NULL;
    if (job->repeat > 0)
        g_string_append_printf (path, "/repeat-%u", job->repeat);
    if (job->attempt > 1)
        g_string_append_printf (path, "/attempt-%u", job->attempt);
    if (g_mkdir_with_parents (path->str, 0777) == 0)
        return g_string_free (g_steal_pointer (&path), FALSE);
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "results \"%s\": %s", path->str, g_strerror (errno));
    return NULL;
}

/* Returns: (nullable): NULL with an error, and without one when the job has to wait. */
static TestChild *
fork_worker (TestPool *pool, const TestJob *job, GError **error)
{
    g_autoptr (GError) wrong = NULL;
    g_autofree char *folder = make_folder (pool, job, &wrong);
    TestChild *child = NULL;
    int64_t seconds = job->run->timeout_us / SECOND + 2 * pool->options.overtime_us / SECOND + 1;
    const TestChildSetup setup = {.worker = pool->options.worker,
                                  .run = job->run,
                                  .results = folder,
                                  .alarm_seconds = (unsigned)MIN (seconds, MAX_ALARM_SECONDS),
                                  .mask = &pool->old_mask,
                                  .close_parents = close_parents,
                                  .user = pool};

    if (wrong == NULL) {
        child = test_child_start (&setup, &wrong);
        pool->full = child == NULL && pool->running->len > 0;
    }
    if (wrong != NULL && !pool->full)
        g_propagate_error (error, g_steal_pointer (&wrong));
    return child;
}

static void
start (TestPool *pool, TestJob *job)
{
    g_autoptr (GError) error = NULL;
    TestChild *child = fork_worker (pool, job, &error);

    if (pool->full)
        return;
    if (child == NULL) {
        conclude (pool, job, test_result_without_worker (job->run, "host-error", error->message, 0));
        return;
    }
    test_job_begin (job, child, pool->now_us);
    job->kill_us = job->run->timeout_us < G_MAXINT64 / 2
                       ? pool->now_us + job->run->timeout_us + pool->options.overtime_us
                       : G_MAXINT64;
    pool->cpus += job->cpus;
    pool->memory += job->memory;
    g_ptr_array_add (pool->running, job);
    if (pool->view.started != NULL)
        pool->view.started (pool->user, job);
}

static bool
fits (const TestPool *pool, const TestJob *job)
{
    return job->cpus <= pool->options.cpus - pool->cpus && job->memory <= pool->options.memory - pool->memory;
}

/* Once for each budget, however many runs there are. */
static void
note_size (TestPool *pool, const TestJob *job)
{
    const TestRun *run = job->run;
    g_autofree char *text = NULL;

    if (run->cpus > pool->options.cpus && !pool->noted_cpus) {
        pool->noted_cpus = true;
        text = g_strdup_printf ("\"%s\" has %u CPUs, more than the %u of --jobs: such runs are made alone",
                                run->name, run->cpus, pool->options.cpus);
    } else if (run->memory + WORKER_BYTES > pool->options.memory && !pool->noted_memory) {
        pool->noted_memory = true;
        text = g_strdup_printf ("\"%s\" has %" G_GUINT64_FORMAT " MiB, more than the %" G_GUINT64_FORMAT
                                " MiB of --memory hold: such runs are made alone",
                                run->name, run->memory >> 20, pool->options.memory >> 20);
    }
    if (text != NULL)
        note (pool, text);
}

static void
start_waiting (TestPool *pool)
{
    TestJob *blocked = NULL;

    if (pool->full)
        return;
    while (pool->first < pool->jobs->len &&
           ((TestJob *)g_ptr_array_index (pool->jobs, pool->first))->state == TEST_JOB_ENDED)
        pool->first++;
    for (guint i = pool->first; i < pool->jobs->len && pool->cpus < pool->options.cpus && !pool->full; i++) {
        TestJob *job = g_ptr_array_index (pool->jobs, i);

        if (job->state != TEST_JOB_WAITING)
            continue;
        if (!fits (pool, job)) {
            if (job->passed_over >= PATIENCE)
                break;
            blocked = blocked != NULL ? blocked : job;
            continue;
        }
        if (blocked != NULL)
            blocked->passed_over++;
        note_size (pool, job);
        start (pool, job);
    }
    /* There may be thousands, and much happens in between: they are looked at once. */
    pool->full = pool->running->len > 0;
}

static void
reap (TestPool *pool)
{
    for (guint i = 0; i < pool->running->len;) {
        TestJob *job = g_ptr_array_index (pool->running, i);
        int status;

        if (!test_child_reap (job->child, &status)) {
            i++;
            continue;
        }
        g_ptr_array_remove_index (pool->running, i);
        pool->full = false;
        pool->cpus -= job->cpus;
        pool->memory -= job->memory;
        conclude (pool, job, test_job_end (job, status, pool->stopped));
    }
}

/* Workers could not get rid of what they had to say. */
static void
give_time (TestPool *pool)
{
    for (guint i = 0; i < pool->running->len; i++) {
        TestJob *job = g_ptr_array_index (pool->running, i);

        job->kill_us = MAX (job->kill_us, pool->now_us + pool->options.grace_us);
    }
}

static void
on_signal (TestPool *pool, int signal)
{
    if (signal == SIGCONT)
        give_time (pool);
    if (signal == SIGWINCH || signal == SIGCONT) {
        void (*tell) (void *) = signal == SIGWINCH ? pool->view.resized : pool->view.continued;

        if (tell != NULL)
            tell (pool->user);
        return;
    }
    if (signal == SIGCHLD)
        return;
    /* Who says it twice means it. */
    if (pool->signal != 0)
        signal_running (pool, SIGKILL);
    if (pool->signal == 0) {
        pool->signal = signal;
        pool->signal_us = pool->now_us;
        g_clear_pointer (&pool->stopped, g_free);
        stop (pool, g_strdup_printf ("vmm test was stopped by SIG%s", sigabbrev_np (signal)));
    }
}

static void
read_signals (TestPool *pool)
{
    struct signalfd_siginfo info;

    while (read (pool->signal_fd, &info, sizeof info) == sizeof info)
        on_signal (pool, (int)info.ssi_signo);
}

static void
read_running (TestPool *pool)
{
    for (guint i = 0; i < pool->running->len; i++) {
        TestJob *job = g_ptr_array_index (pool->running, i);

        test_job_read (job, pool->view.step, pool->user);
        /* It has had its say. */
        if (test_child_complaint (job->child) != NULL &&
            job->kill_us > pool->now_us + pool->options.grace_us) {
            job->kill_us = pool->now_us + pool->options.grace_us;
            test_child_signal (job->child, SIGTERM);
        }
    }
}

static void
kill_late (TestPool *pool)
{
    for (guint i = 0; i < pool->running->len; i++) {
        TestJob *job = g_ptr_array_index (pool->running, i);

        if (pool->now_us < job->kill_us)
            continue;
        job->killed = test_child_complaint (job->child) == NULL;
        job->kill_us = G_MAXINT64;
        test_child_signal (job->child, SIGKILL);
    }
}

static int64_t
find_next_time (TestPool *pool)
{
    int64_t next = pool->view.draw != NULL ? pool->view.draw (pool->user, pool->now_us) : G_MAXINT64;

    for (guint i = 0; i < pool->running->len; i++)
        next = MIN (next, ((TestJob *)g_ptr_array_index (pool->running, i))->kill_us);
    return next;
}

static void
wait_for_something (TestPool *pool)
{
    g_autofree struct pollfd *fds = g_new0 (struct pollfd, 1 + 2 * (gsize)pool->running->len);
    int64_t before_us = pool->now_us, wait_us = find_next_time (pool) - before_us;
    nfds_t n = 0;

    fds[n++] = (struct pollfd){.fd = pool->signal_fd, .events = POLLIN};
    for (guint i = 0; i < pool->running->len; i++, n += 2) {
        TestJob *job = g_ptr_array_index (pool->running, i);

        test_child_get_fds (job->child, &fds[n].fd, &fds[n + 1].fd);
        fds[n].events = fds[n + 1].events = POLLIN;
    }
    poll (fds, n, (int)CLAMP (wait_us / 1000 + 1, 0, G_MAXINT / 2));
    pool->now_us = g_get_monotonic_time ();
    if (pool->now_us - before_us - HELD_UP_US > MAX (wait_us, 0))
        give_time (pool);
}

/**
 * test_pool_run:
 *
 * Does all of it.
 *
 * Returns: the signal that ended it early; 0: none
 */
int
test_pool_run (TestPool *pool)
{
    for (;;) {
        if (pool->stopped == NULL)
            start_waiting (pool);
        if (pool->running->len == 0 && pool->n_ended == pool->jobs->len)
            break;
        wait_for_something (pool);
        read_signals (pool);
        read_running (pool);
        kill_late (pool);
        reap (pool);
    }
    return pool->signal;
}

/**
 * test_pool_get_end_time:
 *
 * Returns: when all has to be over because of a signal, as g_get_monotonic_time()
 */
int64_t
test_pool_get_end_time (const TestPool *pool)
{
    return pool->signal != 0 ? pool->signal_us + pool->options.grace_us : G_MAXINT64;
}

/**
 * test_pool_get_results:
 *
 * Returns: (transfer full): an array of the results, in the order of the jobs
 */
json_t *
test_pool_get_results (const TestPool *pool)
{
    json_t *results = json_array ();

    for (guint i = 0; i < pool->jobs->len; i++) {
        json_t *result = test_store_get (pool->results, i);

        if (result != NULL)
            json_array_append_new (results, result);
    }
    return results;
}

/**
 * test_pool_get_running:
 *
 * Returns: (transfer none): of TestJob, in the order in which they began
 */
const GPtrArray *
test_pool_get_running (const TestPool *pool)
{
    return pool->running;
}

/**
 * test_pool_count:
 * @ret_bad: of those that have ended: failed, or not judged
 */
void
test_pool_count (const TestPool *pool, unsigned *ret_ended, unsigned *ret_total, unsigned *ret_bad)
{
    *ret_ended = pool->n_ended;
    *ret_total = pool->jobs->len;
    *ret_bad = pool->n_bad;
}
