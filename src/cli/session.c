/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "options.h"

/**
 * session_say:
 * @text: lines for the user, on standard error
 */
void
session_say (const Session *session, const char *text)
{
    options_say (session->terminal != NULL, text);
}

static void
tell_action (const Session *session, TerminalAction action)
{
    if (session->act != NULL)
        session->act (session->user, action);
}

static void
on_terminal (void *user, TerminalAction action)
{
    Session *session = user;

    switch (action) {
    case TERMINAL_LEAVE:
        vmm_machine_stop (session->machine, "by Ctrl-A x");
        break;
    case TERMINAL_POWER_BUTTON:
        tell_action (session, action);
        vmm_machine_press_power_button (session->machine);
        break;
    case TERMINAL_BREAK:
        tell_action (session, action);
        vmm_machine_send_break (session->machine);
        break;
    case TERMINAL_HELP:
        session_say (
            session,
            "Ctrl-A then: x leave, p press the power button, b send a BREAK, a send Ctrl-A, h this help");
        break;
    }
}

static size_t
filter (void *user, uint8_t *data, size_t len)
{
    Session *session = user;

    if (session->terminal != NULL)
        len = terminal_filter (session->terminal, data, len);
    if (session->typed != NULL && len > 0)
        len = session->typed (session->user, data, len);
    return len;
}

static void
on_notice (VmmMachine *machine, const char *message, void *user)
{
    g_autofree char *text = g_strdup_printf ("note: %s", message);

    session_say (user, text);
}

static void
tell_size (Session *session)
{
    unsigned columns;
    unsigned rows;

    if (terminal_get_size (session->terminal, &columns, &rows))
        vmm_machine_set_terminal_size (session->machine, columns, rows);
}

static gboolean
on_signal (gint fd, GIOCondition condition, gpointer user)
{
    Session *session = user;
    struct signalfd_siginfo info;
    g_autofree char *reason = NULL;

    if (read (fd, &info, sizeof info) != sizeof info)
        return G_SOURCE_CONTINUE;
    if (info.ssi_signo == SIGCONT)
        terminal_resume (session->terminal);
    if (info.ssi_signo == SIGWINCH || info.ssi_signo == SIGCONT) {
        tell_size (session);
        return G_SOURCE_CONTINUE;
    }
    reason = g_strdup_printf ("by signal %s", sigabbrev_np ((int)info.ssi_signo));
    vmm_machine_stop (session->machine, reason);
    return G_SOURCE_CONTINUE;
}

static const VmmVerdict *
run_machine (Session *session, GError **error)
{
    int signal_fd = options_take_signals ();
    g_autoptr (GSource) signals = signal_fd >= 0 ? g_unix_fd_source_new (signal_fd, G_IO_IN) : NULL;
    const VmmVerdict *verdict;

    terminal_make_raw (session->terminal);
    tell_size (session);
    vmm_machine_set_notice (session->machine, on_notice, session);
    if (signals != NULL) {
        g_source_set_callback (signals, G_SOURCE_FUNC (on_signal), session, NULL);
        g_source_attach (signals, NULL);
    }
    if (session->begin != NULL)
        session->begin (session->user);
    verdict = vmm_machine_run (session->machine, error);
    if (session->output_end != NULL)
        session->output_end (session->user);
    if (signals != NULL)
        g_source_destroy (signals);
    if (signal_fd >= 0)
        close (signal_fd);
    return verdict;
}

/**
 * session_run:
 * @session: with its configuration, which gets the streams
 *
 * Boots the machine, with standard input as its console's, unless that is a terminal that is not ours. From
 * now on the process ignores SIGPIPE and SIGXFSZ.
 *
 * Returns: (nullable): the verdict, which is there until session_clear()
 */
const VmmVerdict *
session_run (Session *session, GError **error)
{
    bool input = terminal_is_ours () || !isatty (STDIN_FILENO);
    const VmmVerdict *verdict = NULL;

    /* A reader that goes away is an error of write(), not the end of the machine. */
    signal (SIGPIPE, SIG_IGN);
    /* A disk that reaches the limit of files' sizes is full for its guest, and that is all. */
    signal (SIGXFSZ, SIG_IGN);
    vmm_config_set_serial_fds (session->config, input ? STDIN_FILENO : -1, session->out_fd);
    if (vmm_config_uses_stdio (session->config))
        session->terminal = terminal_open (on_terminal, session);
    if (session->terminal != NULL || session->typed != NULL)
        vmm_config_set_input_filter (session->config, filter, session);
    session->machine = vmm_machine_new (session->config, error);
    if (session->machine != NULL)
        verdict = run_machine (session, error);
    g_clear_pointer (&session->terminal, terminal_close);
    return verdict;
}

/**
 * session_tell:
 *
 * Tells the user how the machine ended, unless it went as it should.
 */
void
session_tell (const Session *session, const VmmVerdict *verdict)
{
    if (verdict->kind == VMM_VERDICT_POWEROFF || verdict->kind == VMM_VERDICT_GUEST_EXIT)
        return;
    session_say (session, verdict->reason);
    if (verdict->report != NULL && *verdict->report != '\0')
        fputs (verdict->report, stderr);
}

/**
 * session_clear:
 *
 * Frees the machine.
 */
void
session_clear (Session *session)
{
    g_clear_pointer (&session->machine, vmm_machine_free);
}
