/* SPDX-License-Identifier: Apache-2.0 */
#include "console.h"

#include "cpu.h"

#define FCR (CONSOLE_COM1 + 2)
#define LCR (CONSOLE_COM1 + 3)
#define MCR (CONSOLE_COM1 + 4)
#define LSR (CONSOLE_COM1 + 5)
#define LSR_THR_EMPTY 0x20u
#define FIFO_BYTES 16u
#define LSR_POLLS 100000u

void
console_init (Console *console)
{
    console->used = 0;
    cpu_out8 (LCR, 0x03); /* 8n1 */
    cpu_out8 (FCR, 0x07); /* FIFOs on and empty */
    cpu_out8 (MCR, 0x03); /* DTR, RTS */
}

void
console_send (const void *bytes, uint32_t n)
{
    const char *at = bytes;

    while (n > 0) {
        uint32_t part = n < FIFO_BYTES ? n : FIFO_BYTES;

        for (uint32_t polls = 0; polls < LSR_POLLS && (cpu_in8 (LSR) & LSR_THR_EMPTY) == 0; polls++)
            cpu_pause ();
        cpu_out_string8 (CONSOLE_COM1, at, part);
        at += part;
        n -= part;
    }
}

void
console_char (Console *console, char c)
{
    if (console->used < CONSOLE_LINE - 2) /* the line's end always fits */
        console->line[console->used++] = c;
}

void
console_text (Console *console, const char *text)
{
    while (*text != '\0')
        console_char (console, *text++);
}

void
console_decimal (Console *console, uint32_t number, uint32_t digits)
{
    char text[10];
    uint32_t n = 0;

    do {
        text[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    for (uint32_t i = n; i < digits; i++)
        console_char (console, '0');
    while (n > 0)
        console_char (console, text[--n]);
}

void
console_hex (Console *console, uint64_t number, uint32_t digits)
{
    while (digits < 16 && number >> (4 * digits) != 0)
        digits++;
    while (digits > 0)
        console_char (console, "0123456789abcdef"[number >> (4 * --digits) & 15]);
}

void
console_pad (Console *console, uint32_t column)
{
    while (console->used < column)
        console_char (console, ' ');
}

void
console_flush (Console *console)
{
    console_send (console->line, console->used);
    console->used = 0;
}

void
console_end_line (Console *console)
{
    console->line[console->used++] = '\r';
    console->line[console->used++] = '\n';
    console_flush (console);
}
