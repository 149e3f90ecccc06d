/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GMutex is a futex in a library that is not built with ThreadSanitizer, which therefore sees no
 * synchronisation in it and would report every use of a mutex as a race. The linker leads our calls through
 * these, which tell it.
 */
#include "tsan-glib.h"

#include <sanitizer/tsan_interface.h>

void
__wrap_g_mutex_lock (GMutex *mutex)
{
    __tsan_mutex_pre_lock (mutex, 0);
    __real_g_mutex_lock (mutex);
    __tsan_mutex_post_lock (mutex, 0, 0);
}

gboolean
__wrap_g_mutex_trylock (GMutex *mutex)
{
    gboolean locked;

    __tsan_mutex_pre_lock (mutex, __tsan_mutex_try_lock);
    locked = __real_g_mutex_trylock (mutex);
    __tsan_mutex_post_lock (mutex, __tsan_mutex_try_lock | (locked ? 0 : __tsan_mutex_try_lock_failed), 0);
    return locked;
}

void
__wrap_g_mutex_unlock (GMutex *mutex)
{
    __tsan_mutex_pre_unlock (mutex, 0);
    __real_g_mutex_unlock (mutex);
    __tsan_mutex_post_unlock (mutex, 0);
}
