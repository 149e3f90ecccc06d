/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of a guest that stays as PVH enters it: 32-bit protected mode, flat segments, no paging, interrupts off,
 * EBX pointing at struct hvm_start_info. Without paging an interpreted ring 0 has no page tables to walk.
 */
        .section .text.start, "ax"
        .code32
        .globl  pvh_entry
pvh_entry:
        cld
        movl    $stack_top, %esp
        subl    $12, %esp
        pushl   %ebx
        call    guest_main
1:      cli
        hlt
        jmp     1b

        .section .bss.stack, "aw", @nobits
        .balign 16
        .skip   8192
stack_top:

        .section .note.GNU-stack, "", @progbits
