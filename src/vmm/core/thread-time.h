/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CORE_THREAD_TIME_H
#define VMM_CORE_THREAD_TIME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * VmmThreadTime:
 * @ran_ns: how long the thread has run, exact to a tick of the host's
 * @waited_ns: how long it could have run, and other work had the CPU or its control group had used up its
 * share
 */
typedef struct {
    int64_t ran_ns;
    int64_t waited_ns;
} VmmThreadTime;

bool vmm_thread_time (pid_t tid, VmmThreadTime *ret_time);

#endif
