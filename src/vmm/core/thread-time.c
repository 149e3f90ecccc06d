/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/thread-time.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/**
 * vmm_thread_time:
 * @tid: a thread of this process
 * @ret_ran_ns: (out): how long it has run in its life so far, exact to a tick of the host's
 * @ret_waited_ns: (out): how long it could have run, and other work had the CPU or its control group had used
 * up its share
 *
 * Any thread. Takes some microseconds: it reads a file of /proc.
 *
 * Returns: false when the thread is gone, no descriptor is left, or the host does not tell: a kernel with KVM
 * does, where /proc is mounted
 */
bool
vmm_thread_time (pid_t tid, int64_t *ret_ran_ns, int64_t *ret_waited_ns)
{
    char path[64], text[96];
    int64_t ran, waited;
    ssize_t len;
    int fd;

    snprintf (path, sizeof path, "/proc/self/task/%d/schedstat", (int)tid);
    fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    len = read (fd, text, sizeof text - 1);
    close (fd);
    if (len <= 0)
        return false;
    text[len] = '\0';
    if (sscanf (text, "%" SCNd64 " %" SCNd64, &ran, &waited) != 2 || ran <= 0)
        return false;
    *ret_ran_ns = ran;
    *ret_waited_ns = waited;
    return true;
}
