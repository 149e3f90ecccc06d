/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_TESTS_WINDOW_H
#define VMM_TESTS_WINDOW_H

#include <stdint.h>

/*
 * A view of any guest-physical address for a 64-bit guest: returns where @gpa is mapped now, with at least 2
 * MiB after it. Valid until the next call.
 */
#define WINDOW_PAGE (2ull << 20)
#define WINDOW_VIRTUAL 0x3fc00000ull

extern volatile uint64_t window_directory[512];

static inline volatile uint8_t *
window_map (uint64_t gpa)
{
    uint64_t page = gpa & ~(WINDOW_PAGE - 1);

    for (uint64_t i = 0; i < 2; i++) {
        window_directory[510 + i] = (page + i * WINDOW_PAGE) | 0x83; /* present, writable, 2 MiB */
        __asm__ volatile("invlpg (%0)" : : "r"(WINDOW_VIRTUAL + i * WINDOW_PAGE) : "memory");
    }
    return (volatile uint8_t *)(uintptr_t)(WINDOW_VIRTUAL + (gpa & (WINDOW_PAGE - 1)));
}

#endif
