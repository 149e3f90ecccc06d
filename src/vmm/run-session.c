/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The host's half of the talk with vmm-init (firmware/vmm-init/protocol.h), over one end of a pair of sockets
 * whose other end is a console port of the guest. All happens on one GMainContext, and nothing waits: frames
 * are taken apart as bytes arrive (run-session-take.c), outputs go on as their readers take them (run-out.c),
 * input is read only while the guest allows some (run-session-input.c). Credits keep the streams apart: one
 * whose reader stands still holds up neither the other one nor the command's end.
 *
 * The guest is not trusted. A frame that breaks the rules ends the session with a message, and all that is
 * kept for a guest has a limit: of each output as much as it was allowed, and of what it does not read so
 * much that nothing is added but a person's own signals. A file that comes back goes only where it was asked
 * for (run-session-files.c).
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/core/source.h"
#include "vmm/error.h"
#include "vmm/run-session-internal.h"

/* Credit is given back in portions, not for each write. */
#define CREDIT_PORTION (VMM_RUN_OUT_WINDOW / 4)
#define SIGNAL_LAST 64u

static void send_more (VmmRunSession *session);

/* There is nothing more to be heard of the guest, nor to be said. */
static void
stop (VmmRunSession *session)
{
    vmm_source_clear (&session->readable);
    vmm_source_clear (&session->writable);
    vmm_source_clear (&session->input);
}

/* The guest breaks the rules. */
void
vmm_run_session_fail (VmmRunSession *session, const char *why)
{
    if (session->end.broken != NULL)
        return;
    session->end.broken = g_strdup (why);
    stop (session);
    session->done (session->user);
}

/* Tells when the guest has said its last word and all of its output is written. */
void
vmm_run_session_check_done (VmmRunSession *session)
{
    if (!session->guest_done || session->end.done || vmm_run_session_has_output (session))
        return;
    session->end.done = true;
    session->done (session->user);
}

/* Sends what the port takes now. */
static gboolean
on_sendable (gint fd, GIOCondition condition, gpointer user)
{
    VmmRunSession *session = user;
    ssize_t n = send (fd, session->to_send->data, session->to_send->len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n > 0)
        g_byte_array_remove_range (session->to_send, 0, (guint)n);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        g_byte_array_set_size (session->to_send, 0);
    if (session->to_send->len == 0)
        send_more (session);
    if (session->to_send->len > 0)
        return G_SOURCE_CONTINUE;
    g_clear_pointer (&session->writable, g_source_unref);
    return G_SOURCE_REMOVE;
}

/* Says something to the guest, when it can hear it. */
void
vmm_run_session_send (VmmRunSession *session, VmmRunType type, VmmRunStream stream, const void *body,
                      size_t len)
{
    uint8_t header[VMM_RUN_HEADER];

    if (session->readable == NULL)
        return;
    vmm_run_put_header (header, type, stream, (uint32_t)len);
    g_byte_array_append (session->to_send, header, sizeof header);
    if (len > 0)
        g_byte_array_append (session->to_send, body, (guint)len);
    if (session->writable == NULL)
        session->writable =
            vmm_source_watch_fd (session->context, session->fd, G_IO_OUT, on_sendable, session);
}

static void
send_string (VmmRunSession *session, VmmRunType type, const char *text)
{
    if (text != NULL)
        vmm_run_session_send (session, type, 0, text, strlen (text));
}

static void
send_number (VmmRunSession *session, VmmRunType type, VmmRunStream stream, uint32_t number)
{
    uint8_t body[4];

    vmm_run_put32 (body, number);
    vmm_run_session_send (session, type, stream, body, sizeof body);
}

static void
put_size (uint8_t *body, unsigned columns, unsigned rows)
{
    vmm_run_put32 (body, MIN (rows, UINT16_MAX) | (uint32_t)MIN (columns, UINT16_MAX) << 16);
}

static void
send_job (VmmRunSession *session)
{
    const VmmRunJob *job = session->job;

    send_number (session, VMM_RUN_HELLO, 0, VMM_RUN_VERSION);
    for (char **arg = job->argv; *arg != NULL; arg++)
        send_string (session, VMM_RUN_ARG, *arg);
    for (guint i = 0; i < job->env->len; i++)
        send_string (session, VMM_RUN_ENV, job->env->pdata[i]);
    send_string (session, VMM_RUN_CWD, job->folder);
    send_string (session, VMM_RUN_USER, job->user);
    if (job->term != NULL) {
        g_autoptr (GByteArray) body = g_byte_array_new ();
        uint8_t size[4];

        put_size (size, job->columns, job->rows);
        g_byte_array_append (body, size, sizeof size);
        g_byte_array_append (body, (const guint8 *)job->term, (guint)strlen (job->term));
        vmm_run_session_send (session, VMM_RUN_PTY, 0, body->data, body->len);
    }
    for (guint i = 0; i < job->outputs->len; i++)
        send_string (session, VMM_RUN_OUTPUT, ((VmmRunOutput *)job->outputs->pdata[i])->guest_path);
    for (VmmRunStream stream = VMM_RUN_STDOUT; stream <= VMM_RUN_FILES; stream++) {
        session->credits[stream].allowed = VMM_RUN_OUT_WINDOW;
        send_number (session, VMM_RUN_WINDOW, stream, VMM_RUN_OUT_WINDOW);
    }
    vmm_run_session_send (session, VMM_RUN_START, 0, NULL, 0);
}

