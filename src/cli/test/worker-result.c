/* SPDX-License-Identifier: Apache-2.0 */
/* The result of a run, as JSON: what all reports are made of. */
#include <string.h>

#include "child.h"
#include "worker-internal.h"

/* With a line's end, and what is around it. */
#define RESULT_MAX (TEST_CHILD_LINE_MAX - 4096u)

static json_t *
strings (char **list)
{
    json_t *array = json_array ();

    for (; list != NULL && *list != NULL; list++)
        json_array_append_new (array, test_worker_text_to_json (*list, TEST_REASON_MAX));
    return array;
}

static json_t *
text (const char *value)
{
    return test_worker_text_to_json (value, TEST_REASON_MAX);
}

static json_t *
axes_to_json (const TestRun *run)
{
    json_t *axes = json_object ();

    for (guint i = 0; i < run->axes->len; i++) {
        const TestPair *axis = run->axes->pdata[i];

        json_object_set_new (axes, axis->name, text (axis->value));
    }
    return axes;
}

static const char *
name_step (const TestStep *step)
{
    static const char *const names[] = {
        [TEST_ACTION_NONE] = "expect", [TEST_ACTION_SEND] = "send",
        [TEST_ACTION_KEY] = "key",     [TEST_ACTION_RUN] = "run",
        [TEST_ACTION_WAIT] = "wait",   [TEST_ACTION_MACHINE] = "machine",
        [TEST_ACTION_SLEEP] = "sleep", [TEST_ACTION_CHECK_FILE] = "check-file",
    };

    return names[step->action];
}

static json_t *
seconds_or_null (const TestStepResult *result, double seconds)
{
    return result->state == TEST_STEP_NOT_RUN ? json_null () : json_real (seconds);
}

static json_t *
outcome_to_json (const TestStepResult *result)
{
    /* One that has begun has failed, or the run would go on. */
    static const char *const states[] = {"not-run", "failed", "passed", "failed"};

    return json_pack ("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "state", states[result->state], "begin",
                      seconds_or_null (result, result->begin), "end", seconds_or_null (result, result->end),
                      "line", result->line > 0 ? json_integer ((json_int_t)result->line) : json_null (),
                      "status", result->has_status ? json_integer (result->status) : json_null (), "stdout",
                      test_worker_text_to_json (result->out, TEST_OUTPUT_MAX), "stderr",
                      test_worker_text_to_json (result->err, TEST_OUTPUT_MAX), "message",
                      text (result->message));
}

static json_t *
steps_to_json (const TestWorker *worker)
{
    const TestRun *run = worker->run;
    json_t *steps = json_array ();

    for (guint i = 0; i < run->steps->len; i++) {
        const TestStep *step = run->steps->pdata[i];
        json_t *json = outcome_to_json (&worker->done[i]);

        json_object_set_new (json, "name", text (step->name));
        json_object_set_new (json, "kind", json_string (name_step (step)));
        json_object_set_new (json, "what",
                             text (step->action == TEST_ACTION_NONE ? step->expect : step->text));
        json_object_set_new (json, "expect", text (step->expect));
        json_object_set_new (json, "console", text (run->consoles[step->console]));
        json_array_append_new (steps, json);
    }
    if (run->command != NULL) {
        json_t *json = outcome_to_json (&worker->done[run->steps->len]);
        g_autofree char *command = g_strjoinv (" ", run->command);

        json_object_set_new (json, "name", json_string ("command"));
        json_object_set_new (json, "kind", json_string ("command"));
        json_object_set_new (json, "what", text (command));
        json_object_set_new (json, "expect", json_null ());
        json_object_set_new (json, "console", json_null ());
        json_array_append_new (steps, json);
    }
    return steps;
}

static json_t *
consoles_to_json (const TestWorker *worker)
{
    json_t *consoles = json_array ();

    for (guint i = 0; i < worker->consoles->len; i++) {
        const TestConsole *console = worker->consoles->pdata[i];
        json_t *json = test_capture_to_json (console->capture);
        uint64_t line = console->fail_line;

        json_object_set_new (json, "name", text (console->name));
        json_object_set_new (json, "fail_line", line > 0 ? json_integer ((json_int_t)line) : json_null ());
        json_object_set_new (json, "log", text (console->log_path));
        json_object_set_new (json, "log_error", text (console->log_error));
        json_array_append_new (consoles, json);
    }
    return consoles;
}

