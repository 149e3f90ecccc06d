/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A worker is a fork of vmm test, without exec: it has its run at hand, and whatever becomes of it (a crash,
 * a guest that gets the better of it) stays in it. It sends JSON objects, one a line, through a pipe, and
 * what it or its libraries write to standard output and error goes through another one.
 *
 * Its parent believes nothing: lines are bounded, and at the first one that is no JSON object the child has
 * had its say.
 *
 * It must not outlive its parent. The kernel sends it SIGTERM when that dies, upon which it ends in good
 * order; one that is stuck then is ended by an alarm. (As long as the parent lives, that is the parent's to
 * do: it may have been stopped, and the child waits for it rightly.) It leads a process group of its own, so
 * that the Ctrl-C of a terminal reaches the parent alone, which then ends its children one by one; and what
 * the worker may have started itself goes with it.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_SIZE 65536u
/* Exit code of a child that had no parent any more. */
#define EXIT_ORPHAN 1
#define ALARM_AGAIN_SECONDS 10u

struct _TestChild {
    pid_t pid;
    int events; /* -1 when they are over */
    int words;
    GByteArray *line; /* what was read and not taken yet */
    size_t searched;  /* no newline in that many bytes of it */
    GString *said;    /* the last of what it wrote */
    char *complaint;
};

static void
redirect (int words)
{
    int null = open ("/dev/null", O_RDWR);

    dup2 (null, STDIN_FILENO);
    dup2 (words, STDOUT_FILENO);
    dup2 (words, STDERR_FILENO);
    close (words);
    if (null > STDERR_FILENO)
        close (null);
}

/* In a child: for on_alarm(). */
static pid_t parent_of_this;

static void
on_alarm (int signal)
{
    if (getppid () != parent_of_this)
        _exit (EXIT_ORPHAN);
    alarm (ALARM_AGAIN_SECONDS);
}

static void
take_default_signals (const TestChildSetup *setup, pid_t parent)
{
    const struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigset_t mask = *setup->mask;

    parent_of_this = parent;
    sigaction (SIGALRM, &action, NULL);
    sigdelset (&mask, SIGALRM);
    sigprocmask (SIG_SETMASK, &mask, NULL);
    alarm (setup->alarm_seconds);
}

static _Noreturn void
child_main (const TestChildSetup *setup, pid_t parent, int events, int words)
{
    prctl (PR_SET_PDEATHSIG, SIGTERM);
    /* It may have died just before. */
    if (getppid () != parent)
        _exit (EXIT_ORPHAN);
    setpgid (0, 0);
    setup->close_parents (setup->user);
    redirect (words);
    take_default_signals (setup, parent);
    /* Not exit(): what is to be done at the parent's exit is its own affair. */
    _exit (setup->worker (setup->run, setup->results, events));
}

static bool
open_pipes (int events[2], int words[2], GError **error)
{
    int wrong;

    if (pipe2 (events, O_CLOEXEC) == 0) {
        if (pipe2 (words, O_CLOEXEC) == 0)
            return true;
        wrong = errno;
        close (events[0]);
        close (events[1]);
        errno = wrong;
    }
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "a pipe for the run: %s", g_strerror (errno));
    return false;
}

/**
 * test_child_start:
 *
 * To be called by a process with one thread.
 *
 * Returns: (nullable): NULL with %VMM_ERROR_HOST
 */
TestChild *
test_child_start (const TestChildSetup *setup, GError **error)
{
    TestChild *child;
    int events[2], words[2];
    pid_t parent = getpid (), pid;

    if (!open_pipes (events, words, error))
        return NULL;
    /* What waits there to be written would be written by both. */
    fflush (NULL);
    pid = fork ();
    if (pid == 0) {
        close (events[0]);
        close (words[0]);
        child_main (setup, parent, events[1], words[1]);
    }
    if (pid < 0)
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "a process for the run: %s", g_strerror (errno));
    close (events[1]);
    close (words[1]);
    if (pid < 0) {
        close (events[0]);
        close (words[0]);
        return NULL;
    }
    /* Both do it, so that the group is there whoever comes first. */
    setpgid (pid, pid);
    fcntl (events[0], F_SETFL, O_NONBLOCK);
    fcntl (words[0], F_SETFL, O_NONBLOCK);
    child = g_new0 (TestChild, 1);
    child->pid = pid;
    child->events = events[0];
    child->words = words[0];
    child->line = g_byte_array_new ();
    child->said = g_string_new (NULL);
    return child;
}

/**
 * test_child_free:
 * @child: (nullable): one that still runs is killed
 */
