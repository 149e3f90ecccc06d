/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest may write to a console for as long as it likes: ordinary logs, and what is slow to read. */
#ifndef TESTS_CONSOLE_STREAMS_H
#define TESTS_CONSOLE_STREAMS_H

#include <glib.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* It is to be written again and again. */
#define CONSOLE_BLOCK (4u << 20)
/* The first streams: what guests write without malice. */
#define CONSOLE_STREAMS_ORDINARY 4u

typedef struct {
    const char *name;
    void (*fill) (uint8_t *block);
} ConsoleStream;

/* A log that repeats would be too easy: numbers differ, and so do the lengths of lines. */
static inline void
fill_boot (uint8_t *block)
{
    static const char *const lines[] = {
        "[%5u.%06u] pci 0000:00:%02x.0: BAR 0: assigned [mem 0x%x-0x%x 64bit pref]\r\n",
        "[%5u.%06u] ACPI: PCI: Interrupt link LNK%02x configured for IRQ %u to %u\r\n",
        "[%5u.%06u] systemd[1]: Starting unit-%u.service - A unit of number %u out of %u...\r\n",
        "[%5u.%06u] audit: type=%u audit(0.%u:%u): apparmor=\"STATUS\" operation=\"profile_load\"\r\n",
        "[  OK  ] Started unit %u.%u.%u - some service that says so (%u of %u).\r\n",
        "\x1b[0;32mdone\x1b[0m %u.%u: %u of %u files, %u bytes\r\n",
    };
    unsigned seed = 1;
    size_t len = 0;

    for (unsigned i = 0; len < CONSOLE_BLOCK; i++) {
        char line[256];
        int n;

        seed = seed * 1664525u + 1013904223u;
        n = snprintf (line, sizeof line, lines[i % G_N_ELEMENTS (lines)], i / 4000, seed % 1000000,
                      seed >> 27, seed & 0xffff, i);
        memcpy (block + len, line, MIN ((size_t)n, CONSOLE_BLOCK - len));
        len += MIN ((size_t)n, CONSOLE_BLOCK - len);
    }
}

static inline void
fill_wall (uint8_t *block)
{
    for (size_t i = 0; i < CONSOLE_BLOCK; i++)
        block[i] = i % 2 == 0 ? 'y' : '\n';
}

static inline void
fill_line (uint8_t *block)
{
    for (size_t i = 0; i < CONSOLE_BLOCK; i++)
        block[i] = (uint8_t)('a' + i % 23);
}

static inline void
fill_noise (uint8_t *block)
{
    uint64_t seed = 1;

    for (size_t i = 0; i < CONSOLE_BLOCK; i++) {
        seed = seed * UINT64_C (6364136223846793005) + 1442695040888963407u;
        block[i] = (uint8_t)(seed >> 56);
    }
}

/* As a guest would do it that wants to be slow to read. */
static inline void
fill_with (uint8_t *block, const char *text)
{
    size_t n = strlen (text);

    for (size_t i = 0; i < CONSOLE_BLOCK; i++)
        block[i] = (uint8_t)text[i % n];
}

static inline void
fill_words (uint8_t *block)
{
    fill_with (block, "Bread [#1 ]\n");
}

static inline void
fill_brackets (uint8_t *block)
{
    fill_with (block, "[");
}

static inline void
fill_colours (uint8_t *block)
{
    fill_with (block, "\x1b[1;31my\x1b[0m\n");
}

static inline void
fill_reports (uint8_t *block)
{
    fill_with (block, "[    1.000000] WARNING: CPU: 0 PID: 1 at kernel/x.c:1 f+0x1/0x2\n"
                      "[    1.000000] Call Trace:\n[    1.000000]  f+0x1/0x2\n");
}

static inline void
fill_prompts (uint8_t *block)
{
    fill_with (block, "vm login: \nsegfault at 1\n");
}

static const ConsoleStream console_streams[] = {
    {"boot log", fill_boot},   {"wall", fill_wall},       {"one line", fill_line},
    {"noise", fill_noise},     {"words", fill_words},     {"brackets", fill_brackets},
    {"colours", fill_colours}, {"reports", fill_reports}, {"matches", fill_prompts},
};

#endif
