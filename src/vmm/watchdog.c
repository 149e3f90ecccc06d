/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Two ends come without any exit to vmm, so the vCPUs must be looked at:
 *
 * - Halted: every vCPU waits in HLT with interrupts off, or was never started. Nothing can wake it again, so
 *   two looks that find it are proof.
 * - Hung: a vCPU runs with interrupts off and has made no exit to vmm for the whole limit, in every look. A
 *   kernel that works does not do that; one that computes that long without interrupts and without output
 *   cannot be told from one that is stuck, and for it there is --watchdog off.
 *
 * The limit counts the time that the vCPU's thread has run: a host that is busy with other work makes no
 * hang. Where KVM interprets the guest's kernel, all takes longer: unless the user set the limit, the host's
 * speed is measured before a guest is called hung, and on a slow one the limit grows by as much as the host
 * is slower than a usual one. At its end the guest is looked at twice more: a loop of a few instructions and
 * a long way are told apart by where each vCPU was. The loop goes on meanwhile, so whatever else ends the run
 * does so first.
 *
 * A look kicks each vCPU out of the guest for the time of four ioctls. Looks start soon after the guest
 * does, since most machines that halt do so early. A guest that is found idle is left alone: a timer on the
 * CPU time of each vCPU's thread tells when it does something again, and an idle machine causes no wake-up.
 * A halt after less than that, without any exit, is found by the look once a minute.
 */
#include "vmm/watchdog.h"

#include "vmm/core/timer.h"
#include "vmm/host.h"

#define LOOK_FIRST_US (500 * 1000)
#define LOOK_MAX_US (20 * G_USEC_PER_SEC)
/* An idle guest is left alone: this long, or until it has computed for this long. */
#define LOOK_IDLE_US (60 * G_USEC_PER_SEC)
#define ACTIVITY_NS (20 * 1000 * 1000)
#define LOOKS_PER_LIMIT 8
/* What a report of a hang shows. */
#define PROOFS 3u
#define PROOF_US (100 * 1000)
/* A kernel's speed on hardware; what is below is slower by the quotient. */
#define USUAL_MIPS 1000.0
#define SLOWER_MAX 1000.0

typedef struct {
    uint64_t exits; /* at the last look */
    bool stuck;
    bool told;           /* by the host: the clock stands in for it elsewhere */
    int64_t stuck_since; /* µs that it had run */
} Seen;

/* One look at all vCPUs. */
typedef struct {
    VmmVcpuSample *samples;
    bool *answered;
    int64_t now;
    bool all_off;
    bool idle;
    int64_t worst; /* µs that the one has been stuck that has been for longest; 0: none */
    unsigned worst_index;
} Looked;

struct _VmmWatchdog {
    GSource *timer;
    VmmBoard *board;
    int64_t limit_us; /* 0: hangs are not looked for */
    bool limit_final; /* not to be scaled, or scaled already */
    VmmWatchdogFunc found;
    void *user;
    int64_t interval_us;
    unsigned halted_looks;
    Seen *seen;
    Looked proofs[PROOFS];
    unsigned n_proofs; /* 0: there is no suspicion */
};

/* For how many µs vCPU @i has run and been stuck; by the clock where the host does not tell. */
static int64_t
update_seen (VmmWatchdog *watchdog, unsigned i, const VmmVcpuSample *sample, int64_t now)
{
    Seen *seen = &watchdog->seen[i];
    const VmmVcpu *vcpu = vmm_board_vcpu (watchdog->board, i);
    uint64_t exits = vmm_vcpu_total_exits (vcpu);
    bool stuck = !sample->off && !sample->halted && sample->interrupts_off && exits == seen->exits;
    VmmVcpuTime time;
    bool told = vmm_vcpu_time (vcpu, &time);
    int64_t ran = told ? time.ran_ns / 1000 : now;

    if (!stuck || !seen->stuck || told != seen->told)
        seen->stuck_since = ran;
    seen->told = told;
    seen->stuck = stuck;
    seen->exits = exits;
    return ran - seen->stuck_since;
}

