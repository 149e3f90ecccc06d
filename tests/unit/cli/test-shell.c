/* SPDX-License-Identifier: Apache-2.0 */
/* A command in somebody's shell. test-shell-real.c asks shells that people use. */
#include "shell.h"

#include <criterion/criterion.h>
#include <string.h>

#include <vmm/vmm.h>

/* The word of the marks, as it is typed. */
static char *
get_word (GBytes *line)
{
    g_autofree char *text = g_strndup (g_bytes_get_data (line, NULL), g_bytes_get_size (line));
    const char *word = strstr (text, "+\\n' ") + strlen ("+\\n' ");

    return g_strndup (word, strcspn (word, ";"));
}

static char *
type (TestShell *shell, const char *command)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (GBytes) line = test_shell_command (shell, command, &error);

    cr_assert_not_null (line, "\"%s\": %s", command, error != NULL ? error->message : "no error");
    return get_word (line);
}

static bool
feed (TestShell *shell, const char *text)
{
    bool ended = false;

    /* In the smallest pieces: larger ones must not matter. */
    for (const char *p = text; *p != '\0'; p++)
        ended = test_shell_feed (shell, (const uint8_t *)p, 1);
    return ended;
}

static void
check_output (const TestShell *shell, const char *expected)
{
    g_autoptr (GBytes) output = test_shell_output (shell, NULL);

    cr_assert_eq (g_bytes_get_size (output), strlen (expected), "\"%.*s\"", (int)g_bytes_get_size (output),
                  (const char *)g_bytes_get_data (output, NULL));
    cr_assert_arr_eq (g_bytes_get_data (output, NULL), expected, strlen (expected));
}

/* What the stream holds, "%w" being the word. */
static void
check (bool console, const char *stream, const char *expected, int status)
{
    g_autoptr (TestShell) shell = test_shell_new (console);
    g_autofree char *word = type (shell, "command");
    g_auto (GStrv) parts = g_strsplit (stream, "%w", -1);
    g_autofree char *text = g_strjoinv (word, parts);

    cr_assert (feed (shell, text), "\"%s\" was no end", text);
    cr_assert_eq (test_shell_status (shell), status, "%d", test_shell_status (shell));
    if (expected != NULL)
        check_output (shell, expected);
}

Test (shell, output_and_status)
{
    check (false, "\nVMM-%w+\none\ntwo\n\nVMM-%w=0\n", "one\ntwo\n", 0);
    check (false, "\nVMM-%w+\nno line end\nVMM-%w=7\n", "no line end", 7);
    check (false, "\nVMM-%w+\n\nVMM-%w=127\n", "", 127);
    check (false, "\nVMM-%w+\n\n\n\r\n\nVMM-%w=255\n", "\n\n\r\n", 255);
    check (false, "\nVMM-%w+\n\033[1mx\033[0m\nVMM-%w=0\n", "\033[1mx\033[0m", 0);
}

Test (shell, at_a_terminal)
{
    check (true,
           "$ printf '\\n\\126MM-%%s+\\n' %w; "
           "more\r\r\n\033[?2004l\r\r\nVMM-%w+\r\none\r\r\ntwo\r\n\r\nVMM-%w=1\r\n$ ",
           "one\ntwo\n", 1);
    check (true, "\r\nVMM-%w+\r\n\033[32mgreen\033[0m\r\n\r\nVMM-%w=0\r\n", "green\n", 0);
}

/* The kernel writes when it wants to. */
Test (shell, damaged_marks)
{
    check (true, "\nVMM-%w+\nout\n\nVMM-%w[    1.000000] text\n=0\nVMM-%w=3\n", NULL, 3);
}

