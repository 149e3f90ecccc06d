/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines for a pipe, a file or a terminal, which somebody may read late or never. What they do not take waits
 * here, and nobody for it: runs go on, and a signal is heard.
 *
 * The descriptor is not made one that does not block, for others share it. But where poll(2) says that a pipe
 * takes something, it takes PIPE_BUF bytes. A terminal may take less, so it is opened once more.
 */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

/* Between two looks at one that is full. */
#define PERIOD_US (G_TIME_SPAN_SECOND / 20)

struct _TestLines {
    int fd;
    int own_fd; /* the same terminal, and does not block; -1: there is none */
    GString *waiting;
    gsize done; /* so much of it was written */
};

static int
open_again (int fd)
{
    g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);

    return isatty (fd) ? open (path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
}

/**
 * test_lines_new:
 * @fd: outlives the lines
 */
TestLines *
test_lines_new (int fd)
{
    TestLines *lines = g_new0 (TestLines, 1);

    lines->own_fd = open_again (fd);
    lines->fd = lines->own_fd >= 0 ? lines->own_fd : fd;
    lines->waiting = g_string_new (NULL);
    return lines;
}

static void
forget_written (TestLines *lines)
{
    g_string_truncate (lines->waiting, 0);
    lines->done = 0;
}

/* @timeout: of poll(2), for each part. What cannot be written is forgotten: a reader that goes away ends
 * nothing. */
static void
write_waiting (TestLines *lines, int timeout)
{
    while (lines->done < lines->waiting->len) {
        struct pollfd fd = {.fd = lines->fd, .events = POLLOUT};
        gsize left = lines->waiting->len - lines->done;
        ssize_t n;

        if (poll (&fd, 1, timeout) == 0)
            return;
        n = write (lines->fd, lines->waiting->str + lines->done, MIN (left, PIPE_BUF));
        if (n < 0 && errno == EAGAIN) {
            /* There is room, and not enough for a character and what a terminal makes of it. */
            if (timeout == 0)
                return;
            g_usleep (PERIOD_US);
        } else if (n < 0 && errno != EINTR) {
            forget_written (lines);
        }
        lines->done += n > 0 ? (gsize)n : 0;
    }
    forget_written (lines);
}

/**
 * test_lines_free:
 * @lines: (nullable): writes all that waits, however long that takes
 */
void
test_lines_free (TestLines *lines)
{
    if (lines == NULL)
        return;
    write_waiting (lines, -1);
    if (lines->own_fd >= 0)
        close (lines->own_fd);
    g_string_free (lines->waiting, TRUE);
    g_free (lines);
}

/**
 * test_lines_say:
 * @text: the last line without a newline
 */
void
test_lines_say (TestLines *lines, const char *text)
{
    g_string_append_printf (lines->waiting, "%s\n", text);
    write_waiting (lines, 0);
}

/**
 * test_lines_write:
 * @text: any, which need not be lines
 */
void
test_lines_write (TestLines *lines, const char *text)
{
    g_string_append (lines->waiting, text);
    write_waiting (lines, 0);
}

/**
 * test_lines_flush:
 *
 * Returns: whether all is written, and more would be taken
 */
bool
test_lines_flush (TestLines *lines)
{
    struct pollfd fd = {.fd = lines->fd, .events = POLLOUT};

    write_waiting (lines, 0);
    return lines->waiting->len == 0 && poll (&fd, 1, 0) > 0 && (fd.revents & POLLOUT) != 0;
}

/**
 * test_lines_draw:
 *
 * Writes what waits, as far as it is taken.
 *
 * Returns: when it wants to be called again at the latest
 */
int64_t
test_lines_draw (TestLines *lines, int64_t now_us)
{
    write_waiting (lines, 0);
    return lines->waiting->len > 0 ? now_us + PERIOD_US : G_MAXINT64;
}
