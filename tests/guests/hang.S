/* SPDX-License-Identifier: Apache-2.0 */
/* Loops with interrupts off: no exit, no progress. */
#include "guest.h"

        .code32
        .section .text.start, "ax"
        .globl  pvh_entry
pvh_entry:
        cli
1:      jmp     1b

        .section .note.GNU-stack, "", @progbits
