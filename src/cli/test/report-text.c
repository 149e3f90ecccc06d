/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: reports of vmm test.
 *
 * A worker judges one run and sends a JSON object, its result. report-document.c puts results together, and
 * each of the other report-*.c makes one kind of text of such a document. None of them prints or writes
 * files.
 *
 * Most strings in a result come from a guest, which may write anything: control characters that an XML parser
 * refuses, sequences that repaint the user's terminal, lines that a CI service takes for its commands. And
 * the worker that made the result had the guest's bytes in its hands. So nothing in a document is relied on:
 * what is missing, or of another type, reads as empty, and each string goes through test_text_clean() before
 * it is put into a text. The HTML page does its own cleaning, since it shows colours (report-console.js).
 */
#include "report-text.h"

#include <string.h>

#define ESC 0x1b
#define REPLACEMENT 0xfffdu
/* Of what is to be one line for people. */
#define LINE_MAX_CHARS 500
/* ECMA-48, 8.3.89: how far a string that a terminal keeps to itself may go. */
#define STRING_MAX 4096u

/* ECMA-48, 5.4: ESC [, parameters, intermediates, a final byte. Returns 0 when it is none. */
static size_t
control_sequence_length (const char *text, size_t len)
{
    size_t i = 2;

    while (i < len && text[i] >= 0x30 && text[i] <= 0x3f)
        i++;
    while (i < len && text[i] >= 0x20 && text[i] <= 0x2f)
        i++;
    return i < len && text[i] >= 0x40 && text[i] <= 0x7e ? i + 1 : 0;
}

/* A title of the window and the like: up to BEL or ESC \, on one line. Returns 0 when it does not end. */
static size_t
control_string_length (const char *text, size_t len)
{
    for (size_t i = 2; i < MIN (len, STRING_MAX) && text[i] != '\n'; i++) {
        if (text[i] == '\a')
            return i + 1;
        /* Any other escape breaks it off. So a flood of them is not looked through again for each. */
        if (text[i] == ESC)
            return i + 1 < len && text[i + 1] == '\\' ? i + 2 : 0;
    }
    return 0;
}

/* Returns: how many bytes at @text are for a terminal's eyes only. */
static size_t
escape_length (const char *text, size_t len)
{
    size_t i = 1;

    if (len < 2 || text[0] != ESC)
        return 0;
    if (text[1] == '[')
        return control_sequence_length (text, len);
    if (strchr ("]P_^X", text[1]) != NULL)
        return control_string_length (text, len);
    while (i < len && text[i] >= 0x20 && text[i] <= 0x2f)
        i++;
    return i < len && text[i] >= 0x30 && text[i] <= 0x7e ? i + 1 : 0;
}

