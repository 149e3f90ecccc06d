/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A write that does not block, to a descriptor whose flags are not ours: a terminal shares them with the
 * shell. So a pipe or a terminal is opened a second time through /proc, and a socket is asked for
 * MSG_DONTWAIT. The master of a pseudo-terminal cannot be opened again (that would make another one): it is
 * asked how it is before each small write.
 *
 * Nor may a reader that goes away end the program: SIGPIPE is the program's, so around each write to a pipe
 * it is blocked in the thread, and one that the write has raised is taken off again.
 */
#include "devices/chardev/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* As much as a pipe or a terminal that polls writable is sure to take. */
#define POLLED_MAX 256u

enum { SINK_UNKNOWN, SINK_NONE, SINK_FILE, SINK_SOCKET, SINK_NONBLOCK, SINK_POLL };

/**
 * vmm_char_sink_init:
 * @fd: where to write, or -1 for nowhere; borrowed
 *
 * Looks at nothing before the first write.
 */
void
vmm_char_sink_init (VmmCharSink *sink, int fd)
{
    *sink = (VmmCharSink){.fd = fd, .own_fd = -1, .kind = SINK_UNKNOWN};
}

/**
 * vmm_char_sink_close:
 *
 * What is written from now on goes nowhere.
 */
void
vmm_char_sink_close (VmmCharSink *sink)
{
    if (sink->own_fd >= 0)
        close (sink->own_fd);
    sink->own_fd = -1;
    sink->kind = SINK_NONE;
}

/**
 * vmm_char_sink_fd:
 *
 * Returns: what to poll until it takes more
 */
int
vmm_char_sink_fd (const VmmCharSink *sink)
{
    return sink->own_fd >= 0 ? sink->own_fd : sink->fd;
}

static bool
is_pty_master (int fd)
{
    unsigned number;

    return ioctl (fd, TIOCGPTN, &number) == 0;
}

static void
open_sink (VmmCharSink *sink)
{
    g_autofree char *path = NULL;
    struct stat st;

    sink->kind = SINK_NONE;
    if (sink->fd < 0 || fstat (sink->fd, &st) < 0)
        return;
    if (S_ISREG (st.st_mode)) {
        sink->kind = SINK_FILE;
        return;
    }
    if (S_ISSOCK (st.st_mode)) {
        sink->kind = SINK_SOCKET;
        return;
    }
    sink->kind = SINK_POLL;
    if (S_ISCHR (st.st_mode) && is_pty_master (sink->fd))
        return;
    sink->is_pipe = S_ISFIFO (st.st_mode);
    path = g_strdup_printf ("/proc/self/fd/%d", sink->fd);
    sink->own_fd = open (path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (sink->own_fd >= 0)
        sink->kind = SINK_NONBLOCK;
}

/* write(), without the signal when nobody reads the pipe. */
static ssize_t
write_quietly (int fd, const uint8_t *data, size_t len)
{
    const struct timespec none = {0};
    sigset_t broken;
    sigset_t pending;
    sigset_t old;
    ssize_t n;
    int error;

    sigemptyset (&broken);
    sigaddset (&broken, SIGPIPE);
    pthread_sigmask (SIG_BLOCK, &broken, &old);
    sigpending (&pending);
    n = write (fd, data, len);
    error = errno;
    /* One that was pending before is not ours to take. */
    if (n < 0 && error == EPIPE && !sigismember (&pending, SIGPIPE)) {
        while (sigtimedwait (&broken, NULL, &none) < 0 && errno == EINTR)
            ;
    }
    pthread_sigmask (SIG_SETMASK, &old, NULL);
    errno = error;
    return n;
}

static ssize_t
write_fd (const VmmCharSink *sink, int fd, const uint8_t *data, size_t len)
{
    return sink->is_pipe ? write_quietly (fd, data, len) : write (fd, data, len);
}

/**
 * vmm_char_sink_write:
 * @data: @len bytes
 *
 * One write that does not block.
 *
 * Returns: how much was taken; less than @len, or -1 with EAGAIN, when the host does not take it now
 */
ssize_t
vmm_char_sink_write (VmmCharSink *sink, const uint8_t *data, size_t len)
{
    struct pollfd pfd = {.fd = sink->fd, .events = POLLOUT};

    if (sink->kind == SINK_UNKNOWN)
        open_sink (sink);
    switch (sink->kind) {
    case SINK_FILE:
        return write (sink->fd, data, len);
    case SINK_SOCKET:
        return send (sink->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case SINK_NONBLOCK:
        return write_fd (sink, sink->own_fd, data, len);
    case SINK_POLL:
        if (poll (&pfd, 1, 0) == 1)
            return write_fd (sink, sink->fd, data, MIN (len, POLLED_MAX));
        errno = EAGAIN;
        return -1;
    default:
        return (ssize_t)len;
    }
}

/**
 * vmm_char_sink_is_loss:
 * @error: what vmm_char_sink_write() has failed with
 *
 * Returns: whether what was not taken was wanted: a reader that goes away has had enough, a disk without room
 * has not, and a file, of whose errors there are many on a network, has no reader
 */
bool
vmm_char_sink_is_loss (const VmmCharSink *sink, int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG || sink->kind == SINK_FILE;
}
