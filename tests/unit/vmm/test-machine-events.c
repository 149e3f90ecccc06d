/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a guest's announcements at moments when parts of the machine are gone. No KVM. */
#include <criterion/criterion.h>
#include <string.h>

#include "vmm/config-internal.h"
#include "vmm/core/timer.h"
#include "vmm/machine-internal.h"

/* A machine without a board, as it is while a reboot has failed, and without a watchdog, as in a pause. */
typedef struct {
    VmmMachine machine;
    VmmConfig *config;
} Fixture;

static gboolean
on_wake (gpointer user)
{
    return G_SOURCE_CONTINUE;
}

static void
init (Fixture *f)
{
    memset (f, 0, sizeof *f);
    f->config = vmm_config_new ();
    f->machine.config = f->config;
    f->machine.failed_vcpu = -1;
    g_mutex_init (&f->machine.lock);
    f->machine.wake = vmm_timer_new (NULL, on_wake, &f->machine);
    f->machine.console_watch.event = vmm_machine_on_console_event;
    f->machine.console_watch.user = &f->machine;
    f->machine.kernel_reports = vmm_kernel_reports_new ();
    f->machine.kernel_log = vmm_kernel_log_new (vmm_machine_on_kernel_report, &f->machine);
}

static void
clear (Fixture *f)
{
    vmm_timer_clear (&f->machine.wake);
    g_free (f->machine.reason);
    g_free (f->machine.report);
    g_free (f->machine.panic_message);
    vmm_kernel_log_free (f->machine.kernel_log);
    vmm_kernel_reports_free (f->machine.kernel_reports);
    g_mutex_clear (&f->machine.lock);
    vmm_config_free (f->config);
}

static void
say (Fixture *f, const char *text)
{
    vmm_machine_on_console_output (&f->machine, (const uint8_t *)text, strlen (text));
}

Test (machine_events, a_halt_that_is_heard_of_in_a_pause_is_left_to_the_next_look)
{
    Fixture f;

    init (&f);
    say (&f, "reboot: System halted\n");
    cr_assert_not (f.machine.ending);
    clear (&f);
}

Test (machine_events, the_reason_of_a_panic_is_one_line_that_a_terminal_can_take)
{
    Fixture f;

    init (&f);
    say (&f, "Kernel panic - not syncing: a\x1b[2Jb\x9b\tc\n");
    say (&f, "---[ end Kernel panic - not syncing: a ]---\n");
    cr_assert (f.machine.ending);
    cr_assert_eq (f.machine.kind, VMM_VERDICT_PANIC);
    cr_assert (g_utf8_validate (f.machine.reason, -1, NULL));
    for (const char *p = f.machine.reason; *p != '\0'; p++)
        cr_assert_not (g_ascii_iscntrl (*p), "0x%02x in the reason", (unsigned char)*p);
    cr_assert_not_null (strstr (f.machine.reason, "a?[2Jb"));
    clear (&f);
}

Test (machine_events, a_panic_of_the_boot_before_ends_nothing)
{
    Fixture f;

    init (&f);
    vmm_machine_on_panic_grace (&f.machine);
    cr_assert_not (f.machine.ending);
    clear (&f);
}

Test (machine_events, a_timeout_while_there_is_no_board_is_a_timeout)
{
    Fixture f;

    init (&f);
    f.config->timeout_ns = 1000000000;
    vmm_machine_on_timeout (&f.machine);
    cr_assert_eq (f.machine.kind, VMM_VERDICT_TIMEOUT);
    cr_assert_str_eq (f.machine.reason, "the guest was not done after 1 s");
    clear (&f);
}

Test (machine_events, the_kernels_reports_are_kept)
{
    const VmmKernelReport *reports;
    Fixture f;
    size_t n;

    init (&f);
    say (&f, "[    1.000000] WARNING: CPU: 0 PID: 1 at kernel/x.c:7 f+0x1/0x2\n[    1.000001] Call Trace:\n"
             "[    1.000002]  f+0x1/0x2\n[    1.000003] ---[ end trace 0000000000000000 ]---\n");
    say (&f, "[    2.000000] Kernel panic - not syncing: here\n");
    vmm_kernel_log_finish (f.machine.kernel_log);
    reports = vmm_kernel_reports_list (f.machine.kernel_reports, &n);
    cr_assert_eq (n, 2);
    cr_assert_eq (reports[0].kind, VMM_KERNEL_WARNING);
    cr_assert_eq (reports[0].line, 1);
    cr_assert_str_eq (reports[0].function, "f");
    cr_assert_eq (reports[1].kind, VMM_KERNEL_PANIC);
    cr_assert_eq (reports[1].line, 5);
    clear (&f);
}
