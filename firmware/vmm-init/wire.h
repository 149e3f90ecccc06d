/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_INIT_WIRE_H
#define VMM_INIT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol.h"

/* Room that is kept for all but DATA: EXIT, the ends of streams, and the name of a file that failed. */
#define WIRE_SPARE 16384u

/* The port, as frames. It never blocks: what does not go out at once waits in a buffer of a fixed size. */
typedef struct {
    int fd;
    const char *wrong; /* what the host did wrong, once it has */
    size_t in_start, in_end, out_start, out_end;
    uint8_t in[VMM_RUN_HEADER + VMM_RUN_BODY_MAX];
    uint8_t out[2 * (VMM_RUN_HEADER + VMM_RUN_BODY_MAX) + WIRE_SPARE];
} Wire;

typedef struct {
    VmmRunType type;
    uint8_t stream;
    const uint8_t *body; /* until the next call of a wire function */
    uint32_t length;
} Frame;

/* Takes in what has arrived. False when the host has gone. */
bool wire_fill (Wire *wire);

/* The next whole frame, if there is one. None comes after a wrong one. */
bool wire_next (Wire *wire, Frame *ret_frame);

/* Sends what waits, as far as it goes now. False when the host has gone. */
bool wire_flush (Wire *wire);

/* Sends what waits, or gives up after a while; when the host goes, too. */
void wire_drain (Wire *wire, int milliseconds);

static inline bool
wire_waits (const Wire *wire)
{
    return wire->out_end > wire->out_start;
}

/* Whether a frame of any size fits, and WIRE_SPARE after it. Only then may wire_forward() be called. */
bool wire_has_room (Wire *wire);

/*
 * Puts a frame of up to two numbers and a text, which is cut where it is too long. It is lost when it does
 * not fit, which callers prevent by asking wire_has_room() before all that the host can make them send many
 * of.
 */
void wire_put (Wire *wire, VmmRunType type, VmmRunStream stream, const uint32_t *numbers, size_t count,
               const char *text, size_t length);
void wire_put_plain (Wire *wire, VmmRunType type, VmmRunStream stream);
void wire_put_number (Wire *wire, VmmRunType type, VmmRunStream stream, uint32_t number);

/* Reads at most max bytes of a stream from fd into a frame of DATA. Returns what read() returned. */
ssize_t wire_forward (Wire *wire, VmmRunStream stream, int fd, size_t max);

#endif
