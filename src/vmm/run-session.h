/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_RUN_SESSION_H
#define VMM_RUN_SESSION_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/config.h"

/**
 * VmmRunOutput:
 * @guest_path: what is sent back when the command has ended
 * @host_path: where it goes, as vmm_run_files_new() takes it
 */
typedef struct {
    char *guest_path;
    char *host_path;
} VmmRunOutput;

/**
 * VmmRunJob:
 * @argv: the command; NULL at the end
 * @env: of NAME=value
 * @outputs: of #VmmRunOutput
 * @folder: (nullable): where it begins
 * @user: (nullable): who runs it
 * @term: (nullable): a terminal is made for it, of this kind
 * @columns: of the terminal
 * @rows: of the terminal
 * @in_fd: what it reads, or -1; borrowed, as are the next two
 * @out_fd: where its output goes, or -1
 * @err_fd: where its messages go, or -1; with a terminal, nothing goes there
 * @filter: (nullable): sees the input before the command does
 * @filter_user: what it gets
 *
 * What is to be run. Borrowed by the session.
 */
typedef struct {
    char **argv;
    GPtrArray *env;
    GPtrArray *outputs;
    char *folder;
    char *user;
    char *term;
    unsigned columns;
    unsigned rows;
    int in_fd;
    int out_fd;
    int err_fd;
    VmmInputFilter filter;
    void *filter_user;
} VmmRunJob;

/**
 * VmmRunSessionEnd:
 * @greeted: the guest has spoken at all
 * @kind: a VmmRunKind of the protocol, or -1 while the command has not ended
 * @status: what belongs to it: an exit status of 0 to 255, a signal of 1 to 64, an errno up to 4095
 * @message: (nullable): of a command that was not started: why, as the guest says
 * @broken: (nullable): how the guest broke the rules; nothing is heard of it any more
 * @files_wrong: (nullable): the first file that did not come back, and why
 * @input_wrong: (nullable): why the command got no more of its input than it did
 * @output_wrong: (nullable): why a part of the command's output is lost
 * @done: the guest has said its last word, and all of its output is written
 *
 * All texts are valid UTF-8 without control characters.
 */
typedef struct {
    bool greeted;
    int kind;
    uint32_t status;
    char *message;
    char *broken;
    char *files_wrong;
    char *input_wrong;
    char *output_wrong;
    bool done;
} VmmRunSessionEnd;

typedef struct _VmmRunSession VmmRunSession;

bool vmm_run_job_check (const VmmRunJob *job, GError **error);

void vmm_run_output_free (gpointer data);

VmmRunSession *vmm_run_session_new (const VmmRunJob *job, int fd, GMainContext *context,
                                    void (*done) (void *user), void *user);
void vmm_run_session_free (VmmRunSession *session);
void vmm_run_session_resize (VmmRunSession *session, unsigned columns, unsigned rows);
bool vmm_run_session_signal (VmmRunSession *session, uint32_t number);
void vmm_run_session_hear_out (VmmRunSession *session);
bool vmm_run_session_is_complete (const VmmRunSession *session);
bool vmm_run_session_has_output (const VmmRunSession *session);
void vmm_run_session_flush (VmmRunSession *session, int64_t patience_us);
const VmmRunSessionEnd *vmm_run_session_end (const VmmRunSession *session);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmRunSession, vmm_run_session_free)

#endif
