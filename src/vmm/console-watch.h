/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CONSOLE_WATCH_H
#define VMM_CONSOLE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMM_CONSOLE_LINE_MAX 512u

/**
 * VmmConsoleEvent:
 * @VMM_CONSOLE_PANIC: the kernel says that it panics; the text is the reason
 * @VMM_CONSOLE_PANIC_END: it has said all about it, and waits for ever
 * @VMM_CONSOLE_RESTARTING: it is about to restart in good order
 * @VMM_CONSOLE_HALTED: it is about to stop for ever in good order
 *
 * What the Linux kernel announces on its console, and on a stock kernel nowhere else.
 */
typedef enum {
    VMM_CONSOLE_PANIC,
    VMM_CONSOLE_PANIC_END,
    VMM_CONSOLE_RESTARTING,
    VMM_CONSOLE_HALTED,
} VmmConsoleEvent;

typedef void (*VmmConsoleEventFunc) (void *user, VmmConsoleEvent event, const char *text);

/**
 * VmmConsoleWatch:
 * @event: told of each announcement, on the thread that feeds
 * @user: what it gets
 * @line: the line so far
 * @len: its bytes
 *
 * Looks at console output line by line, in constant memory. Zero @len is its first state.
 */
typedef struct {
    VmmConsoleEventFunc event;
    void *user;
    char line[VMM_CONSOLE_LINE_MAX];
    size_t len;
} VmmConsoleWatch;

void vmm_console_watch_feed (VmmConsoleWatch *watch, const uint8_t *data, size_t len);

#endif
