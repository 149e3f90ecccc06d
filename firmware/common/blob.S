/* SPDX-License-Identifier: Apache-2.0 */
/* A file as an object: BLOB_FILE, from the symbol BLOB on, its size at BLOB_SIZE. */
        .section .rodata.vmm_firmware, "a", @progbits
        .balign 16
        .globl  BLOB
        .hidden BLOB
        .type   BLOB, @object
BLOB:
        .incbin BLOB_FILE
1:
        .size   BLOB, 1b - BLOB

        .balign 8
        .globl  BLOB_SIZE
        .hidden BLOB_SIZE
        .type   BLOB_SIZE, @object
BLOB_SIZE:
        .quad   1b - BLOB
        .size   BLOB_SIZE, 8

        .section .note.GNU-stack, "", @progbits
