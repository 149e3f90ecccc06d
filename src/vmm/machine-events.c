/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A run ends for one of many reasons, found on many threads: a vCPU that writes a register or cannot go on, a
 * timer, the watchdog, the embedding program. The first to call vmm_machine_end() makes the verdict's kind;
 * it asks the vCPUs to stop and wakes the loop, where machine.c does the rest.
 *
 * One thing is decided late: a reset, a halt or a hang of a kernel that has said that it panics is a panic.
 */
#include <string.h>

#include "vmm/config-internal.h"
#include "vmm/core/timer.h"
#include "vmm/machine-internal.h"

/* After pvpanic a kernel prints a little more, and may restart by itself. */
#define PANIC_GRACE_US (1 * G_USEC_PER_SEC)

#define PVPANIC_PANICKED (1u << 0)
#define PVPANIC_SHUTDOWN (1u << 2)

/* Whether what looks like @kind is the end of a panic. */
static bool
is_panic_locked (const VmmMachine *machine, VmmVerdictKind kind)
{
    if (machine->panic_message == NULL)
        return false;
    if (kind == VMM_VERDICT_PANIC)
        return true;
    if (machine->restarting)
        return false;
    return kind == VMM_VERDICT_REBOOT || kind == VMM_VERDICT_TRIPLE_FAULT || kind == VMM_VERDICT_HANG ||
           kind == VMM_VERDICT_HALT || kind == VMM_VERDICT_TIMEOUT;
}

/**
 * vmm_machine_end:
 * @kind: how the run ended
 * @guest_code: for %VMM_VERDICT_GUEST_EXIT
 * @reason: (transfer full) (nullable): one line; NULL for a panic, whose reason is the kernel's
 * @report: (transfer full) (nullable): more lines
 *
 * Any thread: ends the run, unless something else has ended it before.
 */
void
vmm_machine_end (VmmMachine *machine, VmmVerdictKind kind, uint32_t guest_code, char *reason, char *report)
{
    g_mutex_lock (&machine->lock);
    if (machine->ending) {
        g_mutex_unlock (&machine->lock);
        g_free (reason);
        g_free (report);
        return;
    }
    machine->ending = true;
    if (is_panic_locked (machine, kind)) {
        kind = VMM_VERDICT_PANIC;
        g_free (reason);
        reason = g_strdup_printf ("the guest's kernel panicked: %s", machine->panic_message);
    }
    machine->kind = kind;
    machine->guest_code = guest_code;
    machine->reason = reason;
    machine->report = report;
    /* With the lock held: the loop may be about to replace the board, for a reboot. */
    if (machine->board != NULL)
        vmm_board_request_stop (machine->board);
    g_mutex_unlock (&machine->lock);
    vmm_timer_arm (machine->wake, 0);
}

static void
on_reset (VmmMachine *machine)
{
    bool again;

    g_mutex_lock (&machine->lock);
    again = machine->config->reboots && !machine->ending && !is_panic_locked (machine, VMM_VERDICT_REBOOT);
    machine->reset_asked = machine->reset_asked || again;
    g_mutex_unlock (&machine->lock);
    if (!again) {
        vmm_machine_end (machine, VMM_VERDICT_REBOOT, 0, g_strdup ("the guest asked for a reboot"), NULL);
        return;
    }
    vmm_board_request_stop (machine->board);
    vmm_timer_arm (machine->wake, 0);
}

static void
on_panicked (VmmMachine *machine, uint32_t bits)
{
    if (bits & PVPANIC_SHUTDOWN)
        vmm_machine_end (machine, VMM_VERDICT_POWEROFF, 0, g_strdup ("the guest powered off, by pvpanic"),
                         NULL);
    if ((bits & PVPANIC_PANICKED) == 0)
        return;
    g_mutex_lock (&machine->lock);
    if (machine->panic_message == NULL)
        machine->panic_message = g_strdup ("it said so through its pvpanic device");
    g_mutex_unlock (&machine->lock);
    vmm_timer_arm (machine->panic_grace, PANIC_GRACE_US);
}

/**
 * vmm_machine_on_guest_event:
 *
 * On a vCPU thread: what the guest told through a device register.
 */
