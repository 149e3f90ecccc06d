/* SPDX-License-Identifier: Apache-2.0 */
/* "vmm run": one command in a guest of its own. Its exit status is vmm's. */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <vmm/vmm.h>

#include "cmd.h"
#include "options.h"
#include "report.h"
#include "terminal.h"

/* Of the kernel's log, where the user has not asked for all of it. */
#define LOG_LINES 60u

typedef struct {
    VmmConfig *config;
    VmmRun *run;
    VmmMachine *machine; /* the run's; NULL: not made yet */
    Terminal *terminal;
    char *json_path;
    char *log_path;
    char *root;
    char *modules;
    char *folder;
    char *user;
    char **copies;
    char **outputs;
    char **env;
    gboolean no_tty;
    int log_fd;
    int64_t start_ns;
    bool interrupted; /* once, by a signal */
} Run;

static void
say (const Run *run, const char *text)
{
    options_say (run->terminal != NULL, text);
}

/* A:B, of which both are there; the last colon divides. */
static bool
split (const char *key, const char *value, char **ret_first, char **ret_second, GError **error)
{
    const char *colon = strrchr (value, ':');

    if (colon == NULL || colon == value || colon[1] == '\0') {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s \"%s\": say %s", key, value,
                     strcmp (key, "copy") == 0 ? "SOURCE:DESTINATION, the second one in the guest"
                                               : "SOURCE:DESTINATION, the first one in the guest");
        return false;
    }
    *ret_first = g_strndup (value, (gsize)(colon - value));
    *ret_second = g_strdup (colon + 1);
    return true;
}

static bool
apply_paths (Run *run, GError **error)
{
    for (char **copy = run->copies; copy != NULL && *copy != NULL; copy++) {
        g_autofree char *from = NULL;
        g_autofree char *to = NULL;

        if (!split ("copy", *copy, &from, &to, error) || !vmm_run_add_copy (run->run, from, to, error))
            return false;
    }
    for (char **output = run->outputs; output != NULL && *output != NULL; output++) {
        g_autofree char *from = NULL;
        g_autofree char *to = NULL;

        if (!split ("out", *output, &from, &to, error) || !vmm_run_add_output (run->run, from, to, error))
            return false;
    }
    for (char **env = run->env; env != NULL && *env != NULL; env++) {
        if (!vmm_run_add_env (run->run, *env, error))
            return false;
    }
    vmm_run_set_root (run->run, run->root);
    vmm_run_set_modules (run->run, run->modules);
    vmm_run_set_folder (run->run, run->folder);
    vmm_run_set_user (run->run, run->user);
    return true;
}

static bool
parse_arguments (Run *run, int argc, char **argv, GError **error)
{
    const GOptionEntry own[] = {
        {"root", 0, 0, G_OPTION_ARG_FILENAME, &run->root,
         "the guest's root: a folder, an archive or an image [busybox]", "PATH"},
        {"modules", 0, 0, G_OPTION_ARG_FILENAME, &run->modules,
         "the kernel's modules: a folder or a .deb [beside the kernel]", "PATH"},
        {"copy", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &run->copies, "put a file or a folder into the guest",
         "SRC:DST"},
        {"out", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &run->outputs,
         "get a file or a folder of the guest back at the end", "SRC:DST"},
        /* These are the guest's, and any bytes: what they mean here in the user's locale does not matter. */
        {"env", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &run->env, "set a variable for the command", "NAME=VALUE"},
        {"cwd", 0, 0, G_OPTION_ARG_FILENAME, &run->folder, "where the command begins [/]", "FOLDER"},
        {"user", 0, 0, G_OPTION_ARG_FILENAME, &run->user, "who runs the command [root]", "USER[:GROUP]"},
        {"no-tty", 0, 0, G_OPTION_ARG_NONE, &run->no_tty, "no terminal for the command", NULL},
        {"console-log", 0, 0, G_OPTION_ARG_FILENAME, &run->log_path, "write the kernel's log to FILE",
         "FILE"},
        {"json", 0, 0, G_OPTION_ARG_FILENAME, &run->json_path, "write a report of the run to FILE", "FILE"},
        {NULL},
    };
    g_autoptr (GOptionContext) context = g_option_context_new ("[--] COMMAND [ARGUMENT…]");
    char **command = argv + 1;

    g_option_context_set_summary (
        context, "Boots a kernel, runs one command in the guest, and ends with its exit status.");
    g_option_context_set_description (
        context, "Exit codes: the command's own; 128 and the number of the signal that ended it; 127 when it "
                 "is not there,\n126 when it cannot be started; 24 when it has no end, and else the codes of "
                 "vmm.\n");
    g_option_context_set_strict_posix (context, TRUE);
    g_option_context_set_main_group (context, options_new_group (run->config, own));
    if (!options_parse (context, &argc, &argv, "vmm run", error))
        return false;
    if (*command != NULL && strcmp (*command, "--") == 0)
        command++;
    vmm_run_set_command (run->run, (const char *const *)command);
    return apply_paths (run, error) &&
           (run->json_path == NULL || report_check_path ("json", run->json_path, error));
}

