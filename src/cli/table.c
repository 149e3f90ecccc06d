/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aligned, coloured and wrapped text. Widths count characters, not bytes.
 */
#include "table.h"

#include <glib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEFAULT_WIDTH 100u
#define LEAST_WIDTH 40u

/**
 * cli_colours_wanted:
 * @file: where the text goes
 *
 * Returns: whether @file is a terminal with colours whose user has not asked for none (no-color.org)
 */
bool
cli_colours_wanted (FILE *file)
{
    const char *no_color = g_getenv ("NO_COLOR");
    const char *term = g_getenv ("TERM");

    return isatty (fileno (file)) && (no_color == NULL || no_color[0] == '\0') &&
           (term == NULL || !g_str_equal (term, "dumb"));
}

/**
 * cli_text_width:
 * @file: where the text goes
 *
 * Returns: how many columns running text should take: the terminal's, within reason
 */
unsigned
cli_text_width (FILE *file)
{
    struct winsize size;

    if (ioctl (fileno (file), TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return DEFAULT_WIDTH;
    return CLAMP (size.ws_col, LEAST_WIDTH, DEFAULT_WIDTH);
}

static void
start_colour (FILE *file, CliColour colour)
{
    static const char *const codes[] = {"", "\033[2m", "\033[32m", "\033[33m", "\033[1;31m"};

    fputs (codes[colour], file);
}

static void
end_colour (FILE *file, CliColour colour)
{
    if (colour != CLI_PLAIN)
        fputs ("\033[0m", file);
}

/**
 * cli_print_cell:
 * @file: where the text goes
 * @text: the text
 * @width: columns to fill up with spaces; a longer text is printed in full
 * @colour: its colour
 *
 * Prints one cell of a row. Pass %CLI_PLAIN where cli_colours_wanted() is false.
 */
void
cli_print_cell (FILE *file, const char *text, unsigned width, CliColour colour)
{
    glong length = g_utf8_strlen (text, -1);

    start_colour (file, colour);
    fputs (text, file);
    end_colour (file, colour);
    for (glong column = length; column < (glong)width; column++)
        fputc (' ', file);
}

/**
 * cli_print_wrapped:
 * @file: where the text goes
 * @text: one paragraph, words separated by single spaces
 * @indent: columns in front of each line
 * @width: columns of a whole line
 * @colour: its colour
 *
 * Prints a paragraph, with line breaks between words, and a newline at its end.
 */
void
cli_print_wrapped (FILE *file, const char *text, unsigned indent, unsigned width, CliColour colour)
{
    g_auto (GStrv) words = g_strsplit (text, " ", -1);
    glong column = 0;

    for (char **word = words; *word != NULL; word++) {
        glong length = g_utf8_strlen (*word, -1);
        bool fits = column > 0 && column + 1 + length <= (glong)width;

        if (fits) {
            fputc (' ', file);
        } else {
            if (column > 0) {
                end_colour (file, colour);
                fputc ('\n', file);
            }
            fprintf (file, "%*s", (int)indent, "");
            start_colour (file, colour);
        }
        fputs (*word, file);
        column = fits ? column + 1 + length : (glong)indent + length;
    }
    end_colour (file, colour);
    fputc ('\n', file);
}
