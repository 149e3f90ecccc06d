/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_RUN_INTERNAL_H
#define VMM_RUN_INTERNAL_H

#include "vmm/run-initrd.h"
#include "vmm/run-session.h"
#include "vmm/run.h"

struct _VmmRun {
    VmmRunJob job;
    char *root;
    char *modules;
    GPtrArray *copies; /* of VmmRunCopy */
    int log_fd;        /* -1: none; borrowed */
    int log_error;     /* an errno: it is not whole */
    VmmRunInitrds initrds;
    int guest_ends[2]; /* of the port and of the console: the machine borrows them */
    int console_fd;
    GSource *console_source;
    GString *console;
    VmmMachine *machine;
    VmmRunSession *session;
    char *message;
    bool stopped; /* by its user: no output is waited for */
    VmmRunResult result;
};

#endif
