/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/timer.h"

#include "vmm/core/source.h"

static gboolean
dispatch (GSource *source, GSourceFunc function, gpointer user)
{
    g_source_set_ready_time (source, -1);
    function (user);
    return G_SOURCE_CONTINUE;
}

/**
 * vmm_timer_new:
 * @context: the loop that runs @function
 * @function: its result is not looked at
 *
 * Returns: (transfer full): a timer that is not armed, to be ended by vmm_timer_clear()
 */
GSource *
vmm_timer_new (GMainContext *context, GSourceFunc function, void *user)
{
    static const GSourceFuncs funcs = {.dispatch = dispatch};
    GSource *timer = g_source_new ((GSourceFuncs *)&funcs, sizeof (GSource));

    g_source_set_callback (timer, function, user, NULL);
    g_source_attach (timer, context);
    return timer;
}

/**
 * vmm_timer_arm:
 * @after_us: microseconds from now; 0: as soon as the loop comes to it
 *
 * Any thread. Arming again moves the time.
 */
void
vmm_timer_arm (GSource *timer, int64_t after_us)
{
    g_source_set_ready_time (timer, after_us == 0 ? 0 : g_get_monotonic_time () + after_us);
}

/**
 * vmm_timer_clear:
 * @timer: (inout): a timer or %NULL; %NULL afterwards
 *
 * On the loop's thread.
 */
void
vmm_timer_clear (GSource **timer)
{
    vmm_source_clear (timer);
}
