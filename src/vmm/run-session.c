/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The host's half of the talk with vmm-init (firmware/vmm-init/protocol.h), over one end of a pair of sockets
 * whose other end is a console port of the guest. All happens on one GMainContext, and nothing waits: frames
 * are taken apart as bytes arrive, outputs go on as their readers take them (run-out.c), input is read only
 * while the guest allows some. Credits keep the streams apart: one whose reader stands still holds up neither
 * the other one nor the command's end.
 *
 * The guest is not trusted. A frame that breaks the rules ends the session with a message; a file that comes
 * back goes only where it was asked for (run-files.c).
 */
#include "vmm/run-session.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm-init/protocol.h"
#include "vmm/run-files.h"
#include "vmm/run-out.h"

#define MESSAGE_MAX 512u
#define FILES_MAX (UINT64_C (1) << 40)
/* Credit is given back in portions, not for each write. */
#define CREDIT_PORTION (VMM_RUN_OUT_WINDOW / 4)
#define LINUX_SIGPIPE 13u

typedef struct {
    VmmRunSession *session;
    VmmRunStream stream;
    VmmRunOut out;
    size_t owed; /* credit that was not given back yet */
    bool ended;
} Output;

struct _VmmRunSession {
    const VmmRunJob *job;
    GMainContext *context;
    int fd;
    GSource *readable;
    GSource *writable; /* NULL while nothing waits to be sent */
    GByteArray *to_send;
    GByteArray *frame; /* what has come of the next one */
    Output out;
    Output err;
    GSource *input; /* NULL while none may be read */
    size_t in_credit;
    bool in_ended;
    guint n_outputs; /* that have come back */
    VmmRunFiles *files;
    size_t files_owed;
    bool guest_done;
    bool broken;
    VmmRunSessionEnd end;
    void (*done) (void *user);
    void *user;
};

static void
drop_source (GSource **source)
{
    if (*source == NULL)
        return;
    g_source_destroy (*source);
    g_clear_pointer (source, g_source_unref);
}

/* A guest's words, as one line that does no harm to a terminal. */
static char *
make_line (const uint8_t *text, size_t len)
{
    char *line = g_utf8_make_valid ((const char *)text, (gssize)MIN (len, MESSAGE_MAX));

    for (char *c = line; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
    }
    return line;
}

/* There is nothing more to be heard of the guest. */
static void
stop (VmmRunSession *session)
{
    drop_source (&session->readable);
    drop_source (&session->writable);
    drop_source (&session->input);
}

static void
fail (VmmRunSession *session, const char *why)
{
    if (session->broken)
        return;
    session->broken = true;
    if (session->end.message == NULL)
        session->end.message = g_strdup (why);
    stop (session);
    session->done (session->user);
}

static void
check_done (VmmRunSession *session)
{
    if (!session->guest_done || session->end.done || !vmm_run_out_is_empty (&session->out.out) ||
        !vmm_run_out_is_empty (&session->err.out))
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
    if (session->to_send->len > 0)
        return G_SOURCE_CONTINUE;
    g_clear_pointer (&session->writable, g_source_unref);
    return G_SOURCE_REMOVE;
}

static void
send_frame (VmmRunSession *session, VmmRunType type, VmmRunStream stream, const void *body, size_t len)
{
    uint8_t header[VMM_RUN_HEADER];

    if (session->readable == NULL)
        return;
    vmm_run_put_header (header, type, stream, (uint32_t)len);
    g_byte_array_append (session->to_send, header, sizeof header);
    if (len > 0)
        g_byte_array_append (session->to_send, body, (guint)len);
    if (session->writable != NULL)
        return;
    session->writable = g_unix_fd_source_new (session->fd, G_IO_OUT);
    g_source_set_callback (session->writable, G_SOURCE_FUNC (on_sendable), session, NULL);
    g_source_attach (session->writable, session->context);
}

static void
send_string (VmmRunSession *session, VmmRunType type, const char *text)
{
    if (text != NULL)
        send_frame (session, type, 0, text, strlen (text));
}

static void
send_number (VmmRunSession *session, VmmRunType type, VmmRunStream stream, uint32_t number)
{
    uint8_t body[4];

    vmm_run_put32 (body, number);
    send_frame (session, type, stream, body, sizeof body);
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
        send_frame (session, VMM_RUN_PTY, 0, body->data, body->len);
    }
    for (guint i = 0; i < job->outputs->len; i++)
        send_string (session, VMM_RUN_OUTPUT, ((VmmRunOutput *)job->outputs->pdata[i])->guest_path);
    send_number (session, VMM_RUN_WINDOW, VMM_RUN_STDOUT, VMM_RUN_OUT_WINDOW);
    send_number (session, VMM_RUN_WINDOW, VMM_RUN_STDERR, VMM_RUN_OUT_WINDOW);
    send_number (session, VMM_RUN_WINDOW, VMM_RUN_FILES, VMM_RUN_OUT_WINDOW);
    send_frame (session, VMM_RUN_START, 0, NULL, 0);
}

