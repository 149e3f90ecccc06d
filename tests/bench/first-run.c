/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a VMM, tells when its first KVM_RUN came back: the guest has then executed its first
 * instruction, which for the bench-first guest leads to the first exit. Works for any dynamically linked VMM,
 * so all are measured alike. The time, CLOCK_MONOTONIC in nanoseconds, goes to the file descriptor
 * FIRST_RUN_FD as 8 bytes.
 */
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int ioctl (int fd, unsigned long request, ...);

static atomic_flag told = ATOMIC_FLAG_INIT;

static void
tell (void)
{
    const char *fd = getenv ("FIRST_RUN_FD");
    struct timespec time;
    clock_gettime (CLOCK_MONOTONIC, &time);
    uint64_t now = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
    if (fd != NULL && write (atoi (fd), &now, sizeof now) < 0)
        _exit (125);
}

__attribute__ ((visibility ("default"))) int
ioctl (int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start (arguments, request);
    void *argument = va_arg (arguments, void *);
    va_end (arguments);
    long result = syscall (SYS_ioctl, fd, request, argument);
    if (request == KVM_RUN && !atomic_flag_test_and_set (&told))
        tell ();
    return (int)result;
}
