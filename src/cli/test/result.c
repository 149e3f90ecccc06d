/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a run when it is over. A worker sends all that only it can know; what the scenario says is
 * put in here, by the parent, for a worker could say anything. For the same reason each member gets the type
 * that it should have.
 */
#include "result.h"

#include "judge.h"

/* vmm-test(5) tells what they are; those that may be null say so. */
static const struct {
    const char *key;
    json_type type;
    bool nullable;
} members[] = {
    {"verdict", JSON_STRING, false},      {"reason", JSON_STRING, true},
    {"step", JSON_INTEGER, true},         {"seconds", JSON_REAL, false},
    {"stages", JSON_ARRAY, false},        {"initcalls", JSON_ARRAY, false},
    {"steps", JSON_ARRAY, false},         {"kernel_clock_offset", JSON_REAL, true},
    {"consoles", JSON_ARRAY, false},      {"reports", JSON_ARRAY, false},
    {"samples", JSON_ARRAY, false},       {"machine", JSON_OBJECT, true},
    {"command", JSON_OBJECT, true},       {"notes", JSON_ARRAY, false},
    {"worker_output", JSON_STRING, true},
};

static json_t *
string_or_null (const char *text)
{
    g_autofree char *valid = text != NULL ? g_utf8_make_valid (text, -1) : NULL;

    return valid != NULL ? json_string (valid) : json_null ();
}

/**
 * test_result_set_string:
 * @text: (nullable): any bytes
 */
void
test_result_set_string (json_t *result, const char *key, const char *text)
{
    json_object_set_new (result, key, string_or_null (text));
}

static json_t *
make_empty (json_type type, bool nullable)
{
    if (nullable)
        return json_null ();
    switch (type) {
    case JSON_ARRAY:
        return json_array ();
    case JSON_REAL:
        return json_real (0);
    default:
        return json_string ("");
    }
}

static bool
has_type (const json_t *value, json_type type)
{
    return type == JSON_REAL ? json_is_number (value) : value != NULL && json_typeof (value) == type;
}

static void
correct_members (json_t *result)
{
    for (size_t i = 0; i < G_N_ELEMENTS (members); i++) {
        if (!has_type (json_object_get (result, members[i].key), members[i].type))
            json_object_set_new (result, members[i].key, make_empty (members[i].type, members[i].nullable));
    }
    if (!(json_number_value (json_object_get (result, "seconds")) >= 0))
        json_object_set_new (result, "seconds", json_real (0));
}

static json_t *
tags_to_json (char *const *tags)
{
    json_t *list = json_array ();

    for (; tags != NULL && *tags != NULL; tags++)
        json_array_append_new (list, string_or_null (*tags));
    return list;
}

static json_t *
axes_to_json (const GPtrArray *axes)
{
    json_t *object = json_object ();

    for (guint i = 0; i < axes->len; i++) {
        const TestPair *axis = g_ptr_array_index (axes, i);

        test_result_set_string (object, axis->name, axis->value);
    }
    return object;
}

static void
put_facts (json_t *result, const TestRun *run)
{
    test_result_set_string (result, "name", run->name);
    test_result_set_string (result, "scenario", run->scenario);
    test_result_set_string (result, "file", run->file);
    test_result_set_string (result, "description", run->description);
    json_object_set_new (result, "tags", tags_to_json (run->tags));
    json_object_set_new (result, "axes", axes_to_json (run->axes));
    test_result_set_string (result, "outcome", run->outcome != NULL ? run->outcome : "passed");
    test_result_set_string (result, "outcome_reason", run->reason);
    test_result_set_string (result, "known_failure", run->known_failure);
}

/**
 * test_result_complete:
 * @sent: (transfer full) (nullable): what a worker calls a result
 *
 * Returns: (transfer full) (nullable): it, with all members that a result has but its status; NULL when it is
 * none
 */
json_t *
test_result_complete (const TestRun *run, json_t *sent)
{
    const char *verdict = json_string_value (json_object_get (sent, "verdict"));

    if (verdict == NULL || !test_verdict_is_known (verdict)) {
        json_decref (sent);
        return NULL;
    }
    /* What only the parent knows. */
    json_object_del (sent, "status");
    json_object_del (sent, "repeat");
    json_object_set_new (sent, "attempts", json_array ());
    json_object_set_new (sent, "worker_output", json_null ());
    put_facts (sent, run);
    correct_members (sent);
    return sent;
}

/**
 * test_result_without_worker:
 *
 * Returns: (transfer full): a result of a run whose worker told none
 */
json_t *
test_result_without_worker (const TestRun *run, const char *verdict, const char *reason, double seconds)
{
    json_t *result = json_pack ("{s:s, s:f}", "verdict", verdict, "seconds", seconds);

    test_result_set_string (result, "reason", reason);
    return test_result_complete (run, result);
}

/**
 * test_result_shorten:
 *
 * Takes out what takes much room and is of no interest when there are better ones: what was said, and the
 * kernel's initcalls.
 */
void
test_result_shorten (json_t *result)
{
    json_t *consoles = json_object_get (result, "consoles");

    for (size_t i = 0; i < json_array_size (consoles); i++) {
        json_object_del (json_array_get (consoles, i), "head");
        json_object_del (json_array_get (consoles, i), "tail");
    }
    json_object_set_new (result, "initcalls", json_array ());
}

/**
 * test_result_make_attempt:
 * @result: (transfer full): of a run that is tried again
 *
 * Returns: (transfer full): it without the begin of its consoles
 */
json_t *
test_result_make_attempt (json_t *result)
{
    json_t *consoles = json_object_get (result, "consoles");

    json_object_del (result, "attempts");
    for (size_t i = 0; i < json_array_size (consoles); i++)
        json_object_del (json_array_get (consoles, i), "head");
    return result;
}
