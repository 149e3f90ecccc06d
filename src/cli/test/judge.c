/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A worker tells how its run ended: that is the verdict, and it knows nothing of what was wanted. What was
 * wanted is in the scenario: an outcome, or none because the run is known to fail. Both together are the
 * status, and all statuses together the exit code.
 *
 * A run that says nothing about what is tested, because the host failed, the kernel could not be read or the
 * user ended it, is neither good nor bad. It is an error, also where a failure is expected: a known failure
 * has to be seen to count as one.
 */
#include "judge.h"

#include <string.h>

#define PASSED "passed"

/* What workers say; kernels' troubles come to it. */
static const char *const verdicts[] = {
    PASSED,           "failed-expectation",
    "command-failed", "forbidden",
    "triple-fault",   "hang",
    "timeout",        "ended",
    "cpu-error",      "cannot-boot",
    "setup",          "host-error",
    "check-failed",   "stopped",
    "reboot-loop",
};

/* They tell of the host, and not of what is tested. */
static const char *const errors[] = {"cannot-boot", "setup", "host-error", "stopped"};

static bool
is_one_of (const char *word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp (word, words[i]) == 0)
            return true;
    }
    return false;
}

static bool
is_panic (const char *verdict)
{
    for (VmmKernelTrouble kind = VMM_KERNEL_PANIC; kind < VMM_KERNEL_N_TROUBLES; kind++) {
        if (strcmp (verdict, vmm_kernel_trouble_to_string (kind)) == 0)
            return vmm_kernel_trouble_is_panic (kind);
    }
    return false;
}

/**
 * test_verdict_is_known:
 *
 * Returns: whether a worker may say @verdict
 */
bool
test_verdict_is_known (const char *verdict)
{
    for (VmmKernelTrouble kind = VMM_KERNEL_PANIC; kind < VMM_KERNEL_N_TROUBLES; kind++) {
        if (strcmp (verdict, vmm_kernel_trouble_to_string (kind)) == 0)
            return true;
    }
    return is_one_of (verdict, verdicts, G_N_ELEMENTS (verdicts));
}

/* A panic has names of its own where its cause is known; it is one all the same. */
static bool
is_expected (const char *outcome, const char *verdict)
{
    return strcmp (outcome, verdict) == 0 || (strcmp (outcome, "panic") == 0 && is_panic (verdict));
}

/* Whether @pattern matches in @text, in bounded time. Returns false with an error when that cannot be told.
 */
static bool
find_match (const char *pattern, const char *text, bool *ret_found, GError **error)
{
    g_autoptr (VmmExpect) expect = vmm_expect_new (0, false);
    VmmExpectEvent event = {0};

    *ret_found = false;
    if (!vmm_expect_add_pattern (expect, 0, pattern, VMM_EXPECT_REGEX, error))
        return false;
    /* One line: what the window does not hold of it is not worth a search. */
    vmm_expect_feed (expect, (const uint8_t *)text, strlen (text));
    vmm_expect_settle (expect);
    *ret_found = vmm_expect_next (expect, &event) && event.error == NULL;
    if (event.error != NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "reason \"%s\": %s", pattern, event.error);
    return event.error == NULL;
}

/* "it passed", "it was triple-fault: the CPU …" */
static char *
tell_end (const char *verdict, const char *reason)
{
    if (strcmp (verdict, PASSED) == 0)
        return g_strdup ("it passed");
    return *reason != '\0' ? g_strdup_printf ("it was %s: %s", verdict, reason)
                           : g_strdup_printf ("it was %s", verdict);
}

/* Why the end is not the one that the scenario asks for; NULL when it is. */
static char *
find_difference (const TestRun *run, const char *outcome, const char *verdict, const char *reason,
                 GError **error)
{
    g_autofree char *end = NULL;
    bool found;

    if (!is_expected (outcome, verdict)) {
        if (strcmp (outcome, PASSED) == 0)
            return g_strdup (*reason != '\0' ? reason : verdict);
        end = tell_end (verdict, reason);
        return g_strdup_printf ("expected %s, and %s", outcome, end);
    }
    if (run->reason == NULL || !find_match (run->reason, reason, &found, error) || found)
        return NULL;
    end = tell_end (verdict, reason);
    return g_strdup_printf ("expected %s with a reason that matches /%s/, and %s", outcome, run->reason, end);
}

static TestStatus
judge_difference (const TestRun *run, const char *difference, char **ret_reason)
{
    if (run->known_failure == NULL) {
        *ret_reason = g_strdup (difference);
        return difference != NULL ? TEST_STATUS_FAIL : TEST_STATUS_PASS;
    }
    if (difference == NULL) {
        *ret_reason = g_strdup_printf ("it passed, and is known to fail: %s", run->known_failure);
        return TEST_STATUS_XPASS;
    }
    *ret_reason = g_strdup (difference);
    return TEST_STATUS_XFAIL;
}

/**
 * test_judge:
 * @verdict: how the run ended
 * @reason: (nullable): the line that the worker has for it
 * @ret_reason: (transfer full) (nullable): a line for people that takes the place of @reason, or NULL
 *
 * Returns: what the end means to the one who wrote the scenario
 */
TestStatus
test_judge (const TestRun *run, const char *verdict, const char *reason, char **ret_reason)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *difference = NULL;
    const char *outcome = run->outcome != NULL ? run->outcome : PASSED;

    *ret_reason = NULL;
    if (!is_expected (outcome, verdict) && is_one_of (verdict, errors, G_N_ELEMENTS (errors)))
        return TEST_STATUS_ERROR;
    difference = find_difference (run, outcome, verdict, reason != NULL ? reason : "", &error);
    if (error != NULL) {
        *ret_reason = g_strdup (error->message);
        return TEST_STATUS_ERROR;
    }
    return judge_difference (run, difference, ret_reason);
}

/**
 * test_judge_all:
 * @results: (nullable): array of results with their statuses
 * @signal: that ended all of it; 0: none
 *
 * Returns: what vmm test exits with
 */
int
test_judge_all (const json_t *results, int signal)
{
    bool failed = false, unknown = false, judged = false;

    for (size_t i = 0; i < json_array_size (results); i++) {
        TestStatus status = test_result_status (json_array_get (results, i));

        failed = failed || status == TEST_STATUS_FAIL || status == TEST_STATUS_XPASS;
        unknown = unknown || status == TEST_STATUS_ERROR;
        judged = judged || status != TEST_STATUS_SKIP;
    }
    if (signal != 0)
        return 128 + signal;
    if (failed)
        return TEST_EXIT_FAILED;
    return unknown || !judged ? TEST_EXIT_NOT_JUDGED : 0;
}
