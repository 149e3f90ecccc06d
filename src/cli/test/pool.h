/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_POOL_H
#define CLI_TEST_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "job.h"
#include "scenario.h"

/**
 * TestPoolView:
 * @started: (nullable): a job has begun
 * @step: (nullable): a step of it has the state "begin", "passed" or "failed", @t seconds after its begin
 * @ended: (nullable): it has ended; @again: and is tried again. The result is the pool's
 * @note: (nullable): a line that the user should know
 * @draw: (nullable): before each wait; returns when it wants to be called again at the latest, as
 * g_get_monotonic_time(); G_MAXINT64: when something has happened
 * @resized: (nullable): the terminal has another size
 * @continued: (nullable): the process was stopped and goes on: the terminal was somebody else's
 *
 * Who is told what happens in a pool.
 */
typedef struct {
    void (*started) (void *user, const TestJob *job);
    TestJobStepFunc step;
    void (*ended) (void *user, const TestJob *job, const json_t *result, bool again);
    void (*note) (void *user, const char *text);
    int64_t (*draw) (void *user, int64_t now_us);
    void (*resized) (void *user);
    void (*continued) (void *user);
} TestPoolView;

/**
 * TestPoolOptions:
 * @worker: what does a run
 * @cpus: virtual CPUs at the same time
 * @memory: bytes of machines' memory at the same time
 * @repeat: how often each run is made; 0: once, and nobody speaks of repeats
 * @retries: how often a failed one is tried again; -1: as its scenario says
 * @fail_fast: end all at the first failure
 * @results: (nullable): folder for the runs' logs
 * @grace_us: how long a worker that was asked to end may take for it; 0: 10 s
 * @overtime_us: how long a worker may take longer than its run's time; 0: 30 s
 */
typedef struct {
    TestWorkerFunc worker;
    unsigned cpus;
    uint64_t memory;
    unsigned repeat;
    int retries;
    bool fail_fast;
    const char *results;
    int64_t grace_us;
    int64_t overtime_us;
} TestPoolOptions;

typedef struct _TestPool TestPool;

TestPool *test_pool_new (const GPtrArray *runs, const TestPoolOptions *options, const TestPoolView *view,
                         void *user);
void test_pool_free (TestPool *pool);
int test_pool_run (TestPool *pool);
int64_t test_pool_get_end_time (const TestPool *pool);
json_t *test_pool_get_results (const TestPool *pool);
const GPtrArray *test_pool_get_running (const TestPool *pool);
void test_pool_count (const TestPool *pool, unsigned *ret_ended, unsigned *ret_total, unsigned *ret_bad);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestPool, test_pool_free)

#endif
