/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_LIVE_H
#define CLI_TEST_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "job.h"

/**
 * TestLiveState:
 * @running: of TestJob
 * @n_ended: jobs that have ended
 * @n_bad: some of them
 * @n_jobs: all of them
 * @start_us: when the first of them began
 *
 * What the view shows.
 */
typedef struct {
    const GPtrArray *running;
    unsigned n_ended;
    unsigned n_bad;
    unsigned n_jobs;
    int64_t start_us;
} TestLiveState;

typedef struct _TestLive TestLive;

TestLive *test_live_new (int fd, bool colours);
void test_live_free (TestLive *live);
unsigned test_live_columns (const TestLive *live);
void test_live_resized (TestLive *live);
void test_live_continued (TestLive *live);
void test_live_say (TestLive *live, const char *lines);
int64_t test_live_draw (TestLive *live, const TestLiveState *state, int64_t now_us);

#endif