static void
add_time (const TestWorker *worker, json_t *result)
{
    double seconds = test_worker_seconds (worker, test_worker_now ()), offset;
    const TestEnd *end = &worker->end;
    bool has_offset = test_timeline_kernel_offset (worker->timeline, &offset);

    json_object_set_new (result, "seconds", json_real (seconds));
    json_object_set_new (result, "stages",
                         test_timeline_stages (worker->timeline, end->first_instruction, end->first_output,
                                               end->there ? end->end : seconds));
    json_object_set_new (result, "initcalls", test_timeline_initcalls (worker->timeline));
    json_object_set_new (result, "kernel_clock_offset", has_offset ? json_real (offset) : json_null ());
}

static json_t *
notes_to_json (const TestWorker *worker)
{
    json_t *notes = json_array ();

    for (guint i = 0; i < worker->notes->len; i++)
        json_array_append_new (notes, text (worker->notes->pdata[i]));
    return notes;
}

static bool
is_too_long (const json_t *result)
{
    return json_dumpb (result, NULL, 0, JSON_COMPACT) > RESULT_MAX;
}

static void
drop (json_t *list, const char *key, json_t *(*make_empty) (void))
{
    for (size_t i = 0; i < json_array_size (list); i++)
        json_object_set_new (json_array_get (list, i), key, make_empty ());
}

static json_t *
make_text (void)
{
    return json_string ("");
}

/* A byte of a guest may need six in JSON, and a scenario may have many consoles and commands. What tells
 * least goes first. */
static void
shorten (json_t *result)
{
    json_t *steps = json_object_get (result, "steps"), *consoles = json_object_get (result, "consoles");

    if (!is_too_long (result))
        return;
    json_array_append_new (json_object_get (result, "notes"),
                           json_string ("the run has said more than a result holds: some of it is left out"));
    drop (steps, "stdout", json_null);
    drop (steps, "stderr", json_null);
    if (!is_too_long (result))
        return;
    drop (consoles, "head", make_text);
    if (is_too_long (result))
        drop (consoles, "tail", make_text);
}

/**
 * test_worker_result:
 *
 * Returns: (transfer full): all about the run, which has its verdict; not longer than its parent takes
 */
json_t *
test_worker_result (TestWorker *worker)
{
    const TestRun *run = worker->run;
    const TestVerdict *verdict = &worker->verdict;
    json_t *result =
        json_pack ("{s:o, s:o, s:o, s:o, s:o, s:o}", "name", text (run->name), "scenario",
                   text (run->scenario), "file", text (run->file), "description", text (run->description),
                   "tags", strings (run->tags), "axes", axes_to_json (run));

    json_object_set_new (result, "verdict", json_string (verdict->kind));
    json_object_set_new (result, "reason", text (verdict->reason));
    json_object_set_new (result, "outcome", text (run->outcome != NULL ? run->outcome : "passed"));
    json_object_set_new (result, "outcome_reason", text (run->reason));
    json_object_set_new (result, "known_failure", text (run->known_failure));
    json_object_set_new (result, "step", verdict->step >= 0 ? json_integer (verdict->step) : json_null ());
    add_time (worker, result);
    json_object_set_new (result, "steps", steps_to_json (worker));
    json_object_set_new (result, "consoles", consoles_to_json (worker));
    json_object_set (result, "reports", worker->reports);
    json_object_set (result, "samples", worker->samples);
    json_object_set_new (result, "machine",
                         worker->end.json != NULL ? json_incref (worker->end.json) : json_null ());
    json_object_set_new (result, "command",
                         worker->command_end.json != NULL ? json_incref (worker->command_end.json)
                                                          : json_null ());
    json_object_set_new (result, "notes", notes_to_json (worker));
    shorten (result);
    return result;
}
