/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "images.h"
#include "loader/cmdline.h"
#include "vmm/error.h"

Test (cmdline, the_default_stands_alone)
{
    g_autofree char *line = vmm_cmdline_build ("console=ttyS0 quiet", NULL, NULL);

    cr_assert_str_eq (line, "console=ttyS0 quiet");
}

Test (cmdline, cmdline_replaces_and_append_adds)
{
    const char *const append[] = {"panic=-1", "", "init=/bin/sh", NULL};
    g_autofree char *added = vmm_cmdline_build ("console=ttyS0", NULL, append);
    g_autofree char *replaced = vmm_cmdline_build ("console=ttyS0", "quiet", append);
    g_autofree char *emptied = vmm_cmdline_build ("console=ttyS0", "", append);
    g_autofree char *nothing = vmm_cmdline_build (NULL, NULL, NULL);

    cr_assert_str_eq (added, "console=ttyS0 panic=-1 init=/bin/sh");
    cr_assert_str_eq (replaced, "quiet panic=-1 init=/bin/sh");
    cr_assert_str_eq (emptied, "panic=-1 init=/bin/sh");
    cr_assert_str_eq (nothing, "");
}

Test (cmdline, more_for_the_kernel_goes_before_what_is_for_init)
{
    static const struct {
        const char *line, *params, *both;
    } rows[] = {
        {"", "", ""},
        {"", "a=1 b=2", "a=1 b=2"},
        {"quiet", "", "quiet"},
        {"quiet", "a=1", "quiet a=1"},
        {"quiet ", "a=1", "quiet a=1"},
        {"quiet -- single", "a=1", "quiet a=1 -- single"},
        {"-- single", "a=1", "a=1 -- single"},
        {"x=\"a -- b\" y -- z -- w", "a=1", "x=\"a -- b\" y a=1 -- z -- w"},
        {"x=\"never ended -- ", "a=1", "x=\"never ended -- a=1"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++) {
        g_autofree char *both = vmm_cmdline_insert (rows[i].line, rows[i].params);

        cr_assert_str_eq (both, rows[i].both, "row %zu: %s", i, both);
    }
}

Test (cmdline, an_over_long_line_is_refused_with_both_lengths)
{
    g_autofree char *line = g_strnfill (2048, 'a');
    g_autoptr (GError) error = NULL;

    cr_assert_not (vmm_cmdline_check (line, 2047, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert (image_error_has (error, "2048 bytes"));
    cr_assert (image_error_has (error, "at most 2047"));
    cr_assert (vmm_cmdline_check (line, 2048, NULL));
}

static void
expect (const char *line, const char *name, const char *value)
{
    g_autofree char *found = NULL;
    bool there = vmm_cmdline_find (line, name, &found);

    cr_assert_eq (there, value != NULL, "%s in \"%s\"", name, line);
    if (value != NULL)
        cr_assert_str_eq (found, value, "%s in \"%s\" is \"%s\"", name, line, found);
    else
        cr_assert_null (found);
}

Test (cmdline, parameters_are_found_as_the_kernel_finds_them)
{
    expect ("quiet nokaslr panic=-1", "nokaslr", "");
    expect ("quiet nokaslr panic=-1", "panic", "-1");
    expect ("quiet nokaslr", "kaslr", NULL);
    expect ("nokaslrx xnokaslr", "nokaslr", NULL);
    expect ("panic=1 panic=2", "panic", "2");
    expect ("", "panic", NULL);
    expect ("   panic=3  ", "panic", "3");
    expect ("log_buf_len=1M", "log-buf-len", "1M");
    expect ("init=/bin/sh -- nokaslr", "nokaslr", NULL);
    expect ("a=b=c", "a", "b=c");
}

Test (cmdline, quotes_hide_spaces)
{
    expect ("dyndbg=\"file nokaslr.c +p nokaslr\" quiet", "nokaslr", NULL);
    expect ("dyndbg=\"file a.c +p\" quiet", "dyndbg", "file a.c +p");
    expect ("\"dyndbg=file a.c\" quiet", "dyndbg", "file a.c");
    expect ("dyndbg=\"file a.c +p\" quiet", "quiet", "");
    expect ("x=\"never closed nokaslr", "nokaslr", NULL);
    expect ("\"", "x", NULL);
}

Test (cmdline, the_value_is_optional)
{
    cr_assert (vmm_cmdline_find ("quiet", "quiet", NULL));
    cr_assert_not (vmm_cmdline_find ("quiet", "loud", NULL));
}
