/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of a console: its two ends, and never more. */
#include "capture.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *
get (json_t *json, const char *key)
{
    const char *text = json_string_value (json_object_get (json, key));

    cr_assert_not_null (text, "%s is no string", key);
    return text;
}

static json_int_t
get_number (json_t *json, const char *key)
{
    return json_integer_value (json_object_get (json, key));
}

/* Feeds @text in pieces of each size; it must not matter. */
static void
check (size_t head, size_t tail, const char *text, size_t len, const char *expected_head,
       const char *expected_tail, json_int_t tail_line)
{
    for (size_t piece = 1; piece <= len; piece++) {
        g_autoptr (TestCapture) capture = test_capture_new (head, tail);
        json_t *json;

        for (size_t at = 0; at < len; at += piece)
            test_capture_feed (capture, (const uint8_t *)text + at, MIN (piece, len - at));
        json = test_capture_to_json (capture);
        cr_assert_str_eq (get (json, "head"), expected_head, "in %zu: \"%s\"", piece, get (json, "head"));
        cr_assert_str_eq (get (json, "tail"), expected_tail, "in %zu: \"%s\"", piece, get (json, "tail"));
        cr_assert_eq (get_number (json, "bytes"), (json_int_t)len);
        if (*expected_tail != '\0')
            cr_assert_eq (get_number (json, "tail_line"), tail_line, "in %zu", piece);
        json_decref (json);
    }
}

static void
check_text (size_t head, size_t tail, const char *text, const char *expected_head, const char *expected_tail,
            json_int_t tail_line)
{
    check (head, tail, text, strlen (text), expected_head, expected_tail, tail_line);
}

static void
feed (TestCapture *capture, const char *text)
{
    test_capture_feed (capture, (const uint8_t *)text, strlen (text));
}

Test (capture, nothing_is_missing)
{
    check_text (10, 10, "short\n", "short\n", "", 0);
    check_text (10, 10, "0123456789", "0123456789", "", 0);
    check_text (4, 7, "one\ntwo\nx", "one\ntwo\nx", "", 0);
}

Test (capture, both_ends)
{
    check_text (8, 8, "one\ntwo\nthree\nfour\nfive\nsix\n", "one\ntwo\n", "six\n", 6);
    check_text (10, 9, "one\ntwo\nthree\nfour\nfive\nsix\n", "one\ntwo\n", "five\nsix\n", 5);
    check_text (4, 4, "one\ntwo\nthree\nab\n> ", "one\n", "> ", 5);
}

Test (capture, long_lines_are_cut)
{
    check_text (4, 4, "0123456789abcdef", "0123", "cdef", 1);
    check_text (8, 8, "a\n3456789abcdefghijklmnopq\nx", "a\n345678", "lmnopq\nx", 2);
    check_text (4, 0, "0123456789", "0123", "", 0);
    check_text (0, 4, "0123456789", "", "6789", 1);
}

Test (capture, characters_are_not_cut)
{
    check_text (5, 5, "ab\342\202\254\342\202\254cd\342\202\254\342\202\254", "ab\342\202\254",
                "\342\202\254", 1);
    check_text (4, 5, "ab\342\202\254\342\202\254cd\342\202\254\342\202\254", "ab", "\342\202\254", 1);
}

Test (capture, any_byte)
{
    check (9, 4, "a\0\377\033[1m\r\n", 9, "a\342\220\200\357\277\275\033[1m\r\n", "", 0);
}

Test (capture, counts)
{
    g_autoptr (TestCapture) capture = test_capture_new (2, 2);
    json_t *json = test_capture_to_json (capture);

    cr_assert_eq (get_number (json, "lines"), 0);
    cr_assert_eq (get_number (json, "bytes"), 0);
    json_decref (json);
    feed (capture, "one\ntwo\n\n");
    json = test_capture_to_json (capture);
    cr_assert_eq (get_number (json, "lines"), 3);
    json_decref (json);
    feed (capture, "> ");
    json = test_capture_to_json (capture);
    cr_assert_eq (get_number (json, "lines"), 4);
    cr_assert_eq (get_number (json, "bytes"), 11);
    json_decref (json);
}

