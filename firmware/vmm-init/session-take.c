/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <errno.h>
#include <signal.h>

#define SIGNAL_LAST 64u

static const char *
take_hello (Session *session, const Frame *frame)
{
    if (session->greeted)
        return "a second HELLO";
    if (frame->length != 4)
        return "a HELLO of another length";
    session->greeted = true;
    if (vmm_run_get32 (frame->body) != VMM_RUN_VERSION)
        session_fail (session, EPROTONOSUPPORT, "the host speaks version %u of the protocol, the guest %u",
                      vmm_run_get32 (frame->body), VMM_RUN_VERSION);
    return NULL;
}

static const char *
take_start (Session *session, const Frame *frame)
{
    char text[512];
    int reason;

    if (session->phase != SESSION_SETUP)
        return "a second START";
    if (frame->length != 0)
        return "a START of another length";
    if (session->spec.args.count == 0)
        return "a START without a command";
    reason = job_start (&session->job, &session->spec, text, sizeof (text));
    if (reason != 0) {
        session_fail (session, reason, "%s", text);
        return NULL;
    }
    session->phase = SESSION_RUNNING;
    session->streams[VMM_RUN_STDOUT].fd = session->job.out;
    session->streams[VMM_RUN_STDERR].fd = session->job.err;
    wire_put_plain (&session->wire, VMM_RUN_STARTED, 0);
    return NULL;
}

static const char *
take_input (Session *session, const Frame *frame)
{
    if (session->phase == SESSION_SETUP)
        return "input before START";
    if (frame->stream != VMM_RUN_STDIN)
        return "input on another stream than stdin";
    return input_take (&session->input, frame->body, frame->length) ? NULL : "more input than was allowed";
}

/* Of input, or of who reads an output. */
static const char *
take_end (Session *session, const Frame *frame)
{
    Stream *stream = &session->streams[frame->stream <= VMM_RUN_STDERR ? frame->stream : VMM_RUN_STDIN];

    if (session->phase == SESSION_SETUP)
        return "an end before START";
    if (frame->stream > VMM_RUN_STDERR)
        return "an end of no stream of the command's";
    if (frame->length != 0 || stream->unread || (frame->stream == VMM_RUN_STDIN && session->input.ended))
        return "a wrong end";
    if (frame->stream == VMM_RUN_STDIN) {
        session->input.ended = true;
        return NULL;
    }
    stream->unread = true;
    if (stream->fd >= 0)
        session_end_stream (session, frame->stream);
    return NULL;
}

static const char *
take_window (Session *session, const Frame *frame)
{
    if (frame->length != 4 || frame->stream == VMM_RUN_STDIN || frame->stream > VMM_RUN_FILES)
        return "a wrong WINDOW";
    session->streams[frame->stream].credit += vmm_run_get32 (frame->body);
    return NULL;
}

static const char *
take_resize (Session *session, const Frame *frame)
{
    Spec *spec = &session->spec;

    if (!spec->pty || frame->length != 4)
        return "a wrong RESIZE";
    spec->rows = (uint16_t)vmm_run_get16 (frame->body);
    spec->columns = (uint16_t)vmm_run_get16 (frame->body + 2);
    if (session->phase == SESSION_RUNNING)
        job_resize (&session->job, spec->rows, spec->columns);
    return NULL;
}

static const char *
take_signal (Session *session, const Frame *frame)
{
    uint32_t number = frame->length == 4 ? vmm_run_get32 (frame->body) : 0;

    if (session->phase == SESSION_SETUP || number < 1 || number > SIGNAL_LAST)
        return "a wrong SIGNAL";
    if (session->phase == SESSION_RUNNING)
        job_signal (&session->job, (int)number);
    return NULL;
}

const char *
session_take (Session *session, const Frame *frame)
{
    if (!session->greeted && frame->type != VMM_RUN_HELLO)
        return "no HELLO at the beginning";
    switch (frame->type) {
    case VMM_RUN_HELLO:
        return take_hello (session, frame);
    case VMM_RUN_START:
        return take_start (session, frame);
    case VMM_RUN_DATA:
        return take_input (session, frame);
    case VMM_RUN_EOF:
        return take_end (session, frame);
    case VMM_RUN_WINDOW:
        return take_window (session, frame);
    case VMM_RUN_RESIZE:
        return take_resize (session, frame);
    case VMM_RUN_SIGNAL:
        return take_signal (session, frame);
    case VMM_RUN_BYE:
        session->gone = true;
        session->phase = SESSION_FINISHED;
        return NULL;
    default:
        return session->phase == SESSION_SETUP ? spec_take (&session->spec, frame)
                                               : "a frame that nobody expects now";
    }
}