static void
on_taken (void *user, size_t len)
{
    Output *output = user;

    output->owed += len;
    if (output->owed >= CREDIT_PORTION || vmm_run_out_is_empty (&output->out)) {
        send_number (output->session, VMM_RUN_WINDOW, output->stream, (uint32_t)output->owed);
        output->owed = 0;
    }
    check_done (output->session);
}

/* As for a program here whose reader has gone. */
static void
on_broken (void *user)
{
    Output *output = user;

    vmm_run_session_signal (output->session, LINUX_SIGPIPE);
}

static void
init_output (VmmRunSession *session, Output *output, VmmRunStream stream, int fd)
{
    output->session = session;
    output->stream = stream;
    vmm_run_out_init (&output->out, fd, session->context);
    output->out.taken = on_taken;
    output->out.broken = on_broken;
    output->out.user = output;
}

static void
end_input (VmmRunSession *session)
{
    session->in_ended = true;
    drop_source (&session->input);
}

static gboolean
on_input (gint fd, GIOCondition condition, gpointer user)
{
    VmmRunSession *session = user;
    uint8_t data[16384];
    ssize_t n = read (fd, data, MIN (sizeof data, session->in_credit));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return G_SOURCE_CONTINUE;
    if (n <= 0) {
        send_frame (session, VMM_RUN_EOF, VMM_RUN_STDIN, NULL, 0);
        end_input (session);
        return G_SOURCE_REMOVE;
    }
    if (session->job->filter != NULL)
        n = (ssize_t)session->job->filter (session->job->filter_user, data, (size_t)n);
    if (n > 0)
        send_frame (session, VMM_RUN_DATA, VMM_RUN_STDIN, data, (size_t)n);
    session->in_credit -= (size_t)n;
    if (session->in_credit > 0)
        return G_SOURCE_CONTINUE;
    g_clear_pointer (&session->input, g_source_unref);
    return G_SOURCE_REMOVE;
}

static void
watch_input (VmmRunSession *session)
{
    if (session->input != NULL || session->in_ended || session->in_credit == 0)
        return;
    if (session->job->in_fd < 0) {
        send_frame (session, VMM_RUN_EOF, VMM_RUN_STDIN, NULL, 0);
        session->in_ended = true;
        return;
    }
    session->input = g_unix_fd_source_new (session->job->in_fd, G_IO_IN | G_IO_HUP | G_IO_ERR);
    g_source_set_callback (session->input, G_SOURCE_FUNC (on_input), session, NULL);
    g_source_attach (session->input, session->context);
}

static void
note_file (VmmRunSession *session, char *why)
{
    if (session->end.files_wrong == NULL)
        session->end.files_wrong = why;
    else
        g_free (why);
}

static const VmmRunOutput *
next_output (VmmRunSession *session)
{
    const GPtrArray *outputs = session->job->outputs;

    return session->n_outputs < outputs->len ? outputs->pdata[session->n_outputs] : NULL;
}

static void
take_files (VmmRunSession *session, const uint8_t *data, size_t len)
{
    const VmmRunOutput *output = next_output (session);
    g_autoptr (GError) error = NULL;

    if (output == NULL) {
        fail (session, "the guest sends files that it was not asked for");
        return;
    }
    if (session->files == NULL)
        session->files = vmm_run_files_new (output->guest_path, output->host_path, FILES_MAX, &error);
    /* What cannot be stored is taken all the same: the rest of the job goes on. */
    if (session->files == NULL || !vmm_run_files_feed (session->files, (VmmSpan){data, len}, &error))
        note_file (session, error != NULL ? g_strdup (error->message) : NULL);
    session->files_owed += len;
    if (session->files_owed >= CREDIT_PORTION) {
        send_number (session, VMM_RUN_WINDOW, VMM_RUN_FILES, (uint32_t)session->files_owed);
        session->files_owed = 0;
    }
}

static void
end_files (VmmRunSession *session)
{
    g_autoptr (GError) error = NULL;

    if (next_output (session) == NULL) {
        fail (session, "the guest ends files that it was not asked for");
        return;
    }
    if (session->files != NULL && !vmm_run_files_finish (session->files, &error))
        note_file (session, g_strdup (error->message));
    g_clear_pointer (&session->files, vmm_run_files_free);
    session->n_outputs++;
}

static void
take_file_failed (VmmRunSession *session, const uint8_t *body, size_t len)
{
    g_autofree char *path = len > 4 ? make_line (body + 4, len - 4) : g_strdup ("");
    uint32_t error = vmm_run_get32 (body);

    note_file (session, g_strdup_printf ("out \"%s\": it did not come back from the guest: %s", path,
                                         error < 4096 ? g_strerror ((int)error) : "an error that is none"));
}

static void
take_data (VmmRunSession *session, unsigned stream, const uint8_t *body, size_t len)
{
    Output *output = stream == VMM_RUN_STDOUT ? &session->out : &session->err;

    if (stream == VMM_RUN_FILES)
        take_files (session, body, len);
    else if ((stream != VMM_RUN_STDOUT && stream != VMM_RUN_STDERR) || output->ended)
        fail (session, "the guest sends data on a stream that is not there");
    else if (!vmm_run_out_put (&output->out, body, len))
        fail (session, "the guest sends more than it was allowed to");
}

