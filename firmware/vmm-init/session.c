/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * One loop over poll(), which never blocks elsewhere: on the port, the command's pipes or terminal, the files
 * that go back, and SIGCHLD. Each thing is done when it can be: a stream is read only with credit from the
 * host and room in the buffer of the wire, input is taken only as allowed, so all buffers have fixed sizes.
 *
 * When the command has ended, all other processes are killed at once: what they held open would keep the
 * streams from ending, and one that writes without end would keep them full. What they had written before is
 * in the pipes, and is sent.
 */
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "say.h"

/* A process that waits for a broken device cannot be killed; that must not hold up the end. */
#define SETTLE_MS 2000
#define BYE_MS 2000

enum { POLL_PORT, POLL_SIGNALS, POLL_INPUT, POLL_STDOUT, POLL_STDERR, POLL_FILES, POLL_FAILURES, POLL_COUNT };

static int64_t
now_ms (void)
{
    struct timespec now;

    clock_gettime (CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C (1000) + now.tv_nsec / 1000000;
}

void
session_init (Session *session, int fd)
{
    sigset_t child;

    session->wire.fd = fd;
    session->job = (Job){.in = -1, .out = -1, .err = -1};
    session->output = (Output){.data = -1, .failures = -1};
    for (size_t i = 0; i <= VMM_RUN_FILES; i++)
        session->streams[i].fd = -1;
    input_init (&session->input);
    sigemptyset (&child);
    sigaddset (&child, SIGCHLD);
    sigprocmask (SIG_BLOCK, &child, NULL);
    session->signals = signalfd (-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
    wire_put_number (&session->wire, VMM_RUN_HELLO, 0, VMM_RUN_VERSION);
}

static void
put_exit (Session *session, VmmRunKind kind, uint32_t status, const char *text)
{
    const uint32_t numbers[2] = {kind, status};

    if (!session->told)
        wire_put (&session->wire, VMM_RUN_EXIT, 0, numbers, 2, text, strlen (text));
    session->told = true;
}

void
session_fail (Session *session, int reason, const char *format, ...)
{
    char text[600];
    va_list args;

    va_start (args, format);
    vsnprintf (text, sizeof (text), format, args);
    va_end (args);
    say ("%s", text);
    put_exit (session, VMM_RUN_NOT_STARTED, (uint32_t)reason, text);
    session->phase = SESSION_FINISHED;
}

static void
take_frames (Session *session)
{
    Frame frame;
    const char *wrong = NULL;

    if (!wire_fill (&session->wire)) {
        say ("the host has gone");
        session->gone = true;
        session->phase = SESSION_FINISHED;
    }
    while (wrong == NULL && session->phase != SESSION_FINISHED && wire_next (&session->wire, &frame))
        wrong = session_take (session, &frame);
    if (wrong == NULL && session->phase != SESSION_FINISHED)
        wrong = session->wire.wrong;
    if (wrong != NULL)
        session_fail (session, EPROTO, "the host broke the protocol: %s", wrong);
}

static void
take_status (Session *session, int status)
{
    session->job.pid = 0;
    if (WIFSIGNALED (status))
        put_exit (session, VMM_RUN_SIGNALLED, (uint32_t)WTERMSIG (status), "");
    else
        put_exit (session, VMM_RUN_EXITED, (uint32_t)WEXITSTATUS (status), "");
    input_close (&session->input, &session->job, &session->wire);
    session->phase = SESSION_DRAINING;
    session->settle_at = now_ms () + SETTLE_MS;
    kill (-1, SIGKILL);
}

static void
reap (Session *session)
{
    struct signalfd_siginfo ignored;
    pid_t pid;
    int status;

    while (read (session->signals, &ignored, sizeof (ignored)) > 0)
        ;
    while ((pid = waitpid (-1, &status, WNOHANG)) > 0) {
        if (pid == session->job.pid)
            take_status (session, status);
    }
    if (session->phase == SESSION_DRAINING)
        session->settled |= (pid < 0 && errno == ECHILD) || now_ms () >= session->settle_at;
}

void
session_end_stream (Session *session, VmmRunStream number)
{
    Stream *stream = &session->streams[number];

    wire_put_plain (&session->wire, VMM_RUN_EOF, number);
    if (number != VMM_RUN_FILES)
        close (stream->fd); /* that of files belongs to their output */
    stream->fd = -1;
    if (number == VMM_RUN_STDOUT && session->job.pty) {
        input_close (&session->input, &session->job, &session->wire);
        session->job.out = -1;
    }
}

/* Whether a stream for which there is no credit is empty, too. */
static bool
is_empty (const Session *session, const Stream *stream)
{
    int waiting = 0;

    return session->settled && !session->job.pty && ioctl (stream->fd, FIONREAD, &waiting) == 0 &&
           waiting == 0;
}

/* Reads once from a stream. Returns false when it has ended. */
static bool
pump (Session *session, VmmRunStream number)
{
    Stream *stream = &session->streams[number];
    ssize_t got;

    if (!wire_has_room (&session->wire))
        return true;
    if (stream->credit == 0)
        return !is_empty (session, stream);
    got = wire_forward (&session->wire, number, stream->fd,
                        stream->credit < SIZE_MAX ? (size_t)stream->credit : SIZE_MAX);
    if (got > 0)
        stream->credit -= (uint64_t)got;
    /* A terminal whose other end has closed gives EIO. */
    return got > 0 || (got < 0 && (errno == EINTR ||
                                   (errno == EAGAIN && (number == VMM_RUN_FILES || !session->settled))));
}

static void
pump_command (Session *session)
{
    for (VmmRunStream number = VMM_RUN_STDOUT; number <= VMM_RUN_STDERR; number++) {
        if (session->streams[number].fd >= 0 && !pump (session, number))
            session_end_stream (session, number);
    }
    if (session->phase != SESSION_DRAINING || session->streams[VMM_RUN_STDOUT].fd >= 0 ||
        session->streams[VMM_RUN_STDERR].fd >= 0)
        return;
    session->phase = SESSION_FILES;
}

static void
next_file (Session *session)
{
    Spec *spec = &session->spec;
    const char *path = spec->outputs.items[session->next_output++];
    int reason = output_start (&session->output, spec->cwd != NULL ? spec->cwd : "/", path);

    session->streams[VMM_RUN_FILES].fd = session->output.data;
    if (reason == 0)
        return;
    output_put_failure (&session->wire, reason, path);
    wire_put_plain (&session->wire, VMM_RUN_EOF, VMM_RUN_FILES);
}

static void
pump_files (Session *session)
{
    if (session->output.data < 0) {
        if (session->next_output == session->spec.outputs.count)
            session->phase = SESSION_FINISHED;
        else if (wire_has_room (&session->wire))
            next_file (session);
        return;
    }
    while (wire_has_room (&session->wire) && output_pass_failure (&session->output, &session->wire))
        ;
    if (wire_has_room (&session->wire) && !pump (session, VMM_RUN_FILES)) {
        /* Its process has ended, so the last failures are there. They are few enough for the pipe, and for
         * room. */
        while (output_pass_failure (&session->output, &session->wire))
            ;
        session_end_stream (session, VMM_RUN_FILES);
        output_clear (&session->output);
    }
}

static void
work (Session *session, const struct pollfd *polls)
{
    if (polls[POLL_PORT].revents & ~POLLOUT)
        take_frames (session);
    if (session->phase != SESSION_SETUP && session->phase != SESSION_FINISHED) {
        reap (session);
        if (polls[POLL_INPUT].revents & (POLLERR | POLLNVAL))
            input_close (&session->input, &session->job, &session->wire);
        else if (session->job.in >= 0)
            input_forward (&session->input, &session->job, &session->wire);
        input_allow (&session->input, &session->wire);
        pump_command (session);
    }
    if (session->phase == SESSION_FILES)
        pump_files (session);
    if (!session->gone && !wire_flush (&session->wire)) {
        say ("the host has gone");
        session->gone = true;
        session->phase = SESSION_FINISHED;
    }
}

static bool
may_pump (Session *session, VmmRunStream number)
{
    return session->streams[number].credit > 0 && wire_has_room (&session->wire);
}

/* Waits until there is something to do. */
static void
wait_for_work (Session *session, struct pollfd polls[POLL_COUNT])
{
    const Stream *streams = session->streams;
    bool files = session->phase == SESSION_FILES;
    int timeout = session->phase == SESSION_DRAINING ? SETTLE_MS / 4 : -1;

    for (int i = 0; i < POLL_COUNT; i++)
        polls[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    polls[POLL_PORT].fd = session->wire.fd;
    polls[POLL_PORT].events = wire_waits (&session->wire) ? POLLIN | POLLOUT : POLLIN;
    polls[POLL_SIGNALS].fd = session->signals;
    /* A pipe tells when its reader has gone; a terminal's other end can come back. */
    polls[POLL_INPUT].fd = input_waits (&session->input) || !session->job.pty ? session->job.in : -1;
    polls[POLL_INPUT].events = input_waits (&session->input) ? POLLOUT : 0;
    polls[POLL_STDOUT].fd = may_pump (session, VMM_RUN_STDOUT) ? streams[VMM_RUN_STDOUT].fd : -1;
    polls[POLL_STDERR].fd = may_pump (session, VMM_RUN_STDERR) ? streams[VMM_RUN_STDERR].fd : -1;
    polls[POLL_FILES].fd = files && may_pump (session, VMM_RUN_FILES) ? streams[VMM_RUN_FILES].fd : -1;
    polls[POLL_FAILURES].fd = files && wire_has_room (&session->wire) ? session->output.failures : -1;
    if (files && session->output.data < 0 && wire_has_room (&session->wire))
        timeout = 0;
    poll (polls, POLL_COUNT, timeout);
}

/* Nothing may write while file systems are brought to rest. */
static void
kill_rest (void)
{
    static const struct timespec moment = {.tv_nsec = 5000000};
    int64_t until = now_ms () + SETTLE_MS;
    pid_t pid;

    kill (-1, SIGKILL);
    while ((pid = waitpid (-1, NULL, WNOHANG)) >= 0 && now_ms () < until) {
        if (pid == 0)
            nanosleep (&moment, NULL);
    }
}

void
session_run (Session *session)
{
    struct pollfd polls[POLL_COUNT];

    while (session->phase != SESSION_FINISHED) {
        wait_for_work (session, polls);
        work (session, polls);
    }
    kill_rest ();
}

void
session_end (Session *session)
{
    struct pollfd port = {.fd = session->wire.fd, .events = POLLIN};
    int64_t until = now_ms () + BYE_MS;
    Frame frame;

    if (session->gone)
        return;
    wire_put_plain (&session->wire, VMM_RUN_DONE, 0);
    wire_drain (&session->wire, BYE_MS);
    while (session->wire.wrong == NULL && now_ms () < until) {
        while (wire_next (&session->wire, &frame)) {
            if (frame.type == VMM_RUN_BYE)
                return;
        }
        if (poll (&port, 1, (int)(until - now_ms ())) < 0 ||
            (port.revents != 0 && !wire_fill (&session->wire)))
            return;
    }
}
