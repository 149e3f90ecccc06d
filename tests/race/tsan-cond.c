/* SPDX-License-Identifier: Apache-2.0 */
/* As tsan-glib.c, for the waits of GCond: each gives the mutex up and takes it again, unseen by
 * ThreadSanitizer. */
#include "tsan-cond.h"

#include <sanitizer/tsan_interface.h>

static void
gave_up (GMutex *mutex)
{
    __tsan_mutex_pre_unlock (mutex, 0);
    __tsan_mutex_post_unlock (mutex, 0);
}

static void
took_again (GMutex *mutex)
{
    __tsan_mutex_pre_lock (mutex, 0);
    __tsan_mutex_post_lock (mutex, 0, 0);
}

void
__wrap_g_cond_wait (GCond *cond, GMutex *mutex)
{
    gave_up (mutex);
    __real_g_cond_wait (cond, mutex);
    took_again (mutex);
}

gboolean
__wrap_g_cond_wait_until (GCond *cond, GMutex *mutex, gint64 end_time)
{
    gboolean signalled;

    gave_up (mutex);
    signalled = __real_g_cond_wait_until (cond, mutex, end_time);
    took_again (mutex);
    return signalled;
}