void
vmm_machine_on_guest_event (void *user, VmmGuestEvent event, uint32_t arg)
{
    VmmMachine *machine = user;

    switch (event) {
    case VMM_GUEST_EVENT_POWEROFF:
        vmm_machine_end (machine, VMM_VERDICT_POWEROFF, 0, g_strdup ("the guest powered off"), NULL);
        break;
    case VMM_GUEST_EVENT_RESET:
        on_reset (machine);
        break;
    case VMM_GUEST_EVENT_EXIT:
        vmm_machine_end (machine, VMM_VERDICT_GUEST_EXIT, arg,
                         g_strdup_printf ("the guest ended the run with code %u", arg), NULL);
        break;
    case VMM_GUEST_EVENT_PANICKED:
        on_panicked (machine, arg);
        break;
    }
}

static void
on_vcpu_failed (VmmMachine *machine, unsigned index, VmmVerdictKind kind, const char *what, char *report)
{
    g_mutex_lock (&machine->lock);
    if (!machine->ending)
        machine->failed_vcpu = (int)index;
    g_mutex_unlock (&machine->lock);
    vmm_machine_end (machine, kind, 0, g_strdup_printf ("vCPU %u: %s", index, what), report);
}

/**
 * vmm_machine_on_vcpu_ended:
 *
 * On a vCPU thread: the vCPU cannot go on. Takes @report.
 */
void
vmm_machine_on_vcpu_ended (void *user, unsigned index, VmmArchExit how, char *report)
{
    VmmMachine *machine = user;

    switch (how) {
    case VMM_ARCH_EXIT_TRIPLE_FAULT:
        on_vcpu_failed (machine, index, VMM_VERDICT_TRIPLE_FAULT, "triple fault", report);
        return;
    case VMM_ARCH_EXIT_RESET:
        on_reset (machine);
        break;
    case VMM_ARCH_EXIT_POWEROFF:
        vmm_machine_end (machine, VMM_VERDICT_POWEROFF, 0, g_strdup ("the guest powered off"), NULL);
        break;
    case VMM_ARCH_EXIT_HANDLED:
    case VMM_ARCH_EXIT_UNKNOWN:
        on_vcpu_failed (machine, index, VMM_VERDICT_CPU_ERROR,
                        "it stopped in a way that vmm cannot go on from", report);
        return;
    case VMM_ARCH_EXIT_HOST_ERROR:
        on_vcpu_failed (machine, index, VMM_VERDICT_HOST_ERROR, "the host failed under it", report);
        return;
    }
    g_free (report);
}

/* As one line that a terminal and a report can take, whatever the guest wrote. */
static char *
clean_line (const char *text)
{
    g_autofree char *valid = g_utf8_make_valid (text, -1);
    GString *line = g_string_new (NULL);

    for (const char *p = valid; *p != '\0'; p = g_utf8_next_char (p)) {
        gunichar c = g_utf8_get_char (p);

        g_string_append_unichar (line, g_unichar_iscntrl (c) ? '?' : c);
    }
    return g_string_free (line, FALSE);
}

/**
 * vmm_machine_on_vcpu_active:
 *
 * On a vCPU's thread: a guest that was idle does something.
 */
void
vmm_machine_on_vcpu_active (void *user)
{
    VmmMachine *machine = user;

    /* Made before the vCPUs run, and ended when they do not. */
    if (machine->watchdog != NULL)
        vmm_watchdog_on_active (machine->watchdog);
}

/**
 * vmm_machine_on_console_event:
 *
 * On the thread that writes a console: an announcement of the kernel. That may be a loop's, long after the
 * guest wrote it, where the host was slow to read.
 */
