/* SPDX-License-Identifier: Apache-2.0 */
/* What a watchdog finds, and what it says of it, on a board whose vCPUs do what the test wants. No KVM. */
#include "vmm/watchdog.h"

#include <criterion/criterion.h>
#include <string.h>

#include "vmm/host.h"

#define MS (INT64_C (1000) * 1000)

struct _VmmVcpu {
    VmmVcpuSample sample;
    uint64_t exits;
    bool silent;  /* it does not answer */
    bool exiting; /* it comes back to vmm between any two looks */
    bool untold;  /* the host does not tell how long it has run */
    int starved;  /* of how many parts of the time it gets none but one */
    int64_t told_us, ran_ns;
};

struct _VmmBoard {
    unsigned n;
    VmmVcpu vcpus[3];
};

/* Of the host that the tests imagine. */
static double host_mips = 1000;

unsigned
vmm_board_n_vcpus (const VmmBoard *board)
{
    return board->n;
}

VmmVcpu *
vmm_board_vcpu (VmmBoard *board, unsigned index)
{
    return &board->vcpus[index];
}

char *
vmm_board_name_function (VmmBoard *board, const VmmVcpuSample *sample)
{
    return sample->pc >= 0x1000 ? g_strdup_printf ("loop+0x%x/0x10", (unsigned)sample->pc & 0xf) : NULL;
}

void
vmm_vcpu_request_sample (VmmVcpu *vcpu)
{
    if (vcpu->exiting)
        vcpu->exits++;
}

bool
vmm_vcpu_wait_sample (VmmVcpu *vcpu, int64_t deadline_us, VmmVcpuSample *ret_sample)
{
    if (vcpu->silent)
        return false;
    *ret_sample = vcpu->sample;
    vcpu->sample.pc++;
    return true;
}

bool
vmm_vcpu_tell_activity (VmmVcpu *vcpu, int64_t cpu_ns)
{
    return true;
}

uint64_t
vmm_vcpu_total_exits (const VmmVcpu *vcpu)
{
    return vcpu->exits;
}

bool
vmm_vcpu_time (const VmmVcpu *vcpu, VmmVcpuTime *ret_time)
{
    VmmVcpu *self = (VmmVcpu *)vcpu;
    int64_t now = g_get_monotonic_time ();

    if (self->told_us != 0)
        self->ran_ns += (now - self->told_us) * 1000 / MAX (vcpu->starved, 1);
    self->told_us = now;
    ret_time->ran_ns = self->ran_ns;
    return !vcpu->untold;
}

bool
vmm_host_measure_ring0 (double *ret_mips, GError **error)
{
    *ret_mips = host_mips;
    return true;
}

/* A board with a watchdog, and what that found. */
typedef struct {
    VmmBoard board;
    VmmWatchdog *watchdog;
    unsigned calls;
    VmmWatchdogFinding finding;
    unsigned index;
    double seconds;
    char *report;
} Rig;

static Rig *
rig_new (unsigned n_vcpus)
{
    Rig *rig = g_new0 (Rig, 1);

    rig->board.n = n_vcpus;
    for (unsigned i = 0; i < n_vcpus; i++)
        rig->board.vcpus[i].sample = (VmmVcpuSample){.pc = 0x1000 * (i + 1)};
    return rig;
}

/* With one vCPU, which runs with interrupts off for ever. */
static Rig *
rig_new_stuck (void)
{
    Rig *rig = rig_new (1);

    rig->board.vcpus[0].sample.interrupts_off = true;
    return rig;
}

static void
rig_free (Rig *rig)
{
    vmm_watchdog_free (rig->watchdog);
    g_free (rig->report);
    g_free (rig);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Rig, rig_free)

static void
on_found (void *user, VmmWatchdogFinding finding, unsigned index, double seconds, char *report)
{
    Rig *rig = user;

    g_free (rig->report);
    rig->calls++;
    rig->finding = finding;
    rig->index = index;
    rig->seconds = seconds;
    rig->report = report;
}

static void
watch (Rig *rig, int64_t limit_ns)
{
    rig->watchdog = vmm_watchdog_new (NULL, &rig->board, limit_ns, false, on_found, rig);
}

/* Runs the loop until something is found, for @ms at most. Returns how many ms it took. */
static int64_t
wait_for (const Rig *rig, int64_t ms)
{
    int64_t start = g_get_monotonic_time ();

    while (rig->calls == 0 && g_get_monotonic_time () < start + ms * 1000) {
        if (!g_main_context_iteration (NULL, FALSE))
            g_usleep (1000);
    }
    return (g_get_monotonic_time () - start) / 1000;
}

