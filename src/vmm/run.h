/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One command in a guest of its own: the kernel is booted with an initrd that is made on the fly, and what
 * the command reads, writes and ends with is the caller's, as if it had run here.
 */
#ifndef VMM_RUN_H
#define VMM_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "vmm/config.h"
#include "vmm/export.h"
#include "vmm/machine.h"
#include "vmm/verdict.h"

G_BEGIN_DECLS

/**
 * VmmRun:
 *
 * A command, and the machine that it runs in. All calls are made on the thread that runs the GMainContext
 * which was its default when vmm_run_make_machine() was called.
 */
typedef struct _VmmRun VmmRun;

/**
 * VmmCommandEnd:
 * @VMM_COMMAND_UNKNOWN: the machine ended first: its verdict says how
 * @VMM_COMMAND_EXITED: it exited, with a status
 * @VMM_COMMAND_SIGNALLED: a signal ended it
 * @VMM_COMMAND_NOT_STARTED: it could not be started; there is a message
 *
 * How a command ended. The numbers are stable.
 */
typedef enum {
    VMM_COMMAND_UNKNOWN,
    VMM_COMMAND_EXITED,
    VMM_COMMAND_SIGNALLED,
    VMM_COMMAND_NOT_STARTED,
} VmmCommandEnd;

/**
 * VmmRunResult:
 * @end: how the command ended
 * @status: its exit status; the number of the signal; or the errno of the start (as Linux counts)
 * @message: (nullable): one line for people: why it was not started, why there is no end, which file did not
 * come back, or why output is lost
 * @exit_code: what a program should exit with: the command's status, 128 and the signal's number, 127 for a
 * command that is not there and 126 for one that cannot be started; else one of the codes in vmm(1)
 * @files_failed: at least one file that was to come back did not
 * @verdict: how the machine ended
 *
 * All about the end. It belongs to its run. Members may be added at the end.
 */
typedef struct {
    VmmCommandEnd end;
    int status;
    const char *message;
    int exit_code;
    bool files_failed;
    const VmmVerdict *verdict;
} VmmRunResult;

VMM_EXPORT VmmRun *vmm_run_new (void);
VMM_EXPORT void vmm_run_free (VmmRun *run);
VMM_EXPORT void vmm_run_set_command (VmmRun *run, const char *const *argv);
VMM_EXPORT void vmm_run_set_folder (VmmRun *run, const char *path);
VMM_EXPORT void vmm_run_set_user (VmmRun *run, const char *user);
VMM_EXPORT bool vmm_run_add_env (VmmRun *run, const char *assignment, GError **error);
VMM_EXPORT void vmm_run_set_root (VmmRun *run, const char *path);
VMM_EXPORT void vmm_run_set_modules (VmmRun *run, const char *path);
VMM_EXPORT bool vmm_run_add_copy (VmmRun *run, const char *host_path, const char *guest_path, GError **error);
VMM_EXPORT bool vmm_run_add_output (VmmRun *run, const char *guest_path, const char *host_path,
                                    GError **error);
VMM_EXPORT void vmm_run_set_streams (VmmRun *run, int in_fd, int out_fd, int err_fd);
VMM_EXPORT void vmm_run_set_input_filter (VmmRun *run, VmmInputFilter filter, void *user);
VMM_EXPORT void vmm_run_set_terminal (VmmRun *run, unsigned columns, unsigned rows, const char *term);
VMM_EXPORT void vmm_run_set_console_log (VmmRun *run, int fd);
VMM_EXPORT VmmMachine *vmm_run_make_machine (VmmRun *run, const VmmConfig *config, GError **error);
VMM_EXPORT const VmmRunResult *vmm_run_wait (VmmRun *run, GError **error);
VMM_EXPORT void vmm_run_stop (VmmRun *run, const char *reason);
VMM_EXPORT void vmm_run_resize_terminal (VmmRun *run, unsigned columns, unsigned rows);
VMM_EXPORT bool vmm_run_send_signal (VmmRun *run, int number);
VMM_EXPORT char *vmm_run_get_console (const VmmRun *run);
VMM_EXPORT const char *vmm_command_end_to_string (VmmCommandEnd end);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmRun, vmm_run_free)

G_END_DECLS

#endif
