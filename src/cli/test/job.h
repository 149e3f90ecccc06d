/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_JOB_H
#define CLI_TEST_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "child.h"
#include "report-document.h"
#include "scenario.h"

/**
 * TestJobState:
 * @TEST_JOB_WAITING: for its turn, maybe not for the first time
 * @TEST_JOB_RUNNING: it has a worker
 * @TEST_JOB_ENDED: it has its last result
 */
typedef enum { TEST_JOB_WAITING, TEST_JOB_RUNNING, TEST_JOB_ENDED } TestJobState;

/**
 * TestJob:
 * @run: what is done
 * @repeat: which time, from 1; 0 where nothing is repeated
 * @attempt: from 1
 * @started_us: g_get_monotonic_time() of this attempt
 * @stage: (nullable): where the guest is: "kernel"
 * @step: number of the step that is under way, from 1; 0: none yet
 * @step_name: (nullable): its name
 * @line: (nullable): the last line of a console, cleaned
 * @state: where it is
 * @child: (nullable): its worker
 * @kill_us: when the worker is killed if it has not ended by itself
 * @killed: it was
 * @folder: (nullable): what the worker calls its folder
 * @sent: (nullable): what the worker calls its result
 * @failed: (nullable): the last attempt that failed
 * @attempts: (nullable): the earlier ones
 * @result: (nullable): the last one, until the pool has put it away
 * @index: among the pool's
 * @cpus: what it takes of the budget
 * @memory: the same, in bytes
 * @passed_over: how many others were started before it, although they came behind it
 *
 * One of the boots that are to be made of a run, and its attempts. The first half is for views.
 */
typedef struct {
    const TestRun *run;
    unsigned repeat;
    unsigned attempt;
    int64_t started_us;
    char *stage;
    unsigned step;
    char *step_name;
    char *line;

    TestJobState state;
    TestChild *child;
    int64_t kill_us;
    bool killed;
    char *folder;
    json_t *sent;
    json_t *failed;
    json_t *attempts;
    json_t *result;
    guint index;
    unsigned cpus;
    uint64_t memory;
    unsigned passed_over;
} TestJob;

typedef void (*TestJobStepFunc) (void *user, const TestJob *job, const char *state, double t);

TestJob *test_job_new (const TestRun *run, unsigned repeat);
void test_job_free (TestJob *job);
void test_job_begin (TestJob *job, TestChild *child, int64_t now_us);
void test_job_read (TestJob *job, TestJobStepFunc on_step, void *user);
json_t *test_job_end (TestJob *job, int status, const char *stopped);
bool test_job_conclude (TestJob *job, json_t *result, unsigned retries, const char *stopped,
                        TestStatus stopped_status);
void test_job_skip (TestJob *job, const char *why);

#endif
