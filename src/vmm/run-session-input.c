/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * What the command reads. Without a filter, no more is read than the guest takes: the rest stays with its
 * sender.
 *
 * Input with a filter has a person behind it, with keys that are meant for vmm. A guest that takes no input,
 * or does not run yet, must not keep them from it: a little is read ahead, and what comes on top is shown to
 * the filter and dropped.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/source.h"

#include "vmm/run-session-internal.h"

/* Nobody reads input any more, or there is none. */
void
vmm_run_session_end_input (VmmRunSession *session)
{
    session->in_ended = true;
    session->ahead_len = 0;
    vmm_source_clear (&session->input);
}

/* How much input the guest takes now. */
static size_t
sendable_input (const VmmRunSession *session)
{
    return session->to_send->len < VMM_RUN_SEND_MAX ? session->in_credit : 0;
}

/* How much may be read now. */
static size_t
readable_input (const VmmRunSession *session)
{
    size_t ahead = session->job->filter != NULL ? sizeof session->ahead - session->ahead_len : 0;

    return session->ahead_len == 0 ? sendable_input (session) + ahead : ahead;
}

/* Sends what was read, and keeps what the guest has not allowed, as far as there is room. */
static void
pass_input (VmmRunSession *session, const uint8_t *data, size_t len)
{
    size_t now = session->ahead_len == 0 ? MIN (len, sendable_input (session)) : 0;
    size_t later = MIN (len - now, sizeof session->ahead - session->ahead_len);

    if (now > 0)
        vmm_run_session_send (session, VMM_RUN_DATA, VMM_RUN_STDIN, data, now);
    session->in_credit -= now;
    memcpy (session->ahead + session->ahead_len, data + now, later);
    session->ahead_len += later;
}

/* There is no more input. */
void
vmm_run_session_send_end (VmmRunSession *session)
{
    vmm_run_session_send (session, VMM_RUN_EOF, VMM_RUN_STDIN, NULL, 0);
    vmm_run_session_end_input (session);
}

/* Sends what was read before the guest allowed it. */
void
vmm_run_session_pass_ahead (VmmRunSession *session)
{
    size_t len = MIN (session->ahead_len, sendable_input (session));

    if (len == 0)
        return;
    vmm_run_session_send (session, VMM_RUN_DATA, VMM_RUN_STDIN, session->ahead, len);
    session->in_credit -= len;
    session->ahead_len -= len;
    memmove (session->ahead, session->ahead + len, session->ahead_len);
    if (session->ahead_len == 0 && session->in_at_end)
        vmm_run_session_send_end (session);
}

/* A terminal that has gone, and a descriptor that is not for reading (nohup(1) gives one), are an end. With
 * anything else the command has only a part of its input, and would not know. */
static void
note_failure (VmmRunSession *session, int error)
{
    if (error == EBADF || (error == EIO && isatty (session->job->in_fd)))
        return;
    session->end.input_wrong = g_strdup_printf ("the command's standard input: %s", g_strerror (error));
}

static gboolean
on_input (gint fd, GIOCondition condition, gpointer user)
{
    VmmRunSession *session = user;
    uint8_t data[16384];
    size_t max = MIN (sizeof data, readable_input (session));
    ssize_t n;

    if (max == 0 && session->job->filter == NULL) {
        g_clear_pointer (&session->input, g_source_unref);
        return G_SOURCE_REMOVE;
    }
    /* Without room, keys are for the filter alone. */
    n = read (fd, data, max > 0 ? max : 64);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return G_SOURCE_CONTINUE;
    if (n <= 0) {
        if (n < 0)
            note_failure (session, errno);
        session->in_at_end = true;
        vmm_source_clear (&session->input);
        if (session->ahead_len == 0)
            vmm_run_session_send_end (session);
        return G_SOURCE_REMOVE;
    }
    if (session->job->filter != NULL)
        n = (ssize_t)session->job->filter (session->job->filter_user, data, (size_t)n);
    pass_input (session, data, (size_t)n);
    return G_SOURCE_CONTINUE;
}

/* Reads input as soon as there is some, and somewhere to put it. */
void
vmm_run_session_watch_input (VmmRunSession *session)
{
    if (session->input != NULL || session->in_at_end || session->in_ended || session->readable == NULL ||
        (readable_input (session) == 0 && session->job->filter == NULL))
        return;
    session->input = vmm_source_watch_fd (session->context, session->job->in_fd,
                                          G_IO_IN | G_IO_HUP | G_IO_ERR, on_input, session);
}

/* The guest takes so much more input. */
void
vmm_run_session_allow_input (VmmRunSession *session, uint32_t more)
{
    session->in_credit += more;
    vmm_run_session_pass_ahead (session);
    vmm_run_session_watch_input (session);
}
