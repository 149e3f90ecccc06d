/* SPDX-License-Identifier: Apache-2.0 */
/* What printk puts before a line of the kernel log (kernel/printk/printk.c, info_print_prefix). */
#include "vmm/printk-line.h"

#include <stdint.h>
#include <string.h>

/**
 * vmm_printk_skip_stamp:
 * @line: a line of a console
 *
 * Returns: what is behind "[   12.345678] " or, where the kernel names the caller too, "[   12.345678][ T1]
 * ";
 *   @line where it begins with neither
 * Since: 0.1
 */
const char *
vmm_printk_skip_stamp (const char *line)
{
    const char *p = line;

    while (p[0] == '[') {
        size_t n = strspn (p + 1, " .0123456789CT");

        if (p[1 + n] != ']')
            return line;
        p += n + 2;
        if (p[0] == ' ')
            return p + 1;
    }
    return line;
}

/**
 * vmm_printk_is_stamp_before:
 * @line: a line of a console
 * @end: a place in it
 *
 * Returns: whether "[   12.345678" ends at @end
 * Since: 0.1
 */
bool
vmm_printk_is_stamp_before (const char *line, const char *end)
{
    const char *p = end;
    bool dot = false;

    while (p > line && strchr (" .0123456789", p[-1]) != NULL)
        dot = *--p == '.' || dot;
    return p > line && p[-1] == '[' && dot;
}

/* Every line has one, and strtod() is slow. */
static double
to_number (const char *digits, size_t n)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++)
        value = value * 10 + (unsigned)(digits[i] - '0');
    return (double)value;
}

/* Whether a stamp is at @p, which always has six decimals; fills @line then. */
static bool
parse_stamp (const char *p, VmmPrintkLine *line)
{
    const char *text = vmm_printk_skip_stamp (p), *digits = p + 1;
    size_t n, decimals;

    if (text == p)
        return false;
    digits += strspn (digits, " ");
    n = strspn (digits, "0123456789");
    if (n == 0 || n > 10 || digits[n] != '.')
        return false;
    decimals = strspn (digits + n + 1, "0123456789");
    if (decimals != 6 || digits[n + 1 + decimals] != ']')
        return false;
    *line = (VmmPrintkLine){text, true, to_number (digits, n) + to_number (digits + n + 1, decimals) / 1e6};
    return true;
}

/**
 * vmm_printk_parse:
 * @line: a line of a console, without its end
 *
 * Looks behind a level, as in "<4>", and behind a time stamp. The kernel begins no line of its own where a
 * program has left one unfinished, such as a prompt: so a time stamp counts inside of a line, too.
 *
 * Since: 0.1
 */
VmmPrintkLine
vmm_printk_parse (const char *line)
{
    VmmPrintkLine parsed = {line, false, 0};
    size_t digits = line[0] == '<' ? strspn (line + 1, "0123456789") : 0;

    if (digits > 0 && line[1 + digits] == '>')
        parsed.text += digits + 2;
    for (const char *p = strchr (parsed.text, '['); p != NULL; p = strchr (p + 1, '[')) {
        if (parse_stamp (p, &parsed))
            break;
    }
    return parsed;
}
