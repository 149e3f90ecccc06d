/* SPDX-License-Identifier: Apache-2.0 */
/* What is behind that which printk puts before a line. test-console-watch.c asks more of the stamps. */
#include "vmm/printk-line.h"

#include <criterion/criterion.h>

static void
check (const char *line, const char *text, double seconds)
{
    VmmPrintkLine parsed = vmm_printk_parse (line);

    cr_assert_str_eq (parsed.text, text, "\"%s\" became \"%s\"", line, parsed.text);
    cr_assert_eq (parsed.stamped, seconds >= 0, "\"%s\"", line);
    if (seconds >= 0)
        cr_assert_float_eq (parsed.seconds, seconds, 1e-7);
}

Test (printk_line, stamps_and_callers)
{
    check ("[    1.250000] text", "text", 1.25);
    check ("[12345.000001][  T123] text", "text", 12345.000001);
    check ("[    0.000000][    C0] [bracket] text", "[bracket] text", 0);
    check ("[    1.250000] ", "", 1.25);
}

Test (printk_line, levels)
{
    check ("<4>[    1.250000] text", "text", 1.25);
    check ("<4>text", "text", -1);
    check ("<x>text", "<x>text", -1);
    check ("<4text", "<4text", -1);
}

/* A program had not ended its line. */
Test (printk_line, a_stamp_counts_inside_of_a_line)
{
    check ("login: [    1.250000] text", "text", 1.25);
    check ("[x] login [1] [    1.250000] text", "text", 1.25);
}

Test (printk_line, what_is_no_stamp)
{
    check ("text", "text", -1);
    check ("", "", -1);
    check ("[", "[", -1);
    check ("[1] text", "[1] text", -1);
    check ("[ 1.] text", "[ 1.] text", -1);
    check ("[1.200000]text", "[1.200000]text", -1);
    check ("[    1.25] text", "[    1.25] text", -1);
    check ("[1.2.3] text", "[1.2.3] text", -1);
    check ("[  T12] text", "[  T12] text", -1);
    check ("[99999999999.000000] text", "[99999999999.000000] text", -1);
}
