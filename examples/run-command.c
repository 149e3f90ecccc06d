/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a command that nobody vouches for, in a guest of its own, and shows no more of it than it may show.
 *
 *     run-command KERNEL FOLDER COMMAND [ARGUMENT...]
 *
 * KERNEL is a Linux kernel whose modules lie beside it. The command finds a copy of FOLDER as its working
 * directory, has no network and no input, and a minute to end; what it says is gathered here, up to a limit.
 * FOLDER itself is never written.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* memfd_create() */
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vmm/vmm.h>

#define OUTPUT_MAX (1 << 20)

/* The machine: small, and not for long. */
static VmmConfig *
make_config (const char *kernel, GError **error)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();

    if (!vmm_config_set (config, "kernel", kernel, error) || !vmm_config_set (config, "mem", "512M", error) ||
        !vmm_config_set (config, "timeout", "60", error))
        return NULL;
    return (VmmConfig *)g_steal_pointer (&config);
}

/* The command: its output goes to a file in memory, which cannot grow beyond the limit. */
static bool
describe (VmmRun *run, const char *folder, char **command, int output, GError **error)
{
    vmm_run_set_command (run, (const char *const *)command);
    vmm_run_set_folder (run, "/work");
    vmm_run_set_streams (run, -1, output, output);
    return vmm_run_add_copy (run, folder, "/work", error);
}

static int
make_output (void)
{
    int fd = memfd_create ("output", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    /* Sealed at its full size: a write behind that fails, as on a full disk. */
    if (fd >= 0 && (ftruncate (fd, OUTPUT_MAX) < 0 || fcntl (fd, F_ADD_SEALS, F_SEAL_GROW) < 0)) {
        close (fd);
        fd = -1;
    }
    return fd;
}

/* What an untrusted program says does nothing to the terminal. */
static void
show (int output)
{
    off_t len = lseek (output, 0, SEEK_CUR);
    char *text = g_malloc0 ((size_t)len + 1);

    if (pread (output, text, (size_t)len, 0) == len) {
        for (off_t i = 0; i < len; i++) {
            bool plain = (text[i] >= ' ' && text[i] < 0x7f) || text[i] == '\n' || text[i] == '\t';

            putchar (plain ? text[i] : '?');
        }
    }
    g_free (text);
}

static int
run_command (const char *kernel, const char *folder, char **command, int output, GError **error)
{
    g_autoptr (VmmConfig) config = make_config (kernel, error);
    g_autoptr (VmmRun) run = vmm_run_new ();
    const VmmRunResult *result = NULL;

    if (config != NULL && describe (run, folder, command, output, error) &&
        vmm_run_make_machine (run, config, error) != NULL)
        result = vmm_run_wait (run, error);
    if (result == NULL)
        return -1;
    show (output);
    fprintf (stderr, "run-command: %s, status %d%s%s\n", vmm_command_end_to_string (result->end),
             result->status, result->message != NULL ? ": " : "",
             result->message != NULL ? result->message : "");
    return result->exit_code;
}

int
main (int argc, char **argv)
{
    g_autoptr (GError) error = NULL;
    int output = make_output ();
    int code;

    if (argc < 4 || output < 0) {
        fprintf (stderr, "run-command: %s\n",
                 argc < 4 ? "say run-command KERNEL FOLDER COMMAND [ARGUMENT...]" : strerror (errno));
        return 2;
    }
    code = run_command (argv[1], argv[2], argv + 3, output, &error);
    if (code < 0) {
        fprintf (stderr, "run-command: %s\n", error->message);
        code = vmm_exit_code_for_error (error);
    }
    close (output);
    return code;
}
