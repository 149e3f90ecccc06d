/* SPDX-License-Identifier: Apache-2.0 */
/* Timers and watches of a worker's own main context. */
#include "worker-internal.h"

typedef struct {
    GSource source;
    TestWorker *worker;
    void (*func) (TestWorker *worker);
} Timer;

static gboolean
on_timer (GSource *source, GSourceFunc callback, gpointer user)
{
    Timer *timer = (Timer *)source;

    g_source_set_ready_time (source, -1);
    timer->func (timer->worker);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs timer_funcs = {.dispatch = on_timer};

/**
 * test_worker_now:
 *
 * Returns: CLOCK_MONOTONIC in microseconds
 */
int64_t
test_worker_now (void)
{
    return g_get_monotonic_time ();
}

/**
 * test_worker_seconds:
 *
 * Returns: how long after the worker's start @us was
 */
double
test_worker_seconds (const TestWorker *worker, int64_t us)
{
    return (double)(us - worker->start_us) / G_USEC_PER_SEC;
}

/**
 * test_worker_timer_new:
 *
 * Returns: (transfer full): a timer that is not armed
 */
GSource *
test_worker_timer_new (TestWorker *worker, void (*func) (TestWorker *worker))
{
    GSource *source = g_source_new (&timer_funcs, sizeof (Timer));
    Timer *timer = (Timer *)source;

    timer->worker = worker;
    timer->func = func;
    g_source_attach (source, worker->context);
    return source;
}

/**
 * test_worker_timer_arm:
 * @at_us: when it fires, once; a time that is over is soon
 */
void
test_worker_timer_arm (GSource *timer, int64_t at_us)
{
    g_source_set_ready_time (timer, at_us);
}

/**
 * test_worker_timer_stop:
 */
void
test_worker_timer_stop (GSource *timer)
{
    g_source_set_ready_time (timer, -1);
}

/**
 * test_worker_watch:
 *
 * Returns: (transfer full): a source that calls @func while @fd is ready
 */
GSource *
test_worker_watch (TestWorker *worker, int fd, GIOCondition condition, GUnixFDSourceFunc func, void *user)
{
    GSource *source = g_unix_fd_source_new (fd, condition);

    g_source_set_callback (source, G_SOURCE_FUNC (func), user, NULL);
    g_source_attach (source, worker->context);
    return source;
}

/**
 * test_worker_source_clear:
 * @source: (nullable): ended and forgotten
 */
void
test_worker_source_clear (GSource **source)
{
    if (*source == NULL)
        return;
    g_source_destroy (*source);
    g_source_unref (*source);
    *source = NULL;
}
