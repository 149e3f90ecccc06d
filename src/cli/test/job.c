/* SPDX-License-Identifier: Apache-2.0 */
/* A run that is being made: what its worker tells of it, and what is made of the worker's end. */
#include "job.h"

#include <string.h>
#include <sys/wait.h>

#include "judge.h"
#include "remove.h"
#include "report-text.h"
#include "result.h"

/* Of reads after the worker's end: more than a pipe holds, and no endless stream of a child that it left. */
#define LAST_READS 32u
#define SECOND 1e6

/**
 * test_job_new:
 * @run: outlives the job
 */
TestJob *
test_job_new (const TestRun *run, unsigned repeat)
{
    TestJob *job = g_new0 (TestJob, 1);

    job->run = run;
    job->repeat = repeat;
    job->attempt = 1;
    return job;
}

static void
forget_progress (TestJob *job)
{
    g_clear_pointer (&job->stage, g_free);
    g_clear_pointer (&job->step_name, g_free);
    g_clear_pointer (&job->line, g_free);
    g_clear_pointer (&job->folder, g_free);
    g_clear_pointer (&job->sent, json_decref);
    g_clear_pointer (&job->child, test_child_free);
    job->step = 0;
}

/**
 * test_job_free:
 * @job: (nullable): one that runs is killed
 */
void
test_job_free (TestJob *job)
{
    if (job == NULL)
        return;
    forget_progress (job);
    json_decref (job->failed);
    json_decref (job->attempts);
    json_decref (job->result);
    g_free (job);
}

/**
 * test_job_begin:
 * @child: (transfer full): its worker
 */
void
test_job_begin (TestJob *job, TestChild *child, int64_t now_us)
{
    forget_progress (job);
    job->child = child;
    job->state = TEST_JOB_RUNNING;
    job->started_us = now_us;
    job->killed = false;
}

static void
take_text (char **text, const json_t *event, const char *key)
{
    g_free (*text);
    *text = test_text_line_of (event, key);
}

static void
take_step (TestJob *job, const json_t *event, TestJobStepFunc on_step, void *user)
{
    const char *state = json_string_value (json_object_get (event, "state"));
    json_int_t index = json_integer_value (json_object_get (event, "index"));

    if (state == NULL || index < 0 || index > G_MAXINT16)
        return;
    job->step = (unsigned)index + 1;
    take_text (&job->step_name, event, "name");
    if (on_step != NULL)
        on_step (user, job, state, json_number_value (json_object_get (event, "t")));
}

static void
take_event (TestJob *job, const json_t *event, TestJobStepFunc on_step, void *user)
{
    const char *kind = json_string_value (json_object_get (event, "event"));

    if (kind == NULL)
        return;
    if (strcmp (kind, "stage") == 0)
        take_text (&job->stage, event, "name");
    else if (strcmp (kind, "step") == 0)
        take_step (job, event, on_step, user);
    else if (strcmp (kind, "console") == 0)
        take_text (&job->line, event, "line");
    else if (strcmp (kind, "tmp") == 0 && job->folder == NULL)
        job->folder = g_strdup (json_string_value (json_object_get (event, "path")));
    else if (strcmp (kind, "result") == 0 && job->sent == NULL)
        job->sent = json_incref (json_object_get (event, "result"));
}

/**
 * test_job_read:
 * @on_step: (nullable): told of each step
 *
 * Takes what the worker has sent.
 */
void
test_job_read (TestJob *job, TestJobStepFunc on_step, void *user)
{
    json_t *event;

    test_child_read (job->child);
    while ((event = test_child_next_event (job->child)) != NULL) {
        take_event (job, event, on_step, user);
        json_decref (event);
    }
}

static void
read_rest (TestJob *job)
{
    json_t *event;

    for (unsigned i = 0; i < LAST_READS && test_child_read (job->child); i++) {
        while ((event = test_child_next_event (job->child)) != NULL) {
            take_event (job, event, NULL, NULL);
            json_decref (event);
        }
    }
}

/* How a worker came to its end that should have come to another one; NULL: it ended well. */
static char *
find_fault (const TestJob *job, int status, const json_t *result)
{
    const char *complaint = test_child_complaint (job->child);
    const char *verdict = json_string_value (json_object_get (result, "verdict"));
    g_autofree char *told =
        verdict != NULL ? g_strdup_printf (", after it had told its verdict, %s", verdict) : g_strdup ("");

    if (job->killed && WIFSIGNALED (status))
        return g_strdup_printf (
            "its worker did not end, long after the run's time of %.0f s, and was killed%s",
            (double)job->run->timeout_us / SECOND, told);
    if (complaint != NULL)
        return g_strdup_printf ("its worker sent %s", complaint);
    if (WIFSIGNALED (status))
        return g_strdup_printf ("its worker was ended by signal %d (%s)%s", WTERMSIG (status),
                                g_strsignal (WTERMSIG (status)), told);
    if (WEXITSTATUS (status) != 0)
        return g_strdup_printf ("its worker ended with exit code %d%s", WEXITSTATUS (status), told);
    return result == NULL ? g_strdup ("its worker ended and told no result") : NULL;
}

