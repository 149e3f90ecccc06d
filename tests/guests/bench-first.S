/* SPDX-License-Identifier: Apache-2.0 */
/* For measuring start-up: the machine ends with its second instruction (the first loads the exit value). */
#include "guest.h"

        .code32
        .section .text.start, "ax"
        .globl  pvh_entry
pvh_entry:
        movb    $DEBUG_EXIT_PASS, %al
        outb    %al, $PORT_DEBUG_EXIT
1:      pause
        jmp     1b

        .section .note.GNU-stack, "", @progbits
