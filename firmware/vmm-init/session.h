/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_INIT_SESSION_H
#define VMM_INIT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "input.h"
#include "job.h"
#include "output.h"
#include "spec.h"
#include "wire.h"

typedef enum {
    SESSION_SETUP,    /* until START */
    SESSION_RUNNING,  /* the command lives */
    SESSION_DRAINING, /* it has ended, its output has not */
    SESSION_FILES,    /* OUTPUTs are sent */
    SESSION_FINISHED, /* nothing is left but DONE */
} SessionPhase;

/* What comes from the command, or from files. */
typedef struct {
    int fd; /* -1: ended, or not begun */
    uint64_t credit;
    bool unread; /* the host has said that nobody reads it */
} Stream;

typedef struct {
    Wire wire;
    SessionPhase phase;
    bool greeted; /* HELLO has come */
    bool told;    /* EXIT has been sent */
    bool gone;    /* the host, or it said BYE: nothing more is to be sent */
    bool settled; /* all processes have been reaped, or it is no use waiting */
    int64_t settle_at;
    int signals; /* signalfd */
    Spec spec;
    Job job;
    Input input;
    Stream streams[VMM_RUN_FILES + 1]; /* by their numbers; the first is not used */
    Output output;
    size_t next_output;
} Session;

void session_init (Session *session, int fd);

/* The session has come to nothing: says why to people and the host. */
void session_fail (Session *session, int reason, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

/* Speaks with the host until the command has ended and everything of it has been sent. */
void session_run (Session *session);

/* Says DONE, and waits a moment for the host to take it. */
void session_end (Session *session);

/* No more is sent of a stream: tells the host so, and closes our end. */
void session_end_stream (Session *session, VmmRunStream number);

/* Takes one frame from the host. Returns NULL, or what is wrong with it. */
const char *session_take (Session *session, const Frame *frame);

#endif
