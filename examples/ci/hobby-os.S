/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest kernel that can be tested: it says something on the first serial port, and ends with a value that it
 * writes to the debug-exit port. vmm enters it by its PVH note, in 32-bit mode with paging off.
 *
 *     cc -nostdlib -static -no-pie -Wl,-Ttext=0x200000,-estart,--build-id=none -o hobby-os.elf hobby-os.S
 */
        .set    COM1, 0x3f8
        .set    DEBUG_EXIT, 0xf4
        .set    ALL_TESTS_PASSED, 0x10

        .section .note.pvh, "a", @note
        .long   4, 4, 18                /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz  "Xen"
        .long   start

        .code32
        .text
        .globl  start
start:
        movl    $message, %esi
        movl    $(end_of_message - message), %ecx
        movw    $COM1, %dx
        rep outsb
        movb    $ALL_TESTS_PASSED, %al
        outb    %al, $DEBUG_EXIT
        hlt

message:
        .ascii  "hobby-os 0.1\r\nmemory: ok\r\ninterrupts: ok\r\n2 tests, 0 failed\r\n"
end_of_message:

        .section .note.GNU-stack, "", @progbits
