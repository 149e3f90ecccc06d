/* SPDX-License-Identifier: Apache-2.0 */
/* The timers of a loop: few, so a list does, and one timerfd that is set to the earliest. See loop.c. */
#include "vmm/core/loop-timers.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include "vmm/core/timer.h"

#define NS_PER_S INT64_C (1000000000)

struct _VmmLoopTimer {
    VmmLoop *loop;
    VmmLoopFunc func;
    void *user;
    int64_t deadline_ns; /* 0: not armed */
};

/**
 * vmm_loop_timers_init:
 *
 * Without timers. The descriptor is negative when the host has none left.
 */
void
vmm_loop_timers_init (VmmLoopTimers *timers)
{
    *timers = (VmmLoopTimers){
        .list = g_ptr_array_new (),
        .fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
    };
}

/**
 * vmm_loop_timers_clear:
 *
 * When no timer is left.
 */
void
vmm_loop_timers_clear (VmmLoopTimers *timers)
{
    g_clear_pointer (&timers->list, g_ptr_array_unref);
    if (timers->fd >= 0)
        close (timers->fd);
    timers->fd = -1;
}

static void
set_fd (VmmLoopTimers *timers)
{
    struct itimerspec spec = {0};
    int64_t earliest = 0;

    for (guint i = 0; i < timers->list->len; i++) {
        const VmmLoopTimer *timer = timers->list->pdata[i];

        if (timer->deadline_ns != 0 && (earliest == 0 || timer->deadline_ns < earliest))
            earliest = timer->deadline_ns;
    }
    if (earliest == timers->set_ns)
        return;
    timers->set_ns = earliest;
    spec.it_value.tv_sec = earliest / NS_PER_S;
    spec.it_value.tv_nsec = earliest % NS_PER_S;
    timerfd_settime (timers->fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

/**
 * vmm_loop_timers_run:
 *
 * The loop's thread, when the descriptor is ready: calls those whose time has come.
 */
void
vmm_loop_timers_run (VmmLoopTimers *timers)
{
    int64_t now = vmm_now_ns ();
    uint64_t expirations;

    if (read (timers->fd, &expirations, sizeof expirations) < 0)
        return; /* set anew in the meantime */
    timers->set_ns = 0;
    /* A callback may free timers, its own too, or make new ones: begin anew after each. */
    for (guint i = 0; i < timers->list->len; i++) {
        VmmLoopTimer *timer = timers->list->pdata[i];

        if (timer->deadline_ns == 0 || timer->deadline_ns > now)
            continue;
        timer->deadline_ns = 0;
        timer->func (timer->user);
        i = (guint)-1;
    }
    set_fd (timers);
}

static void
add_timer (void *user)
{
    VmmLoopTimer *timer = user;

    g_ptr_array_add (vmm_loop_timers (timer->loop)->list, timer);
}

/**
 * vmm_loop_timer_new:
 * @func: called on the loop's thread
 * @user: what it gets
 *
 * Any thread.
 *
 * Returns: (transfer full): a timer that is not armed
 */
VmmLoopTimer *
vmm_loop_timer_new (VmmLoop *loop, VmmLoopFunc func, void *user)
{
    VmmLoopTimer *timer = g_new (VmmLoopTimer, 1);

    *timer = (VmmLoopTimer){loop, func, user, 0};
    vmm_loop_call (loop, add_timer, timer);
    return timer;
}

/**
 * vmm_loop_timer_arm:
 * @after_ns: from now; 0 and less: as soon as the loop comes to it
 *
 * The loop's thread. Arming again moves the time.
 */
void
vmm_loop_timer_arm (VmmLoopTimer *timer, int64_t after_ns)
{
    timer->deadline_ns = vmm_now_ns () + MAX (after_ns, 0);
    set_fd (vmm_loop_timers (timer->loop));
}

/**
 * vmm_loop_timer_disarm:
 *
 * The loop's thread.
 */
void
vmm_loop_timer_disarm (VmmLoopTimer *timer)
{
    timer->deadline_ns = 0;
    set_fd (vmm_loop_timers (timer->loop));
}

static void
remove_timer (void *user)
{
    VmmLoopTimer *timer = user;

    g_ptr_array_remove (vmm_loop_timers (timer->loop)->list, timer);
    set_fd (vmm_loop_timers (timer->loop));
    g_free (timer);
}

/**
 * vmm_loop_timer_free:
 * @timer: (nullable) (transfer full): its function is not called any more after the return
 *
 * Any thread.
 */
void
vmm_loop_timer_free (VmmLoopTimer *timer)
{
    if (timer != NULL)
        vmm_loop_call (timer->loop, remove_timer, timer);
}
