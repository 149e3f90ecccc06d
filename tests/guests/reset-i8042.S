/* SPDX-License-Identifier: Apache-2.0 */
/* Pulses the reset line of the keyboard controller. */
#include "guest.h"

        .code32
        .section .text.start, "ax"
        .globl  pvh_entry
pvh_entry:
        movb    $I8042_PULSE_RESET, %al
        outb    %al, $PORT_I8042_COMMAND
1:      pause
        jmp     1b

        .section .note.GNU-stack, "", @progbits