void
vmm_machine_on_console_event (void *user, VmmConsoleEvent event, const char *text)
{
    VmmMachine *machine = user;
    bool over = false;

    g_mutex_lock (&machine->lock);
    switch (event) {
    case VMM_CONSOLE_PANIC:
        g_free (machine->panic_message);
        machine->panic_message = clean_line (text);
        break;
    case VMM_CONSOLE_PANIC_END:
        /* The first words may have come behind some program's unfinished line. */
        if (machine->panic_message == NULL) {
            g_autofree char *said =
                g_strndup (text, strlen (text) - (g_str_has_suffix (text, " ]---") ? 5 : 0));

            machine->panic_message = clean_line (said);
        }
        over = true;
        break;
    case VMM_CONSOLE_RESTARTING:
        machine->restarting = true;
        break;
    case VMM_CONSOLE_HALTED:
        break;
    }
    g_mutex_unlock (&machine->lock);
    if (over)
        vmm_machine_end (machine, VMM_VERDICT_PANIC, 0, NULL, NULL);
    if (event == VMM_CONSOLE_HALTED) {
        __atomic_store_n (&machine->look_asked, true, __ATOMIC_SEQ_CST);
        vmm_timer_arm (machine->wake, 0);
    }
}

/**
 * vmm_machine_on_kernel_report:
 *
 * On the thread that writes a console: the kernel has reported trouble there.
 */
void
vmm_machine_on_kernel_report (void *user, const VmmKernelReport *report)
{
    VmmMachine *machine = user;

    vmm_kernel_reports_add (machine->kernel_reports, report);
}

/**
 * vmm_machine_on_output:
 *
 * Any thread: a console has said @len bytes.
 */
void
vmm_machine_on_output (void *user, size_t len)
{
    VmmMachine *machine = user;

    if (__atomic_load_n (&machine->first_output_ns, __ATOMIC_RELAXED) == 0) {
        int64_t none = 0;

        __atomic_compare_exchange_n (&machine->first_output_ns, &none, vmm_now_ns (), false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED);
    }
    __atomic_fetch_add (&machine->output_bytes, len, __ATOMIC_RELAXED);
}

/**
 * vmm_machine_on_console_output:
 *
 * On the thread that writes the serial console: sees all that the guest says.
 */
void
vmm_machine_on_console_output (void *user, const uint8_t *data, size_t len)
{
    VmmMachine *machine = user;

    vmm_machine_on_output (machine, len);
    vmm_console_watch_feed (&machine->console_watch, data, len);
    vmm_kernel_log_feed (machine->kernel_log, data, len);
}

/**
 * vmm_machine_on_watchdog:
 *
 * On the loop thread: what the watchdog found. Takes @report.
 */
void
vmm_machine_on_watchdog (void *user, VmmWatchdogFinding finding, unsigned index, double seconds, char *report)
{
    VmmMachine *machine = user;

    if (finding == VMM_WATCHDOG_HALTED)
        vmm_machine_end (machine, VMM_VERDICT_HALT, 0,
                         g_strdup ("the guest halted: every CPU waits with interrupts off"), report);
    else
        vmm_machine_end (
            machine, VMM_VERDICT_HANG, 0,
            g_strdup_printf (
                "the guest hangs: vCPU %u has run for %.0f s with interrupts off and no sign of progress",
                index, seconds),
            report);
}

/**
 * vmm_machine_on_timeout:
 *
 * On the loop thread: the time is over.
 */
gboolean
vmm_machine_on_timeout (gpointer user)
{
    VmmMachine *machine = user;
    GString *report = g_string_new (NULL);

    /* There is no board when a reboot has failed just now. */
    if (!machine->paused && machine->board != NULL)
        vmm_board_describe_vcpus (machine->board, report);
    vmm_machine_end (
        machine, VMM_VERDICT_TIMEOUT, 0,
        g_strdup_printf ("the guest was not done after %g s", (double)machine->config->timeout_ns / 1e9),
        g_string_free (report, FALSE));
    return G_SOURCE_CONTINUE;
}

/**
 * vmm_machine_on_panic_grace:
 *
 * On the loop thread: a panicked kernel has had its time to restart.
 */
gboolean
vmm_machine_on_panic_grace (gpointer user)
{
    VmmMachine *machine = user;
    bool panicked;

    /* A reboot in the same turn of the loop may have ended that boot. */
    g_mutex_lock (&machine->lock);
    panicked = machine->panic_message != NULL;
    g_mutex_unlock (&machine->lock);
    if (panicked)
        vmm_machine_end (machine, VMM_VERDICT_PANIC, 0, NULL, NULL);
    return G_SOURCE_CONTINUE;
}
