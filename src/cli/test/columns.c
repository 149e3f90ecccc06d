/* SPDX-License-Identifier: Apache-2.0 */
/* How much room text takes on a terminal, and text for that much room. */
#include "columns.h"

#include <langinfo.h>
#include <locale.h>
#include <string.h>

/**
 * test_columns_utf8_wanted:
 *
 * Returns: whether the user's terminal shows UTF-8, as the environment says
 */
bool
test_columns_utf8_wanted (void)
{
    locale_t locale = newlocale (LC_CTYPE_MASK, "", (locale_t)0);
    bool wanted = locale != (locale_t)0 && strcmp (nl_langinfo_l (CODESET, locale), "UTF-8") == 0;

    if (locale != (locale_t)0)
        freelocale (locale);
    return wanted;
}

static unsigned
columns_of_char (gunichar c)
{
    if (g_unichar_iszerowidth (c))
        return 0;
    return g_unichar_iswide (c) ? 2 : 1;
}

/**
 * test_columns_of:
 * @text: UTF-8 without control characters
 */
unsigned
test_columns_of (const char *text)
{
    unsigned columns = 0;

    for (; *text != '\0'; text = g_utf8_next_char (text))
        columns += columns_of_char (g_utf8_get_char (text));
    return columns;
}

/**
 * test_columns_append:
 * @text: UTF-8 without control characters
 * @columns: how many it may take; a longer one ends in two points
 * @fill: with spaces, where it is shorter
 */
void
test_columns_append (GString *line, const char *text, unsigned columns, bool fill)
{
    unsigned used = 0, wanted = test_columns_of (text);
    unsigned room = wanted <= columns ? columns : columns - MIN (columns, 2);

    for (; *text != '\0'; text = g_utf8_next_char (text)) {
        gunichar c = g_utf8_get_char (text);

        if (used + columns_of_char (c) > room)
            break;
        used += columns_of_char (c);
        g_string_append_unichar (line, c);
    }
    for (unsigned points = 0; wanted > columns && points < 2 && used < columns; points++, used++)
        g_string_append_c (line, '.');
    for (; fill && used < columns; used++)
        g_string_append_c (line, ' ');
}
