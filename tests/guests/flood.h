/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_TESTS_FLOOD_H
#define VMM_TESTS_FLOOD_H

#include <stdint.h>

/* Of a line with its end. */
#define FLOOD_LINE 64u

/* A line of letters behind eight hexadecimal digits; the caller puts its end over the last of them. */
static inline void
flood_fill_line (char *line, uint32_t number)
{
    for (uint32_t i = 0; i < 8; i++)
        line[i] = "0123456789abcdef"[number >> (28 - 4 * i) & 15];
    for (uint32_t i = 8; i < FLOOD_LINE; i++)
        line[i] = (char)('A' + i % 26);
}

#endif
