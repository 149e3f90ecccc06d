/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_TERMINAL_FILTER_H
#define VMM_TERMINAL_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "vmm/export.h"

G_BEGIN_DECLS

#define VMM_TERMINAL_ESCAPE 0x1bu

/* Inside of what the next byte comes; the names are those of ECMA-48. */
typedef enum {
    VMM_TERMINAL_TEXT,
    VMM_TERMINAL_ESCAPED,
    VMM_TERMINAL_CONTROL_SEQUENCE,
    VMM_TERMINAL_CONTROL_STRING,
    VMM_TERMINAL_CONTROL_STRING_ESCAPED,
} VmmTerminalFilterState;

/**
 * VmmTerminalFilter:
 * @state: inside of what the next byte comes
 *
 * Tells text from what steers a terminal. All zero is its first state.
 */
typedef struct {
    VmmTerminalFilterState state;
} VmmTerminalFilter;

VMM_EXPORT bool vmm_terminal_filter_pass (VmmTerminalFilter *filter, uint8_t byte);

G_END_DECLS

#endif
