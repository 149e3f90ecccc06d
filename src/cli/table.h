/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for people in aligned columns, with colours where they can be seen.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stdio.h>

typedef enum {
    CLI_PLAIN,
    CLI_DIM,
    CLI_GREEN,
    CLI_YELLOW,
    CLI_RED,
} CliColour;

bool cli_colours_wanted (FILE *file);
unsigned cli_text_width (FILE *file);
void cli_print_cell (FILE *file, const char *text, unsigned width, CliColour colour);
void cli_print_wrapped (FILE *file, const char *text, unsigned indent, unsigned width, CliColour colour);

#endif
