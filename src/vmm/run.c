/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A run is a machine with three things more: an initrd that is made for it (run-initrd.c), a console port
 * named vmm.run through which vmm-init, the guest's first process, takes its orders and sends what the
 * command says (run-session.c), and a serial console that nobody sees unless something goes wrong.
 *
 * The command's end is not the machine's. When vmm-init has said its last word, file systems are clean and
 * all output is written: the machine is then ended at once, which spares the guest's kernel its way down. A
 * machine that ends before that has a verdict that tells why, and the command has no end.
 */
#include "vmm/run.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm-init/protocol.h"
#include "vmm/core/source.h"
#include "vmm/error.h"
#include "vmm/machine-internal.h"
#include "vmm/run-files.h"
#include "vmm/run-internal.h"

/* Of the console, the last so many bytes are kept. */
#define CONSOLE_MAX (256u << 10)
#define PATIENCE_US (5 * G_USEC_PER_SEC)
/* Each byte of the log costs an exit: where nobody reads it only warnings and worse are said, of which a boot
 * makes hardly any. Not "quiet", which keeps the kernel's WARNING reports back. Before the user's own words.
 */
#define WARNINGS_ONLY "loglevel=5"

static void
free_copy (gpointer data)
{
    VmmRunCopy *copy = data;

    g_free (copy->host_path);
    g_free (copy->guest_path);
    g_free (copy);
}

/**
 * vmm_run_new:
 *
 * Returns: (transfer full): a run without a command, whose streams are nowhere
 * Since: 0.1
 */
VmmRun *
vmm_run_new (void)
{
    VmmRun *run = g_new0 (VmmRun, 1);

    run->job = (VmmRunJob){.in_fd = -1, .out_fd = -1, .err_fd = -1};
    run->job.env = g_ptr_array_new_with_free_func (g_free);
    run->job.outputs = g_ptr_array_new_with_free_func (vmm_run_output_free);
    run->copies = g_ptr_array_new_with_free_func (free_copy);
    run->console = g_string_new (NULL);
    run->log_fd = -1;
    run->console_fd = -1;
    run->guest_ends[0] = run->guest_ends[1] = -1;
    run->initrds = (VmmRunInitrds){.fds = {-1, -1}};
    return run;
}

static void
close_fd (int *fd)
{
    if (*fd >= 0)
        close (*fd);
    *fd = -1;
}

/* What was made for the machine. */
static void
drop_parts (VmmRun *run)
{
    vmm_source_clear (&run->console_source);
    close_fd (&run->console_fd);
    close_fd (&run->guest_ends[0]);
    close_fd (&run->guest_ends[1]);
    vmm_run_initrds_clear (&run->initrds);
}

/**
 * vmm_run_free:
 * @run: (nullable): its machine is ended, and freed with it
 *
 * Since: 0.1
 */
void
vmm_run_free (VmmRun *run)
{
    if (run == NULL)
        return;
    vmm_machine_free (run->machine);
    vmm_run_session_free (run->session);
    drop_parts (run);
    g_strfreev (run->job.argv);
    g_ptr_array_unref (run->job.env);
    g_ptr_array_unref (run->job.outputs);
    g_ptr_array_unref (run->copies);
    g_string_free (run->console, TRUE);
    g_free (run->job.folder);
    g_free (run->job.user);
    g_free (run->job.term);
    g_free (run->root);
    g_free (run->modules);
    g_free (run->message);
    g_free (run);
}

static void
keep_console (VmmRun *run, const char *text, size_t len)
{
    size_t done = 0;

    while (run->log_fd >= 0 && done < len) {
        ssize_t n = write (run->log_fd, text + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            /* Who has closed a pipe has seen enough. */
            run->log_error = n < 0 && errno != EPIPE ? errno : 0;
            run->log_fd = -1;
        }
        done += (size_t)MAX (n, 0);
    }
    g_string_append_len (run->console, text, (gssize)len);
    /* A NUL would hide what follows. */
    for (size_t at = run->console->len - len; at < run->console->len; at++) {
        if (run->console->str[at] == '\0')
            run->console->str[at] = ' ';
    }
    if (run->console->len > 2 * CONSOLE_MAX)
        g_string_erase (run->console, 0, (gssize)(run->console->len - CONSOLE_MAX));
}

typedef enum { CONSOLE_READ, CONSOLE_EMPTY, CONSOLE_ENDED } ConsoleState;

