/* SPDX-License-Identifier: Apache-2.0 */
/* Ends with the value 0x10, written as the 32 bits that the isa-debug-exit port takes. */
#include "guest.h"

        .code32
        .section .text.start, "ax"
        .globl  pvh_entry
pvh_entry:
        movl    $DEBUG_EXIT_PASS, %eax
        outl    %eax, $PORT_DEBUG_EXIT
1:      pause
        jmp     1b

        .section .note.GNU-stack, "", @progbits
