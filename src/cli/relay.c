/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A machine's console writes to a pipe, and a thread takes it from there to where it is seen, so that
 * somebody can look at what goes by. Nobody may wait for a terminal that does not read, so this is a thread:
 * behind it the pipe gets full, and the guest is held back, as without a relay.
 *
 * Who types has seen what was written so far. So before a key is looked at, the other thread takes what is in
 * the pipe (relay_look()), and leaves it to this one to be written.
 */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vmm/vmm.h>

#define CHUNK 65536u
#define PIPE_BYTES (1 << 20)
/* For a reader that does not read, when the machine has ended. */
#define PATIENCE_US (2 * G_USEC_PER_SEC)
#define LOOK_MS 100

struct _Relay {
    RelayFunc seen;
    void *user;
    int pipe[2];
    int out_fd;     /* borrowed */
    int out_own_fd; /* the same, to write to without waiting; -1: there is none */
    int wake_fd;
    GThread *thread;
    GMutex lock; /* of what is below, and of @seen */
    GByteArray *pending;
    int64_t ends_us; /* 0: not yet */
    uint8_t chunk[CHUNK];
};

/* A terminal shares its flags with the shell, so it is opened once more; so is a pipe. */
static int
open_again (int fd)
{
    g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
    struct stat st;

    if (fstat (fd, &st) < 0 || !(S_ISFIFO (st.st_mode) || S_ISCHR (st.st_mode)))
        return -1;
    return open (path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/**
 * relay_new:
 * @out_fd: where it goes; borrowed. Its flags are left alone
 * @seen: told of what goes by, on either thread, one call at a time
 * @user: what it gets
 *
 * Returns: (transfer full) (nullable): NULL with %VMM_ERROR_HOST
 */
Relay *
relay_new (int out_fd, RelayFunc seen, void *user, GError **error)
{
    g_autoptr (Relay) relay = g_new0 (Relay, 1);

    relay->seen = seen;
    relay->user = user;
    relay->out_fd = out_fd;
    relay->pipe[0] = relay->pipe[1] = relay->out_own_fd = -1;
    relay->pending = g_byte_array_new ();
    g_mutex_init (&relay->lock);
    relay->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (relay->wake_fd < 0 || pipe2 (relay->pipe, O_CLOEXEC) < 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "a pipe for the console: %s", g_strerror (errno));
        return NULL;
    }
    fcntl (relay->pipe[0], F_SETFL, O_NONBLOCK);
    fcntl (relay->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
    relay->out_own_fd = open_again (out_fd);
    return g_steal_pointer (&relay);
}

/**
 * relay_free:
 * @relay: (nullable): one whose thread has ended, or was not started
 */
void
relay_free (Relay *relay)
{
    const int fds[] = {relay != NULL ? relay->pipe[0] : -1, relay != NULL ? relay->pipe[1] : -1,
                       relay != NULL ? relay->out_own_fd : -1, relay != NULL ? relay->wake_fd : -1};

    if (relay == NULL)
        return;
    for (size_t i = 0; i < G_N_ELEMENTS (fds); i++) {
        if (fds[i] >= 0)
            close (fds[i]);
    }
    g_byte_array_unref (relay->pending);
    g_mutex_clear (&relay->lock);
    g_free (relay);
}

/**
 * relay_get_fd:
 *
 * Returns: (transfer none): what is to be written to
 */
int
relay_get_fd (const Relay *relay)
{
    return relay->pipe[1];
}

/* Takes what is in the pipe now, as long as not too much waits to be written. */
static void
take_locked (Relay *relay)
{
    while (relay->pending->len < CHUNK) {
        ssize_t n = read (relay->pipe[0], relay->chunk, CHUNK);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        relay->seen (relay->user, relay->chunk, (size_t)n);
        g_byte_array_append (relay->pending, relay->chunk, (guint)n);
    }
}

static bool
may_wait (Relay *relay)
{
    int64_t ends_us;

    g_mutex_lock (&relay->lock);
    ends_us = relay->ends_us;
    g_mutex_unlock (&relay->lock);
    return ends_us == 0 || g_get_monotonic_time () < ends_us;
}

/* False when nobody reads it any more. */
static bool
write_all (Relay *relay, const GByteArray *bytes)
{
    int fd = relay->out_own_fd >= 0 ? relay->out_own_fd : relay->out_fd;

    for (guint done = 0; done < bytes->len;) {
        ssize_t n = write (fd, bytes->data + done, bytes->len - done);

        if (n > 0) {
            done += (guint)n;
        } else if (n < 0 && errno == EAGAIN && may_wait (relay)) {
            struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

            poll (&poll_fd, 1, LOOK_MS);
        } else if (n == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

static void
wait_for_more (Relay *relay)
{
    struct pollfd poll_fds[] = {{.fd = relay->pipe[0], .events = POLLIN},
                                {.fd = relay->wake_fd, .events = POLLIN}};
    uint64_t count;

    poll (poll_fds, G_N_ELEMENTS (poll_fds), -1);
    (void)!read (relay->wake_fd, &count, sizeof count);
}

static gpointer
relay_main (gpointer data)
{
    Relay *relay = data;
    bool heard = true;

    for (;;) {
        g_autoptr (GByteArray) bytes = g_byte_array_new ();
        GByteArray *taken;
        bool ends;

        g_mutex_lock (&relay->lock);
        ends = relay->ends_us != 0;
        take_locked (relay);
        taken = relay->pending;
        relay->pending = bytes;
        bytes = taken;
        g_mutex_unlock (&relay->lock);
        if (bytes->len == 0 && ends)
            return NULL;
        if (bytes->len == 0)
            wait_for_more (relay);
        else
            heard = heard && write_all (relay, bytes);
    }
}

static void
wake (Relay *relay)
{
    const uint64_t one = 1;

    (void)!write (relay->wake_fd, &one, sizeof one);
}

/**
 * relay_start:
 *
 * Begins. Signals that are to be blocked in all threads are, and what has to fork has.
 */
void
relay_start (Relay *relay)
{
    relay->thread = g_thread_new ("relay", relay_main, relay);
}

/**
 * relay_look:
 *
 * What was written until now is seen before this returns, unless much waits to be written.
 */
void
relay_look (Relay *relay)
{
    g_mutex_lock (&relay->lock);
    take_locked (relay);
    g_mutex_unlock (&relay->lock);
    wake (relay);
}

/**
 * relay_finish:
 *
 * Nobody writes to it any more. Waits until all is where it goes; for a reader that does not read, 2 s.
 */
void
relay_finish (Relay *relay)
{
    if (relay->thread == NULL)
        return;
    g_mutex_lock (&relay->lock);
    relay->ends_us = g_get_monotonic_time () + PATIENCE_US;
    g_mutex_unlock (&relay->lock);
    wake (relay);
    g_thread_join (g_steal_pointer (&relay->thread));
}
