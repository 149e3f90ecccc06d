/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * TerminalAction:
 *
 * What the user asked vmm itself for, by Ctrl-A and a letter.
 */
typedef enum { TERMINAL_LEAVE, TERMINAL_POWER_BUTTON, TERMINAL_BREAK, TERMINAL_HELP } TerminalAction;

typedef void (*TerminalActionFunc) (void *user, TerminalAction action);

typedef struct _Terminal Terminal;

bool terminal_is_ours (void);
Terminal *terminal_open (TerminalActionFunc action, void *user);
void terminal_make_raw (Terminal *terminal);
void terminal_resume (Terminal *terminal);
bool terminal_get_size (const Terminal *terminal, unsigned *ret_columns, unsigned *ret_rows);
void terminal_close (Terminal *terminal);
size_t terminal_filter (void *terminal, uint8_t *data, size_t len);

#endif
