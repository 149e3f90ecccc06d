/* SPDX-License-Identifier: Apache-2.0 */
/* What an end means to the one who wrote the scenario, and the exit code that all ends come to. */
#include "judge.h"

#include <criterion/criterion.h>
#include <string.h>

typedef struct {
    const char *outcome, *reason_pattern, *known_failure;
    const char *verdict, *reason;
    TestStatus status;
    const char *line; /* in place of the reason; NULL: the reason stays */
} Case;

static const Case cases[] = {
    {NULL, NULL, NULL, "passed", NULL, TEST_STATUS_PASS, NULL},
    {"passed", NULL, NULL, "passed", NULL, TEST_STATUS_PASS, NULL},
    {NULL, NULL, NULL, "panic", "no init found", TEST_STATUS_FAIL, "no init found"},
    {NULL, NULL, NULL, "hang", NULL, TEST_STATUS_FAIL, "hang"},
    /* An outcome that is no pass. */
    {"panic", NULL, NULL, "panic", "sysrq triggered crash", TEST_STATUS_PASS, NULL},
    {"panic", NULL, NULL, "no-root", "unable to mount root fs", TEST_STATUS_PASS, NULL},
    {"panic", NULL, NULL, "passed", NULL, TEST_STATUS_FAIL, "expected panic, and it passed"},
    {"panic", NULL, NULL, "hang", "CPU 0 is stuck", TEST_STATUS_FAIL,
     "expected panic, and it was hang: CPU 0 is stuck"},
    {"no-root", NULL, NULL, "panic", "other", TEST_STATUS_FAIL, "expected no-root, and it was panic: other"},
    {"oops", NULL, NULL, "bug", "", TEST_STATUS_FAIL, "expected oops, and it was bug"},
    /* And a reason. */
    {"panic", "sysrq .*crash", NULL, "panic", "a sysrq triggered crash", TEST_STATUS_PASS, NULL},
    {"panic", "^crash$", NULL, "panic", "sysrq triggered crash", TEST_STATUS_FAIL,
     "expected panic with a reason that matches /^crash$/, and it was panic: sysrq triggered crash"},
    {"panic", "crash", NULL, "panic", NULL, TEST_STATUS_FAIL,
     "expected panic with a reason that matches /crash/, and it was panic"},
    /* Nothing was learnt about what is tested. */
    {NULL, NULL, NULL, "setup", "no such file", TEST_STATUS_ERROR, NULL},
    {NULL, NULL, NULL, "host-error", "no memory", TEST_STATUS_ERROR, NULL},
    {NULL, NULL, NULL, "cannot-boot", "no kernel", TEST_STATUS_ERROR, NULL},
    {"panic", NULL, NULL, "stopped", "by SIGINT", TEST_STATUS_ERROR, NULL},
    {NULL, NULL, "bug 1", "stopped", "by SIGINT", TEST_STATUS_ERROR, NULL},
    {"cannot-boot", NULL, NULL, "cannot-boot", "no kernel", TEST_STATUS_PASS, NULL},
    {"cannot-boot", "initrd", NULL, "cannot-boot", "no kernel", TEST_STATUS_FAIL,
     "expected cannot-boot with a reason that matches /initrd/, and it was cannot-boot: no kernel"},
    /* Failures that everybody knows. */
    {NULL, NULL, "bug 1", "panic", "boom", TEST_STATUS_XFAIL, "boom"},
    {NULL, NULL, "bug 1", "passed", NULL, TEST_STATUS_XPASS, "it passed, and is known to fail: bug 1"},
    {"panic", NULL, "bug 1", "passed", NULL, TEST_STATUS_XFAIL, "expected panic, and it passed"},
    {"panic", NULL, "bug 1", "panic", "boom", TEST_STATUS_XPASS, "it passed, and is known to fail: bug 1"},
};

static void
check (const Case *c)
{
    g_autoptr (TestRun) run = test_run_new ();
    g_autofree char *line = NULL;
    TestStatus status;

    run->outcome = g_strdup (c->outcome);
    run->reason = g_strdup (c->reason_pattern);
    run->known_failure = g_strdup (c->known_failure);
    status = test_judge (run, c->verdict, c->reason, &line);
    cr_expect_eq (status, c->status, "case %zu: %s", (size_t)(c - cases), test_status_to_string (status));
    cr_expect (g_strcmp0 (line, c->line) == 0, "case %zu: \"%s\"", (size_t)(c - cases), line);
}

Test (judge, verdicts_and_outcomes)
{
    for (size_t i = 0; i < G_N_ELEMENTS (cases); i++)
        check (&cases[i]);
}

Test (judge, a_catastrophic_pattern_is_given_up)
{
    g_autoptr (TestRun) run = test_run_new ();
    g_autofree char *reason = g_strnfill (5000, 'a');
    g_autofree char *line = NULL;

    run->outcome = g_strdup ("panic");
    run->reason = g_strdup ("(a+)+(a+)+(a+)+b");
    cr_assert_neq (test_judge (run, "panic", reason, &line), TEST_STATUS_PASS);
    cr_assert (line != NULL && strlen (line) > 10, "\"%s\"", line);
}

Test (judge, known_verdicts)
{
    cr_assert (test_verdict_is_known ("passed"));
    cr_assert (test_verdict_is_known ("hung-task"));
    cr_assert (test_verdict_is_known ("reboot-loop"));
    cr_assert (test_verdict_is_known ("init-killed"));
    cr_assert_not (test_verdict_is_known ("fine"));
    cr_assert_not (test_verdict_is_known (""));
}

static int
code_of (const char *statuses, int signal)
{
    g_auto (GStrv) words = g_strsplit_set (statuses, " ", -1);
    json_t *results = json_array ();
    int code;

    for (char **word = words; *word != NULL && **word != '\0'; word++)
        json_array_append_new (results, json_pack ("{s:s}", "status", *word));
    code = test_judge_all (results, signal);
    json_decref (results);
    return code;
}

Test (judge, exit_codes)
{
    cr_expect_eq (code_of ("pass", 0), 0);
    cr_expect_eq (code_of ("pass xfail flaky skip", 0), 0);
    cr_expect_eq (code_of ("pass fail", 0), 1);
    cr_expect_eq (code_of ("xpass pass", 0), 1);
    cr_expect_eq (code_of ("pass error", 0), 125);
    cr_expect_eq (code_of ("error fail", 0), 1, "what has failed has failed");
    cr_expect_eq (code_of ("", 0), 125, "nothing was run");
    cr_expect_eq (code_of ("skip skip", 0), 125);
    cr_expect_eq (code_of ("nonsense", 0), 125, "never taken for good");
    cr_expect_eq (code_of ("pass fail", 2), 130);
    cr_expect_eq (code_of ("", 15), 143);
}
