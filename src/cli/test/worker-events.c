/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker tells its parent: JSON objects, one a line. A parent that is slow is waited for, but not with
 * news that are soon old; one that has gone ends the run.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker-internal.h"

static bool
write_all (TestWorker *worker, const char *text, size_t len)
{
    while (len > 0) {
        struct pollfd fd = {.fd = worker->event_fd, .events = POLLOUT};
        ssize_t n;

        /* The parent may be stopped for a long time. Should it die, this ends. */
        n = poll (&fd, 1, -1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        n = write (worker->event_fd, text, len);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        text += MAX (n, 0);
        len -= (size_t)MAX (n, 0);
    }
    return true;
}

/* Takes @json. */
static bool
tell (TestWorker *worker, json_t *json)
{
    char *text = json_dumps (json, JSON_COMPACT | JSON_REAL_PRECISION (9));
    g_autofree char *line = text != NULL ? g_strconcat (text, "\n", NULL) : NULL;

    free (text);
    json_decref (json);
    if (line == NULL || worker->deaf)
        return false;
    worker->deaf = !write_all (worker, line, strlen (line));
    return !worker->deaf;
}

static double
now (const TestWorker *worker)
{
    return test_worker_seconds (worker, test_worker_now ());
}

/**
 * test_worker_tell_stage:
 */
void
test_worker_tell_stage (TestWorker *worker, const char *name)
{
    tell (worker, json_pack ("{s:s, s:s, s:f}", "event", "stage", "name", name, "t", now (worker)));
}

/**
 * test_worker_tell_step:
 * @index: of a step that has begun or ended; behind the last one: the guest's command
 */
void
test_worker_tell_step (TestWorker *worker, unsigned index)
{
    static const char *const states[] = {"begin", "begin", "passed", "failed"};
    const TestStep *step = index < worker->run->steps->len ? worker->run->steps->pdata[index] : NULL;

    tell (worker,
          json_pack ("{s:s, s:i, s:o, s:s, s:f}", "event", "step", "index", (int)index, "name",
                     test_worker_text_to_json (step != NULL ? step->name : "command", TEST_REASON_MAX),
                     "state", states[worker->done[index].state], "t", now (worker)));
}

/**
 * test_worker_tell_console:
 *
 * Tells what was said last, unless the parent is busy.
 */
void
test_worker_tell_console (TestWorker *worker, TestConsole *console)
{
    struct pollfd fd = {.fd = worker->event_fd, .events = POLLOUT};

    worker->told_us = test_worker_now ();
    if (worker->deaf || poll (&fd, 1, 0) != 1)
        return;
    tell (worker,
          json_pack ("{s:s, s:s, s:I, s:o}", "event", "console", "name", console->name, "bytes",
                     (json_int_t)console->bytes, "line",
                     test_worker_text_to_json (test_capture_last_line (console->capture), TEST_REASON_MAX)));
}

/**
 * test_worker_tell_tmp:
 *
 * Tells where the run's folder is, so that it can be removed should the worker be killed.
 */
void
test_worker_tell_tmp (TestWorker *worker)
{
    tell (worker, json_pack ("{s:s, s:o}", "event", "tmp", "path",
                             test_worker_text_to_json (worker->tmp, G_MAXINT32)));
}

/**
 * test_worker_tell_result:
 * @result: taken over
 *
 * Returns: whether it was sent
 */
bool
test_worker_tell_result (TestWorker *worker, json_t *result)
{
    return tell (worker, json_pack ("{s:s, s:o}", "event", "result", "result", result));
}
