/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/thread-time.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/**
 * vmm_thread_time:
 * @tid: a thread of this process
 * @ret_time: (out): of its life so far
 *
 * Any thread. Takes some microseconds: it reads a file of /proc.
 *
 * Returns: false when the thread is gone, no descriptor is left, or the host does not tell: a kernel with KVM
 * does, where /proc is mounted
 */
bool
vmm_thread_time (pid_t tid, VmmThreadTime *ret_time)
{
    char path[64], text[96];
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
    return sscanf (text, "%" SCNd64 " %" SCNd64, &ret_time->ran_ns, &ret_time->waited_ns) == 2 &&
           ret_time->ran_ns > 0;
}
