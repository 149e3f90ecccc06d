/* SPDX-License-Identifier: Apache-2.0 */
/* What is text, and what only steers the terminal. */
#include "vmm/terminal-filter.h"

#include <criterion/criterion.h>
#include <glib.h>
#include <string.h>

static void
check (const char *stream, const char *expected)
{
    VmmTerminalFilter filter = {0};
    g_autoptr (GString) text = g_string_new (NULL);

    for (const char *p = stream; *p != '\0'; p++) {
        if (vmm_terminal_filter_pass (&filter, (uint8_t)*p))
            g_string_append_c (text, *p);
    }
    cr_assert_str_eq (text->str, expected, "\"%s\" became \"%s\"", stream, text->str);
}

Test (terminal_filter, text_passes)
{
    check ("plain\r\n\ttext \x80\xff [31m ]0;x\a", "plain\r\n\ttext \x80\xff [31m ]0;x\a");
}

Test (terminal_filter, control_sequences_do_not)
{
    check ("\033[31mred\033[0m", "red");
    check ("\033[38;2;1;2;3;4m\033[?25l\033[2J\033[1;1Htop\033[ q.", "top.");
    check ("\033[mx\033[~y\033[@z", "xyz");
}

Test (terminal_filter, short_escapes_do_not)
{
    check ("\033(Ba\033)0b\0337c\0338d\033Me\033=f\033cg", "abcdefg");
}

Test (terminal_filter, control_strings_do_not)
{
    check ("\033]0;a title\007text", "text");
    check ("\033]8;;http://x/\033\\link\033]8;;\033\\.", "link.");
    check ("\033P1$tx\033\\a\033_hidden\033\\b\033^x\033\\c\033Xy\033\\d", "abcd");
}

Test (terminal_filter, an_escape_begins_anew_inside_of_a_sequence)
{
    check ("\033[31\033[0mx", "x");
    check ("\033\033[0mx", "x");
    check ("\033]0;title\033\033\\x", "x");
}

/* Else a guest could hide all that follows. */
Test (terminal_filter, a_line_end_ends_everything)
{
    check ("\033[31\nx", "\nx");
    check ("\033]0;title\nx", "\nx");
    check ("\033\nx", "\nx");
    check ("\033Pabc\033\r\nx", "\r\nx");
}

Test (terminal_filter, cancel_ends_a_sequence)
{
    check ("\033[31\030x\033]0;\032y", "xy");
}
