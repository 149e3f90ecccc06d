/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest says, taken apart. All of it may be a lie. See run-session.c. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/core/source.h"

#include "vmm/run-session-internal.h"

#define MESSAGE_MAX 512u
#define NOT_UNDERSTOOD "the guest's init says what nobody understands"

/* A guest's words, as one line that does no harm to a terminal. */
char *
vmm_run_session_make_line (const uint8_t *text, size_t len)
{
    g_autofree char *valid = g_utf8_make_valid ((const char *)text, (gssize)MIN (len, MESSAGE_MAX));
    GString *line = g_string_new (NULL);

    for (const char *c = valid; *c != '\0'; c = g_utf8_next_char (c)) {
        gunichar letter = g_utf8_get_char (c);

        g_string_append_unichar (line, g_unichar_iscntrl (letter) ? ' ' : letter);
    }
    return g_string_free (line, FALSE);
}

static void
take_data (VmmRunSession *session, unsigned stream, const uint8_t *body, size_t len)
{
    VmmRunOutputStream *output = stream == VMM_RUN_STDOUT ? &session->out : &session->err;

    if (stream < VMM_RUN_STDOUT || stream > VMM_RUN_FILES || (stream != VMM_RUN_FILES && output->ended)) {
        vmm_run_session_fail (session, "the guest sends data on a stream that is not there");
        return;
    }
    if (len > session->credits[stream].allowed) {
        vmm_run_session_fail (session, "the guest sends more than it was allowed to");
        return;
    }
    session->credits[stream].allowed -= len;
    if (stream == VMM_RUN_FILES)
        vmm_run_session_take_files (session, body, len);
    else if (!vmm_run_out_put (&output->out, body, len))
        vmm_run_session_fail (session, "the guest sends more than it was allowed to");
}

static void
end_output (VmmRunSession *session, VmmRunOutputStream *output)
{
    if (output->ended)
        vmm_run_session_fail (session, "the guest ends a stream twice");
    output->ended = true;
}

static void
take_eof (VmmRunSession *session, unsigned stream)
{
    switch (stream) {
    case VMM_RUN_STDIN:
        vmm_run_session_end_input (session);
        break;
    case VMM_RUN_STDOUT:
        end_output (session, &session->out);
        break;
    case VMM_RUN_STDERR:
        end_output (session, &session->err);
        break;
    case VMM_RUN_FILES:
        vmm_run_session_end_files (session);
        break;
    default:
        vmm_run_session_fail (session, "the guest ends a stream that is not there");
    }
}

/* Whether a command of Linux can end so. */
static bool
is_possible (uint32_t kind, uint32_t status)
{
    switch (kind) {
    case VMM_RUN_EXITED:
        return status <= 255;
    case VMM_RUN_SIGNALLED:
        return status >= 1 && status <= 64;
    case VMM_RUN_NOT_STARTED:
        return status <= 4095;
    default:
        return false;
    }
}

static void
take_exit (VmmRunSession *session, const uint8_t *body, size_t len)
{
    uint32_t kind = vmm_run_get32 (body);
    uint32_t status = vmm_run_get32 (body + 4);

    if (session->end.kind >= 0 || !is_possible (kind, status)) {
        vmm_run_session_fail (session, "the guest tells of an end that cannot be");
        return;
    }
    session->end.kind = (int)kind;
    session->end.status = status;
    if (kind == VMM_RUN_NOT_STARTED)
        session->end.message = vmm_run_session_make_line (body + 8, len - 8);
}

static void
take_hello (VmmRunSession *session, const uint8_t *body)
{
    if (session->end.greeted)
        vmm_run_session_fail (session, NOT_UNDERSTOOD);
    else if (vmm_run_get32 (body) != VMM_RUN_VERSION)
        vmm_run_session_fail (session, "the guest's init is not this vmm's own");
    session->end.greeted = true;
}

