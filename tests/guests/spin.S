/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Busy for ever and well: it loops with interrupts on, and the timer of its local APIC ticks. Not a hang. Each
 * tick counts up a word at 0x500.
 */
        .set    APIC, 0xfee00000
        .set    VECTOR, 0x40

        .code32
        .section .text.start, "ax"
        .globl  pvh_entry
pvh_entry:
        movl    $stack_top, %esp
        lgdt    gdt_pointer
        ljmp    $8, $1f
1:      movl    $16, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movb    $0xff, %al              /* nothing from the old interrupt controllers */
        outb    %al, $0x21
        outb    %al, $0xa1
        movl    $tick, %eax
        movw    %ax, idt + VECTOR * 8
        shrl    $16, %eax
        movw    %ax, idt + VECTOR * 8 + 6
        movw    $8, idt + VECTOR * 8 + 2
        movw    $0x8e00, idt + VECTOR * 8 + 4
        lidt    idt_pointer
        movl    $0, 0x500
        movl    $0x1ff, APIC + 0xf0     /* on */
        movl    $0x0b, APIC + 0x3e0     /* divide by 1 */
        movl    $(0x20000 | VECTOR), APIC + 0x320
        movl    $100000000, APIC + 0x380
        sti
2:      pause
        jmp     2b

tick:
        incl    0x500
        movl    $0, APIC + 0xb0         /* end of interrupt */
        sti                             /* takes effect after the next instruction */
        lret    $4                      /* IRET, but for the flags: KVM's emulator has no IRET of protected mode */

        .data
        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff
        .quad   0x00cf93000000ffff
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt
idt_pointer:
        .word   256 * 8 - 1
        .long   idt

        .bss
        .balign 16
idt:    .skip   256 * 8
        .skip   1024
stack_top:

        .section .note.GNU-stack, "", @progbits