static ConsoleState
read_console (VmmRun *run)
{
    char text[8192];
    ssize_t n = recv (run->console_fd, text, sizeof text, MSG_DONTWAIT);

    if (n > 0) {
        keep_console (run, text, (size_t)n);
        return CONSOLE_READ;
    }
    if (n < 0 && errno == EINTR)
        return CONSOLE_READ;
    return n < 0 && errno == EAGAIN ? CONSOLE_EMPTY : CONSOLE_ENDED;
}

static gboolean
on_console (gint fd, GIOCondition condition, gpointer user)
{
    VmmRun *run = user;

    if (read_console (run) != CONSOLE_ENDED)
        return G_SOURCE_CONTINUE;
    g_clear_pointer (&run->console_source, g_source_unref);
    return G_SOURCE_REMOVE;
}

/* The session is done, or cannot go on. */
static void
on_session_done (void *user)
{
    VmmRun *run = user;
    const VmmRunSessionEnd *end = vmm_run_session_end (run->session);

    if (end->broken != NULL)
        vmm_machine_stop (run->machine, end->broken);
    else
        vmm_machine_end (run->machine, VMM_VERDICT_POWEROFF, 0, g_strdup ("its command has ended"), NULL);
}

/* A pair of sockets; one end is for the machine. */
static bool
make_pair (int *ret_ours, int *ret_guests, GError **error)
{
    int pair[2];

    if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "a pair of sockets: %s", g_strerror (errno));
        return false;
    }
    *ret_ours = pair[0];
    *ret_guests = pair[1];
    return true;
}

/* The root's disk comes before the user's: /dev/vda. */
static bool
add_root_disk (VmmRun *run, VmmConfig *config, GError **error)
{
    gpointer spec;

    if (run->initrds.disk == NULL)
        return true;
    if (!vmm_config_set (config, "disk", run->initrds.disk, error))
        return false;
    spec = g_ptr_array_steal_index (config->devices, config->devices->len - 1);
    g_ptr_array_insert (config->devices, 0, spec);
    return true;
}

static bool
add_initrds (VmmRun *run, VmmConfig *config, GError **error)
{
    static const char *const names[] = {"the root", "what vmm makes"};
    VmmRunTree tree = {.root = run->root, .modules = run->modules, .copies = run->copies};

    if (!vmm_run_initrds_make (&run->initrds, &tree, config, error))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS (names); i++) {
        if (run->initrds.fds[i] >= 0)
            config->first_initrds[config->n_first_initrds++] =
                (VmmConfigInitrd){run->initrds.fds[i], names[i]};
    }
    if (run->log_fd < 0 && config->cmdline == NULL && config->serial == NULL)
        g_ptr_array_insert (config->appends, 0, g_strdup (WARNINGS_ONLY));
    config->own = "rdinit=/.vmm/init";
    return true;
}

static bool
add_consoles (VmmRun *run, VmmConfig *config, int *ret_port, GError **error)
{
    g_autofree char *port = NULL;
    g_autofree char *serial = NULL;

    if (!make_pair (ret_port, &run->guest_ends[0], error))
        return false;
    port = g_strdup_printf ("fd=%d,name=" VMM_RUN_PORT, run->guest_ends[0]);
    if (!vmm_config_set (config, "console", port, error))
        return false;
    if (config->serial != NULL)
        return true;
    if (!make_pair (&run->console_fd, &run->guest_ends[1], error))
        return false;
    serial = g_strdup_printf ("fd=%d", run->guest_ends[1]);
    return vmm_config_set (config, "serial", serial, error);
}

/* Before the command runs, not when it has made them. */
static bool
check_outputs (const VmmRun *run, GError **error)
{
    for (guint i = 0; i < run->job.outputs->len; i++) {
        const VmmRunOutput *output = run->job.outputs->pdata[i];
        g_autoptr (VmmRunFiles) files = vmm_run_files_new (output->guest_path, output->host_path, 0, error);

        if (files == NULL)
            return false;
    }
    return true;
}

/* Whether a console is to have streams that nobody has given to the machine. */
static bool
wants_streams (const VmmConfig *config)
{
    return config->serial_out < 0 &&
           ((config->serial != NULL && config->serial->stdio) || vmm_config_stdio_devices (config) > 0);
}

static bool
check (const VmmRun *run, const VmmConfig *config, GError **error)
{
    const char *wrong = NULL;

    if (run->machine != NULL) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY, "run: it has its machine already");
        return false;
    }
    if (run->job.argv == NULL || run->job.argv[0] == NULL)
        wrong = "run: there is no command: say it behind --";
    else if (config->kernel == NULL)
        wrong = "run: name a Linux kernel, with --kernel";
    else if (wants_streams (config))
        wrong = "run: standard input and output are the command's: send the console elsewhere, or use "
                "--console-log";
    else if (run->log_fd >= 0 && config->serial != NULL)
        wrong =
            "run: the kernel's log is to be written, and --serial sends it elsewhere: leave one of them out";
    if (wrong != NULL)
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_USAGE, wrong);
    return wrong == NULL && vmm_run_job_check (&run->job, error) && check_outputs (run, error);
}

