/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A stock kernel has no driver for pvpanic built in, and a reset after a panic looks to the machine like any
 * other: what tells them apart is on the console. So the lines of the console are compared with the few that
 * the kernel prints in just these moments (kernel/panic.c, kernel/reboot.c). A line counts only where the
 * kernel itself would have put it: at the start of a line, after printk's own time stamp and caller at most.
 * A program in the guest could print such a line too; it would deceive nobody but its own user.
 */
#include "vmm/console-watch.h"

#include <glib.h>
#include <string.h>

#include "vmm/printk-line.h"

#define PANIC_BEHIND_STAMP "] Kernel panic - not syncing: "

static const struct {
    const char *start;
    VmmConsoleEvent event;
} announcements[] = {
    {"Kernel panic - not syncing: ", VMM_CONSOLE_PANIC},
    {"---[ end Kernel panic - not syncing: ", VMM_CONSOLE_PANIC_END},
    {"reboot: Restarting system", VMM_CONSOLE_RESTARTING},
    {"reboot: System halted", VMM_CONSOLE_HALTED},
};

static void
end_line (VmmConsoleWatch *watch)
{
    const char *text;

    watch->line[watch->len] = '\0';
    watch->len = 0;
    text = vmm_printk_skip_stamp (watch->line);
    for (size_t i = 0; i < G_N_ELEMENTS (announcements); i++) {
        size_t n = strlen (announcements[i].start);

        if (strncmp (text, announcements[i].start, n) == 0) {
            watch->event (watch->user, announcements[i].event, text + n);
            return;
        }
    }
    /* A program's line may have been unfinished (a prompt) when the kernel panicked: the stamp tells. */
    text = strstr (watch->line, PANIC_BEHIND_STAMP);
    if (text != NULL && vmm_printk_is_stamp_before (watch->line, text))
        watch->event (watch->user, VMM_CONSOLE_PANIC, text + strlen (PANIC_BEHIND_STAMP));
}

/**
 * vmm_console_watch_feed:
 * @data: @len bytes of console output, as they come
 *
 * One thread at a time.
 */
void
vmm_console_watch_feed (VmmConsoleWatch *watch, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n')
            end_line (watch);
        /* What does not fit is cut: all that matters is at the start of a line. */
        else if (data[i] != '\r' && data[i] != '\0' && watch->len < sizeof watch->line - 1)
            watch->line[watch->len++] = (char)data[i];
    }
}
