/* SPDX-License-Identifier: Apache-2.0 */
/* What is known when a step's time is over, in a line for people. */
#include <string.h>

#include "worker-internal.h"

/* Of this length, a silence is worth a word. */
#define SILENCE_US (5 * G_USEC_PER_SEC)
/* A guest may go on for ever. */
#define CHUNKS_MAX 8u

/* In seconds, not more exact than people care for. */
static double
rounded (int64_t us)
{
    return us < 10 * G_USEC_PER_SEC ? (double)(us / 1000) / 1000 : (double)(us / (G_USEC_PER_SEC / 10)) / 10;
}

/* What the kernel's image and its command line tell of consoles. */
static char *
explain_kernel (const TestWorker *worker)
{
    g_autoptr (VmmImage) image = worker->kernel != NULL ? vmm_image_open (worker->kernel, NULL) : NULL;
    g_autofree char *cmdline = vmm_config_build_cmdline (worker->config);

    if (image == NULL || !vmm_image_get_facts (image)->is_linux)
        return NULL;
    if (strstr (cmdline, "console=") == NULL && strstr (cmdline, "earlyprintk") == NULL &&
        strstr (cmdline, "earlycon") == NULL)
        return g_strdup_printf ("its command line names no console: \"%s\"", cmdline);
    for (unsigned i = 0; i < vmm_image_get_n_checks (image); i++) {
        const VmmImageCheck *check = vmm_image_get_check (image, i);

        if (strcmp (check->id, "console.serial") == 0 && check->level >= VMM_IMAGE_WARNING)
            return g_strdup_printf ("%s: %s", check->title, check->explanation);
    }
    return NULL;
}

/**
 * test_worker_explain_silence:
 *
 * Returns: (transfer full) (nullable): of a guest that has never said a word: so, and what is known of its
 * kernel; NULL for others
 */
char *
test_worker_explain_silence (const TestWorker *worker)
{
    g_autofree char *why = NULL;

    for (guint i = 0; i < worker->consoles->len; i++) {
        if (((const TestConsole *)worker->consoles->pdata[i])->bytes > 0)
            return NULL;
    }
    why = explain_kernel (worker);
    return g_strdup_printf ("nothing was ever said on any console%s%s", why != NULL ? "; " : "",
                            why != NULL ? why : "");
}

/**
 * test_worker_last_words:
 * @step: (nullable): the one that is being done
 *
 * Returns: (transfer full): how things were when the time was over
 */
char *
test_worker_last_words (const TestWorker *worker, const TestStep *step)
{
    TestConsole *console = worker->consoles->pdata[step != NULL ? step->console : 0];
    int64_t silent_us = test_worker_now () - worker->active_us;
    g_autofree char *silence = NULL;
    g_autofree char *never = test_worker_explain_silence (worker);

    if (never != NULL)
        return g_steal_pointer (&never);
    if (console->bytes == 0)
        return g_strdup_printf ("nothing was ever said on %s", console->name);
    if (silent_us >= SILENCE_US && !worker->paused)
        silence = g_strdup_printf (
            " (the guest has been silent for %g s%s)", rounded (silent_us),
            worker->active_us < test_worker_silent_since (worker) ? ", since before this step began" : "");
    return g_strdup_printf ("the last line on %s was \"%s\"%s", console->name,
                            test_capture_last_line (console->capture), silence != NULL ? silence : "");
}

/* What was waited for. */
static char *
describe (const TestStep *step)
{
    static const char *const waits[] = {
        [TEST_WAIT_POWEROFF] = "the guest had not powered off",
        [TEST_WAIT_REBOOT] = "the guest had not rebooted",
        [TEST_WAIT_HALT] = "the guest had not halted",
        [TEST_WAIT_END] = "the guest had not ended",
        [TEST_WAIT_EXIT] = "the guest had not written to the debug-exit port",
    };
    g_autofree char *what = NULL;

    if (step->action == TEST_ACTION_WAIT)
        return g_strdup (waits[step->wait]);
    what = test_worker_line (step->text != NULL ? step->text : "");
    return g_strdup_printf ("\"%s\" was not done", what);
}

/**
 * test_worker_hear_all:
 *
 * Some time is over: what was said before that counts. A kernel that is telling what befell it says more than
 * any limit.
 */
void
test_worker_hear_all (TestWorker *worker)
{
    for (guint i = 0; i < worker->consoles->len; i++) {
        TestConsole *console = worker->consoles->pdata[i];

        test_console_drain (console, CHUNKS_MAX);
        vmm_expect_settle (console->expect);
        console->asks = true;
        vmm_kernel_log_settle (console->log);
    }
    test_worker_pump (worker);
}

/**
 * test_worker_time_is_over:
 * @step: the one that is being done: it has had its time
 *
 * Fails it, if what came last does not pass it.
 */
void
test_worker_time_is_over (TestWorker *worker, const TestStep *step)
{
    double seconds = rounded (step->within_us);
    unsigned number = worker->step;
    g_autofree char *last = NULL;
    g_autofree char *what = NULL;
    g_autofree char *starved = NULL;

    test_worker_hear_all (worker);
    if (test_worker_is_over (worker) || worker->step != number)
        return;
    if (worker->phase == TEST_PHASE_FILE) {
        test_worker_fail (worker, "check-failed", "%s", worker->file_wrong);
        return;
    }
    /* Where it is tells something of a guest that stands still. */
    if (worker->machine != NULL && test_worker_now () - worker->active_us >= SILENCE_US)
        test_worker_sample (worker);
    last = test_worker_last_words (worker, step);
    starved = test_worker_explain_starved (step->within_us, test_worker_starved_in_step (worker), false);
    if (worker->phase == TEST_PHASE_EXPECT) {
        what = test_worker_line (step->expect);
        test_worker_fail (worker, "failed-expectation", "no match for /%s/ within %g s%s; %s", what, seconds,
                          starved, last);
        return;
    }
    what = describe (step);
    test_worker_fail (worker, "timeout", "%s after %g s%s; %s", what, seconds, starved, last);
}
