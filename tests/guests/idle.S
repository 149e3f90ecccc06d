/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for an interrupt that never comes. */
#include "guest.h"

        .code32
        .section .text.start, "ax"
        .globl  pvh_entry
pvh_entry:
1:      sti
        hlt
        jmp     1b

        .section .note.GNU-stack, "", @progbits
