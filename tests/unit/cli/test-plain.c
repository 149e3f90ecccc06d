/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for people, and how much room text takes. */
#include "columns.h"
#include "plain.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const TestPlainStyle bare = {0};

static void
expect_ended (const char *json, bool again, const TestPlainStyle *style, const char *expected)
{
    json_t *result = json_loads (json, 0, NULL);
    g_autofree char *line = test_plain_ended (result, again, style);

    cr_expect_str_eq (line, expected, "\"%s\"", line);
    json_decref (result);
}

Test (plain, ended)
{
    const TestPlainStyle bright = {.colours = true, .marks = true};

    expect_ended ("{\"name\":\"a[1]\",\"status\":\"pass\",\"seconds\":4.2,\"reason\":\"not shown\"}", false,
                  &bare, "PASS  a[1] 4.20 s");
    expect_ended ("{\"name\":\"a\",\"status\":\"fail\",\"seconds\":61,\"reason\":\"boom\",\"repeat\":3}",
                  false, &bare, "FAIL  a #3 61.0 s: boom");
    expect_ended ("{\"name\":\"a\",\"status\":\"fail\",\"reason\":\"boom\"}", true, &bare,
                  "FAIL  a 0 s, is tried again: boom");
    expect_ended ("{\"name\":\"a\",\"status\":\"xfail\",\"reason\":\"boom\",\"known_failure\":\"bug 1\"}",
                  false, &bare, "XFAIL a 0 s: known failure, bug 1: boom");
    expect_ended ("{\"name\":\"a\",\"status\":\"error\",\"verdict\":\"setup\"}", false, &bare, "ERROR a 0 s");
    expect_ended ("{\"name\":\"a\",\"status\":\"pass\"}", false, &bright, "\033[32m✓ PASS \033[0m a 0 s");
    expect_ended ("{\"name\":\"a\",\"status\":\"fail\"}", false, &bright, "\033[1;31m✗ FAIL \033[0m a 0 s");
    expect_ended ("[]", false, &bare, "ERROR (no name) 0 s");
}

Test (plain, a_guest_cannot_reach_the_terminal)
{
    expect_ended ("{\"name\":\"a\",\"status\":\"fail\",\"reason\":\"\\u001b[2Jx\\r\\ny\\u0007##[group]\"}",
                  false, &bare, "FAIL  a 0 s: x y␇##(group]");
}

Test (plain, lines_are_cut_to_the_width)
{
    const TestPlainStyle narrow = {.columns = 20, .colours = true};

    expect_ended ("{\"name\":\"a-rather-long-name\",\"status\":\"fail\",\"reason\":\"boom\"}", false, &narrow,
                  "\033[1;31mFAIL \033[0m a-rather-lon..");
    expect_ended ("{\"name\":\"a\",\"status\":\"fail\",\"reason\":\"日本語日本語\"}", false, &narrow,
                  "\033[1;31mFAIL \033[0m a 0 s: 日本..");
}

Test (plain, words_of_a_worker)
{
    json_t *result =
        json_pack ("{s:s, s:s}", "verdict", "host-error", "worker_output", "one\n\n\033[1mtwo\t3\n");
    g_autofree char *words = test_plain_words (result, &bare);

    cr_expect_str_eq (words, "      | one\n      | two 3", "\"%s\"", words);
    json_object_set_new (result, "verdict", json_string ("passed"));
    cr_expect_null (test_plain_words (result, &bare));
    json_object_clear (result);
    cr_expect_null (test_plain_words (result, &bare));
    json_decref (result);
}

Test (plain, a_log_that_is_cut_short)
{
    json_t *result =
        json_pack ("{s:s, s:[{s:s, s:n}, {s:s, s:s}, {s:s, s:s}]}", "name", "smoke", "consoles", "log", "a",
                   "log_error", "log", "b", "log_error", "\"b\" is cut\nshort", "log", "c", "log_error", "c");
    g_autofree char *line = test_plain_log (result, &bare);

    cr_expect_str_eq (line, "note: smoke: \"b\" is cut short", "\"%s\"", line);
    json_object_clear (result);
    cr_expect_null (test_plain_log (result, &bare));
    json_decref (result);
}

Test (plain, steps)
{
    g_autoptr (TestRun) run = test_run_new ();
    TestJob job = {.run = run, .step = 2, .step_name = (char *)"log in", .repeat = 4};
    g_autofree char *passed = NULL;
    g_autofree char *failed = NULL;

    run->name = g_strdup ("smoke[1]");
    passed = test_plain_step (&job, "passed", 1.5, &bare);
    failed = test_plain_step (&job, "failed", 30, &bare);
    cr_expect_str_eq (passed, "   ok smoke[1] #4: step 2 \"log in\" passed after 1.50 s", "%s", passed);
    cr_expect_str_eq (failed, "  not smoke[1] #4: step 2 \"log in\" failed after 30.0 s", "%s", failed);
}

static void
expect_cut (const char *text, unsigned columns, bool fill, const char *expected)
{
    g_autoptr (GString) line = g_string_new (NULL);

    test_columns_append (line, text, columns, fill);
    cr_expect_str_eq (line->str, expected, "\"%s\"", line->str);
    cr_expect_leq (test_columns_of (line->str), columns);
}

Test (columns, cut)
{
    expect_cut ("abcdef", 6, false, "abcdef");
    expect_cut ("abcdef", 5, false, "abc..");
    expect_cut ("abc", 5, true, "abc  ");
    expect_cut ("abc", 5, false, "abc");
    expect_cut ("日本語", 6, false, "日本語");
    expect_cut ("日本語", 5, true, "日.. ");
    expect_cut ("e\xcc\x81t\xc3\xa9", 4, true, "e\xcc\x81t\xc3\xa9 ");
    expect_cut ("abc", 1, false, ".");
    expect_cut ("abc", 0, false, "");
    expect_cut ("", 2, true, "  ");
}

Test (columns, utf8_is_what_the_environment_says)
{
    setenv ("LC_ALL", "C.UTF-8", 1);
    cr_expect (test_columns_utf8_wanted ());
    setenv ("LC_ALL", "C", 1);
    cr_expect_not (test_columns_utf8_wanted ());
    setenv ("LC_ALL", "nonsense", 1);
    cr_expect_not (test_columns_utf8_wanted ());
}