Test (shell, marks_of_others)
{
    g_autoptr (TestShell) shell = test_shell_new (true);
    g_autofree char *word = type (shell, "command");
    g_autofree char *other = NULL;

    cr_assert_not (feed (shell, "\nVMM-1-1=0\nVMM-=0\nVMM-\n"));
    cr_assert_not (feed (shell, word));
    cr_assert_not (feed (shell, "=0\n\nVMM-"));
    cr_assert_not (feed (shell, word));
    cr_assert_not (feed (shell, "=\nVMM-"));
    cr_assert_not (feed (shell, word));
    cr_assert_not (feed (shell, "=99999999999999999999\nVMM-"));
    cr_assert_not (feed (shell, word));
    cr_assert_not (feed (shell, "=0"));
    cr_assert (feed (shell, "\n"));
    other = type (shell, "command");
    cr_assert_str_neq (word, other);
    cr_assert_not (feed (shell, "VMM-"));
    cr_assert_not (feed (shell, word));
    cr_assert_not (feed (shell, "=0\n"), "the end of the command before is taken for this one's");
}

Test (shell, much_output)
{
    g_autoptr (TestShell) shell = test_shell_new (false);
    g_autofree char *word = type (shell, "command");
    g_autofree char *end = g_strdup_printf ("\nVMM-%s=0\n", word);
    g_autofree char *begin = g_strdup_printf ("\nVMM-%s+\n", word);
    g_autofree char *wall = g_strnfill (100000, 'x');
    g_autoptr (GBytes) output = NULL;
    bool cut;

    feed (shell, begin);
    for (unsigned i = 0; i < 100; i++)
        test_shell_feed (shell, (const uint8_t *)wall, 100000);
    cr_assert (feed (shell, end));
    output = test_shell_output (shell, &cut);
    cr_assert (cut);
    cr_assert_lt (g_bytes_get_size (output), 16384 + 100);
    cr_assert_gt (g_bytes_get_size (output), 16384);
}

static void
take (void *user, const uint8_t *data, size_t len)
{
    GString *all = user;

    if (data == NULL)
        g_string_append (all, "[begin]");
    else
        g_string_append_len (all, (const char *)data, (gssize)len);
}

/* All of it, and only what is between the marks. */
Test (shell, output_that_is_watched)
{
    g_autoptr (TestShell) shell = test_shell_new (true);
    g_autoptr (GString) all = g_string_new (NULL);
    g_autofree char *word = NULL;
    g_autofree char *text = NULL;

    test_shell_watch (shell, take, all);
    word = type (shell, "command");
    text = g_strdup_printf ("$ echo\r\nVMM-%s+\r\n\033[1mone\r\n\r\ntwo\r\n\r\nVMM-%s=0\r\n", word, word);
    cr_assert (feed (shell, text));
    cr_expect_str_eq (all->str, "[begin]$ echo[begin]one\n\ntwo\n");
}

static void
check_refused (bool console, const char *command, const char *hint)
{
    g_autoptr (TestShell) shell = test_shell_new (console);
    g_autoptr (GError) error = NULL;
    g_autoptr (GBytes) line = test_shell_command (shell, command, &error);

    cr_assert_null (line);
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_not_null (strstr (error->message, hint), "%s", error->message);
}

Test (shell, what_cannot_be_typed)
{
    g_autofree char *much = g_strnfill (TEST_SHELL_LINE_MAX, 'x');
    g_autoptr (TestShell) pipe = test_shell_new (false);
    g_autofree char *word = type (pipe, much);

    check_refused (true, much, "put it into a script");
    check_refused (true, "echo a\necho b", "control character (0x0a)");
    check_refused (true, "\033", "control character (0x1b)");
    much[TEST_SHELL_LINE_MAX - 200] = '\0';
    g_free (type (pipe, much));
    g_free (type (pipe, "one\ntwo"));
}

/* No echo may look like a mark. */
Test (shell, the_line_is_no_mark)
{
    for (unsigned console = 0; console < 2; console++) {
        g_autoptr (TestShell) shell = test_shell_new (console != 0);
        g_autoptr (GBytes) line = test_shell_command (shell, "echo it\\'s", NULL);
        g_autofree char *text = g_strndup (g_bytes_get_data (line, NULL), g_bytes_get_size (line));

        cr_assert_null (strstr (text, "VMM"));
        cr_assert (g_str_has_suffix (text, console != 0 ? "\r" : "\n"));
        cr_assert_not (feed (shell, text));
        cr_assert_not (feed (shell, "\n"));
    }
}
