/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_RACE_TSAN_GLIB_H
#define TESTS_RACE_TSAN_GLIB_H

#include <glib.h>

/* Reached by the linker's --wrap; see tsan-glib.c. */
void __wrap_g_mutex_lock (GMutex *mutex);
gboolean __wrap_g_mutex_trylock (GMutex *mutex);
void __wrap_g_mutex_unlock (GMutex *mutex);
void __real_g_mutex_lock (GMutex *mutex);
gboolean __real_g_mutex_trylock (GMutex *mutex);
void __real_g_mutex_unlock (GMutex *mutex);

#endif
