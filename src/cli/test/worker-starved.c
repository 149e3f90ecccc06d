/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * On a busy host a guest may get a small part of a CPU, and neither hangs nor fails for that. Where it would
 * have run and the host had other work, the time counts neither as silence nor for the step; it does for the
 * whole run, which has to end. What the host's kernel tells of the threads of virtual CPUs is read from time
 * to time; what it was when the step began, and when the guest was last seen to do something, is kept to
 * compare with.
 */
#include "budget.h"
#include "worker-internal.h"

/* So old may be what is known when the guest does something: it may do a lot. */
#define AGE_US (50 * 1000)
/* Of some time, so much is worth a word. */
#define STARVED_PART 5

/**
 * test_worker_look_at_cpus:
 *
 * Reads how the guest's CPUs have fared.
 *
 * Returns: (transfer none): all of the machine, as it is
 */
const VmmMachineInfo *
test_worker_look_at_cpus (TestWorker *worker)
{
    const VmmMachineInfo *info = vmm_machine_get_info (worker->machine);

    test_cpu_count_add (&worker->cpus, test_worker_now (), info);
    return info;
}

/**
 * test_worker_mark_active:
 *
 * The guest has done something that can be seen.
 */
void
test_worker_mark_active (TestWorker *worker)
{
    worker->active_us = test_worker_now ();
    if (worker->machine != NULL && worker->active_us > worker->cpus.total.us + AGE_US)
        test_worker_look_at_cpus (worker);
    test_cpu_time_copy (&worker->cpus_active, &worker->cpus.total);
}

/**
 * test_worker_mark_step:
 *
 * A step begins.
 */
void
test_worker_mark_step (TestWorker *worker)
{
    if (worker->machine != NULL)
        test_worker_look_at_cpus (worker);
    test_cpu_time_copy (&worker->cpus_begun, &worker->cpus.total);
    worker->cpus_begun.us = test_worker_now ();
}

static int64_t
starved_since (TestWorker *worker, const TestCpuTime *since)
{
    if (worker->host_cpus == 0)
        worker->host_cpus = test_budget_cpus ("/");
    return test_cpu_time_starved (since, &worker->cpus.total, worker->host_cpus);
}

/**
 * test_worker_starved_in_step:
 *
 * Returns: for how many µs of the step the host had no CPU for the guest, as is known
 */
int64_t
test_worker_starved_in_step (TestWorker *worker)
{
    return starved_since (worker, &worker->cpus_begun);
}

/**
 * test_worker_starved_in_silence:
 *
 * Returns: the same since the guest has done something, or the step began
 */
int64_t
test_worker_starved_in_silence (TestWorker *worker)
{
    bool in_step = worker->cpus_active.us > worker->cpus_begun.us;

    return starved_since (worker, in_step ? &worker->cpus_active : &worker->cpus_begun);
}

/**
 * test_worker_starved_in_run:
 *
 * Returns: the same since the machine began
 */
int64_t
test_worker_starved_in_run (TestWorker *worker)
{
    TestCpuTime start = {.us = worker->start_us};

    return starved_since (worker, &start);
}

/**
 * test_worker_due:
 *
 * Returns: when the step's time is over, as far as is known: later for what the host kept from the guest
 */
int64_t
test_worker_due (TestWorker *worker)
{
    return worker->within_us + test_worker_starved_in_step (worker);
}

/**
 * test_worker_explain_starved:
 * @us: some time that has just ended
 * @starved_us: for how long of it the host had no CPU for the guest
 * @counts: whether that is a part of @us
 *
 * Returns: (transfer full): what is to be told behind "after 5 s", where that is much; else ""
 */
char *
test_worker_explain_starved (int64_t us, int64_t starved_us, bool counts)
{
    if (starved_us < G_USEC_PER_SEC || starved_us < us / STARVED_PART)
        return g_strdup ("");
    return g_strdup_printf (", %s %" G_GINT64_FORMAT " s in which it waited for a CPU of the host",
                            counts ? "among them" : "besides", starved_us / G_USEC_PER_SEC);
}
