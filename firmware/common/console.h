/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_FIRMWARE_CONSOLE_H
#define VMM_FIRMWARE_CONSOLE_H

#include <stdint.h>

/*
 * Text for COM1. It is collected in a buffer and sent line by line, sixteen bytes at a time: what the FIFO of
 * a 16550A takes after one look at its line status register. Zero-initialize; what does not fit a line is cut
 * off.
 */
#define CONSOLE_COM1 0x3f8u
#define CONSOLE_LINE 240u

typedef struct {
    uint32_t used;
    char line[CONSOLE_LINE];
} Console;

void console_init (Console *console);
void console_char (Console *console, char c);
void console_text (Console *console, const char *text);
void console_decimal (Console *console, uint32_t number, uint32_t digits);
void console_hex (Console *console, uint64_t number, uint32_t digits);
void console_pad (Console *console, uint32_t column);
void console_end_line (Console *console);
/* Sends the text so far without ending the line. */
void console_flush (Console *console);

/* Waits until the transmitter has room, sends, and never waits for ever. */
void console_send (const void *bytes, uint32_t n);

#endif
