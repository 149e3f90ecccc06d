/* SPDX-License-Identifier: Apache-2.0 */
/* For loop.c alone. */
#ifndef VMM_CORE_LOOP_TIMERS_H
#define VMM_CORE_LOOP_TIMERS_H

#include <glib.h>
#include <stdint.h>

#include "vmm/core/loop.h"

/**
 * VmmLoopTimers:
 * @list: of #VmmLoopTimer
 * @fd: becomes readable when the time of one has come
 * @set_ns: what it is set to; 0: off
 */
typedef struct {
    GPtrArray *list;
    int fd;
    int64_t set_ns;
} VmmLoopTimers;

void vmm_loop_timers_init (VmmLoopTimers *timers);
void vmm_loop_timers_clear (VmmLoopTimers *timers);
void vmm_loop_timers_run (VmmLoopTimers *timers);

/* loop.c */
VmmLoopTimers *vmm_loop_timers (VmmLoop *loop);

#endif
