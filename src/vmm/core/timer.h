/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CORE_TIMER_H
#define VMM_CORE_TIMER_H

#include <glib.h>
#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in nanoseconds; any thread. */
static inline int64_t
vmm_now_ns (void)
{
    struct timespec ts;

    clock_gettime (CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* A function of a loop that runs when its time has come, once for each arming. */
GSource *vmm_timer_new (GMainContext *context, GSourceFunc function, void *user);
void vmm_timer_arm (GSource *timer, int64_t after_us);
void vmm_timer_clear (GSource **timer);

#endif