static void
allow_owed (VmmRunSession *session, VmmRunStream stream)
{
    VmmRunCredit *credit = &session->credits[stream];

    if (credit->owed < CREDIT_PORTION || session->to_send->len >= VMM_RUN_SEND_MAX ||
        session->readable == NULL)
        return;
    credit->allowed += credit->owed;
    send_number (session, VMM_RUN_WINDOW, stream, (uint32_t)credit->owed);
    credit->owed = 0;
}

/* So many bytes of the guest's stream are no longer kept for it. */
void
vmm_run_session_give_back (VmmRunSession *session, VmmRunStream stream, size_t len)
{
    session->credits[stream].owed += len;
    allow_owed (session, stream);
}

static void
on_taken (void *user, size_t len)
{
    VmmRunOutputStream *output = user;

    vmm_run_session_give_back (output->session, output->stream, len);
    vmm_run_session_check_done (output->session);
}

/* As for a program here whose reader has gone: who writes there in the guest gets SIGPIPE or EPIPE, and the
 * others of the command go on. A disk without room is no better, but is told. */
static void
on_broken (void *user, int error)
{
    VmmRunOutputStream *output = user;
    VmmRunSessionEnd *end = &output->session->end;

    if (vmm_char_sink_is_loss (&output->out.sink, error) && end->output_wrong == NULL)
        end->output_wrong =
            g_strdup_printf ("the command's standard %s: %s",
                             output->stream == VMM_RUN_STDOUT ? "output" : "error", g_strerror (error));
    vmm_run_session_send (output->session, VMM_RUN_EOF, output->stream, NULL, 0);
}

static void
init_output (VmmRunSession *session, VmmRunOutputStream *output, VmmRunStream stream, int fd)
{
    output->session = session;
    output->stream = stream;
    vmm_run_out_init (&output->out, fd, session->context);
    output->out.taken = on_taken;
    output->out.broken = on_broken;
    output->out.user = output;
}

/* All that waited is sent: what was held back follows. */
static void
send_more (VmmRunSession *session)
{
    for (VmmRunStream stream = VMM_RUN_STDOUT; stream <= VMM_RUN_FILES; stream++)
        allow_owed (session, stream);
    vmm_run_session_pass_ahead (session);
    vmm_run_session_watch_input (session);
}

/* The guest has said its last word. */
void
vmm_run_session_say_bye (VmmRunSession *session)
{
    vmm_run_session_end_input (session);
    vmm_run_session_send (session, VMM_RUN_BYE, 0, NULL, 0);
    vmm_source_clear (&session->readable);
}

static bool
check_string (const char *what, const char *text, size_t *total, GError **error)
{
    size_t len = text != NULL ? strlen (text) : 0;

    *total += len + 1 + sizeof (void *);
    /* The body of PTY has two numbers before its string. */
    if (len + 4 <= VMM_RUN_BODY_MAX && *total <= VMM_RUN_STRINGS_MAX)
        return true;
    if (len + 4 > VMM_RUN_BODY_MAX)
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "run: %s \"%.20s…\" is %zu bytes long: %u at most can be given to the guest", what, text,
                     len, VMM_RUN_BODY_MAX - 4);
    else
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "run: the command's arguments and variables are more than %u MiB: put them into a file",
                     VMM_RUN_STRINGS_MAX >> 20);
    return false;
}

/**
 * vmm_run_job_check:
 *
 * Returns: false with %VMM_ERROR_USAGE for what the protocol has no room for
 */
bool
vmm_run_job_check (const VmmRunJob *job, GError **error)
{
    size_t total = 0;

    for (char **arg = job->argv; *arg != NULL; arg++) {
        if (!check_string ("the argument", *arg, &total, error))
            return false;
    }
    for (guint i = 0; i < job->env->len; i++) {
        if (!check_string ("the variable", job->env->pdata[i], &total, error))
            return false;
    }
    for (guint i = 0; i < job->outputs->len; i++) {
        if (!check_string ("the output", ((VmmRunOutput *)job->outputs->pdata[i])->guest_path, &total, error))
            return false;
    }
    return check_string ("the folder", job->folder, &total, error) &&
           check_string ("the user", job->user, &total, error) &&
           check_string ("the terminal", job->term, &total, error);
}

