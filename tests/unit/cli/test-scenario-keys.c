/* SPDX-License-Identifier: Apache-2.0 */
/* The table, for programs and in the manual. */
#include <criterion/criterion.h>
#include <string.h>

#include <jansson.h>
#include <vmm/vmm.h>

#include "scenario-keys.h"

static json_t *
key_of (json_t *schema, const char *group, const char *key)
{
    return json_object_get (
        json_object_get (json_object_get (json_object_get (schema, "groups"), group), "keys"), key);
}

Test (scenario_keys, are_told_to_programs)
{
    g_autofree char *text = test_scenario_schema_json ();
    json_t *schema = json_loads (text, 0, NULL);
    json_t *timeout, *copy, *groups;

    cr_assert_not_null (schema);
    groups = json_object_get (schema, "groups");
    cr_assert_eq (json_integer_value (json_object_get (schema, "schema")), 1);
    cr_assert_eq (json_object_size (groups), 8);
    timeout = key_of (schema, "test", "timeout");
    cr_assert_str_eq (json_string_value (json_object_get (timeout, "value")), "SECONDS");
    cr_assert_str_eq (json_string_value (json_object_get (timeout, "default")), "300");
    cr_assert (json_is_false (json_object_get (timeout, "repeats")));
    cr_assert_not_null (json_string_value (json_object_get (timeout, "summary")));
    copy = key_of (schema, "guest", "copy");
    cr_assert (json_is_true (json_object_get (copy, "repeats")));
    cr_assert (json_is_null (json_object_get (copy, "default")));
    cr_assert_not_null (key_of (schema, "machine", "kernel"));
    cr_assert_null (key_of (schema, "machine", "timeout"));
    cr_assert (json_is_true (json_object_get (json_object_get (groups, "step"), "named")));
    cr_assert_not_null (json_string_value (json_object_get (json_object_get (groups, "matrix"), "any")));
    json_decref (schema);
}

Test (scenario_keys, have_fallbacks)
{
    cr_assert_str_eq (test_key_fallback ("test", "silence"), "30");
    cr_assert_null (test_key_fallback ("step", "silence"));
    cr_assert_null (test_key_fallback ("step", "nothing"));
    cr_assert_null (test_key_fallback ("nothing", "silence"));
}

Test (scenario_keys, of_the_machine_take_words_behind_them_where_they_repeat)
{
    cr_assert_str_eq (test_machine_key ("disk"), "disk");
    cr_assert_str_eq (test_machine_key ("disk a b"), "disk");
    cr_assert_null (test_machine_key ("diskette"));
    cr_assert_null (test_machine_key ("mem 2"));
    cr_assert (test_machine_key_repeats ("append x"));
    cr_assert_not (test_machine_key_repeats ("mem"));
}
