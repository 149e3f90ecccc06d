/* SPDX-License-Identifier: Apache-2.0 */
/* "vmm": boots a machine on the terminal, and exits with what became of it. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <vmm/vmm.h>

#include "cmd.h"
#include "options.h"
#include "report.h"
#include "session.h"

typedef struct {
    VmmConfig *config;
    char *json_path;
    gboolean print_cmdline;
    gboolean version;
    int64_t start_ns;
} Boot;

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
        context, "Boots a virtual machine; its serial console is this terminal. Ctrl-A x leaves, "
                 "Ctrl-A h tells more.\nOther commands: vmm run, vmm test, vmm record, vmm ctl, vmm disk, "
                 "vmm kernel, vmm inspect, vmm doctor.");
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

static int
boot_and_report (Boot *boot)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (GError) report_error = NULL;
    Session session = {.config = boot->config, .out_fd = STDOUT_FILENO};
    const VmmVerdict *verdict;
    int code;

    options_allow_closed_stdout ();
    verdict = session_run (&session, &error);
    code = verdict != NULL ? verdict->exit_code : vmm_exit_code_for_error (error);
    if (verdict != NULL)
        session_tell (&session, verdict);
    else
        options_say (false, error->message);
    if (boot->json_path != NULL) {
        bool ok = verdict != NULL
                      ? report_write_verdict (boot->json_path, verdict, boot->start_ns, &report_error)
                      : report_write_error (boot->json_path, error, &report_error);

        if (!ok) {
            options_say (false, report_error->message);
            code = VMM_EXIT_HOST_ERROR;
        }
    }
    session_clear (&session);
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
        options_say (false, error->message);
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
