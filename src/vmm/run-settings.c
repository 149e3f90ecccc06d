/* SPDX-License-Identifier: Apache-2.0 */
/* What a run is told before it has a machine. See run.c. */
#include <string.h>

#include "vmm/error.h"
#include "vmm/run-internal.h"

static void
set_text (char **text, const char *value)
{
    g_free (*text);
    *text = g_strdup (value);
}

/**
 * vmm_run_set_command:
 * @run: a run
 * @argv: (array zero-terminated=1): the command, as execvp() takes it in the guest, and its arguments; at
 *   least one, copied
 *
 * Since: 0.1
 */
void
vmm_run_set_command (VmmRun *run, const char *const *argv)
{
    g_strfreev (run->job.argv);
    run->job.argv = g_strdupv ((char **)argv);
}

/**
 * vmm_run_set_folder:
 * @run: a run
 * @path: (nullable): the command's working directory in the guest; NULL is the root
 *
 * Since: 0.1
 */
void
vmm_run_set_folder (VmmRun *run, const char *path)
{
    set_text (&run->job.folder, path);
}

/**
 * vmm_run_set_user:
 * @run: a run
 * @user: (nullable): who runs the command: a name that the guest knows or a number, and a group after a colon
 *   if wanted; NULL is root
 *
 * Since: 0.1
 */
void
vmm_run_set_user (VmmRun *run, const char *user)
{
    set_text (&run->job.user, user);
}

/**
 * vmm_run_add_env:
 * @run: a run
 * @assignment: NAME=value, for the command's environment; a later one of the same name holds
 * @error: %VMM_ERROR_USAGE
 *
 * Returns: false when there is no name
 * Since: 0.1
 */
bool
vmm_run_add_env (VmmRun *run, const char *assignment, GError **error)
{
    const char *equals = strchr (assignment, '=');

    if (equals == NULL || equals == assignment) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "env \"%s\": say NAME=value", assignment);
        return false;
    }
    for (guint i = 0; i < run->job.env->len; i++) {
        if (strncmp (run->job.env->pdata[i], assignment, (size_t)(equals - assignment) + 1) == 0)
            g_ptr_array_remove_index (run->job.env, i--);
    }
    g_ptr_array_add (run->job.env, g_strdup (assignment));
    return true;
}

/**
 * vmm_run_set_root:
 * @run: a run
 * @path: (nullable): the guest's root: a folder, an archive (tar or cpio, compressed in any way) or a disk's
 *   image (raw or qcow2), which is not changed; NULL is busybox of the host
 *
 * Since: 0.1
 */
void
vmm_run_set_root (VmmRun *run, const char *path)
{
    set_text (&run->root, path);
}

/**
 * vmm_run_set_modules:
 * @run: a run
 * @path: (nullable): where the kernel's modules are: a folder or a Debian package; NULL: they are looked for
 *   beside the kernel
 *
 * Since: 0.1
 */
void
vmm_run_set_modules (VmmRun *run, const char *path)
{
    set_text (&run->modules, path);
}

static bool
check_guest_path (const char *key, const char *path, GError **error)
{
    if (g_path_is_absolute (path))
        return true;
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s \"%s\": a path in the guest begins with a slash", key,
                 path);
    return false;
}

/**
 * vmm_run_add_copy:
 * @run: a run
 * @host_path: a file, or a folder with all that is in it
 * @guest_path: where the guest is to have it; below it, when it ends in a slash
 * @error: %VMM_ERROR_USAGE
 *
 * Returns: false when @guest_path does not begin at the root
 * Since: 0.1
 */
bool
vmm_run_add_copy (VmmRun *run, const char *host_path, const char *guest_path, GError **error)
{
    VmmRunCopy copy = {0};

    if (!check_guest_path ("copy", guest_path, error))
        return false;
    copy = (VmmRunCopy){g_strdup (host_path), g_strdup (guest_path)};
    g_ptr_array_add (run->copies, g_memdup2 (&copy, sizeof copy));
    return true;
}

/**
 * vmm_run_add_output:
 * @run: a run
 * @guest_path: a file or a folder of the guest, which comes back when the command has ended
 * @host_path: where it goes: below it, when it is a folder that exists
 * @error: %VMM_ERROR_USAGE
 *
 * Returns: false when @guest_path does not begin at the root
 * Since: 0.1
 */
bool
vmm_run_add_output (VmmRun *run, const char *guest_path, const char *host_path, GError **error)
{
    VmmRunOutput output = {0};

    if (!check_guest_path ("out", guest_path, error))
        return false;
    output = (VmmRunOutput){g_strdup (guest_path), g_strdup (host_path)};
    g_ptr_array_add (run->job.outputs, g_memdup2 (&output, sizeof output));
    return true;
}

/**
 * vmm_run_set_streams:
 * @run: a run
 * @in_fd: what the command reads, or -1 for nothing
 * @out_fd: where its standard output goes, or -1 for nowhere
 * @err_fd: where its standard error goes, or -1
 *
 * Borrowed, and open until the run is freed. Their flags stay as they are.
 *
 * Since: 0.1
 */
void
vmm_run_set_streams (VmmRun *run, int in_fd, int out_fd, int err_fd)
{
    run->job.in_fd = in_fd;
    run->job.out_fd = out_fd;
    run->job.err_fd = err_fd;
}

/**
 * vmm_run_set_input_filter:
 * @run: a run
 * @filter: (nullable): sees the input before the command does
 * @user: what it gets
 *
 * Since: 0.1
 */
void
vmm_run_set_input_filter (VmmRun *run, VmmInputFilter filter, void *user)
{
    run->job.filter = filter;
    run->job.filter_user = user;
}

/**
 * vmm_run_set_terminal:
 * @run: a run
 * @columns: of the terminal
 * @rows: of the terminal
 * @term: (nullable): its kind, as in the variable TERM; NULL for no terminal
 *
 * The command gets a terminal of its own, and all that it says goes to its standard output.
 *
 * Since: 0.1
 */
void
vmm_run_set_terminal (VmmRun *run, unsigned columns, unsigned rows, const char *term)
{
    set_text (&run->job.term, term);
    run->job.columns = columns;
    run->job.rows = rows;
}

/**
 * vmm_run_set_console_log:
 * @run: a run
 * @fd: where the serial console's text goes, or -1; borrowed
 *
 * A file, as a rule: a reader that stands still holds up the guest. The machine has then no serial console of
 * its own.
 *
 * Since: 0.1
 */
void
vmm_run_set_console_log (VmmRun *run, int fd)
{
    run->log_fd = fd;
}
