/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of a guest that needs 64-bit mode: from the 32-bit PVH entry to long mode with tables made at build time.
 * The first GiB is mapped one to one, but for its last 4 MiB: these are the window that window_map () moves.
 */
        .section .text.start, "ax"
        .code32
        .globl  pvh_entry
pvh_entry:
        cld
        lgdt    gdt_pointer
        movl    %cr4, %eax
        orl     $0x20, %eax             /* PAE */
        movl    %eax, %cr4
        movl    $pml4, %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx       /* EFER */
        rdmsr
        orl     $0x100, %eax            /* LME */
        wrmsr
        movl    %cr0, %eax
        orl     $0x80000001, %eax       /* PG, PE */
        movl    %eax, %cr0
        ljmp    $8, $1f

        .code64
1:      movl    $16, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $stack_top, %esp
        movl    %ebx, %edi
        call    guest_main
2:      cli
        hlt
        jmp     2b

        .data
        .balign 8
gdt:    .quad   0
        .quad   0x00af9b000000ffff      /* code, 64-bit */
        .quad   0x00cf93000000ffff      /* data */
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt

        .balign 4096
pml4:   .quad   pdpt + 0x03
        .fill   511, 8, 0
pdpt:   .quad   window_directory + 0x03
        .fill   511, 8, 0
        .globl  window_directory
window_directory:
        .set    page, 0
        .rept   510
        .quad   page + 0x83             /* present, writable, 2 MiB */
        .set    page, page + 0x200000
        .endr
        .fill   2, 8, 0

        .section .bss.stack, "aw", @nobits
        .balign 16
        .skip   8192
stack_top:

        .section .note.GNU-stack, "", @progbits
