/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Programs colour what they write to a console, move its cursor and name its window. Who reads the console
 * for what it says wants none of that. The sequences are those of ECMA-48 in their 7-bit form, each of which
 * begins with an escape; the 8-bit form is left alone, since its bytes are parts of UTF-8 characters. A
 * console may be cut off anywhere, and a guest may begin a sequence that never ends: the end of the line ends
 * it at the latest.
 */
#include "vmm/terminal-filter.h"

#define BELL 0x07u
#define CANCEL 0x18u
#define SUBSTITUTE 0x1au

static VmmTerminalFilterState
after_escape (uint8_t byte)
{
    switch (byte) {
    case '[':
        return VMM_TERMINAL_CONTROL_SEQUENCE;
    case ']': /* ECMA-48 8.3.89, and the other control strings of 5.6 */
    case 'P':
    case 'X':
    case '^':
    case '_':
        return VMM_TERMINAL_CONTROL_STRING;
    default:
        /* "ESC ( B" has intermediate bytes before its last one (ECMA-35 13.2). */
        return byte >= 0x20 && byte < 0x30 ? VMM_TERMINAL_ESCAPED : VMM_TERMINAL_TEXT;
    }
}

static VmmTerminalFilterState
in_string (VmmTerminalFilterState state, uint8_t byte)
{
    if (byte == BELL || (state == VMM_TERMINAL_CONTROL_STRING_ESCAPED && byte == '\\'))
        return VMM_TERMINAL_TEXT;
    return byte == VMM_TERMINAL_ESCAPE ? VMM_TERMINAL_CONTROL_STRING_ESCAPED : VMM_TERMINAL_CONTROL_STRING;
}

/**
 * vmm_terminal_filter_pass:
 * @filter: its state
 * @byte: the next byte of the stream
 *
 * Returns: whether it is text; line ends, tabs and NUL bytes are
 * Since: 0.1
 */
bool
vmm_terminal_filter_pass (VmmTerminalFilter *filter, uint8_t byte)
{
    VmmTerminalFilterState state = filter->state;

    if (state == VMM_TERMINAL_TEXT && byte != VMM_TERMINAL_ESCAPE)
        return true;
    if (byte == '\n' || byte == '\r') {
        filter->state = VMM_TERMINAL_TEXT;
        return true;
    }
    if (byte == CANCEL || byte == SUBSTITUTE)
        filter->state = VMM_TERMINAL_TEXT;
    else if (state == VMM_TERMINAL_CONTROL_STRING || state == VMM_TERMINAL_CONTROL_STRING_ESCAPED)
        filter->state = in_string (state, byte);
    else if (byte == VMM_TERMINAL_ESCAPE)
        filter->state = VMM_TERMINAL_ESCAPED;
    else if (state == VMM_TERMINAL_ESCAPED)
        filter->state = after_escape (byte);
    else if (byte >= 0x40 && byte < 0x7f)
        filter->state = VMM_TERMINAL_TEXT;
    return false;
}
