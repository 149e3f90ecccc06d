/* SPDX-License-Identifier: Apache-2.0 */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "exec.h"

static void
close_fds (int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close (fds[i]);
        fds[i] = -1;
    }
}

static void
set_nonblocking (int fd)
{
    fcntl (fd, F_SETFL, fcntl (fd, F_GETFL) | O_NONBLOCK);
}

/* Three pipes. ours[] and theirs[] are by number of the command's descriptor. */
static bool
make_pipes (int ours[3], int theirs[3])
{
    for (int i = 0; i < 3; i++) {
        int ends[2];

        if (pipe2 (ends, O_CLOEXEC) < 0)
            return false;
        ours[i] = ends[i == 0];
        theirs[i] = ends[i != 0];
        set_nonblocking (ours[i]);
    }
    return true;
}

static bool
make_pty (const Spec *spec, int ours[3], int theirs[3])
{
    struct winsize size = {.ws_row = spec->rows, .ws_col = spec->columns};
    char name[64];

    ours[0] = posix_openpt (O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (ours[0] < 0 || unlockpt (ours[0]) < 0 || ptsname_r (ours[0], name, sizeof (name)) != 0)
        return false;
    theirs[0] = open (name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return theirs[0] >= 0 && ioctl (ours[0], TIOCSWINSZ, &size) == 0;
}

static void
describe (const Spec *spec, const ExecFailure *failure, char *ret_text, size_t size)
{
    const char *name = spec->args.items[0];
    const char *reason = strerror (failure->reason);

    if (failure->step == EXEC_TERMINAL)
        snprintf (ret_text, size, "cannot give the command its input and output: %s", reason);
    else if (failure->step == EXEC_USER)
        snprintf (ret_text, size, "cannot become user %s: %s", spec->user, reason);
    else if (failure->step == EXEC_CWD)
        snprintf (ret_text, size, "cannot go to folder %s: %s", spec->cwd != NULL ? spec->cwd : "/", reason);
    else if (failure->reason == ENOENT && strchr (name, '/') == NULL)
        snprintf (ret_text, size, "%s: not found in PATH, which is %s", name, spec_env (spec, "PATH"));
    else if (failure->reason == ENOENT && access (name, F_OK) == 0)
        snprintf (ret_text, size, "%s: is there, but the interpreter or loader that it names is not", name);
    else
        snprintf (ret_text, size, "%s: %s", name, reason);
}

/* Forks. The child tells through a pipe what went wrong; when it becomes the command, the pipe closes. */
static int
spawn (Job *job, const Spec *spec, const User *user, const int theirs[3], char *ret_text, size_t size)
{
    ExecFailure failure = {0};
    ssize_t got;
    int ends[2];

    job->pid = pipe2 (ends, O_CLOEXEC) == 0 ? fork () : -1;
    if (job->pid < 0) {
        int reason = errno;

        snprintf (ret_text, size, "no process for the command: %s", strerror (reason));
        return reason;
    }
    if (job->pid == 0) {
        failure = exec_command (spec, user, theirs);
        _exit (write (ends[1], &failure, sizeof (failure)) == sizeof (failure) ? 126 : 127);
    }
    close (ends[1]);
    do {
        got = read (ends[0], &failure, sizeof (failure));
    } while (got < 0 && errno == EINTR);
    close (ends[0]);
    if (got != sizeof (failure))
        return 0;
    describe (spec, &failure, ret_text, size);
    waitpid (job->pid, NULL, 0);
    /* ENOENT is for a command that is not there, and not for its folder. */
    return failure.reason == ENOENT && failure.step != EXEC_COMMAND ? ENOTDIR : failure.reason;
}

int
job_start (Job *job, Spec *spec, char *ret_text, size_t size)
{
    int ours[3] = {-1, -1, -1}, theirs[3] = {-1, -1, -1};
    User user;
    const char *wrong = user_find (&user, spec->user != NULL ? spec->user : "0");
    int reason = EINVAL;

    *job = (Job){.in = -1, .out = -1, .err = -1, .pty = spec->pty};
    spec_default_env (spec, "PATH", JOB_PATH);
    spec_default_env (spec, "HOME", user.home);
    if (spec->pty && spec->term[0] != '\0')
        spec_default_env (spec, "TERM", spec->term);
    if (wrong != NULL) {
        snprintf (ret_text, size, "user %s: %s", spec->user, wrong);
        return EINVAL;
    }
    if (!(spec->pty ? make_pty (spec, ours, theirs) : make_pipes (ours, theirs))) {
        reason = errno;
        snprintf (ret_text, size, "no %s for the command: %s", spec->pty ? "terminal" : "pipes",
                  strerror (reason));
        reason = reason == ENOENT ? ENODEV : reason;
    } else {
        const int terminal[3] = {theirs[0], theirs[0], theirs[0]};

        reason = spawn (job, spec, &user, spec->pty ? terminal : theirs, ret_text, size);
    }
    close_fds (theirs, 3);
    if (reason != 0) {
        close_fds (ours, 3);
        job->pid = 0;
        return reason;
    }
    job->in = ours[0];
    job->out = spec->pty ? ours[0] : ours[1];
    job->err = ours[2];
    return 0;
}

void
job_signal (const Job *job, int number)
{
    pid_t group = job->pid;

    if (job->pid == 0)
        return;
    if (job->pty && (ioctl (job->out, TIOCGPGRP, &group) < 0 || group <= 0))
        group = job->pid;
    kill (-group, number);
}

void
job_resize (const Job *job, uint16_t rows, uint16_t columns)
{
    struct winsize size = {.ws_row = rows, .ws_col = columns};

    if (job->pty && job->out >= 0)
        ioctl (job->out, TIOCSWINSZ, &size);
}

size_t
job_end_of_input (const Job *job, bool at_line_start, uint8_t ret_bytes[JOB_END_MAX])
{
    struct termios modes;

    if (tcgetattr (job->in, &modes) < 0 || (modes.c_lflag & ICANON) == 0)
        return 0;
    memset (ret_bytes, modes.c_cc[VEOF], JOB_END_MAX);
    /* In the middle of a line the first one only sends the line off. */
    return at_line_start ? 1 : 2;
}