/* The limit for this host; measured once, and only when a guest is suspected. */
static void
scale_limit (VmmWatchdog *watchdog)
{
    double mips;

    if (watchdog->limit_final)
        return;
    watchdog->limit_final = true;
    if (vmm_host_measure_ring0 (&mips, NULL) && mips > 0 && mips < USUAL_MIPS)
        watchdog->limit_us = (int64_t)((double)watchdog->limit_us * MIN (USUAL_MIPS / mips, SLOWER_MAX));
}

/* False when the host cannot tell of it; then there are looks all the same. */
static bool
wait_for_activity (VmmWatchdog *watchdog)
{
    unsigned n = vmm_board_n_vcpus (watchdog->board);
    bool ok = true;

    for (unsigned i = 0; i < n; i++)
        ok = vmm_vcpu_tell_activity (vmm_board_vcpu (watchdog->board, i), ACTIVITY_NS) && ok;
    return ok;
}

static void
set_next_look (VmmWatchdog *watchdog, bool idle, bool suspicious)
{
    int64_t most = watchdog->limit_us > 0 ? watchdog->limit_us / LOOKS_PER_LIMIT : LOOK_MAX_US;

    if (suspicious || watchdog->interval_us == LOOK_IDLE_US)
        watchdog->interval_us = LOOK_FIRST_US;
    if (!suspicious && idle && wait_for_activity (watchdog))
        watchdog->interval_us = LOOK_IDLE_US;
    else if (!suspicious)
        watchdog->interval_us = MIN (2 * watchdog->interval_us, MAX (most, LOOK_FIRST_US / 10));
    vmm_timer_arm (watchdog->timer, watchdog->interval_us);
}

