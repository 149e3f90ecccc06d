/* SPDX-License-Identifier: Apache-2.0 */
/* A process that gets no more descriptors, and whether it keeps a CPU busy meanwhile. */
#ifndef VMM_TESTS_STARVE_H
#define VMM_TESTS_STARVE_H

#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* No descriptor above those that are open; what the limit was. */
static inline struct rlimit
starve_begin (void)
{
    struct rlimit before, now;
    int next = dup (STDERR_FILENO);

    if (next < 0 || close (next) != 0 || getrlimit (RLIMIT_NOFILE, &before) != 0)
        abort ();
    now = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    if (setrlimit (RLIMIT_NOFILE, &now) != 0)
        abort ();
    return before;
}

static inline void
starve_end (struct rlimit before)
{
    if (setrlimit (RLIMIT_NOFILE, &before) != 0)
        abort ();
}

/* Milliseconds of CPU time that this process has had. */
static inline int64_t
starve_cpu_ms (void)
{
    struct timespec ts;

    clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

#endif
