/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_RACE_TSAN_COND_H
#define TESTS_RACE_TSAN_COND_H

#include <glib.h>

/* Reached by the linker's --wrap; see tsan-cond.c. */
void __wrap_g_cond_wait (GCond *cond, GMutex *mutex);
gboolean __wrap_g_cond_wait_until (GCond *cond, GMutex *mutex, gint64 end_time);
void __real_g_cond_wait (GCond *cond, GMutex *mutex);
gboolean __real_g_cond_wait_until (GCond *cond, GMutex *mutex, gint64 end_time);

#endif