static bool
open_log (Run *run, GError **error)
{
    if (run->log_path == NULL)
        return true;
    run->log_fd = open (run->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    if (run->log_fd < 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "console-log \"%s\": %s", run->log_path,
                     g_strerror (errno));
        return false;
    }
    vmm_run_set_console_log (run->run, run->log_fd);
    return true;
}

static void
on_terminal (void *user, TerminalAction action)
{
    Run *run = user;

    switch (action) {
    case TERMINAL_LEAVE:
        vmm_run_stop (run->run, "by Ctrl-A x");
        break;
    case TERMINAL_POWER_BUTTON:
        vmm_machine_press_power_button (run->machine);
        break;
    case TERMINAL_BREAK: /* the terminal is the command's, and no serial line */
        break;
    case TERMINAL_HELP:
        say (run, "Ctrl-A then: x leave, p press the power button, a send Ctrl-A, h this help");
        break;
    }
}

static void
on_notice (VmmMachine *machine, const char *message, void *user)
{
    g_autofree char *text = g_strdup_printf ("note: %s", message);

    say (user, text);
}

/* The first one is the command's; who means vmm says it again. */
static gboolean
on_signal (gint fd, GIOCondition condition, gpointer user)
{
    Run *run = user;
    struct signalfd_siginfo info;
    g_autofree char *reason = NULL;
    unsigned columns, rows;

    if (read (fd, &info, sizeof info) != sizeof info)
        return G_SOURCE_CONTINUE;
    if (info.ssi_signo == SIGCONT)
        terminal_resume (run->terminal);
    if (info.ssi_signo == SIGWINCH || info.ssi_signo == SIGCONT) {
        if (terminal_get_size (run->terminal, &columns, &rows))
            vmm_run_resize_terminal (run->run, columns, rows);
        return G_SOURCE_CONTINUE;
    }
    if (!run->interrupted && vmm_run_send_signal (run->run, (int)info.ssi_signo)) {
        run->interrupted = true;
        return G_SOURCE_CONTINUE;
    }
    reason = g_strdup_printf ("by signal %s", sigabbrev_np ((int)info.ssi_signo));
    vmm_run_stop (run->run, reason);
    return G_SOURCE_CONTINUE;
}

/* A terminal for the command where people are at both ends of it. */
static void
set_streams (Run *run)
{
    bool has_input = terminal_is_ours () || !isatty (STDIN_FILENO);
    const char *term = g_getenv ("TERM");
    unsigned columns = 80, rows = 24;

    options_allow_closed_stdout ();
    vmm_run_set_streams (run->run, has_input ? STDIN_FILENO : -1, STDOUT_FILENO, STDERR_FILENO);
    if (run->no_tty || !terminal_is_ours () || !isatty (STDOUT_FILENO))
        return;
    run->terminal = terminal_open (on_terminal, run);
    if (run->terminal == NULL)
        return;
    terminal_get_size (run->terminal, &columns, &rows);
    vmm_run_set_terminal (run->run, columns, rows, term != NULL ? term : "linux");
    vmm_run_set_input_filter (run->run, terminal_filter, run->terminal);
}

static const VmmRunResult *
wait_for_end (Run *run, GError **error)
{
    int signal_fd = options_take_signals ();
    g_autoptr (GSource) signals = signal_fd >= 0 ? g_unix_fd_source_new (signal_fd, G_IO_IN) : NULL;
    const VmmRunResult *result;

    terminal_make_raw (run->terminal);
    vmm_machine_set_notice (run->machine, on_notice, run);
    if (signals != NULL) {
        g_source_set_callback (signals, G_SOURCE_FUNC (on_signal), run, NULL);
        g_source_attach (signals, NULL);
    }
    result = vmm_run_wait (run->run, error);
    if (signals != NULL)
        g_source_destroy (signals);
    if (signal_fd >= 0)
        close (signal_fd);
    return result;
}

