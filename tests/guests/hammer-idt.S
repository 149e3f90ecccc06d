/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers for the exceptions that a machine must not cause: each ends with the debug-exit value 0x7f. */
#include "guest.h"

        .set    IMAGE_BASE, 0x100000    /* guest.ld; what is left of an address fits the 16 bits of a gate */

        .code64
        .section .text.fault, "ax"
        .globl  hammer_load_idt
hammer_load_idt:
        lidt    idt_pointer
        ret
        .balign 16
fault:  movb    $0x7f, %al
        outb    %al, $PORT_DEBUG_EXIT
1:      cli
        hlt
        jmp     1b

        .data
        .balign 8
idt:    .rept   32
        .word   fault - IMAGE_BASE, 8, 0x8e00, IMAGE_BASE >> 16
        .long   0, 0
        .endr
idt_pointer:
        .word   . - idt - 1
        .quad   idt

        .section .note.GNU-stack, "", @progbits
