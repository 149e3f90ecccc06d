/* SPDX-License-Identifier: Apache-2.0 */
/* A scenario: it becomes runs that a worker can believe, or is refused in one line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scenario-file.h"
#include "scenario-make.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
need (bool holds)
{
    if (!holds)
        abort ();
}

static void
check_step (const TestRun *run, const TestStep *step)
{
    bool types = step->action == TEST_ACTION_SEND || step->action == TEST_ACTION_KEY;

    need (step->name != NULL && step->console < g_strv_length (run->consoles));
    need (step->within_us > 0 && step->silence_us >= 0 && step->sleep_us >= 0);
    need (step->action != TEST_ACTION_NONE || step->expect != NULL);
    need (types == (step->bytes != NULL));
    need ((step->action == TEST_ACTION_NONE) == (step->text == NULL));
    need (step->status >= TEST_STATUS_FAILURE && step->status <= 255 && step->exit_value <= 127);
}

static void
check_run (const TestRun *run)
{
    need (run->name != NULL && run->scenario != NULL && run->file != NULL && run->outcome != NULL);
    need (run->tags != NULL && run->allow != NULL && run->consoles != NULL && run->consoles[0] != NULL);
    need (run->config != NULL && run->cpus > 0 && run->memory > 0 && run->timeout_us > 0);
    need (run->steps->len > 0 || run->command != NULL);
    need (!run->has_guest || run->kernel != NULL);
    for (guint i = 0; i < run->steps->len; i++)
        check_step (run, run->steps->pdata[i]);
    for (guint i = 0; i < run->forbids->len; i++) {
        const TestForbid *forbid = run->forbids->pdata[i];

        need (forbid->pattern != NULL && forbid->console >= -1);
        need (forbid->console < (int)g_strv_length (run->consoles));
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    TestLoadOptions options = {.time_scale = 1};
    g_autoptr (GError) error = NULL;
    g_autoptr (TestFile) file = test_file_parse ((const char *)data, size, "/nowhere/fuzz.test", &error);
    g_autoptr (GPtrArray) runs = file != NULL ? test_scenario_make (file, &options, &error) : NULL;

    if (runs == NULL) {
        need (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
        need (g_utf8_validate (error->message, -1, NULL) && strchr (error->message, '\n') == NULL);
        return 0;
    }
    need (error == NULL && runs->len > 0);
    for (guint i = 0; i < runs->len; i++)
        check_run (runs->pdata[i]);
    return 0;
}
