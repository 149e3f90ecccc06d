/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of a guest whose C code runs in 64-bit user mode, where every KVM runs it natively, those included that
 * interpret ring 0. It does port I/O all the same, by the permission bitmap of a task state segment: an IOPL of 3
 * does not outlive SYSEXIT on every KVM. The first 4 GiB are mapped one to one, for user mode, by tables made at
 * build time. There is no IDT: an exception is a triple fault.
 *
 * SYSEXIT is the way out of ring 0 because KVM's interpreter has it, and neither IRET nor a far return to an
 * outer ring; it also stands in for CPUs that lack it in 64-bit mode.
 */
        .set    MSR_SYSENTER_CS, 0x174
        .set    MSR_EFER, 0xc0000080

        .section .text.start, "ax"
        .code32
        .globl  pvh_entry
pvh_entry:
        cld
        movl    $tss, %eax
        movw    %ax, tss_descriptor + 2
        shrl    $16, %eax
        movb    %al, tss_descriptor + 4
        movb    %ah, tss_descriptor + 7
        lgdt    gdt_pointer
        movl    %cr4, %eax
        orl     $0x20, %eax             /* PAE */
        movl    %eax, %cr4
        movl    $pml4, %eax
        movl    %eax, %cr3
        movl    $MSR_EFER, %ecx
        rdmsr
        orl     $0x100, %eax            /* LME */
        wrmsr
        movl    $MSR_SYSENTER_CS, %ecx
        movl    $8, %eax                /* SYSEXIT takes 32 bytes further on for 64-bit code, 40 for its stack */
        xorl    %edx, %edx
        wrmsr
        movl    %cr0, %eax
        orl     $0x80000001, %eax       /* PG, PE */
        movl    %eax, %cr0
        ljmp    $8, $1f

        .code64
1:      movl    $0x33, %eax             /* the segment that SYSEXIT puts into SS */
        movl    %eax, %ds
        movl    %eax, %es
        movl    $stack_top, %esp
        movl    $0x38, %eax
        ltr     %ax
        movl    %ebx, %edi
        leaq    -8(%rsp), %rcx          /* as after a call */
        movl    $guest_main, %edx
        sysexitq

        .data
        .balign 8
gdt:    .quad   0
        .quad   0x00af9b000000ffff      /* 08: ring 0 code, 64-bit */
        .quad   0x00cf93000000ffff      /* 10: ring 0 data */
        .quad   0x00cffb000000ffff      /* 18: ring 3 code, 32-bit */
        .quad   0x00cff3000000ffff      /* 20: ring 3 data */
        .quad   0x00affb000000ffff      /* 28: ring 3 code, 64-bit */
        .quad   0x00cff3000000ffff      /* 30: ring 3 data */
tss_descriptor:                         /* 38: task state segment; the base is put in at the start */
        .word   tss_end - tss - 1
        .byte   0, 0, 0, 0x89, 0, 0
        .quad   0
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt

        .balign 8
tss:    .skip   102
        .word   104                     /* where the bitmap is: a 0 for each port */
        .skip   8192
        .byte   0xff
tss_end:

        .balign 4096
pml4:   .quad   pdpt + 0x07
        .fill   511, 8, 0
pdpt:   .quad   directories + 0x07, directories + 0x1007, directories + 0x2007, directories + 0x3007
        .fill   508, 8, 0
directories:
        .set    page, 0
        .rept   2048
        .quad   page + 0x87             /* present, writable, for user mode, 2 MiB */
        .set    page, page + 0x200000
        .endr

        .section .bss.stack, "aw", @nobits
        .balign 16
        .skip   16384
stack_top:

        .section .note.GNU-stack, "", @progbits