/* When the looks of a report were: ms after the first. Returns how many there are. */
static unsigned
times_of (const char *report, int64_t times[3])
{
    g_auto (GStrv) lines = g_strsplit (report, "\n", -1);
    unsigned n = 0;

    for (char **line = lines; *line != NULL; line++) {
        cr_assert_lt (n, 4);
        if (strcmp (*line, "look 1 of 3:") == 0)
            times[n++] = 0;
        else if (g_str_has_suffix (*line, " ms after the first:"))
            times[n++] = g_ascii_strtoll (strchr (*line, ',') + 1, NULL, 10);
    }
    return n;
}

Test (watchdog, a_hang_is_shown_three_times, .timeout = 30)
{
    g_autoptr (Rig) rig = rig_new (3);
    int64_t times[3];

    rig->board.vcpus[0].sample.halted = true;
    rig->board.vcpus[1].sample.interrupts_off = true;
    rig->board.vcpus[2].silent = true;
    watch (rig, 200 * MS);
    wait_for (rig, 20000);
    cr_assert_eq (rig->calls, 1);
    cr_assert_eq (rig->finding, VMM_WATCHDOG_HUNG);
    cr_assert_eq (rig->index, 1);
    cr_assert_geq (rig->seconds, 0.4, "%g s", rig->seconds);
    cr_assert_eq (times_of (rig->report, times), 3, "%s", rig->report);
    cr_assert_eq (times[0], 0);
    cr_assert_geq (times[1], 100);
    cr_assert_geq (times[2], times[1] + 100);
    cr_assert_not_null (strstr (rig->report, "vCPU 0: at 000000000000100"));
    cr_assert_not_null (strstr (rig->report, "/0x10), waiting for an interrupt, interrupts on\n"));
    cr_assert_not_null (strstr (rig->report, ", running the kernel, interrupts off\n"));
    cr_assert_not_null (strstr (rig->report, "vCPU 2: ended, or does not answer\n"));
}

/* What it says of the time is how long the vCPU ran, and not how long a busy host took for that. */
Test (watchdog, a_vcpu_that_hardly_runs_does_not_hang_yet, .timeout = 30)
{
    g_autoptr (Rig) rig = rig_new_stuck ();

    rig->board.vcpus[0].starved = 1000;
    watch (rig, 50 * MS);
    wait_for (rig, 2500);
    cr_assert_eq (rig->calls, 0);
    rig->board.vcpus[0].starved = 1;
    wait_for (rig, 20000);
    cr_assert_eq (rig->calls, 1);
    cr_assert_leq (rig->seconds, 2, "%g s", rig->seconds);
}

Test (watchdog, where_the_host_does_not_tell_the_clock_counts, .timeout = 30)
{
    g_autoptr (Rig) rig = rig_new_stuck ();

    rig->board.vcpus[0].untold = true;
    watch (rig, 50 * MS);
    wait_for (rig, 20000);
    cr_assert_eq (rig->calls, 1);
    cr_assert_geq (rig->seconds, 0.05);
}

/* For want of a descriptor, say. The two clocks have nothing to do with each other. */
Test (watchdog, a_host_that_tells_only_at_times_makes_no_hang, .timeout = 30)
{
    g_autoptr (Rig) rig = rig_new_stuck ();

    watch (rig, 10000 * MS);
    for (unsigned i = 0; i < 12; i++) {
        rig->board.vcpus[0].untold = i % 2 == 1;
        vmm_watchdog_look_now (rig->watchdog);
        wait_for (rig, 20);
    }
    cr_assert_eq (rig->calls, 0);
}

static gboolean
count (gpointer user)
{
    ++*(unsigned *)user;
    return G_SOURCE_CONTINUE;
}

/* The end of a run by something else is not held up: the loop goes round while a hang is being shown. */
Test (watchdog, the_loop_goes_on_between_the_looks, .timeout = 30)
{
    g_autoptr (Rig) rig = rig_new_stuck ();
    unsigned turns = 0;

    watch (rig, MS);
    guint source = g_timeout_add (5, count, &turns);
    /* Stuck since the first look, and over the limit in the second: two more follow. */
    while (rig->board.vcpus[0].sample.pc < 0x1002)
        g_main_context_iteration (NULL, TRUE);
    turns = 0;
    wait_for (rig, 20000);
    cr_assert_eq (rig->calls, 1);
    cr_assert_gt (turns, 10);
    g_source_remove (source);
}

