/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a session share: run-session.c and run-session-input.c speak, the others
 * listen. */
#ifndef VMM_RUN_SESSION_INTERNAL_H
#define VMM_RUN_SESSION_INTERNAL_H

#include <glib-unix.h>

#include "vmm-init/protocol.h"
#include "vmm/run-files.h"
#include "vmm/run-out.h"
#include "vmm/run-session.h"

/* With a filter, so much input is read before the guest allows any. */
#define VMM_RUN_AHEAD_SIZE 1024u
/* Of what the guest does not read, so much waits for it before no more is added. */
#define VMM_RUN_SEND_MAX (256u << 10)

/**
 * VmmRunCredit:
 * @allowed: how much the guest may send still
 * @owed: what it may be allowed again: taken, but not told yet
 *
 * Of a stream of the guest's.
 */
typedef struct {
    size_t allowed;
    size_t owed;
} VmmRunCredit;

/**
 * VmmRunOutputStream:
 * @ended: the guest has said that no more comes
 *
 * One of the command's two outputs.
 */
typedef struct {
    VmmRunSession *session;
    VmmRunStream stream;
    VmmRunOut out;
    bool ended;
} VmmRunOutputStream;

struct _VmmRunSession {
    const VmmRunJob *job;
    GMainContext *context;
    int fd;
    GSource *readable; /* NULL when there is nothing more to be heard of the guest */
    GSource *writable; /* NULL while nothing waits to be sent */
    GByteArray *to_send;
    GByteArray *frame; /* what has come of the next one */
    VmmRunCredit credits[VMM_RUN_FILES + 1];
    VmmRunOutputStream out;
    VmmRunOutputStream err;

    GSource *input; /* NULL while none may be read */
    size_t in_credit;
    bool in_at_end; /* there is no more to be read */
    bool in_ended;  /* nobody reads it, or the guest was told of the end */
    size_t ahead_len;
    uint8_t ahead[VMM_RUN_AHEAD_SIZE]; /* what the guest has not allowed yet */

    guint n_outputs; /* that have come back, or failed to */
    bool files_begun;
    bool files_lost; /* something is wrong with the one that comes */
    VmmRunFiles *files;
    bool guest_done;
    VmmRunSessionEnd end;
    void (*done) (void *user);
    void *user;
};

/* run-session.c */
void vmm_run_session_fail (VmmRunSession *session, const char *why);
void vmm_run_session_check_done (VmmRunSession *session);
void vmm_run_session_give_back (VmmRunSession *session, VmmRunStream stream, size_t len);
void vmm_run_session_say_bye (VmmRunSession *session);
void vmm_run_session_send (VmmRunSession *session, VmmRunType type, VmmRunStream stream, const void *body,
                           size_t len);

/* run-session-input.c */
void vmm_run_session_watch_input (VmmRunSession *session);
void vmm_run_session_allow_input (VmmRunSession *session, uint32_t more);
void vmm_run_session_pass_ahead (VmmRunSession *session);
void vmm_run_session_send_end (VmmRunSession *session);
void vmm_run_session_end_input (VmmRunSession *session);

/* run-session-take.c */
char *vmm_run_session_make_line (const uint8_t *text, size_t len);
gboolean vmm_run_session_on_readable (gint fd, GIOCondition condition, gpointer user);

/* run-session-files.c */
void vmm_run_session_take_files (VmmRunSession *session, const uint8_t *data, size_t len);
void vmm_run_session_end_files (VmmRunSession *session);
void vmm_run_session_take_file_failed (VmmRunSession *session, const uint8_t *body, size_t len);
void vmm_run_session_miss_files (VmmRunSession *session);

#endif