static const VmmRunResult *
run_command (Run *run, GError **error)
{
    const VmmRunResult *result = NULL;

    /* A reader that goes away is the command's affair. */
    signal (SIGPIPE, SIG_IGN);
    signal (SIGXFSZ, SIG_IGN);
    if (!open_log (run, error))
        return NULL;
    set_streams (run);
    run->machine = vmm_run_make_machine (run->run, run->config, error);
    if (run->machine != NULL)
        result = wait_for_end (run, error);
    g_clear_pointer (&run->terminal, terminal_close);
    return result;
}

/* What a guest says, in valid UTF-8, does nothing to the terminal. */
static char *
clean (const char *text)
{
    GString *harmless = g_string_new (NULL);

    for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p)) {
        if (!g_unichar_iscntrl (g_utf8_get_char (p)) || *p == '\n' || *p == '\t')
            g_string_append_len (harmless, p, g_utf8_next_char (p) - p);
    }
    return g_string_free (harmless, FALSE);
}

static void
show_text (const char *heading, const char *text)
{
    g_autofree char *first = clean (heading);
    g_autofree char *rest = clean (text);
    size_t len = strlen (rest);

    fprintf (stderr, "--- %s ---\n%s%s---\n", first, rest, len > 0 && rest[len - 1] != '\n' ? "\n" : "");
}

/* The last lines of the kernel's log. */
static void
show_log (const Run *run)
{
    g_autofree char *bytes = vmm_run_get_console (run->run);
    g_autofree char *console = g_utf8_make_valid (bytes, -1);
    const char *from = console + strlen (console);

    if (run->log_path != NULL || *console == '\0')
        return;
    for (unsigned lines = 0; from > console; from--) {
        if (from[-1] == '\n' && lines++ == LOG_LINES)
            break;
    }
    show_text ("the end of the kernel's log", from);
}

/* Whatever the command made of it: a kernel in trouble is nobody's success. */
static void
show_reports (const Run *run, const VmmVerdict *verdict)
{
    for (size_t i = 0; i < verdict->n_kernel_reports; i++) {
        const VmmKernelReport *report = &verdict->kernel_reports[i];
        g_autofree char *summary = clean (report->summary);
        g_autofree char *text = NULL;

        if (run->log_path == NULL) {
            text = g_strdup_printf ("the guest's kernel reports: %s", summary);
            show_text (text, report->text);
        } else {
            text = g_strdup_printf ("note: the guest's kernel reports, at line %" G_GUINT64_FORMAT
                                    " of its log: %s",
                                    report->line, summary);
            say (run, text);
        }
    }
}

static void
tell (const Run *run, const VmmRunResult *result)
{
    show_reports (run, result->verdict);
    if (result->message == NULL)
        return;
    if (result->end == VMM_COMMAND_UNKNOWN) {
        if (result->verdict->n_kernel_reports == 0)
            show_log (run);
        if (result->verdict->report != NULL)
            fputs (result->verdict->report, stderr);
    }
    say (run, result->message);
}

static int
run_and_report (Run *run)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (GError) report_error = NULL;
    const VmmRunResult *result = run_command (run, &error);
    int code = result != NULL ? result->exit_code : vmm_exit_code_for_error (error);

    if (result != NULL)
        tell (run, result);
    else
        say (run, error->message);
    if (run->json_path != NULL) {
        bool ok = result != NULL ? report_write_run (run->json_path, result, run->start_ns, &report_error)
                                 : report_write_error (run->json_path, error, &report_error);

        if (!ok) {
            say (run, report_error->message);
            /* As for all that goes wrong beside the command: its own code says more. */
            code = code != 0 ? code : VMM_EXIT_HOST_ERROR;
        }
    }
    return code;
}

static void
clear (Run *run)
{
    vmm_run_free (run->run);
    vmm_config_free (run->config);
    if (run->log_fd >= 0)
        close (run->log_fd);
    g_free (run->json_path);
    g_free (run->log_path);
    g_free (run->root);
    g_free (run->modules);
    g_free (run->folder);
    g_free (run->user);
    g_strfreev (run->copies);
    g_strfreev (run->outputs);
    g_strfreev (run->env);
}

/**
 * cmd_run:
 *
 * Runs a command in a guest of its own.
 */
int
cmd_run (int argc, char **argv)
{
    Run run = {
        .start_ns = options_now_ns (), .config = vmm_config_new (), .run = vmm_run_new (), .log_fd = -1};
    g_autoptr (GError) error = NULL;
    int code;

    g_set_prgname ("vmm run");
    if (parse_arguments (&run, argc, argv, &error)) {
        code = run_and_report (&run);
    } else {
        say (&run, error->message);
        code = VMM_EXIT_USAGE;
    }
    clear (&run);
    return code;
}
