/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_INIT_EXEC_H
#define VMM_INIT_EXEC_H

#include <stdbool.h>

#include "spec.h"
#include "user.h"

/* Where a child that becomes the command has come to. */
typedef enum {
    EXEC_TERMINAL,
    EXEC_USER,
    EXEC_CWD,
    EXEC_COMMAND,
} ExecStep;

typedef struct {
    ExecStep step;
    int reason; /* errno */
} ExecFailure;

/*
 * In the child: becomes the command, with these three, which are above 2, as its standard descriptors.
 * Returns only on failure.
 */
ExecFailure exec_command (const Spec *spec, const User *user, const int fds[3]);

#endif
