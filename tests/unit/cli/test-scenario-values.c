/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "scenario-values.h"

static void
expect_list (char **list, const char *joined)
{
    g_autofree char *text = g_strjoinv ("|", list);

    cr_assert_str_eq (text, joined);
    g_strfreev (list);
}

Test (scenario_values, lists)
{
    expect_list (test_list_split (""), "");
    expect_list (test_list_split (" a b ; c;; \\;d\\; ;"), "a b|c|;d;");
    expect_list (test_list_split ("a\\b"), "a\\b");
    expect_list (test_list_split_all ("; a ;;b;"), "|a||b");
    expect_list (test_list_split_all (""), "");
    expect_list (test_list_split_all (";"), "");
}

Test (scenario_values, times)
{
    static const char *const bad[] = {"", "s", "0", "-1", "nan", "inf", "1m", "31536001", "1 s", "0x"};
    const char *why = NULL;
    int64_t us = 7;

    for (size_t i = 0; i < G_N_ELEMENTS (bad); i++) {
        cr_assert_not (test_seconds_parse (bad[i], &us, &why), "%s", bad[i]);
        cr_assert_not_null (why);
    }
    cr_assert_eq (us, 7);
    cr_assert (test_seconds_parse ("0.25", &us, &why));
    cr_assert_eq (us, 250000);
    cr_assert (test_seconds_parse ("90s", &us, &why));
    cr_assert_eq (us, 90000000);
}

Test (scenario_values, numbers)
{
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x", "1000", "0x100", "1e2"};
    unsigned n = 7;

    for (size_t i = 0; i < G_N_ELEMENTS (bad); i++)
        cr_assert_not (test_number_parse (bad[i], 255, &n), "%s", bad[i]);
    cr_assert_eq (n, 7);
    cr_assert (test_number_parse ("255", 255, &n));
    cr_assert_eq (n, 255);
    cr_assert (test_number_parse ("0x1f", 255, &n));
    cr_assert_eq (n, 0x1f);
}

Test (scenario_values, what_was_meant_is_guessed_where_it_is_near)
{
    static const char *const known[] = {"expect", "expect-text", "send",    "key",
                                        "wait",   "mem",         "outcome", NULL};

    cr_assert_str_eq (test_suggest ("expct", known), "expect");
    cr_assert_str_eq (test_suggest ("epxect", known), "expect");
    cr_assert_str_eq (test_suggest ("Expect", known), "expect");
    cr_assert_str_eq (test_suggest ("expect_text", known), "expect-text");
    cr_assert_str_eq (test_suggest ("sned", known), "send");
    cr_assert_str_eq (test_suggest ("memory", known), "mem");
    cr_assert_str_eq (test_suggest ("outcomes", known), "outcome");
    cr_assert_null (test_suggest ("x", known));
    cr_assert_null (test_suggest ("x", (const char *const[]){"y", NULL}));
    cr_assert_null (test_suggest ("password", known));
    cr_assert_null (test_suggest ("", known));
}
