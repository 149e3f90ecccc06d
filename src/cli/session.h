/* SPDX-License-Identifier: Apache-2.0 */
/* A machine at the terminal: the keys that are vmm's, the signals, the terminal given back. */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include <vmm/vmm.h>

#include "terminal.h"

/**
 * Session:
 * @config: what boots; borrowed
 * @out_fd: where the console's output goes
 * @typed: (nullable): sees what is typed for the guest
 * @begin: (nullable): told before the guest runs; threads may be started from now on
 * @act: (nullable): told before the power button is pressed or a BREAK is sent
 * @output_end: (nullable): told when the machine has ended, before the terminal is given back
 * @user: what they get
 * @machine: (nullable): the machine, which the verdict belongs to
 * @terminal: (nullable): the terminal, while the guest has it
 *
 * Zero is one that only needs @config and @out_fd.
 */
typedef struct {
    VmmConfig *config;
    int out_fd;
    VmmInputFilter typed;
    void (*begin) (void *user);
    void (*act) (void *user, TerminalAction action);
    void (*output_end) (void *user);
    void *user;
    VmmMachine *machine;
    Terminal *terminal;
} Session;

const VmmVerdict *session_run (Session *session, GError **error);
void session_say (const Session *session, const char *text);
void session_tell (const Session *session, const VmmVerdict *verdict);
void session_clear (Session *session);

#endif
