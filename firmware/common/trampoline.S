/* SPDX-License-Identifier: Apache-2.0 */
/* What a CPU runs in real mode after SIPI: it counts itself and stops. It is copied to a page below 1 MiB. */
        .section .rodata.trampoline, "a"
        .code16
        .balign 4
        .globl  smp_trampoline, smp_trampoline_count, smp_trampoline_end
smp_trampoline:
        cli
        lock incl %cs:(smp_trampoline_count - smp_trampoline)
1:      hlt
        jmp     1b
        .balign 4
smp_trampoline_count:
        .long   0
smp_trampoline_end:

        .section .note.GNU-stack, "", @progbits
