/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_TEXT_H
#define VMM_LOADER_TEXT_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

/**
 * VmmSizeText:
 * @s: the text
 *
 * A size for a message, by value: `vmm_size_text (n).s`.
 */
typedef struct {
    char s[32];
} VmmSizeText;

/* MiB with one decimal from 1 MiB on, bytes below: a user compares it with what was given to --mem. */
static inline VmmSizeText
vmm_size_text (uint64_t bytes)
{
    VmmSizeText t;

    if (bytes >= 1u << 20)
        snprintf (t.s, sizeof t.s, "%.1f MiB", (double)bytes / (1 << 20));
    else
        snprintf (t.s, sizeof t.s, "%" PRIu64 " bytes", bytes);
    return t;
}

#endif
