/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI S5 through the sleep control register. */
#include "guest.h"

        .code32
        .section .text.start, "ax"
        .globl  pvh_entry
pvh_entry:
        movw    $PORT_SLEEP_CONTROL, %dx
        movb    $SLP_EN_S5, %al
        outb    %al, %dx
1:      pause
        jmp     1b

        .section .note.GNU-stack, "", @progbits
