/* SPDX-License-Identifier: Apache-2.0 */
/* Halts with interrupts off: nothing can ever wake it. */
#include "guest.h"

        .code32
        .section .text.start, "ax"
        .globl  pvh_entry
pvh_entry:
        cli
1:      hlt
        jmp     1b

        .section .note.GNU-stack, "", @progbits
