/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Time. Three clocks run beside the steps.
 *
 * Quiet: what a console said last may be a part of more (a prompt, or the beginning of a line). When nothing
 * has followed for a moment its patterns are told to take it as it is; and after some seconds a kernel's
 * report is taken to be whole.
 *
 * Silence: a guest that says nothing and asks its devices for nothing, while a step waits for it, hangs. It
 * is asked three times where its vCPUs are, which tells a loop from a wait; should it do something meanwhile,
 * it did not hang.
 *
 * Limits: of the step and of the run. When one is reached, what is known is said, and nothing else.
 *
 * What a busy host keeps from the guest is no part of its silence, nor of the step's time: worker-starved.c.
 */
#include <string.h>

#include "worker-internal.h"

#define QUIET_US (300 * 1000)
#define KERNEL_QUIET_US (2 * G_USEC_PER_SEC)
#define UNREAD_US (10 * 1000)
#define BEAT_US G_USEC_PER_SEC
#define BEAT_MIN_US (50 * 1000)
#define TELL_US (200 * 1000)
#define SAMPLE_US (200 * 1000)
#define REBOOTS_MAX 5u
#define SAMPLE_MAX 65536u

/* Of a console that may be quiet; when there is something to do for it, or 0. */
static int64_t
quiet_console (TestConsole *console, int64_t now)
{
    bool reports = vmm_kernel_log_is_in_report (console->log);

    if (console->last_us == 0 || (console->settled && !reports))
        return 0;
    if (test_console_has_bytes (console))
        return now + UNREAD_US;
    if (!console->settled && now >= console->last_us + QUIET_US) {
        vmm_expect_settle (console->expect);
        console->settled = true;
        console->asks = true;
    }
    if (reports && now >= console->last_us + KERNEL_QUIET_US) {
        vmm_kernel_log_settle (console->log);
        reports = false;
    }
    if (!console->settled)
        return console->last_us + QUIET_US;
    return reports ? console->last_us + KERNEL_QUIET_US : 0;
}

/* What they said since. */
static void
tell_consoles (TestWorker *worker)
{
    int64_t since = worker->told_us;

    for (guint i = 0; i < worker->consoles->len; i++) {
        TestConsole *console = worker->consoles->pdata[i];

        if (console->last_us > since)
            test_worker_tell_console (worker, console);
    }
}

/**
 * test_worker_on_quiet:
 *
 * A timer: settles what has been quiet for long enough.
 */
void
test_worker_on_quiet (TestWorker *worker)
{
    int64_t now = test_worker_now (), next = 0;

    for (guint i = 0; i < worker->consoles->len; i++) {
        TestConsole *console = worker->consoles->pdata[i];
        int64_t at = quiet_console (console, now);

        if (at != 0 && (next == 0 || at < next))
            next = at;
    }
    tell_consoles (worker);
    if (next != 0)
        test_worker_timer_arm (worker->quiet, next);
    test_worker_pump (worker);
}

/**
 * test_worker_heard:
 *
 * Some console has said something just now.
 */
void
test_worker_heard (TestWorker *worker)
{
    int64_t now = test_worker_now ();

    test_worker_mark_active (worker);
    if (g_source_get_ready_time (worker->quiet) < 0)
        test_worker_timer_arm (worker->quiet, now + QUIET_US);
    if (now < worker->told_us + TELL_US)
        return;
    tell_consoles (worker);
}

/* Notes what its devices were asked for, and how often the guest began anew. */
static void
look_at_machine (TestWorker *worker)
{
    const VmmMachineInfo *info = test_worker_look_at_cpus (worker);
    uint64_t work = info->boots;

    for (size_t i = 0; i < info->n_devices; i++)
        work += info->devices[i].requests + info->devices[i].kicks;
    if (work != worker->work)
        test_worker_mark_active (worker);
    if (info->boots > MAX (worker->boots, 1))
        test_timeline_restarted (worker->timeline, test_worker_seconds (worker, test_worker_now ()));
    worker->work = work;
    worker->boots = info->boots;
}

/* Whether the step that is being done waits for the guest to do something by itself. */
static bool
is_waiting (const TestWorker *worker)
{
    const TestStep *step = test_worker_step (worker);

    return step != NULL && step->silence_us > 0 && !worker->paused && !test_worker_is_over (worker) &&
           (worker->phase == TEST_PHASE_EXPECT || worker->phase == TEST_PHASE_WAIT);
}

/**
 * test_worker_silent_since:
 *
 * Returns: since when the guest has done nothing that can be seen; not before the step began
 */
int64_t
test_worker_silent_since (const TestWorker *worker)
{
    int64_t begin = worker->start_us + (int64_t)(worker->done[worker->step].begin * G_USEC_PER_SEC);

    return MAX (worker->active_us, begin);
}

/* For how long it has been silent, though it could have done something. */
static int64_t
silent_for (TestWorker *worker, int64_t now)
{
    return MAX (now - test_worker_silent_since (worker) - test_worker_starved_in_silence (worker), 0);
}

/**
 * test_worker_begin_silence:
 *
 * A step has begun.
 */
void
test_worker_begin_silence (TestWorker *worker)
{
    const TestStep *step = test_worker_step (worker);
    int64_t beat = step->silence_us > 0 ? CLAMP (step->silence_us / 10, BEAT_MIN_US, BEAT_US) : BEAT_US;

    worker->sampling = false;
    test_worker_mark_step (worker);
    json_array_clear (worker->samples);
    if (step->action == TEST_ACTION_WAIT && step->wait == TEST_WAIT_REBOOT)
        beat = MIN (beat, BEAT_US / 5);
    worker->beat_us = beat;
    test_worker_timer_arm (worker->beat, test_worker_now () + beat);
}