/* A pause, for one. */
Test (watchdog, it_can_be_freed_while_it_shows_a_hang, .timeout = 30)
{
    g_autoptr (Rig) rig = rig_new_stuck ();

    watch (rig, MS);
    while (rig->board.vcpus[0].sample.pc < 0x1002)
        g_main_context_iteration (NULL, TRUE);
    g_clear_pointer (&rig->watchdog, vmm_watchdog_free);
    cr_assert_not (g_main_context_pending (NULL));
    cr_assert_eq (rig->calls, 0);
}

Test (watchdog, a_guest_that_goes_on_while_it_is_shown_does_not_hang, .timeout = 30)
{
    g_autoptr (Rig) rig = rig_new_stuck ();
    int64_t times[3];

    watch (rig, MS);
    while (rig->board.vcpus[0].sample.pc < 0x1003)
        g_main_context_iteration (NULL, TRUE);
    rig->board.vcpus[0].exiting = true;
    wait_for (rig, 500);
    cr_assert_eq (rig->calls, 0);
    /* It is watched as before, and what was seen then is forgotten. */
    rig->board.vcpus[0].exiting = false;
    wait_for (rig, 20000);
    cr_assert_eq (rig->calls, 1);
    cr_assert_eq (times_of (rig->report, times), 3, "%s", rig->report);
    cr_assert_null (strstr (rig->report, "loop+0x1/"));
}

Test (watchdog, who_asks_for_looks_does_not_bring_them_together, .timeout = 30)
{
    g_autoptr (Rig) rig = rig_new_stuck ();
    int64_t times[3];

    watch (rig, MS);
    for (unsigned i = 0; rig->calls == 0 && i < 20000; i++) {
        vmm_watchdog_look_now (rig->watchdog);
        wait_for (rig, 1);
    }
    cr_assert_eq (rig->calls, 1);
    cr_assert_eq (times_of (rig->report, times), 3, "%s", rig->report);
    cr_assert_geq (times[1], 100);
    cr_assert_geq (times[2], times[1] + 100);
}

Test (watchdog, a_halt_is_two_looks_and_shown_once, .timeout = 30)
{
    g_autoptr (Rig) rig = rig_new (2);

    for (unsigned i = 0; i < 2; i++)
        rig->board.vcpus[i].sample =
            (VmmVcpuSample){.pc = 5, .off = true, .halted = true, .interrupts_off = true};
    watch (rig, 0);
    wait_for (rig, 20000);
    cr_assert_eq (rig->calls, 1);
    cr_assert_eq (rig->finding, VMM_WATCHDOG_HALTED);
    cr_assert_str_eq (rig->report, "vCPU 0: at 0000000000000006, off, interrupts off\n"
                                   "vCPU 1: at 0000000000000006, off, interrupts off\n");
}

/* A kernel says that it halts, and does so a moment later. */
Test (watchdog, a_look_that_was_early_is_soon_followed_by_others, .timeout = 30)
{
    g_autoptr (Rig) rig = rig_new (1);

    watch (rig, 0);
    wait_for (rig, 4000); /* by now the looks are 4 s apart */
    vmm_watchdog_look_now (rig->watchdog);
    wait_for (rig, 10);
    rig->board.vcpus[0].sample = (VmmVcpuSample){.off = true, .halted = true, .interrupts_off = true};
    cr_assert_lt (wait_for (rig, 20000), 2500);
    cr_assert_eq (rig->finding, VMM_WATCHDOG_HALTED);
}

Test (watchdog, where_no_limit_is_nothing_hangs, .timeout = 30)
{
    g_autoptr (Rig) rig = rig_new_stuck ();

    watch (rig, 0);
    for (unsigned i = 0; i < 20; i++) {
        vmm_watchdog_look_now (rig->watchdog);
        wait_for (rig, 10);
    }
    cr_assert_eq (rig->calls, 0);
    cr_assert_gt (rig->board.vcpus[0].sample.pc, 0x1002);
}

Test (watchdog, on_a_slow_host_a_hang_takes_longer, .timeout = 30)
{
    g_autoptr (Rig) rig = rig_new_stuck ();

    host_mips = 100;
    rig->watchdog = vmm_watchdog_new (NULL, &rig->board, 50 * MS, true, on_found, rig);
    cr_assert_geq (wait_for (rig, 20000), 1000);
    cr_assert_eq (rig->calls, 1);
    cr_assert_geq (rig->seconds, 0.5);
}