/**
 * vmm_run_make_machine:
 * @run: a run that has a command
 * @config: the machine; copied. It names a Linux kernel; a reboot ends it. A serial console that goes nowhere
 *   else is the run's to keep
 * @error: an error of #VmmError that names what is wrong
 *
 * Makes the initrd and the machine. The machine does not run yet.
 *
 * Returns: (transfer none) (nullable): the machine, which is freed with the run
 * Since: 0.1
 */
VmmMachine *
vmm_run_make_machine (VmmRun *run, const VmmConfig *config, GError **error)
{
    g_autoptr (VmmConfig) own = vmm_config_copy (config);
    int port = -1;

    if (!check (run, own, error))
        return NULL;
    own->reboots = false;
    drop_parts (run); /* of an attempt that failed */
    if (!add_initrds (run, own, error) || !add_root_disk (run, own, error) ||
        !add_consoles (run, own, &port, error)) {
        close_fd (&port);
        return NULL;
    }
    run->machine = vmm_machine_new (own, error);
    if (run->machine == NULL) {
        close_fd (&port);
        return NULL;
    }
    run->session = vmm_run_session_new (&run->job, port, run->machine->context, on_session_done, run);
    if (run->console_fd >= 0)
        run->console_source =
            vmm_source_watch_fd (run->machine->context, run->console_fd, G_IO_IN | G_IO_HUP, on_console, run);
    return run->machine;
}

/* Why the guest has not told all of the command's end. */
static char *
explain (const VmmRun *run, const VmmRunSessionEnd *end, const VmmVerdict *verdict)
{
    if (end->broken != NULL)
        return g_strdup (end->broken);
    if (verdict->kind != VMM_VERDICT_POWEROFF)
        return g_strdup (verdict->reason);
    if (end->kind >= 0)
        return g_strdup ("the guest powered off before all of its command's output had come");
    if (end->greeted)
        return g_strdup ("the guest powered off before its command had ended");
    if (run->initrds.has_modules)
        return g_strdup (
            "the guest's init found no virtio console: the kernel has no driver for it, and none "
            "is among its modules");
    return g_strdup (
        "the guest's init found no virtio console: the kernel has no driver for it built in, and "
        "no modules are beside it: name them with --modules");
}

static void
set_command_end (VmmRun *run, const VmmRunSessionEnd *end)
{
    VmmRunResult *result = &run->result;

    switch (end->kind) {
    case VMM_RUN_EXITED:
        result->end = VMM_COMMAND_EXITED;
        result->exit_code = (int)end->status;
        break;
    case VMM_RUN_SIGNALLED:
        result->end = VMM_COMMAND_SIGNALLED;
        result->exit_code = 128 + (int)end->status;
        break;
    case VMM_RUN_NOT_STARTED:
        result->end = VMM_COMMAND_NOT_STARTED;
        result->exit_code = end->status == ENOENT ? 127 : 126;
        run->message = *end->message != '\0' ? g_strdup (end->message)
                                             : g_strdup_printf ("the command cannot be started: %s",
                                                                g_strerror ((int)end->status));
        break;
    default:
        return;
    }
    result->status = (int)end->status;
}

/* A command that failed has a code that says more than what befell its output. */
static void
add_failure (VmmRun *run, const char *why, int exit_code)
{
    if (run->message == NULL)
        run->message = g_strdup (why);
    if (run->result.exit_code == 0)
        run->result.exit_code = exit_code;
}

/* Beside what else went wrong: then the log is missed. */
static void
add_log_failure (VmmRun *run)
{
    g_autofree char *first = run->message != NULL ? g_strconcat (run->message, "; ", NULL) : g_strdup ("");
    g_autofree char *why =
        g_strdup_printf ("%sthe kernel's log cannot be written: %s", first, g_strerror (run->log_error));

    g_clear_pointer (&run->message, g_free);
    add_failure (run, why, VMM_EXIT_HOST_ERROR);
}

