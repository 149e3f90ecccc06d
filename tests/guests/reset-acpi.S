/* SPDX-License-Identifier: Apache-2.0 */
/* Resets through the reset register of the FADT. */
#include "guest.h"

        .code32
        .section .text.start, "ax"
        .globl  pvh_entry
pvh_entry:
        movw    $PORT_RESET, %dx
        movb    $RESET_VALUE, %al
        outb    %al, %dx
1:      pause
        jmp     1b

        .section .note.GNU-stack, "", @progbits