static void
looked_clear (Looked *looked)
{
    g_clear_pointer (&looked->samples, g_free);
    g_clear_pointer (&looked->answered, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Looked, looked_clear)

static void
drop_proofs (VmmWatchdog *watchdog)
{
    for (unsigned i = 0; i < watchdog->n_proofs; i++)
        looked_clear (&watchdog->proofs[i]);
    watchdog->n_proofs = 0;
}

/* Only at the end are functions named: to read the symbols may take long. */
static char *
describe_proofs (VmmWatchdog *watchdog)
{
    GString *text = g_string_new (NULL);

    for (unsigned i = 0; i < watchdog->n_proofs; i++) {
        const Looked *proof = &watchdog->proofs[i];

        if (i == 0)
            g_string_append_printf (text, "look 1 of %u:\n", watchdog->n_proofs);
        else
            g_string_append_printf (text, "look %u, %" G_GINT64_FORMAT " ms after the first:\n", i + 1,
                                    (proof->now - watchdog->proofs[0].now) / 1000);
        vmm_board_describe_samples (watchdog->board, proof->samples, proof->answered, text);
    }
    return g_string_free (text, FALSE);
}

/* Takes what @looked holds when there is to be another look at a hang. */
static void
judge (VmmWatchdog *watchdog, Looked *looked)
{
    char *report;
    unsigned index;
    double seconds;

    watchdog->halted_looks = looked->all_off ? watchdog->halted_looks + 1 : 0;
    if (watchdog->halted_looks >= 2) {
        GString *text = g_string_new (NULL);

        vmm_board_describe_samples (watchdog->board, looked->samples, looked->answered, text);
        watchdog->found (watchdog->user, VMM_WATCHDOG_HALTED, 0, 0, g_string_free (text, FALSE));
        return;
    }
    if (watchdog->limit_us > 0 && looked->worst >= watchdog->limit_us)
        scale_limit (watchdog);
    if (watchdog->limit_us == 0 || looked->worst < watchdog->limit_us) {
        drop_proofs (watchdog);
        set_next_look (watchdog, looked->idle, looked->all_off);
        return;
    }
    watchdog->proofs[watchdog->n_proofs++] = *looked;
    *looked = (Looked){0};
    if (watchdog->n_proofs < PROOFS) {
        vmm_timer_arm (watchdog->timer, PROOF_US);
        return;
    }
    index = watchdog->proofs[PROOFS - 1].worst_index;
    seconds = (double)watchdog->proofs[PROOFS - 1].worst / G_USEC_PER_SEC;
    report = describe_proofs (watchdog);
    drop_proofs (watchdog);
    watchdog->found (watchdog->user, VMM_WATCHDOG_HUNG, index, seconds, report);
}

/* How many µs are left until the next look at a hang, if somebody asked for one in between. */
static int64_t
too_early (const VmmWatchdog *watchdog)
{
    if (watchdog->n_proofs == 0)
        return 0;
    return MAX (watchdog->proofs[watchdog->n_proofs - 1].now + PROOF_US - g_get_monotonic_time (), 0);
}

static gboolean
look (gpointer data)
{
    VmmWatchdog *watchdog = data;
    unsigned n = vmm_board_n_vcpus (watchdog->board);
    g_auto (Looked) looked = {0};

    if (too_early (watchdog) > 0) {
        vmm_timer_arm (watchdog->timer, too_early (watchdog));
        return G_SOURCE_CONTINUE;
    }
    looked.samples = g_new0 (VmmVcpuSample, n);
    looked.answered = g_new0 (bool, n);
    looked.now = g_get_monotonic_time ();
    looked.all_off = vmm_board_take_samples (watchdog->board, looked.samples, looked.answered) == n;
    looked.idle = looked.all_off;
    for (unsigned i = 0; i < n; i++) {
        const VmmVcpuSample *sample = &looked.samples[i];
        int64_t stuck = looked.answered[i] ? update_seen (watchdog, i, sample, looked.now) : 0;

        looked.all_off = looked.all_off && sample->off;
        looked.idle = looked.idle && (sample->off || sample->halted);
        if (stuck > looked.worst) {
            looked.worst = stuck;
            looked.worst_index = i;
        }
    }
    judge (watchdog, &looked);
    return G_SOURCE_CONTINUE;
}

/**
 * vmm_watchdog_new:
 * @context: the loop on which it looks
 * @board: what it looks at; outlives it
 * @limit_ns: how long a vCPU may be stuck; 0: for ever
 * @scaled: on a host that runs guest kernels slowly, wait for longer
 * @found: told what was found, on the loop thread; it then ends the watchdog
 * @user: what @found gets
 *
 * Returns: (transfer full): a watchdog over vCPUs that run
 */
VmmWatchdog *
vmm_watchdog_new (GMainContext *context, VmmBoard *board, int64_t limit_ns, bool scaled,
                  VmmWatchdogFunc found, void *user)
{
    VmmWatchdog *watchdog = g_new0 (VmmWatchdog, 1);

    watchdog->board = board;
    watchdog->limit_us = limit_ns / 1000;
    watchdog->limit_final = !scaled;
    watchdog->found = found;
    watchdog->user = user;
    watchdog->seen = g_new0 (Seen, vmm_board_n_vcpus (board));
    watchdog->interval_us = LOOK_FIRST_US;
    watchdog->timer = vmm_timer_new (context, look, watchdog);
    set_next_look (watchdog, false, true);
    return watchdog;
}

/**
 * vmm_watchdog_free:
 * @watchdog: (nullable)
 */
void
vmm_watchdog_free (VmmWatchdog *watchdog)
{
    if (watchdog == NULL)
        return;
    vmm_timer_clear (&watchdog->timer);
    drop_proofs (watchdog);
    g_free (watchdog->seen);
    g_free (watchdog);
}

/**
 * vmm_watchdog_look_now:
 *
 * On the loop thread: something happened after which the guest may be at its end, or soon will be.
 */
void
vmm_watchdog_look_now (VmmWatchdog *watchdog)
{
    watchdog->interval_us = LOOK_FIRST_US / 4;
    vmm_timer_arm (watchdog->timer, 0);
}

/**
 * vmm_watchdog_on_active:
 *
 * Any thread: a guest that was idle does something.
 */
void
vmm_watchdog_on_active (VmmWatchdog *watchdog)
{
    vmm_timer_arm (watchdog->timer, LOOK_FIRST_US);
}
