/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes become text that reports and terminals can hold. */
#include "text.h"

#include <criterion/criterion.h>
#include <string.h>

static void
check_valid (const char *bytes, size_t len, const char *expected)
{
    g_autoptr (GString) text = g_string_new (NULL);

    test_text_append_valid (text, (const uint8_t *)bytes, len);
    cr_assert_str_eq (text->str, expected, "became \"%s\"", text->str);
}

static void
check_plain (const char *bytes, size_t max, const char *expected)
{
    g_autoptr (GString) text = g_string_new (NULL);

    test_text_append_plain (text, (const uint8_t *)bytes, strlen (bytes), max);
    cr_assert_str_eq (text->str, expected, "\"%s\" became \"%s\"", bytes, text->str);
}

Test (text, valid)
{
    check_valid ("", 0, "");
    check_valid ("a\303\244\033[1m\r\n", 9, "a\303\244\033[1m\r\n");
    check_valid ("a\0b", 3, "a\342\220\200b");
    check_valid ("\200\377x\303", 4, "\357\277\275\357\277\275x\357\277\275");
}

Test (text, plain)
{
    check_plain ("\033[32mok\033[0m\t\a.", 10, "ok .");
    check_plain ("\303\244\303\266\303\274", 2, "\303\244\303\266");
    check_plain ("a\342\200\256b\302\205c\342\200\250d", 10, "abcd"); /* right-to-left, C1, line separator */
    check_plain ("\377", 10, "\357\277\275");
}
