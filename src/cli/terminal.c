/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * While a guest has the terminal, the terminal is raw: each key goes to the guest as it is, Ctrl-C too.
 * Ctrl-A is the one key that vmm keeps; the key after it is a command.
 *
 * The terminal belongs to the shell and must be given back as it was, whatever becomes of vmm. In all ends
 * that vmm sees it does that itself. For those that it does not see (SIGKILL, a crash) a guard process is
 * made before anything else: it waits at a pipe whose other end only vmm holds, and when that closes without
 * a word it restores the terminal. It has a session of its own, so that what is sent to vmm's process group
 * does not reach it, and no other descriptor, so that nobody waits for it.
 */
#include "terminal.h"

#include <glib.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define CTRL_A 0x01

struct _Terminal {
    TerminalActionFunc action;
    void *user;
    struct termios saved;
    pid_t guard;
    int guard_fd;
    bool escaped; /* the last key was Ctrl-A */
};

/**
 * terminal_is_ours:
 *
 * Returns: whether standard input is a terminal, with this process in its foreground
 */
bool
terminal_is_ours (void)
{
    return isatty (STDIN_FILENO) && tcgetpgrp (STDIN_FILENO) == getpgrp ();
}

static void
guard_main (int fd, const struct termios *saved)
{
    char byte;
    ssize_t n;

    setsid ();
    prctl (PR_SET_NAME, "vmm-tty-guard");
    signal (SIGTTOU, SIG_IGN);
    do
        n = read (fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        tcsetattr (STDIN_FILENO, TCSANOW, saved);
    _exit (0);
}

/* Keeps standard input, which is the terminal, and @keep. */
static void
close_others (int keep)
{
    if (keep > STDIN_FILENO + 1)
        close_range (STDIN_FILENO + 1, (unsigned)keep - 1, 0);
    close_range ((unsigned)keep + 1, ~0U, 0);
}

static void
start_guard (Terminal *terminal)
{
    int fds[2];

    terminal->guard = -1;
    terminal->guard_fd = -1;
    if (pipe2 (fds, O_CLOEXEC) < 0)
        return;
    terminal->guard = fork ();
    if (terminal->guard == 0) {
        close (fds[1]);
        close_others (fds[0]);
        guard_main (fds[0], &terminal->saved);
    }
    close (fds[0]);
    terminal->guard_fd = fds[1];
}

static void
stop_guard (Terminal *terminal)
{
    if (terminal->guard_fd >= 0) {
        /* Not to be restored again: the shell may have changed it by then. */
        (void)!write (terminal->guard_fd, "", 1);
        close (terminal->guard_fd);
    }
    if (terminal->guard > 0)
        waitpid (terminal->guard, NULL, 0);
}

/**
 * terminal_open:
 * @action: told what the user asks vmm for
 * @user: what it gets
 *
 * Gets ready to make the terminal raw. Before the first thread: a process is forked.
 *
 * Returns: (nullable): what terminal_close() gives back; NULL when standard input is not our terminal
 */
Terminal *
terminal_open (TerminalActionFunc action, void *user)
{
    Terminal *terminal;

    if (!terminal_is_ours ())
        return NULL;
    terminal = g_new0 (Terminal, 1);
    terminal->action = action;
    terminal->user = user;
    if (tcgetattr (STDIN_FILENO, &terminal->saved) < 0) {
        g_free (terminal);
        return NULL;
    }
    start_guard (terminal);
    return terminal;
}

/**
 * terminal_make_raw:
 * @terminal: (nullable)
 *
 * From now on each key comes as it is, Ctrl-C too.
 */
void
terminal_make_raw (Terminal *terminal)
{
    struct termios raw;

    if (terminal == NULL)
        return;
    raw = terminal->saved;
    cfmakeraw (&raw);
    tcsetattr (STDIN_FILENO, TCSANOW, &raw);
}

/**
 * terminal_resume:
 * @terminal: (nullable)
 *
 * The process was stopped and goes on (SIGCONT): the shell has used the terminal meanwhile, in a mode of its
 * own. In the background it stays the shell's.
 */
void
terminal_resume (Terminal *terminal)
{
    if (terminal != NULL && terminal_is_ours ())
        terminal_make_raw (terminal);
}

/**
 * terminal_get_size:
 * @terminal: (nullable)
 *
 * Returns: false when there is none, or its size is not known
 */
bool
terminal_get_size (const Terminal *terminal, unsigned *ret_columns, unsigned *ret_rows)
{
    struct winsize size;

    if (terminal == NULL || ioctl (STDIN_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return false;
    *ret_columns = size.ws_col;
    *ret_rows = size.ws_row;
    return true;
}

/**
 * terminal_close:
 * @terminal: (nullable)
 *
 * Gives the terminal back as it was.
 */
void
terminal_close (Terminal *terminal)
{
    if (terminal == NULL)
        return;
    /* Not TCSAFLUSH: what was typed ahead is for the shell. */
    tcsetattr (STDIN_FILENO, TCSADRAIN, &terminal->saved);
    stop_guard (terminal);
    g_free (terminal);
}

/* True when @key goes on to the guest. */
static bool
take_key (Terminal *terminal, uint8_t key)
{
    if (!terminal->escaped) {
        terminal->escaped = key == CTRL_A;
        return key != CTRL_A;
    }
    terminal->escaped = false;
    switch (key) {
    case 'x':
        terminal->action (terminal->user, TERMINAL_LEAVE);
        return false;
    case 'p':
        terminal->action (terminal->user, TERMINAL_POWER_BUTTON);
        return false;
    case 'b':
        terminal->action (terminal->user, TERMINAL_BREAK);
        return false;
    case 'h':
    case '?':
        terminal->action (terminal->user, TERMINAL_HELP);
        return false;
    default:
        return false;
    }
}

/**
 * terminal_filter:
 * @terminal: a #Terminal
 *
 * A #VmmInputFilter: takes out what is meant for vmm. Ctrl-A twice, or Ctrl-A a, is one Ctrl-A for the guest.
 */
size_t
terminal_filter (void *terminal, uint8_t *data, size_t len)
{
    Terminal *t = terminal;
    size_t kept = 0;

    for (size_t i = 0; i < len; i++) {
        if (t->escaped && (data[i] == 'a' || data[i] == CTRL_A)) {
            t->escaped = false;
            data[kept++] = CTRL_A;
        } else if (take_key (t, data[i])) {
            data[kept++] = data[i];
        }
    }
    return kept;
}