/* What changes the direction of text could make a line read as another one. */
static bool
is_bidi_control (gunichar c)
{
    return c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

/* XML 1.0, 2.2, and less than that: what nobody could see. Control characters have pictures, from U+2400 on.
 */
static gunichar
visible (gunichar c)
{
    if (c == '\n' || c == '\t')
        return c;
    if (c < 0x20)
        return 0x2400 + c;
    if (c == 0x7f)
        return 0x2421;
    if (c < 0xa0 && c > 0x7f)
        return REPLACEMENT;
    return is_bidi_control (c) || (c & 0xfffe) == 0xfffe || c == 0x2028 || c == 0x2029 ? REPLACEMENT : c;
}

static size_t
count_carriage_returns (const char *text, size_t len)
{
    size_t i = 0;

    while (i < len && text[i] == '\r')
        i++;
    return i;
}

/**
 * test_text_clean:
 * @text: (array length=len): anything
 *
 * Returns: (transfer full): @text as valid UTF-8 without terminal sequences; control characters but for
 * newline and tab are replaced by their pictures, and what cannot be shown by U+FFFD. XML 1.0 allows all of
 * it
 */
char *
test_text_clean (const char *text, size_t len)
{
    GString *clean = g_string_sized_new (len + 1);
    const char *shown = text; /* carriage returns before it do more than end a line */

    while (len > 0) {
        size_t returns = text >= shown ? count_carriage_returns (text, len) : 0;
        bool end_line = returns == len || text[returns] == '\n';
        size_t skip = escape_length (text, len) + (end_line ? returns : 0);
        gunichar c = skip == 0 ? g_utf8_get_char_validated (text, (gssize)len) : 0;

        if (returns > 0 && !end_line)
            shown = text + returns;
        /* A NUL is (gunichar)-2 to GLib where a length is given. */
        if (skip == 0 && *text == '\0') {
            g_string_append_unichar (clean, visible (0));
            skip = 1;
        } else if (skip == 0 && c >= (gunichar)-2) {
            g_string_append_unichar (clean, REPLACEMENT);
            skip = 1;
        } else if (skip == 0) {
            g_string_append_unichar (clean, visible (c));
            skip = (size_t)(g_utf8_next_char (text) - text);
        }
        text += skip;
        len -= skip;
    }
    return g_string_free (clean, FALSE);
}

/**
 * test_text_to_line:
 * @text: anything
 *
 * Returns: (transfer full): @text, cleaned and made one line
 */
char *
test_text_to_line (const char *text)
{
    return g_strdelimit (test_text_clean (text, strlen (text)), "\n\t", ' ');
}

/**
 * test_text_of:
 * @object: (nullable): of any type
 *
 * Returns: (transfer full): the string or the whole number at @key, cleaned; "" where there is none
 */
char *
test_text_of (const json_t *object, const char *key)
{
    const json_t *value = json_object_get (object, key);

    if (json_is_integer (value))
        return g_strdup_printf ("%" JSON_INTEGER_FORMAT, json_integer_value (value));
    return json_is_string (value) ? test_text_clean (json_string_value (value), json_string_length (value))
                                  : g_strdup ("");
}

/**
 * test_text_line_of:
 * @object: (nullable): of any type
 *
 * Returns: (transfer full): the string at @key, cleaned and made one line of bounded length
 */
char *
test_text_line_of (const json_t *object, const char *key)
{
    char *text = test_text_of (object, key);

    g_strdelimit (g_strstrip (text), "\n\t", ' ');
    if (g_utf8_strlen (text, -1) > LINE_MAX_CHARS) {
        g_autofree char *whole = text;
        g_autofree char *cut = g_utf8_substring (whole, 0, LINE_MAX_CHARS);

        text = g_strconcat (cut, "…", NULL);
    }
    return text;
}

/**
 * test_text_last_lines:
 * @count: of lines, at least 1
 *
 * Returns: (transfer none): where the last @count lines of @text begin. A newline at its end is no line
 */
const char *
test_text_last_lines (const char *text, unsigned count)
{
    size_t at = strlen (text);

    if (at > 0 && text[at - 1] == '\n')
        at--;
    while (at > 0 && (text[at - 1] != '\n' || --count > 0))
        at--;
    return text + at;
}

/**
 * test_text_first_lines:
 * @count: of lines, at least 1
 *
 * Returns: (transfer full): the first @count lines of @text, and a line of "…" where there are more
 */
char *
test_text_first_lines (const char *text, unsigned count)
{
    const char *end = text;

    while (count > 0 && *end != '\0') {
        end += strcspn (end, "\n");
        count--;
        end += *end == '\n';
    }
    return *end == '\0' ? g_strdup (text) : g_strdup_printf ("%.*s…", (int)(end - text), text);
}

/**
 * test_text_seconds:
 *
 * Returns: (transfer full): a duration as people read it: "340 ms", "12.3 s", "4 min 07 s"
 */
char *
test_text_seconds (double seconds)
{
    if (!(seconds > 0))
        return g_strdup ("0 s");
    if (seconds < 0.9995)
        return g_strdup_printf ("%.0f ms", seconds * 1e3);
    if (seconds < 100)
        return g_strdup_printf (seconds < 9.995 ? "%.2f s" : "%.1f s", seconds);
    if (seconds < 1e9)
        return g_strdup_printf ("%" G_GINT64_FORMAT " min %02d s", (gint64)(seconds + 0.5) / 60,
                                (int)((gint64)(seconds + 0.5) % 60));
    return g_strdup ("ages");
}

/**
 * test_text_append_lines:
 * @prefix: in front of each line
 *
 * Appends lines, each with a newline at its end, and of a length that people can read.
 */
void
test_text_append_lines (GString *to, const char *prefix, const char *lines)
{
    while (*lines != '\0') {
        size_t len = strcspn (lines, "\n");

        bool long_line = g_utf8_strlen (lines, (gssize)len) > LINE_MAX_CHARS;
        const char *end = long_line ? g_utf8_offset_to_pointer (lines, LINE_MAX_CHARS) : lines + len;

        g_string_append (to, prefix);
        g_string_append_len (to, lines, end - lines);
        g_string_append (to, long_line ? "…\n" : "\n");
        lines += len + (lines[len] == '\n');
    }
}

/**
 * test_text_replace:
 *
 * Unlike g_string_replace(), it moves what is behind a match only once, however many there are.
 *
 * Returns: (transfer full): @text with @with wherever @what was
 */
char *
test_text_replace (const char *text, const char *what, const char *with)
{
    GString *replaced = g_string_new (NULL);
    const char *end = text + strlen (text);
    const char *at;

    /* Not strstr(): the address sanitizer reads all that is left each time. */
    for (; (at = g_strstr_len (text, end - text, what)) != NULL; text = at + strlen (what)) {
        g_string_append_len (replaced, text, at - text);
        g_string_append (replaced, with);
    }
    g_string_append (replaced, text);
    return g_string_free (replaced, FALSE);
}

/**
 * test_text_disarm:
 *
 * Takes the power from what a runner of GitHub Actions would obey wherever it stands in a line: "##[".
 */
void
test_text_disarm (char *text)
{
    for (char *at = strchr (text, '#'); at != NULL; at = strchr (at + 1, '#'))
        if (at[1] == '#' && at[2] == '[')
            at[2] = '(';
}