void
test_child_free (TestChild *child)
{
    if (child == NULL)
        return;
    if (child->pid > 0) {
        kill (-child->pid, SIGKILL);
        kill (child->pid, SIGKILL);
        waitpid (child->pid, NULL, 0);
    }
    if (child->events >= 0)
        close (child->events);
    if (child->words >= 0)
        close (child->words);
    g_byte_array_unref (child->line);
    g_string_free (child->said, TRUE);
    g_free (child->complaint);
    g_free (child);
}

/**
 * test_child_get_fds:
 * @ret_events: what to poll for input; -1 when there is nothing more
 * @ret_words: the same
 */
void
test_child_get_fds (const TestChild *child, int *ret_events, int *ret_words)
{
    *ret_events = child->events;
    *ret_words = child->words;
}

/* Returns: how many bytes came; 0 for none. *@fd is closed at its end. */
static size_t
read_some (int *fd, uint8_t *bytes)
{
    ssize_t n = *fd >= 0 ? read (*fd, bytes, READ_SIZE) : -1;

    if (*fd >= 0 && (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))) {
        close (*fd);
        *fd = -1;
    }
    return n > 0 ? (size_t)n : 0;
}

static void
complain (TestChild *child, const char *what)
{
    if (child->complaint == NULL)
        child->complaint = g_strdup (what);
    g_byte_array_set_size (child->line, 0);
    child->searched = 0;
}

/**
 * test_child_read:
 *
 * Takes in what the child has written, as far as it is there, and not endlessly.
 *
 * Returns: whether there was something; call test_child_next_event() then until there is none
 */
bool
test_child_read (TestChild *child)
{
    uint8_t bytes[READ_SIZE];
    size_t n_words = read_some (&child->words, bytes), n_events;

    g_string_append_len (child->said, (const char *)bytes, (gssize)n_words);
    if (child->said->len > TEST_CHILD_WORDS_MAX)
        g_string_erase (child->said, 0, (gssize)(child->said->len - TEST_CHILD_WORDS_MAX));
    n_events = read_some (&child->events, bytes);
    if (n_events > 0 && child->complaint == NULL) {
        if (child->line->len + n_events > TEST_CHILD_LINE_MAX)
            complain (child, "a line that does not end");
        else
            g_byte_array_append (child->line, bytes, (guint)n_events);
    }
    return n_words + n_events > 0;
}

/**
 * test_child_next_event:
 *
 * Returns: (transfer full) (nullable): the next object that the child has sent in full; NULL when there is
 * none, now, or ever when there is a complaint
 */
json_t *
test_child_next_event (TestChild *child)
{
    const uint8_t *from = child->line->data;
    const uint8_t *end = child->line->len > child->searched
                             ? memchr (from + child->searched, '\n', child->line->len - child->searched)
                             : NULL;
    json_error_t wrong;
    json_t *event;

    if (end == NULL) {
        child->searched = child->line->len;
        return NULL;
    }
    event = json_loadb ((const char *)from, (size_t)(end - from), 0, &wrong);
    g_byte_array_remove_range (child->line, 0, (guint)(end - from) + 1);
    child->searched = 0;
    if (json_is_object (event))
        return event;
    json_decref (event);
    complain (child, "a line that is no JSON object");
    return NULL;
}

/**
 * test_child_complaint:
 *
 * Returns: (nullable): what the child has sent that it must not send
 */
const char *
test_child_complaint (const TestChild *child)
{
    return child->complaint;
}

/**
 * test_child_words:
 *
 * Returns: (transfer full) (nullable): the last that it wrote to its standard output and error, NULL for
 * nothing; any bytes made valid UTF-8
 */
char *
test_child_words (const TestChild *child)
{
    return child->said->len > 0 ? g_utf8_make_valid (child->said->str, (gssize)child->said->len) : NULL;
}

/**
 * test_child_reap:
 * @ret_status: as wait(2) has it
 *
 * Returns: whether it has ended; what it started has ended with it then
 */
bool
test_child_reap (TestChild *child, int *ret_status)
{
    siginfo_t info = {0};

    *ret_status = 0;
    if (waitid (P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0)
        return false;
    /* As long as it is not reaped, no other group can have its number. */
    kill (-child->pid, SIGKILL);
    waitpid (child->pid, ret_status, 0);
    child->pid = 0;
    return true;
}

/**
 * test_child_signal:
 * @signal: SIGTERM, which asks the worker to end; SIGKILL also for all that it started
 */
void
test_child_signal (TestChild *child, int signal)
{
    if (child->pid > 0)
        kill (signal == SIGKILL ? -child->pid : child->pid, signal);
}
