/* SPDX-License-Identifier: Apache-2.0 */
/* Scenarios as text, made runs, or refused with the words that people read. */
#ifndef SCENARIO_RIG_H
#define SCENARIO_RIG_H

#include <criterion/criterion.h>
#include <string.h>

#include "scenario-file.h"
#include "scenario-make.h"
#include "scenario.h"

static inline GPtrArray *
make_runs_with (const char *text, const TestLoadOptions *options, GError **error)
{
    g_autoptr (TestFile) file = test_file_parse (text, strlen (text), "/scenarios/smoke.test", error);

    return file != NULL ? test_scenario_make (file, options, error) : NULL;
}

static inline GPtrArray *
make_runs (const char *text)
{
    TestLoadOptions options = {.time_scale = 1};
    g_autoptr (GError) error = NULL;
    GPtrArray *runs = make_runs_with (text, &options, &error);

    cr_assert_not_null (runs, "%s", error != NULL ? error->message : "");
    return runs;
}

static inline const TestRun *
run_at (const GPtrArray *runs, guint i)
{
    cr_assert_lt (i, runs->len);
    return runs->pdata[i];
}

static inline const TestStep *
step_at (const GPtrArray *runs, guint i)
{
    const TestRun *run = run_at (runs, 0);

    cr_assert_lt (i, run->steps->len);
    return run->steps->pdata[i];
}

/* @said: what the message must be, but for the file's name that it begins with */
static inline void
expect_refusal_with (const char *text, const TestLoadOptions *options, const char *said)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (GPtrArray) runs = make_runs_with (text, options, &error);
    const char *message = error != NULL ? error->message : "";

    cr_assert_null (runs, "taken: %s", text);
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_null (strchr (message, '\n'), "more than a line: %s", message);
    if (g_str_has_prefix (message, "/scenarios/smoke.test:"))
        message += strlen ("/scenarios/smoke.test:");
    cr_assert_not_null (strstr (message, said), "\"%s\" does not say \"%s\"", message, said);
}

static inline void
expect_refusal (const char *text, const char *said)
{
    TestLoadOptions options = {.time_scale = 1};

    expect_refusal_with (text, &options, said);
}

#endif
