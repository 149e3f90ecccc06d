/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario-values.h"

#include <string.h>

#define SECONDS_MIN 0.000001
#define SECONDS_MAX 31536000.0 /* a year, as in vmm-config(5) */

/* Longer words are compared by their beginning. */
#define WORD_MAX 40u

/**
 * test_list_split_all:
 * @text: elements with semicolons between them; "\;" is a semicolon in an element
 *
 * Returns: (transfer full): all of them, without blanks around them, empty ones too; but none behind a last
 *   semicolon
 */
char **
test_list_split_all (const char *text)
{
    g_autoptr (GPtrArray) list = g_ptr_array_new ();
    g_autoptr (GString) element = g_string_new (NULL);

    for (const char *p = text; *p != '\0'; p++) {
        if (*p == ';') {
            g_ptr_array_add (list, g_strdup (g_strstrip (element->str)));
            g_string_truncate (element, 0);
            continue;
        }
        if (p[0] == '\\' && p[1] == ';')
            p++;
        g_string_append_c (element, *p);
    }
    g_strstrip (element->str);
    if (element->str[0] != '\0')
        g_ptr_array_add (list, g_strdup (element->str));
    g_ptr_array_add (list, NULL);
    return (char **)g_ptr_array_free (g_steal_pointer (&list), FALSE);
}

/**
 * test_list_split:
 * @text: as for test_list_split_all()
 *
 * Returns: (transfer full): those elements that are not empty
 */
char **
test_list_split (const char *text)
{
    char **list = test_list_split_all (text);
    char **into = list;

    for (char **from = list; *from != NULL; from++) {
        if (**from != '\0')
            *into++ = *from;
        else
            g_free (*from);
    }
    *into = NULL;
    return list;
}

/**
 * test_seconds_parse:
 * @text: "30", "0.5" or "90s"
 * @ret_why: what is wrong with it
 */
bool
test_seconds_parse (const char *text, int64_t *ret_us, const char **ret_why)
{
    char *end = NULL;
    double seconds = g_ascii_strtod (text, &end);

    *ret_why = NULL;
    if (end == text || (*end != '\0' && strcmp (end, "s") != 0))
        *ret_why = "not a time: give seconds, such as 30 or 0.5";
    else if (!(seconds >= SECONDS_MIN && seconds <= SECONDS_MAX))
        *ret_why = "give a microsecond at least and a year at most";
    else
        *ret_us = (int64_t)(seconds * G_USEC_PER_SEC);
    return *ret_why == NULL;
}

/**
 * test_number_parse:
 * @text: decimal, or hexadecimal behind 0x
 */
bool
test_number_parse (const char *text, unsigned max, unsigned *ret_number)
{
    bool is_hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    guint64 number;

    if (!g_ascii_string_to_unsigned (text + (is_hex ? 2 : 0), is_hex ? 16 : 10, 0, max, &number, NULL))
        return false;
    *ret_number = (unsigned)number;
    return true;
}

/* How many letters must be put in, left out, changed or swapped to make one word of the other. */
static unsigned
distance (const char *a, const char *b)
{
    size_t n = MIN (strlen (a), WORD_MAX), m = MIN (strlen (b), WORD_MAX);
    unsigned d[WORD_MAX + 1][WORD_MAX + 1];

    for (size_t i = 0; i <= n; i++) {
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (unsigned)(i + j);
                continue;
            }
            d[i][j] = MIN (MIN (d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = MIN (d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[n][m];
}

/**
 * test_suggest:
 * @word: what somebody wrote
 * @known: NULL-terminated: what there is
 *
 * Returns: (transfer none) (nullable): what was meant, if that can be guessed
 */
const char *
test_suggest (const char *word, const char *const *known)
{
    const char *best = NULL;
    unsigned least = UINT_MAX;

    for (; *known != NULL; known++) {
        g_autofree char *a = g_ascii_strdown (word, -1);
        g_autofree char *b = g_ascii_strdown (*known, -1);
        size_t len = MIN (strlen (a), strlen (b));
        /* "memory" for "mem", "expect-tex" for "expect-text". */
        bool begins = len >= 3 && strncmp (a, b, len) == 0;
        unsigned far = begins ? MIN (distance (a, b), 2) : distance (a, b);

        if (far < least && (begins || far <= MAX (len / 3, len > 1 ? 1 : 0))) {
            least = far;
            best = *known;
        }
    }
    return best;
}
