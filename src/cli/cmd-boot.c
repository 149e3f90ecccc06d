/* SPDX-License-Identifier: Apache-2.0 */
/* "vmm": boots a machine on the terminal, and exits with what became of it. */
#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <vmm/vmm.h>

#include "cmd.h"
#include "options.h"
#include "report.h"
#include "terminal.h"

typedef struct {
    VmmConfig *config;
    char *json_path;
    gboolean print_cmdline;
    gboolean version;
    int64_t start_ns;
    Terminal *terminal;
    VmmMachine *machine;
} Boot;

static void
say (const Boot *boot, const char *text)
{
    options_say (boot->terminal != NULL, text);
}

static bool
parse_arguments (Boot *boot, int argc, char **argv, GError **error)
{
    const GOptionEntry own[] = {
        {"json", 0, 0, G_OPTION_ARG_FILENAME, &boot->json_path, "write a report of the run to FILE", "FILE"},
        {"print-cmdline", 0, 0, G_OPTION_ARG_NONE, &boot->print_cmdline,
         "print the kernel's command line, and do not boot", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &boot->version, "print the version", NULL},
        {NULL},
    };
    g_autoptr (GOptionContext) context = g_option_context_new (NULL);

    g_option_context_set_summary (
        context,
        "Boots a virtual machine; its serial console is this terminal. Ctrl-A x leaves, "
        "Ctrl-A h tells more.\nOther commands: vmm run, vmm ctl, vmm disk, vmm doctor, vmm inspect.");
    g_option_context_set_description (
        context, "Exit codes: 0 power-off, 2 bad usage, 4 host error, 6 not bootable, 8 reboot, "
                 "10 halt, 12 panic,\n14 triple fault, 16 hang, 18 timeout, 20 CPU error, "
                 "22 stopped; odd: chosen by the guest.\n");
    g_option_context_set_main_group (context, options_new_group (boot->config, own));
    if (!options_parse (context, &argc, &argv, "vmm", error))
        return false;
    if (argc > 1) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "\"%s\" is no option: a kernel is named with --kernel; see vmm --help", argv[1]);
        return false;
    }
    return boot->json_path == NULL || report_check_path ("json", boot->json_path, error);
}

static void
on_terminal (void *user, TerminalAction action)
{
    Boot *boot = user;

    switch (action) {
    case TERMINAL_LEAVE:
        vmm_machine_stop (boot->machine, "by Ctrl-A x");
        break;
    case TERMINAL_POWER_BUTTON:
        vmm_machine_press_power_button (boot->machine);
        break;
    case TERMINAL_HELP:
        say (boot, "Ctrl-A then: x leave, p press the power button, a send Ctrl-A, h this help");
        break;
    }
}

static void
on_notice (VmmMachine *machine, const char *message, void *user)
{
    g_autofree char *text = g_strdup_printf ("note: %s", message);

    say (user, text);
}

static void
tell_size (Boot *boot)
{
    unsigned columns;
    unsigned rows;

    if (terminal_get_size (boot->terminal, &columns, &rows))
        vmm_machine_set_terminal_size (boot->machine, columns, rows);
}

static gboolean
on_signal (gint fd, GIOCondition condition, gpointer user)
{
    Boot *boot = user;
    struct signalfd_siginfo info;
    g_autofree char *reason = NULL;

    if (read (fd, &info, sizeof info) != sizeof info)
        return G_SOURCE_CONTINUE;
    if (info.ssi_signo == SIGWINCH) {
        tell_size (boot);
        return G_SOURCE_CONTINUE;
    }
    reason = g_strdup_printf ("by signal %s", sigabbrev_np ((int)info.ssi_signo));
    vmm_machine_stop (boot->machine, reason);
    return G_SOURCE_CONTINUE;
}

