/* SPDX-License-Identifier: Apache-2.0 */
        .section .rodata.vmm_firmware_hello, "a", @progbits
        .balign 16
        .globl  vmm_firmware_hello
        .hidden vmm_firmware_hello
        .type   vmm_firmware_hello, @object
vmm_firmware_hello:
        .incbin HELLO_ELF
1:
        .size   vmm_firmware_hello, 1b - vmm_firmware_hello

        .balign 8
        .globl  vmm_firmware_hello_size
        .hidden vmm_firmware_hello_size
        .type   vmm_firmware_hello_size, @object
vmm_firmware_hello_size:
        .quad   1b - vmm_firmware_hello
        .size   vmm_firmware_hello_size, 8

        .section .note.GNU-stack, "", @progbits
