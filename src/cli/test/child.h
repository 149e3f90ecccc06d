/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_CHILD_H
#define CLI_TEST_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "scenario.h"

/* The longest line that a worker may send: a result with all that a guest wrote. */
#define TEST_CHILD_LINE_MAX (16u << 20)
/* Of what a worker writes to its standard output and error. */
#define TEST_CHILD_WORDS_MAX 4096u

typedef int (*TestWorkerFunc) (const TestRun *run, const char *results, int event_fd);

/**
 * TestChildSetup:
 * @worker: what the child does
 * @run: what for
 * @results: (nullable): the folder for the run's logs
 * @alarm_seconds: the child ends then at the latest if its parent has died; 0: never
 * @mask: the signals that it has blocked
 * @close_parents: closes the descriptors that are the parent's alone
 * @user: what @close_parents gets
 */
typedef struct {
    TestWorkerFunc worker;
    const TestRun *run;
    const char *results;
    unsigned alarm_seconds;
    const sigset_t *mask;
    void (*close_parents) (void *user);
    void *user;
} TestChildSetup;

typedef struct _TestChild TestChild;

TestChild *test_child_start (const TestChildSetup *setup, GError **error);
void test_child_free (TestChild *child);
void test_child_get_fds (const TestChild *child, int *ret_events, int *ret_words);
bool test_child_read (TestChild *child);
json_t *test_child_next_event (TestChild *child);
const char *test_child_complaint (const TestChild *child);
char *test_child_words (const TestChild *child);
bool test_child_reap (TestChild *child, int *ret_status);
void test_child_signal (TestChild *child, int signal);

#endif
