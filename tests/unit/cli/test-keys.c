/* SPDX-License-Identifier: Apache-2.0 */
/* What a scenario's send and key mean in bytes, and the way back. */
#include "keys.h"

#include <criterion/criterion.h>
#include <string.h>

#include <vmm/vmm.h>

static void
check_text (const char *text, const char *bytes, size_t len)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (GBytes) decoded = test_keys_decode_text (text, &error);
    g_autoptr (GBytes) expected = g_bytes_new_static (bytes, len);

    cr_assert_not_null (decoded, "\"%s\": %s", text, error != NULL ? error->message : "no error");
    cr_assert (g_bytes_equal (decoded, expected), "\"%s\" became other bytes", text);
}

static void
check_refused (GBytes *decoded, GError *error, const char *hint)
{
    cr_assert_null (decoded);
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_not_null (strstr (error->message, hint), "\"%s\" does not say \"%s\"", error->message, hint);
    cr_assert_null (strchr (error->message, '\n'));
    cr_assert (g_utf8_validate (error->message, -1, NULL));
    g_error_free (error);
}

static void
check_text_refused (const char *text, const char *hint)
{
    GError *error = NULL;
    GBytes *decoded = test_keys_decode_text (text, &error);

    check_refused (decoded, error, hint);
}

static void
check_key (const char *name, const char *bytes)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (GBytes) decoded = test_keys_decode_key (name, &error);
    g_autofree char *back = NULL;

    cr_assert_not_null (decoded, "%s: %s", name, error != NULL ? error->message : "no error");
    cr_assert_eq (g_bytes_get_size (decoded), strlen (bytes), "%s", name);
    cr_assert_arr_eq (g_bytes_get_data (decoded, NULL), bytes, strlen (bytes), "%s", name);
    back = test_keys_find_name ((const uint8_t *)bytes, strlen (bytes));
    cr_assert_str_eq (back, name);
}

static void
check_key_refused (const char *name, const char *hint)
{
    GError *error = NULL;
    GBytes *decoded = test_keys_decode_key (name, &error);

    check_refused (decoded, error, hint);
}

Test (keys, text)
{
    check_text ("", "", 0);
    check_text ("root\\n", "root\n", 5);
    check_text ("\\r\\t\\e[A\\\\n\\s", "\r\t\033[A\\n ", 8);
    check_text ("\\x00\\x7F\\xff0",
                "\0\177\377"
                "0",
                4);
    check_text ("\303\244 \"quoted\" 'too' $x ${y}", "\303\244 \"quoted\" 'too' $x ${y}", 25);
}

Test (keys, text_that_is_wrong)
{
    check_text_refused ("a\\q", "\\q");
    check_text_refused ("a\\", "\\\\ is one");
    check_text_refused ("\\x1", "\\xNN");
    check_text_refused ("\\x1g", "\\xNN");
    check_text_refused ("\\0", "\\xNN");
    check_text_refused ("\\\303\244", "\303\244");
}

static void
check_both_ways (const uint8_t *bytes, size_t len)
{
    g_autofree char *text = test_keys_encode_text (bytes, len);
    g_autofree char *stripped = g_strstrip (g_strdup (text));

    cr_assert (g_utf8_validate (text, -1, NULL));
    cr_assert_null (strchr (text, '\n'));
    cr_assert_str_eq (text, stripped, "a file's value would lose its blanks");
    check_text (text, (const char *)bytes, len);
}

Test (keys, text_and_back)
{
    uint8_t all[512];
    g_autofree char *text = NULL;

    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (uint8_t)i;
    check_both_ways (all, 0);
    check_both_ways (all, sizeof all);
    for (size_t i = 0; i < 256; i++) {
        check_both_ways (all + i, 1);
        check_both_ways (all + i, 2);
    }
    text = test_keys_encode_text ((const uint8_t *)" a b\303\244\302\240\303\r", 11);
    cr_assert_str_eq (text, "\\sa b\303\244\\xc2\\xa0\\xc3\\r\\x00");
}

/* A character that is cut off by the end must not be read beyond it. */
Test (keys, text_ends_inside_of_a_character)
{
    g_autofree uint8_t *bytes = (uint8_t *)g_strdup ("x\342\202\254");
    g_autofree char *text = test_keys_encode_text (bytes, 3);

    cr_assert_str_eq (text, "x\\xe2\\x82");
}

Test (keys, names)
{
    check_key ("enter", "\r");
    check_key ("backspace", "\177");
    check_key ("left", "\033[D");
    check_key ("delete", "\033[3~");
    check_key ("f1", "\033OP");
    check_key ("f12", "\033[24~");
    check_key ("ctrl-a", "\001");
    check_key ("ctrl-c", "\003");
    check_key ("ctrl-z", "\032");
}

Test (keys, bytes_that_are_no_key)
{
    cr_assert_null (test_keys_find_name ((const uint8_t *)"", 0));
    cr_assert_null (test_keys_find_name ((const uint8_t *)"a", 1));
    cr_assert_null (test_keys_find_name ((const uint8_t *)"\033[", 2));
    cr_assert_null (test_keys_find_name ((const uint8_t *)"\001\001", 2));
}

Test (keys, names_that_are_wrong)
{
    check_key_refused ("entr", "did you mean \"enter\"?");
    check_key_refused ("Enter", "did you mean \"enter\"?");
    check_key_refused ("escape", "did you mean \"esc\"?");
    check_key_refused ("del", "did you mean \"delete\"?");
    check_key_refused ("f13", "did you mean \"f1");
    check_key_refused ("return", "ctrl-a to ctrl-z");
    check_key_refused ("ctrl-1", "ctrl-a to ctrl-z");
    check_key_refused ("", "they are enter, ");
    check_key_refused ("a-name-that-is-much-longer-than-that-of-any-key", "they are enter, ");
}
