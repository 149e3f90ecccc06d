/* SPDX-License-Identifier: Apache-2.0 */
/* Which lines of a console are the kernel's announcements, and which only look like them. */
#include "vmm/console-watch.h"

#include <criterion/criterion.h>
#include <glib.h>
#include <string.h>

typedef struct {
    VmmConsoleWatch watch;
    GString *events; /* "PANIC(reason) END(…) RESTART(…) HALT(…)", each with a space behind it */
} Fixture;

static void
on_event (void *user, VmmConsoleEvent event, const char *text)
{
    static const char *const names[] = {
        [VMM_CONSOLE_PANIC] = "PANIC",
        [VMM_CONSOLE_PANIC_END] = "END",
        [VMM_CONSOLE_RESTARTING] = "RESTART",
        [VMM_CONSOLE_HALTED] = "HALT",
    };

    g_string_append_printf (user, "%s(%s) ", names[event], text);
}

static void
init (Fixture *f)
{
    memset (f, 0, sizeof *f);
    f->events = g_string_new (NULL);
    f->watch.event = on_event;
    f->watch.user = f->events;
}

/* Feeds @text in pieces of @step bytes, and tells what was found. */
static char *
found (const char *text, size_t len, size_t step)
{
    Fixture f;

    init (&f);
    for (size_t i = 0; i < len; i += step)
        vmm_console_watch_feed (&f.watch, (const uint8_t *)text + i, MIN (step, len - i));
    return g_string_free (f.events, FALSE);
}

static void
check_bytes (const char *text, size_t len, const char *expected)
{
    for (size_t step = 1; step <= len; step = step < 4 ? step + 1 : step * 3) {
        g_autofree char *events = found (text, len, step);

        cr_assert_str_eq (events, expected, "in steps of %zu: found \"%s\", expected \"%s\"", step, events,
                          expected);
    }
}

static void
check (const char *text, const char *expected)
{
    check_bytes (text, strlen (text), expected);
}

Test (console_watch, what_a_kernel_announces)
{
    check ("Kernel panic - not syncing: VFS: Unable to mount root fs\r\n",
           "PANIC(VFS: Unable to mount root fs) ");
    check ("---[ end Kernel panic - not syncing: test ]---\r\n", "END(test ]---) ");
    check ("reboot: Restarting system\n", "RESTART() ");
    check ("reboot: Restarting system with command 'now'\n", "RESTART( with command 'now') ");
    check ("reboot: System halted\n", "HALT() ");
}

Test (console_watch, behind_what_printk_puts_before_a_line)
{
    check ("[    0.123456] Kernel panic - not syncing: a\r\n", "PANIC(a) ");
    check ("[12345.123456] reboot: System halted\r\n", "HALT() ");
}

/* With CONFIG_PRINTK_CALLER the caller follows the time without a space between them
 * (kernel/printk/printk.c). */
Test (console_watch, behind_a_caller_that_follows_the_time)
{
    check ("[    0.123456][    T1] reboot: Restarting system\r\n", "RESTART() ");
    check ("[    0.123456][   C15] Kernel panic - not syncing: c\r\n", "PANIC(c) ");
}

Test (console_watch, several_lines_in_one_output)
{
    check ("[    1.0] Run /init\r\n[    1.1] Kernel panic - not syncing: x\r\n[    1.2] CPU: 0 PID: 1\r\n"
           "[    1.3] ---[ end Kernel panic - not syncing: x ]---\r\n",
           "PANIC(x) END(x ]---) ");
}

Test (console_watch, text_in_the_middle_of_a_line_does_not_count)
{
    check ("user says: Kernel panic - not syncing: no\n", "");
    check (" Kernel panic - not syncing: no\n", "");
    check ("> reboot: System halted\n", "");
    check ("[systemd] reboot: System halted\n", "");
    check ("[   0.1 oops] reboot: System halted\n", "");
    check ("[    0.123456]Kernel panic - not syncing: no\n", "");
    check ("kernel panic - not syncing: no\n", "");
    check ("Kernel panic\n", "");
    check ("[    0.123456][    T1]Kernel panic - not syncing: no\n", "");
    check ("[    0.123456] [    T1] Kernel panic - not syncing: no\n", "");
    check ("[\n[ \n[]\n[0\n[0]\n[0] \n", "");
}

/* A prompt has no newline, and the kernel does not begin a line of its own. */
Test (console_watch, a_panic_behind_a_prompt_counts_by_its_time_stamp)
{
    check ("login: [   12.345678] Kernel panic - not syncing: sysrq\n", "PANIC(sysrq) ");
    check ("login: [   12.345678] reboot: Restarting system\n", "");
}

Test (console_watch, a_line_counts_only_when_it_ends)
{
    check ("Kernel panic - not syncing: wait", "");
    check ("reboot: System halted\r", "");
}

/* Colours are not the kernel's, who prints none. */
Test (console_watch, escapes_are_text)
{
    check ("\033[31mKernel panic - not syncing: red\033[0m\n", "");
    check ("Kernel panic - not syncing: \033[1mbold\n", "PANIC(\033[1mbold) ");
}

Test (console_watch, nul_bytes_and_returns_are_nothing)
{
    static const char text[] = "\0\0Kernel panic\0 - not syncing: nul\0\r\r\n";

    check_bytes (text, sizeof text - 1, "PANIC(nul) ");
}

Test (console_watch, bytes_of_all_values_are_taken)
{
    char text[600];

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7);
    text[sizeof text - 1] = '\n';
    check_bytes (text, sizeof text, "");
}

Test (console_watch, a_long_line_is_cut_and_not_continued)
{
    g_autofree char *x = g_strnfill (100000, 'x');
    g_autofree char *hidden =
        g_strdup_printf ("%.*sKernel panic - not syncing: no\n", VMM_CONSOLE_LINE_MAX, x);
    g_autofree char *cut = g_strdup_printf ("Kernel panic - not syncing: %s\nreboot: System halted\n", x);
    g_autofree char *events = NULL;

    for (int shift = -3; shift <= 3; shift++) {
        g_autofree char *line =
            g_strdup_printf ("%.*sreboot: System halted\n", (int)VMM_CONSOLE_LINE_MAX + shift, x);

        check (line, "");
    }
    check (hidden, "");
    events = found (cut, strlen (cut), 1000);
    cr_assert (g_str_has_prefix (events, "PANIC(xxx"), "%.80s", events);
    cr_assert (g_str_has_suffix (events, "xxx) HALT() "));
    cr_assert_leq (strlen (events), VMM_CONSOLE_LINE_MAX);
}