/**
 * test_job_end:
 * @status: of the worker, which has been reaped
 * @stopped: (nullable): why the worker was asked to end, if it was
 *
 * Returns: (transfer full): the result, without its status
 */
json_t *
test_job_end (TestJob *job, int status, const char *stopped)
{
    double seconds = (double)(g_get_monotonic_time () - job->started_us) / SECOND;
    g_autofree char *fault = NULL;
    g_autofree char *words = NULL;
    json_t *result;

    read_rest (job);
    if (job->folder != NULL)
        test_remove_left (job->folder);
    result = test_result_complete (job->run, g_steal_pointer (&job->sent));
    fault = find_fault (job, status, result);
    /* One that was asked to end may end in any way. */
    if (fault != NULL && (stopped == NULL || result == NULL)) {
        json_decref (result);
        result = test_result_without_worker (job->run, stopped != NULL ? "stopped" : "host-error",
                                             stopped != NULL ? stopped : fault, seconds);
    }
    words = test_child_words (job->child);
    test_result_set_string (result, "worker_output", words);
    forget_progress (job);
    return result;
}

static void
set_status (json_t *result, TestStatus status)
{
    json_object_set_new (result, "status", json_string (test_status_to_string (status)));
}

/* What vmm test itself has ended is not to be judged, whatever its scenario expects. */
static TestStatus
judge (const TestJob *job, json_t *result, const char *stopped, TestStatus stopped_status)
{
    const char *verdict = json_string_value (json_object_get (result, "verdict"));
    const char *reason = json_string_value (json_object_get (result, "reason"));
    g_autofree char *line = NULL;
    TestStatus status;

    if (stopped != NULL && strcmp (verdict, "stopped") == 0) {
        test_result_set_string (result, "reason", stopped);
        return stopped_status;
    }
    status = test_judge (job->run, verdict, reason, &line);
    if (line != NULL)
        test_result_set_string (result, "reason", line);
    return status;
}

static void
add_attempt (TestJob *job, json_t *result)
{
    if (job->attempts == NULL)
        job->attempts = json_array ();
    json_array_append_new (job->attempts, test_result_make_attempt (result));
}

/* Of a run that has failed before. What it comes to now may be worse, and is no pass without a remark. */
static json_t *
join_attempts (TestJob *job, json_t *result)
{
    const char *before = json_string_value (json_object_get (job->failed, "reason"));
    TestStatus status = test_result_status (result);
    g_autofree char *line = NULL;

    if (status == TEST_STATUS_ERROR || status == TEST_STATUS_SKIP) {
        /* An attempt that says nothing takes nothing back. */
        add_attempt (job, result);
        return g_steal_pointer (&job->failed);
    }
    if (status == TEST_STATUS_PASS) {
        line =
            g_strdup_printf ("passed at attempt %u; before: %s", job->attempt, before != NULL ? before : "");
        test_result_set_string (result, "reason", line);
        set_status (result, TEST_STATUS_FLAKY);
    }
    add_attempt (job, g_steal_pointer (&job->failed));
    return result;
}

static void
set_last_result (TestJob *job, json_t *result)
{
    if (job->attempts != NULL)
        json_object_set_new (result, "attempts", g_steal_pointer (&job->attempts));
    job->state = TEST_JOB_ENDED;
    job->result = result;
}

/**
 * test_job_conclude:
 * @result: (transfer full): of an attempt, without its status
 * @retries: how many more there may be after the first one
 * @stopped: (nullable): why vmm test ends early
 * @stopped_status: what an attempt gets that was ended for it
 *
 * Returns: whether the job waits for another attempt, @failed being the last one; else it has ended
 */
bool
test_job_conclude (TestJob *job, json_t *result, unsigned retries, const char *stopped,
                   TestStatus stopped_status)
{
    set_status (result, judge (job, result, stopped, stopped_status));
    if (job->repeat > 0)
        json_object_set_new (result, "repeat", json_integer (job->repeat));
    if (job->failed != NULL)
        result = join_attempts (job, result);
    if (test_result_status (result) == TEST_STATUS_FAIL && job->attempt <= retries && stopped == NULL) {
        job->failed = result;
        job->state = TEST_JOB_WAITING;
        job->attempt++;
        return true;
    }
    set_last_result (job, result);
    return false;
}

/**
 * test_job_skip:
 * @why: it is not made, or not again
 */
void
test_job_skip (TestJob *job, const char *why)
{
    json_t *result = g_steal_pointer (&job->failed);

    /* What has failed before has failed. */
    if (result == NULL) {
        result = test_result_without_worker (job->run, "stopped", why, 0);
        set_status (result, TEST_STATUS_SKIP);
        if (job->repeat > 0)
            json_object_set_new (result, "repeat", json_integer (job->repeat));
    }
    set_last_result (job, result);
}
