/* SPDX-License-Identifier: Apache-2.0 */
/* A line of a console, as it was once, and what it must look like the next time. */
#include <string.h>

#include "record-internal.h"

#define PATTERN_BYTES_MAX 120u
/* Text alone, where it says enough to be found again. */
#define LETTERS_MIN 3u
/* A number in hexadecimal, and not a word with a digit in it. */
#define HEX_MIN 8u

/**
 * test_record_find_stamp:
 *
 * Returns: where the kernel has written into the line, its stamp first; the line's length where it has not
 */
size_t
test_record_find_stamp (const char *line)
{
    const char *text = vmm_printk_parse (line).text;
    size_t at = strlen (line);

    if (!vmm_printk_parse (line).stamped)
        return at;
    for (const char *p = strchr (line, '['); p != NULL && p < text; p = strchr (p + 1, '[')) {
        VmmPrintkLine rest = vmm_printk_parse (p);

        if (rest.stamped && rest.text == text)
            at = (size_t)(p - line);
    }
    /* A level is part of what printk puts before its text. */
    if (at >= 3 && line[at - 1] == '>' && g_ascii_isdigit (line[at - 2]) && line[at - 3] == '<')
        at -= 3;
    return at;
}

static bool
is_control (char c)
{
    return (uint8_t)c < ' ' || c == '\177';
}

/**
 * test_record_line_new:
 * @text: @len bytes: of the line what is new
 * @whole: it begins where the line does
 *
 * Returns: (transfer full) (nullable): the line without what the kernel has to say, which may come at another
 *   time or not at all; NULL: nothing is left to be seen
 */
TestRecordLine *
test_record_line_new (const char *text, size_t len, bool whole)
{
    g_autofree char *copy = g_strndup (text, len);
    size_t end = test_record_find_stamp (copy), begin = end;
    TestRecordLine *line;

    /* A carriage return or a backspace moves the cursor: what is behind it can be seen. */
    for (;;) {
        while (end > 0 && is_control (copy[end - 1]))
            end--;
        for (begin = end; begin > 0 && !is_control (copy[begin - 1]);)
            begin--;
        if (begin + strspn (copy + begin, " ") < end)
            break;
        if (begin == 0)
            return NULL;
        end = begin;
    }
    line = g_new0 (TestRecordLine, 1);
    line->whole = whole && begin == 0;
    line->text = g_string_new_len (copy + begin, (gssize)(end - begin));
    return line;
}

/**
 * test_record_line_free:
 * @line: (nullable)
 */
void
test_record_line_free (TestRecordLine *line)
{
    if (line == NULL)
        return;
    g_string_free (line->text, TRUE);
    g_free (line);
}

/* Those that are not the same each time, and those that a file's value could not have. */
static bool
is_literal (const char *text)
{
    unsigned letters = 0;

    if (strstr (text, "${") != NULL || strstr (text, "$$") != NULL || !g_utf8_validate (text, -1, NULL))
        return false;
    for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p)) {
        gunichar c = g_utf8_get_char (p);

        if (g_unichar_isdigit (c) || !g_unichar_isprint (c))
            return false;
        letters += g_unichar_isalpha (c);
    }
    return letters >= LETTERS_MIN;
}

/* A run of letters and digits; digits may be others. */
static void
append_word (GString *pattern, const char *word, size_t len)
{
    bool hex = len >= HEX_MIN, digits = false;

    for (size_t i = 0; i < len; i++) {
        hex = hex && g_ascii_isxdigit (word[i]);
        digits = digits || g_ascii_isdigit (word[i]);
    }
    if (hex && digits) {
        g_string_append (pattern, "[[:xdigit:]]+");
        return;
    }
    for (size_t i = 0; i < len; i++) {
        if (!g_ascii_isdigit (word[i]))
            g_string_append_c (pattern, word[i]);
        else if (i == 0 || !g_ascii_isdigit (word[i - 1]))
            g_string_append (pattern, "\\d+");
    }
}

/* Patterns match bytes. Those that are no character would not be UTF-8 in a file. */
static const char *
append_character (GString *pattern, const char *p)
{
    gunichar c = g_utf8_get_char_validated (p, -1);
    size_t len = (uint8_t)*p < 0x80 || c >= (gunichar)-2 ? 1 : (size_t)(g_utf8_next_char (p) - p);

    if (len > 1)
        g_string_append_len (pattern, p, (gssize)len);
    else if (!g_ascii_isprint (*p))
        g_string_append_c (pattern, '.');
    else
        g_string_append_printf (pattern, strchr ("\\^$.|?*+()[]{}", *p) != NULL ? "\\%c" : "%c", *p);
    return p + len;
}

static char *
to_regex (const char *text, bool whole, bool blank)
{
    GString *pattern = g_string_new (whole ? "^" : NULL);

    for (const char *p = text; *p != '\0';) {
        const char *word = p;

        while (g_ascii_isalnum (*p))
            p++;
        append_word (pattern, word, (size_t)(p - word));
        if (*p != '\0')
            p = append_character (pattern, p);
    }
    /* A file's value loses the blanks at its end, and a prompt of one character is hard to tell without. */
    if (blank)
        g_string_append (pattern, "\\s");
    return g_string_free (pattern, FALSE);
}

/**
 * test_record_line_to_pattern:
 * @ret_literal: it is no regular expression
 *
 * Returns: (transfer full): what matches the line, and another one with other numbers in it
 */
char *
test_record_line_to_pattern (const TestRecordLine *line, bool *ret_literal)
{
    g_autofree char *line_text = g_strchomp (g_strdup (line->text->str));
    size_t len = strlen (line_text);
    bool blank = len < line->text->len, whole = line->whole && len <= PATTERN_BYTES_MAX;
    const char *text = line_text;
    g_autofree char *stripped = NULL;

    /* Not from the middle of a character. */
    if (len > PATTERN_BYTES_MAX) {
        text += len - PATTERN_BYTES_MAX;
        while (((uint8_t)*text & 0xc0) == 0x80)
            text++;
    }
    stripped = g_strstrip (g_strdup (text));
    *ret_literal = is_literal (stripped);
    if (*ret_literal)
        return g_steal_pointer (&stripped);
    return to_regex (whole ? text : text + strspn (text, " "), whole, blank);
}