/**
 * vmm_run_session_new:
 * @job: what is to be run, which vmm_run_job_check() has accepted; outlives the session
 * @fd: a stream socket whose other end is the guest's port; taken over
 * @context: the one of the caller's thread
 * @done: the guest is done with the job, and its output is written; or it breaks the rules
 * @user: what @done gets
 *
 * Returns: (transfer full): a session. What it has to say waits in the socket until the guest is there
 */
VmmRunSession *
vmm_run_session_new (const VmmRunJob *job, int fd, GMainContext *context, void (*done) (void *user),
                     void *user)
{
    VmmRunSession *session = g_new0 (VmmRunSession, 1);

    session->job = job;
    session->context = g_main_context_ref (context);
    session->fd = fd;
    session->to_send = g_byte_array_new ();
    session->frame = g_byte_array_new ();
    session->end.kind = -1;
    session->done = done;
    session->user = user;
    init_output (session, &session->out, VMM_RUN_STDOUT, job->out_fd);
    init_output (session, &session->err, VMM_RUN_STDERR, job->err_fd);
    session->readable = vmm_source_watch_fd (session->context, fd, G_IO_IN | G_IO_HUP | G_IO_ERR,
                                             vmm_run_session_on_readable, session);
    send_job (session);
    if (job->in_fd >= 0) {
        vmm_run_session_watch_input (session);
    } else {
        vmm_run_session_send_end (session);
    }
    return session;
}

/**
 * vmm_run_session_free:
 * @session: (nullable): what of its output is not written is lost; a file that is half there goes
 */
void
vmm_run_session_free (VmmRunSession *session)
{
    if (session == NULL)
        return;
    stop (session);
    close (session->fd);
    vmm_run_files_free (session->files);
    vmm_run_out_clear (&session->out.out);
    vmm_run_out_clear (&session->err.out);
    g_byte_array_unref (session->to_send);
    g_byte_array_unref (session->frame);
    g_main_context_unref (session->context);
    g_free (session->end.message);
    g_free (session->end.broken);
    g_free (session->end.files_wrong);
    g_free (session->end.input_wrong);
    g_free (session->end.output_wrong);
    g_free (session);
}

/**
 * vmm_run_session_resize:
 *
 * The terminal of the command has another size now.
 */
void
vmm_run_session_resize (VmmRunSession *session, unsigned columns, unsigned rows)
{
    uint8_t body[4];

    put_size (body, columns, rows);
    if (session->job->term != NULL)
        vmm_run_session_send (session, VMM_RUN_RESIZE, 0, body, sizeof body);
}

/**
 * vmm_run_session_signal:
 * @number: as Linux counts, 1 to 64
 *
 * Returns: false when there is no command that it could reach
 */
bool
vmm_run_session_signal (VmmRunSession *session, uint32_t number)
{
    if (session->readable == NULL || !session->end.greeted || session->end.kind >= 0 || number < 1 ||
        number > SIGNAL_LAST)
        return false;
    send_number (session, VMM_RUN_SIGNAL, 0, number);
    return true;
}

/**
 * vmm_run_session_hear_out:
 *
 * The machine has ended: takes what it had sent before. What is missing now will not come.
 */
void
vmm_run_session_hear_out (VmmRunSession *session)
{
    while (session->readable != NULL) {
        uint8_t byte;

        if (recv (session->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0 && errno != EINTR)
            break;
        vmm_run_session_on_readable (session->fd, G_IO_IN, session);
    }
    stop (session);
    vmm_run_session_miss_files (session);
}

/**
 * vmm_run_session_is_complete:
 *
 * Returns: whether the guest has said its last word
 */
bool
vmm_run_session_is_complete (const VmmRunSession *session)
{
    return session->guest_done;
}

/**
 * vmm_run_session_has_output:
 *
 * Returns: whether some of the command's output waits for its reader
 */
bool
vmm_run_session_has_output (const VmmRunSession *session)
{
    return !vmm_run_out_is_empty (&session->out.out) || !vmm_run_out_is_empty (&session->err.out);
}

/**
 * vmm_run_session_flush:
 * @patience_us: how long to wait for each reader
 *
 * Writes what there is of the command's output.
 */
void
vmm_run_session_flush (VmmRunSession *session, int64_t patience_us)
{
    vmm_run_out_flush (&session->out.out, patience_us);
    vmm_run_out_flush (&session->err.out, patience_us);
    if (vmm_run_session_has_output (session) && session->end.output_wrong == NULL)
        session->end.output_wrong = g_strdup ("the end of the command's output was not read, and is lost");
}

/**
 * vmm_run_session_end:
 *
 * Returns: (transfer none): what is known of the command's end by now
 */
const VmmRunSessionEnd *
vmm_run_session_end (const VmmRunSession *session)
{
    return &session->end;
}
