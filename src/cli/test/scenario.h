/* SPDX-License-Identifier: Apache-2.0 */
/* What vmm test is to do: the runs that a scenario file asks for. vmm-test(5) describes the file. */
#ifndef CLI_TEST_SCENARIO_H
#define CLI_TEST_SCENARIO_H

#include <stdbool.h>
#include <stdint.h>

#include <vmm/vmm.h>

/* Of a command in the guest, instead of a number. */
#define TEST_STATUS_ANY (-1)
#define TEST_STATUS_FAILURE (-2)

/* In any value: the run's private folder. */
#define TEST_TMP "${tmp}"

/**
 * TestAction:
 * @TEST_ACTION_NONE: a step that only waits for text
 * @TEST_ACTION_SEND: bytes for the console
 * @TEST_ACTION_KEY: bytes of a named key
 * @TEST_ACTION_RUN: a command in the guest's shell
 * @TEST_ACTION_WAIT: for the machine's end
 * @TEST_ACTION_MACHINE: something that is done to the machine
 * @TEST_ACTION_SLEEP: nothing for a while
 * @TEST_ACTION_CHECK_FILE: a look at a file of the host
 *
 * What a step does when its text has come.
 */
typedef enum {
    TEST_ACTION_NONE,
    TEST_ACTION_SEND,
    TEST_ACTION_KEY,
    TEST_ACTION_RUN,
    TEST_ACTION_WAIT,
    TEST_ACTION_MACHINE,
    TEST_ACTION_SLEEP,
    TEST_ACTION_CHECK_FILE,
} TestAction;

/* Which end of the machine a step waits for. */
typedef enum { TEST_WAIT_POWEROFF, TEST_WAIT_REBOOT, TEST_WAIT_HALT, TEST_WAIT_END, TEST_WAIT_EXIT } TestWait;

typedef enum {
    TEST_MACHINE_PAUSE,
    TEST_MACHINE_RESUME,
    TEST_MACHINE_POWER_BUTTON,
    TEST_MACHINE_BREAK,
} TestMachineAction;

/**
 * TestStep:
 * @name: unique among the steps
 * @console: index into the run's consoles
 * @expect: (nullable): what to wait for first
 * @expect_literal: it is no regular expression
 * @within_us: how long the whole step may take
 * @silence_us: how long the guest may do nothing that can be seen; 0: for ever
 * @action: what then
 * @bytes: (nullable): of SEND and KEY
 * @text: (nullable): the action's value as written: of RUN the command, of CHECK_FILE the path
 * @status: of RUN: a status, %TEST_STATUS_ANY or %TEST_STATUS_FAILURE
 * @output: (nullable): regular expression that RUN's output must match
 * @output_not: (nullable): one that it must not match
 * @error: (nullable): one for its standard error; in a [guest] only
 * @wait: of WAIT
 * @exit_value: what the guest writes to the debug-exit port, of %TEST_WAIT_EXIT
 * @machine: of MACHINE
 * @sleep_us: of SLEEP
 * @contains: (nullable): regular expression that the file of CHECK_FILE must match
 * @exists: whether the file of CHECK_FILE must be there
 */
typedef struct {
    char *name;
    unsigned console;
    char *expect;
    bool expect_literal;
    int64_t within_us;
    int64_t silence_us;
    TestAction action;
    GBytes *bytes;
    char *text;
    int status;
    char *output;
    char *output_not;
    char *error;
    TestWait wait;
    unsigned exit_value;
    TestMachineAction machine;
    int64_t sleep_us;
    char *contains;
    bool exists;
} TestStep;

/**
 * TestForbid:
 * @console: index into the run's consoles; -1: all of them
 */
typedef struct {
    char *name;
    char *pattern;
    bool literal;
    int console;
} TestForbid;

/* A name and its value: a place in the matrix, or a setting of the machine. */
typedef struct {
    char *name;
    char *value;
} TestPair;

/**
 * TestRun:
 * @name: unique: the scenario's, and its place in the matrix: "smoke[debian-6.1,4]"
 * @scenario: the scenario's name
 * @file: where it was read
 * @description: (nullable)
 * @tags: NULL-terminated
 * @axes: of TestPair: the place in the matrix
 * @machine: of TestPair: all settings of the machine, in order, without the kernel
 * @kernel: (nullable): a file, or a name in the store; NULL: the built-in guest
 * @config: the machine, made of @machine; a worker makes its own where values name %TEST_TMP
 * @cpus: for the budget
 * @memory: bytes, for the budget
 * @consoles: NULL-terminated, at least one: "serial", "hvc0", or a port's name
 * @steps: of TestStep
 * @forbids: of TestForbid
 * @timeout_us: of the whole run
 * @outcome: the verdict that makes the run pass
 * @reason: (nullable): regular expression that the verdict's reason must match, too
 * @known_failure: (nullable): why it fails, as everybody knows
 * @retries: how often it may be tried again
 * @allow: NULL-terminated: names of kernel troubles that are no failure; "all"
 * @has_guest: vmm makes the initrd, as vmm run does
 * @command: (nullable): argv of the guest's command; NULL: a shell for RUN steps
 * @command_status: what it must exit with, as @status of TestStep
 * @needs_tmp: some value names %TEST_TMP
 *
 * One boot and what must come of it. Strings are as in the file, variables replaced, but for %TEST_TMP.
 */
typedef struct {
    char *name;
    char *scenario;
    char *file;
    char *description;
    char **tags;
    GPtrArray *axes;
    GPtrArray *machine;
    char *kernel;
    VmmConfig *config;
    unsigned cpus;
    uint64_t memory;
    char **consoles;
    GPtrArray *steps;
    GPtrArray *forbids;
    int64_t timeout_us;
    char *outcome;
    char *reason;
    char *known_failure;
    unsigned retries;
    char **allow;
    bool has_guest;
    char **command;
    int command_status;
    char *root;
    char *modules;
    char *cwd;
    char *user;
    char **copies;
    char **outputs;
    char **env;
    bool needs_tmp;
} TestRun;

/**
 * TestLoadOptions:
 * @variables: (nullable): NULL-terminated NAME=VALUE, stronger than the file's
 * @machine: (nullable): NULL-terminated KEY=VALUE, in place of the file's setting, or of its axis of the
 * matrix
 * @time_scale: all time limits are multiplied by it
 */
typedef struct {
    char **variables;
    char **machine;
    double time_scale;
} TestLoadOptions;

GPtrArray *test_scenario_load (const char *path, const TestLoadOptions *options, GError **error);

TestRun *test_run_new (void);
void test_run_free (TestRun *run);
void test_step_free (TestStep *step);
void test_forbid_free (TestForbid *forbid);
TestPair *test_pair_new (const char *name, const char *value);
void test_pair_free (TestPair *pair);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestRun, test_run_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestStep, test_step_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestForbid, test_forbid_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestPair, test_pair_free)

#endif