static void
take_eof (VmmRunSession *session, unsigned stream)
{
    switch (stream) {
    case VMM_RUN_STDIN:
        end_input (session);
        break;
    case VMM_RUN_STDOUT:
        session->out.ended = true;
        break;
    case VMM_RUN_STDERR:
        session->err.ended = true;
        break;
    case VMM_RUN_FILES:
        end_files (session);
        break;
    default:
        fail (session, "the guest ends a stream that is not there");
    }
}

static void
take_exit (VmmRunSession *session, const uint8_t *body, size_t len)
{
    uint32_t kind = vmm_run_get32 (body);

    if (session->end.kind >= 0 || kind > VMM_RUN_NOT_STARTED) {
        fail (session, "the guest tells of an end that cannot be");
        return;
    }
    session->end.kind = (int)kind;
    session->end.status = vmm_run_get32 (body + 4);
    if (len > 8)
        session->end.message = make_line (body + 8, len - 8);
}

static void
take_hello (VmmRunSession *session, const uint8_t *body)
{
    if (vmm_run_get32 (body) != VMM_RUN_VERSION) {
        fail (session, "the guest's init is not this vmm's own");
        return;
    }
    session->end.greeted = true;
}

static void
take_window (VmmRunSession *session, unsigned stream, const uint8_t *body)
{
    uint32_t more = vmm_run_get32 (body);

    if (stream != VMM_RUN_STDIN || session->in_credit + more > VMM_RUN_OUT_WINDOW) {
        fail (session, "the guest allows what nobody sends");
        return;
    }
    session->in_credit += more;
    watch_input (session);
}

static void
take_done (VmmRunSession *session)
{
    session->guest_done = true;
    drop_source (&session->input);
    send_frame (session, VMM_RUN_BYE, 0, NULL, 0);
    check_done (session);
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
        fail (session, "the guest's init says what nobody understands");
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
        take_file_failed (session, body, len);
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

    while (!session->broken && !session->guest_done && session->frame->len - at >= VMM_RUN_HEADER) {
        const uint8_t *header = session->frame->data + at;
        uint32_t len = vmm_run_get32 (header + 4);

        if (len > VMM_RUN_BODY_MAX) {
            fail (session, "the guest's init says what nobody understands");
            break;
        }
        if (session->frame->len - at - VMM_RUN_HEADER < len)
            break;
        take_frame (session, header, header + VMM_RUN_HEADER, len);
        at += VMM_RUN_HEADER + len;
    }
    g_byte_array_remove_range (session->frame, 0, (guint)at);
}

static gboolean
on_readable (gint fd, GIOCondition condition, gpointer user)
{
    VmmRunSession *session = user;
    uint8_t data[16384];
    ssize_t n = recv (fd, data, sizeof data, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    if (n <= 0) { /* the machine has gone: its verdict tells */
        drop_source (&session->readable);
        return G_SOURCE_REMOVE;
    }
    g_byte_array_append (session->frame, data, (guint)n);
    take_frames (session);
    return session->readable != NULL ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

/**
 * vmm_run_session_new:
 * @job: what is to be run; outlives the session
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
    session->context = context;
    session->fd = fd;
    session->to_send = g_byte_array_new ();
    session->frame = g_byte_array_new ();
    session->end.kind = -1;
    session->done = done;
    session->user = user;
    init_output (session, &session->out, VMM_RUN_STDOUT, job->out_fd);
    init_output (session, &session->err, VMM_RUN_STDERR, job->err_fd);
    session->readable = g_unix_fd_source_new (fd, G_IO_IN | G_IO_HUP | G_IO_ERR);
    g_source_set_callback (session->readable, G_SOURCE_FUNC (on_readable), session, NULL);
    g_source_attach (session->readable, context);
    send_job (session);
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
    g_free (session->end.message);
    g_free (session->end.files_wrong);
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
    if (session->job->term != NULL && !session->guest_done)
        send_frame (session, VMM_RUN_RESIZE, 0, body, sizeof body);
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
    if (session->readable == NULL || !session->end.greeted || session->end.kind >= 0 || session->guest_done ||
        number < 1 || number > 64)
        return false;
    send_number (session, VMM_RUN_SIGNAL, 0, number);
    return true;
}

/**
 * vmm_run_session_flush:
 * @patience_us: how long to wait for each reader
 *
 * The machine has ended: what came of the command's output is written.
 */
void
vmm_run_session_flush (VmmRunSession *session, int64_t patience_us)
{
    while (session->readable != NULL && on_readable (session->fd, G_IO_IN, session) == G_SOURCE_CONTINUE) {
        uint8_t byte;

        if (recv (session->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
            break;
    }
    stop (session);
    vmm_run_out_flush (&session->out.out, patience_us);
    vmm_run_out_flush (&session->err.out, patience_us);
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
