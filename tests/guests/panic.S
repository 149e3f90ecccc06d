/* SPDX-License-Identifier: Apache-2.0 */
/* Reports a panic through pvpanic, then does what a kernel with panic=0 does: it stays. */
#include "guest.h"

        .code32
        .section .text.start, "ax"
        .globl  pvh_entry
pvh_entry:
        movw    $PORT_PVPANIC, %dx
        movb    $PVPANIC_PANICKED, %al
        outb    %al, %dx
1:      pause
        jmp     1b

        .section .note.GNU-stack, "", @progbits
