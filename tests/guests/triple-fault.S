/* SPDX-License-Identifier: Apache-2.0 */
/* An exception without a table of handlers: no handler, no double fault handler, shutdown. */
#include "guest.h"

        .code32
        .section .text.start, "ax"
        .globl  pvh_entry
pvh_entry:
        lidt    no_table
        ud2
1:      jmp     1b

        .section .rodata, "a"
no_table:
        .word   0
        .long   0

        .section .note.GNU-stack, "", @progbits
