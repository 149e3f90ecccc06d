/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_INIT_INPUT_H
#define VMM_INIT_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "job.h"
#include "wire.h"

#define INPUT_WINDOW 65536u

/* Standard input on its way from the host to the command. */
typedef struct {
    bool ended;       /* the host sends no more */
    bool finishing;   /* the end is being written to a terminal */
    bool closed;      /* nobody reads: what comes is thrown away */
    uint8_t last;     /* byte that was taken */
    uint32_t allowed; /* bytes that the host may send */
    uint32_t owed;    /* bytes that it may be allowed again */
    size_t start, end;
    uint8_t bytes[INPUT_WINDOW];
} Input;

void input_init (Input *input);

static inline bool
input_waits (const Input *input)
{
    return input->end > input->start;
}

/* Takes bytes from the host. False when it had no right to send so many. */
bool input_take (Input *input, const uint8_t *bytes, size_t length);

/* Writes what waits, as far as that goes; at the end closes the command's input. */
void input_forward (Input *input, Job *job, Wire *wire);

/* There is no reader any more. Tells the host. */
void input_close (Input *input, Job *job, Wire *wire);

/* Allows the host more, when it is worth a frame. */
void input_allow (Input *input, Wire *wire);

#endif