static void
check_bytes (size_t head, size_t tail, const char *text, const char *expected)
{
    g_autoptr (TestCapture) capture = test_capture_new (head, tail);
    g_autoptr (GBytes) bytes = NULL;
    bool cut;

    feed (capture, text);
    bytes = test_capture_get_bytes (capture, &cut);
    cr_assert_eq (cut, strcmp (text, expected) != 0);
    cr_assert_eq (g_bytes_get_size (bytes), strlen (expected));
    cr_assert_arr_eq (g_bytes_get_data (bytes, NULL), expected, strlen (expected));
}

Test (capture, as_bytes)
{
    check_bytes (4, 4, "", "");
    check_bytes (4, 4, "one\ntwo\n", "one\ntwo\n");
    check_bytes (4, 4, "one\ntwo\nsix\n", "one\n[4 bytes are left out]\nsix\n");
    check_bytes (4, 4, "0123456789", "0123\n[2 bytes are left out]\n6789");
}

static void
check_last (const char *text, const char *expected)
{
    const size_t sizes[] = {0, 10, 100000};

    for (size_t i = 0; i < G_N_ELEMENTS (sizes); i++) {
        g_autoptr (TestCapture) capture = test_capture_new (sizes[i], 100000);

        feed (capture, text);
        cr_assert_str_eq (test_capture_last_line (capture), expected, "of \"%s\": \"%s\"", text,
                          test_capture_last_line (capture));
    }
}

Test (capture, last_line)
{
    g_autofree char *many = g_strnfill (5000, 'x');
    g_autofree char *shown = g_strnfill (TEST_CAPTURE_LINE_MAX, 'x');

    check_last ("", "");
    check_last ("one\ntwo\n", "two");
    check_last ("one\r\nlogin: ", "login:");
    check_last ("one\n \r\n\033[0m\n\a\n", "one");
    check_last ("\033]0;title\a\033[01;32mroot@host\033[00m:\033[01;34m~\033[00m# ", "root@host:~#");
    check_last ("10 %\r20 %\r30 %", "30 %");
    check_last ("10 %\r20 %\r", "20 %");
    check_last ("a\377b\n", "a\357\277\275b");
    check_last (many, shown);
}

Test (capture, last_line_outlives_what_is_blank)
{
    g_autoptr (TestCapture) capture = test_capture_new (10, 100000);

    feed (capture, "text\n");
    cr_assert_str_eq (test_capture_last_line (capture), "text");
    for (unsigned i = 0; i < 10000; i++)
        feed (capture, "\033[2K\n");
    cr_assert_str_eq (test_capture_last_line (capture), "text");
}

/* A guest that writes for ever is no reason to grow. */
Test (capture, a_wall_of_output)
{
    g_autoptr (TestCapture) capture = test_capture_new (1000, 1000);
    g_autofree uint8_t *wall = g_malloc (1 << 20);
    json_t *json;

    for (size_t i = 0; i < 1 << 20; i++)
        wall[i] = i % 64 == 63 ? '\n' : (uint8_t)('a' + i % 26);
    for (unsigned i = 0; i < 256; i++)
        test_capture_feed (capture, wall, 1 << 20);
    json = test_capture_to_json (capture);
    cr_assert_eq (get_number (json, "bytes"), 256 << 20);
    cr_assert_eq (get_number (json, "lines"), 4 << 20);
    cr_assert_eq (strlen (get (json, "head")), 960);
    cr_assert_eq (strlen (get (json, "tail")), 960);
    cr_assert_eq (get_number (json, "tail_line"), (4 << 20) - 14);
    json_decref (json);
}
