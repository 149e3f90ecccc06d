/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CORE_THREAD_TIME_H
#define VMM_CORE_THREAD_TIME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

bool vmm_thread_time (pid_t tid, int64_t *ret_ran_ns, int64_t *ret_waited_ns);

#endif