static void
take_window (VmmRunSession *session, unsigned stream, const uint8_t *body)
{
    uint32_t more = vmm_run_get32 (body);

    if (stream != VMM_RUN_STDIN || session->in_credit + more > VMM_RUN_OUT_WINDOW)
        vmm_run_session_fail (session, "the guest allows what nobody sends");
    else
        vmm_run_session_allow_input (session, more);
}

/* Whether each stream that the guest has begun has come to its end. With a terminal there is one. */
static bool
has_all_output (const VmmRunSession *session)
{
    return session->end.kind == VMM_RUN_NOT_STARTED ||
           (session->out.ended && (session->err.ended || session->job->term != NULL));
}

static void
take_done (VmmRunSession *session)
{
    if (session->end.kind < 0 || !has_all_output (session)) {
        vmm_run_session_fail (session,
                              session->end.kind < 0
                                  ? "the guest's init leaves before the command has ended"
                                  : "the guest's init leaves before the end of the command's output");
        return;
    }
    session->guest_done = true;
    vmm_run_session_say_bye (session);
    vmm_run_session_check_done (session);
}

/* How long the body of each type is, at least, that a guest may send. */
static int
least_body (unsigned type)
{
    switch (type) {
    case VMM_RUN_DATA:
    case VMM_RUN_EOF:
    case VMM_RUN_STARTED:
    case VMM_RUN_DONE:
        return 0;
    case VMM_RUN_HELLO:
    case VMM_RUN_WINDOW:
    case VMM_RUN_FILE_FAILED:
        return 4;
    case VMM_RUN_EXIT:
        return 8;
    default:
        return -1;
    }
}

static void
take_frame (VmmRunSession *session, const uint8_t *header, const uint8_t *body, size_t len)
{
    int least = least_body (header[0]);

    if (least < 0 || len < (size_t)least || (!session->end.greeted && header[0] != VMM_RUN_HELLO)) {
        vmm_run_session_fail (session, NOT_UNDERSTOOD);
        return;
    }
    switch (header[0]) {
    case VMM_RUN_HELLO:
        take_hello (session, body);
        break;
    case VMM_RUN_DATA:
        take_data (session, header[1], body, len);
        break;
    case VMM_RUN_EOF:
        take_eof (session, header[1]);
        break;
    case VMM_RUN_WINDOW:
        take_window (session, header[1], body);
        break;
    case VMM_RUN_EXIT:
        take_exit (session, body, len);
        break;
    case VMM_RUN_FILE_FAILED:
        vmm_run_session_take_file_failed (session, body, len);
        break;
    case VMM_RUN_DONE:
        take_done (session);
        break;
    default: /* STARTED: it will tell by its data */
        break;
    }
}

/* Takes the frames that are whole. */
static void
take_frames (VmmRunSession *session)
{
    size_t at = 0;

    while (session->readable != NULL && session->frame->len - at >= VMM_RUN_HEADER) {
        const uint8_t *header = session->frame->data + at;
        uint32_t len = vmm_run_get32 (header + 4);

        if (len > VMM_RUN_BODY_MAX || vmm_run_get16 (header + 2) != 0) {
            vmm_run_session_fail (session, NOT_UNDERSTOOD);
            break;
        }
        if (session->frame->len - at - VMM_RUN_HEADER < len)
            break;
        take_frame (session, header, header + VMM_RUN_HEADER, len);
        at += VMM_RUN_HEADER + len;
    }
    g_byte_array_remove_range (session->frame, 0, (guint)at);
}

/* The guest's port has something, or has gone. */
gboolean
vmm_run_session_on_readable (gint fd, GIOCondition condition, gpointer user)
{
    VmmRunSession *session = user;
    uint8_t data[16384];
    ssize_t n = recv (fd, data, sizeof data, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    if (n <= 0) { /* the machine has gone: its verdict tells */
        vmm_source_clear (&session->readable);
        return G_SOURCE_REMOVE;
    }
    g_byte_array_append (session->frame, data, (guint)n);
    take_frames (session);
    return session->readable != NULL ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}