static const VmmVerdict *
run_machine (Boot *boot, GError **error)
{
    int signal_fd = options_take_signals ();
    g_autoptr (GSource) signals = signal_fd >= 0 ? g_unix_fd_source_new (signal_fd, G_IO_IN) : NULL;
    const VmmVerdict *verdict;

    terminal_make_raw (boot->terminal);
    tell_size (boot);
    vmm_machine_set_notice (boot->machine, on_notice, boot);
    if (signals != NULL) {
        g_source_set_callback (signals, G_SOURCE_FUNC (on_signal), boot, NULL);
        g_source_attach (signals, NULL);
    }
    verdict = vmm_machine_run (boot->machine, error);
    if (signals != NULL)
        g_source_destroy (signals);
    if (signal_fd >= 0)
        close (signal_fd);
    return verdict;
}

static const VmmVerdict *
run (Boot *boot, GError **error)
{
    bool input = terminal_is_ours () || !isatty (STDIN_FILENO);
    const VmmVerdict *verdict = NULL;

    /* A reader that goes away is an error of write(), not the end of the machine. */
    signal (SIGPIPE, SIG_IGN);
    /* A disk that reaches the limit of files' sizes is full for its guest, and that is all. */
    signal (SIGXFSZ, SIG_IGN);
    vmm_config_set_serial_fds (boot->config, input ? STDIN_FILENO : -1, STDOUT_FILENO);
    if (vmm_config_uses_stdio (boot->config))
        boot->terminal = terminal_open (on_terminal, boot);
    if (boot->terminal != NULL)
        vmm_config_set_input_filter (boot->config, terminal_filter, boot->terminal);
    boot->machine = vmm_machine_new (boot->config, error);
    if (boot->machine != NULL)
        verdict = run_machine (boot, error);
    g_clear_pointer (&boot->terminal, terminal_close);
    return verdict;
}

static void
tell (const Boot *boot, const VmmVerdict *verdict)
{
    if (verdict->kind == VMM_VERDICT_POWEROFF || verdict->kind == VMM_VERDICT_GUEST_EXIT)
        return;
    say (boot, verdict->reason);
    if (verdict->report != NULL && *verdict->report != '\0')
        fputs (verdict->report, stderr);
}

static int
boot_and_report (Boot *boot)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (GError) report_error = NULL;
    const VmmVerdict *verdict = run (boot, &error);
    int code = verdict != NULL ? verdict->exit_code : vmm_exit_code_for_error (error);

    if (verdict != NULL)
        tell (boot, verdict);
    else
        say (boot, error->message);
    if (boot->json_path != NULL) {
        bool ok = verdict != NULL
                      ? report_write_verdict (boot->json_path, verdict, boot->start_ns, &report_error)
                      : report_write_error (boot->json_path, error, &report_error);

        if (!ok) {
            say (boot, report_error->message);
            code = VMM_EXIT_HOST_ERROR;
        }
    }
    vmm_machine_free (boot->machine);
    return code;
}

static int
print_line (const Boot *boot)
{
    g_autofree char *line = vmm_config_build_cmdline (boot->config);

    if (boot->version)
        puts ("vmm " VMM_VERSION);
    else
        puts (line);
    if (fflush (stdout) == 0)
        return 0;
    fprintf (stderr, "vmm: standard output: %s\n", g_strerror (errno));
    return VMM_EXIT_HOST_ERROR;
}

/**
 * cmd_boot:
 *
 * Boots what the options say; with none of them, the built-in guest.
 */
int
cmd_boot (int argc, char **argv)
{
    Boot boot = {.start_ns = options_now_ns (), .config = vmm_config_new ()};
    g_autoptr (GError) error = NULL;
    int code;

    if (!parse_arguments (&boot, argc, argv, &error)) {
        say (&boot, error->message);
        code = VMM_EXIT_USAGE;
    } else if (boot.version || boot.print_cmdline) {
        code = print_line (&boot);
    } else {
        code = boot_and_report (&boot);
    }
    vmm_config_free (boot.config);
    g_free (boot.json_path);
    return code;
}