/**
 * test_worker_keep_sample:
 * @us: when it was taken
 * @text: where the vCPUs were, in lines
 */
void
test_worker_keep_sample (TestWorker *worker, int64_t us, const char *text)
{
    json_array_append_new (worker->samples, json_pack ("{s:f, s:o}", "t", test_worker_seconds (worker, us),
                                                       "vcpus", test_worker_text_to_json (text, SAMPLE_MAX)));
}

/**
 * test_worker_sample:
 *
 * Notes where the vCPUs are.
 */
void
test_worker_sample (TestWorker *worker)
{
    g_autofree char *text = vmm_machine_describe_vcpus (worker->machine);

    test_worker_keep_sample (worker, test_worker_now (), text != NULL ? text : "they cannot be asked now");
}

/* The first vCPU's line of the last sample. */
static char *
first_vcpu (const TestWorker *worker)
{
    const json_t *last = json_array_get (worker->samples, json_array_size (worker->samples) - 1);
    const char *text = json_string_value (json_object_get (last, "vcpus"));
    g_autofree char *line = text != NULL ? g_strndup (text, strcspn (text, "\n")) : g_strdup ("");

    return test_worker_line (line);
}

static void
hang (TestWorker *worker)
{
    g_autofree char *where = first_vcpu (worker);
    g_autofree char *more = test_worker_explain_silence (worker);
    g_autofree char *starved =
        test_worker_explain_starved (worker->silent_us, test_worker_starved_in_silence (worker), false);

    test_worker_fail (worker, "hang", "no output and no work for %g s%s; %s%s%s",
                      (double)(worker->silent_us / 1000) / 1000, starved, where, more != NULL ? "; " : "",
                      more != NULL ? more : "");
}

/* Silent for so long; asks the vCPUs, a few times. */
static void
ask_vcpus (TestWorker *worker, int64_t now)
{
    if (!worker->sampling)
        worker->silent_us = silent_for (worker, now);
    worker->sampling = true;
    test_worker_sample (worker);
    if (json_array_size (worker->samples) < TEST_SAMPLES)
        /* The first look may have taken long: it reads the kernel's symbols. */
        test_worker_timer_arm (worker->beat, test_worker_now () + SAMPLE_US);
    else
        hang (worker);
}

/* It does something: it does not hang. */
static void
stop_sampling (TestWorker *worker, int64_t now)
{
    if (!worker->sampling)
        return;
    worker->sampling = false;
    json_array_clear (worker->samples);
    /* That may have been over meanwhile. */
    test_worker_timer_arm (worker->within, MAX (worker->within_us, now));
}

static void
count_boots (TestWorker *worker)
{
    unsigned reboots = worker->boots - MAX (worker->boots_passed, 1);

    test_worker_judge_wait (worker);
    if (worker->boots > 1 && reboots > REBOOTS_MAX && !worker->advance && !test_worker_is_over (worker))
        test_worker_fail (worker, "reboot-loop",
                          "the guest has rebooted %u times and passed no step meanwhile", reboots);
}

/* A guest that has spoken while the worker was busy is not silent. */
static bool
is_unheard (const TestWorker *worker)
{
    for (guint i = 0; i < worker->consoles->len; i++) {
        if (test_console_has_bytes (worker->consoles->pdata[i]))
            return true;
    }
    return false;
}

static bool
is_silent (TestWorker *worker, int64_t now)
{
    return is_waiting (worker) && silent_for (worker, now) >= test_worker_step (worker)->silence_us &&
           !is_unheard (worker);
}

/**
 * test_worker_on_beat:
 *
 * A timer: looks whether the guest does something.
 */
void
test_worker_on_beat (TestWorker *worker)
{
    int64_t now = test_worker_now ();

    look_at_machine (worker);
    count_boots (worker);
    if (is_silent (worker, now))
        ask_vcpus (worker, now);
    else
        stop_sampling (worker, now);
    if (!worker->sampling && !test_worker_is_over (worker))
        test_worker_timer_arm (worker->beat, now + worker->beat_us);
    test_worker_pump (worker);
}

/**
 * test_worker_on_total:
 *
 * A timer: the run has had its time.
 */
void
test_worker_on_total (TestWorker *worker)
{
    g_autofree char *starved = NULL;
    g_autofree char *last = NULL;

    test_worker_hear_all (worker);
    if (test_worker_is_over (worker))
        return;
    test_worker_sample (worker);
    starved =
        test_worker_explain_starved (worker->run->timeout_us, test_worker_starved_in_run (worker), true);
    last = test_worker_last_words (worker, test_worker_step (worker));
    if (worker->passing)
        test_worker_fail (worker, "timeout", "the run was not done after %g s%s: its shell did not end",
                          (double)worker->run->timeout_us / 1e6, starved);
    else
        test_worker_fail (worker, "timeout", "the run was not done after %g s%s; %s",
                          (double)worker->run->timeout_us / 1e6, starved, last);
}

/**
 * test_worker_begin_watch:
 *
 * The machine is about to start.
 */
void
test_worker_begin_watch (TestWorker *worker)
{
    worker->active_us = test_worker_now ();
    worker->beat_us = BEAT_US;
    test_worker_timer_arm (worker->beat, worker->active_us + BEAT_US);
    if (worker->run->timeout_us > 0)
        test_worker_timer_arm (worker->total, worker->start_us + worker->run->timeout_us);
}
