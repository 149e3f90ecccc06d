/* SPDX-License-Identifier: Apache-2.0 */
/* Resets through the reset control register of the chipset: type first, then the transition of bit 2. */
#include "guest.h"

        .code32
        .section .text.start, "ax"
        .globl  pvh_entry
pvh_entry:
        movw    $PORT_CF9, %dx
        movb    $CF9_PREPARE, %al
        outb    %al, %dx
        movb    $CF9_RESET, %al
        outb    %al, %dx
1:      pause
        jmp     1b

        .section .note.GNU-stack, "", @progbits
