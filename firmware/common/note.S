/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ELF note by which a loader finds the PVH entry point: XEN_ELFNOTE_PHYS32_ENTRY (18) of the owner "Xen".
 * The value takes eight bytes, as in a Linux vmlinux.
 */
        .section .note.Xen, "a", @note
        .balign 4
        .long   4, 8, 18
        .asciz  "Xen"
        .long   pvh_entry, 0

        .section .note.GNU-stack, "", @progbits