static void
judge (VmmRun *run, const VmmVerdict *verdict)
{
    const VmmRunSessionEnd *end = vmm_run_session_end (run->session);

    run->result = (VmmRunResult){.verdict = verdict, .files_failed = end->files_wrong != NULL};
    g_clear_pointer (&run->message, g_free);
    set_command_end (run, end);
    if (end->kind < 0 || !vmm_run_session_is_complete (run->session)) {
        g_autofree char *why = explain (run, end, verdict);
        bool told = end->broken == NULL && verdict->exit_code != 0;

        add_failure (run, why, told ? verdict->exit_code : VMM_EXIT_NO_END);
    }
    if (end->input_wrong != NULL)
        add_failure (run, end->input_wrong, VMM_EXIT_HOST_ERROR);
    if (end->output_wrong != NULL)
        add_failure (run, end->output_wrong, VMM_EXIT_HOST_ERROR);
    if (end->files_wrong != NULL)
        add_failure (run, end->files_wrong, VMM_EXIT_HOST_ERROR);
    /* The machine may have failed after the command: what it wrote to a disk is lost. */
    if (verdict->kind == VMM_VERDICT_HOST_ERROR)
        add_failure (run, verdict->reason, verdict->exit_code);
    if (run->log_error != 0)
        add_log_failure (run);
    run->result.message = run->message;
}

/**
 * vmm_run_wait:
 * @run: a run whose machine was made
 * @error: %VMM_ERROR_HOST: the machine could not be started; %VMM_ERROR_USAGE: there is none
 *
 * Starts the machine if it was not, runs its context until it has ended, and writes the rest of the command's
 * output. A reader of that which stands still is waited for, as any program would; but not when the machine
 * ended by itself, or by vmm_run_stop().
 *
 * Returns: (transfer none) (nullable): how it ended
 * Since: 0.1
 */
const VmmRunResult *
vmm_run_wait (VmmRun *run, GError **error)
{
    const VmmVerdict *verdict;

    if (run->machine == NULL) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "run: it has no machine yet");
        return NULL;
    }
    verdict = vmm_machine_run (run->machine, error);
    if (verdict == NULL)
        return NULL;
    vmm_run_session_hear_out (run->session);
    while (!run->stopped && vmm_run_session_is_complete (run->session) &&
           vmm_run_session_has_output (run->session))
        g_main_context_iteration (run->machine->context, TRUE);
    vmm_run_session_flush (run->session, run->stopped ? 0 : PATIENCE_US);
    while (run->console_fd >= 0 && read_console (run) == CONSOLE_READ)
        ;
    judge (run, verdict);
    return &run->result;
}

/**
 * vmm_run_stop:
 * @run: a run
 * @reason: (nullable): who or what stops it, for the verdict
 *
 * Ends the machine, unless it has ended, without asking the guest; and vmm_run_wait() waits for nobody who
 * does not read the command's output.
 *
 * Since: 0.1
 */
void
vmm_run_stop (VmmRun *run, const char *reason)
{
    run->stopped = true;
    if (run->machine != NULL)
        vmm_machine_stop (run->machine, reason);
}

/**
 * vmm_run_resize_terminal:
 * @run: a run with a terminal
 * @columns: that it has now
 * @rows: the same
 *
 * Since: 0.1
 */
void
vmm_run_resize_terminal (VmmRun *run, unsigned columns, unsigned rows)
{
    if (run->session != NULL)
        vmm_run_session_resize (run->session, columns, rows);
}

/**
 * vmm_run_send_signal:
 * @run: a run
 * @number: of a signal, for the command and its children
 *
 * Returns: false when there is no command yet, or none any more
 * Since: 0.1
 */
bool
vmm_run_send_signal (VmmRun *run, int number)
{
    return run->session != NULL && number > 0 && vmm_run_session_signal (run->session, (uint32_t)number);
}

/**
 * vmm_run_get_console:
 * @run: a run
 *
 * Returns: (transfer full): the last part of what the guest's kernel said on its serial console, as far as
 *   that did not go elsewhere: bytes as they came, but blanks for NULs
 * Since: 0.1
 */
char *
vmm_run_get_console (const VmmRun *run)
{
    size_t skip = run->console->len > CONSOLE_MAX ? run->console->len - CONSOLE_MAX : 0;

    return g_strdup (run->console->str + skip);
}

/**
 * vmm_command_end_to_string:
 * @end: how a command ended
 *
 * Returns: (transfer none): a stable name for programs, such as "exited"
 * Since: 0.1
 */
const char *
vmm_command_end_to_string (VmmCommandEnd end)
{
    static const char *const names[] = {"unknown", "exited", "signalled", "not-started"};

    return end < G_N_ELEMENTS (names) ? names[end] : "unknown";
}
