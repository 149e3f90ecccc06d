/* SPDX-License-Identifier: Apache-2.0 */
/* Runs code where there is no memory: KVM cannot fetch it and gives up with an internal error. */
#include "guest.h"

        .code32
        .section .text.start, "ax"
        .globl  pvh_entry
pvh_entry:
        movl    $0xc0000000, %eax
        jmp     *%eax

        .section .note.GNU-stack, "", @progbits
