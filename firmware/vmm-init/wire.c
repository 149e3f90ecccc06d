/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX (VMM_RUN_HEADER + VMM_RUN_BODY_MAX)

bool
wire_fill (Wire *wire)
{
    ssize_t got;

    if (wire->in_start > 0) {
        memmove (wire->in, wire->in + wire->in_start, wire->in_end - wire->in_start);
        wire->in_end -= wire->in_start;
        wire->in_start = 0;
    }
    if (wire->in_end == sizeof (wire->in)) /* a whole frame waits to be taken */
        return true;
    got = read (wire->fd, wire->in + wire->in_end, sizeof (wire->in) - wire->in_end);
    if (got > 0)
        wire->in_end += (size_t)got;
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

bool
wire_next (Wire *wire, Frame *ret_frame)
{
    const uint8_t *header = wire->in + wire->in_start;
    size_t have = wire->in_end - wire->in_start;
    uint32_t length;

    if (wire->wrong != NULL || have < VMM_RUN_HEADER)
        return false;
    length = vmm_run_get32 (header + 4);
    if (vmm_run_get16 (header + 2) != 0 || length > VMM_RUN_BODY_MAX) {
        wire->wrong = "no frame begins so";
        return false;
    }
    if (have - VMM_RUN_HEADER < length)
        return false;
    *ret_frame = (Frame){header[0], header[1], header + VMM_RUN_HEADER, length};
    wire->in_start += VMM_RUN_HEADER + length;
    return true;
}

bool
wire_flush (Wire *wire)
{
    while (wire_waits (wire)) {
        ssize_t sent = write (wire->fd, wire->out + wire->out_start, wire->out_end - wire->out_start);

        if (sent <= 0)
            return sent == 0 || errno == EAGAIN || errno == EINTR;
        wire->out_start += (size_t)sent;
    }
    wire->out_start = wire->out_end = 0;
    return true;
}

void
wire_drain (Wire *wire, int milliseconds)
{
    struct timespec now, until;

    clock_gettime (CLOCK_MONOTONIC, &until);
    until.tv_sec += milliseconds / 1000;
    until.tv_nsec += milliseconds % 1000 * 1000000L;
    while (wire_flush (wire) && wire_waits (wire)) {
        struct pollfd wait = {.fd = wire->fd, .events = POLLOUT};
        long left;

        clock_gettime (CLOCK_MONOTONIC, &now);
        left = (until.tv_sec - now.tv_sec) * 1000 + (until.tv_nsec - now.tv_nsec) / 1000000;
        if (left <= 0 || poll (&wait, 1, (int)left) < 0)
            return;
    }
}

/* Makes the free bytes one piece, and returns how many there are. */
static size_t
make_room (Wire *wire)
{
    if (wire->out_start > 0) {
        memmove (wire->out, wire->out + wire->out_start, wire->out_end - wire->out_start);
        wire->out_end -= wire->out_start;
        wire->out_start = 0;
    }
    return sizeof (wire->out) - wire->out_end;
}

bool
wire_has_room (Wire *wire)
{
    return sizeof (wire->out) - (wire->out_end - wire->out_start) >= FRAME_MAX + WIRE_SPARE;
}

void
wire_put (Wire *wire, VmmRunType type, VmmRunStream stream, const uint32_t *numbers, size_t count,
          const char *text, size_t length)
{
    size_t head = VMM_RUN_HEADER + 4 * count;
    size_t room = make_room (wire);
    uint8_t *at = wire->out + wire->out_end;

    if (room < head)
        return;
    if (length > room - head)
        length = room - head;
    if (length > VMM_RUN_BODY_MAX - 4 * count)
        length = VMM_RUN_BODY_MAX - 4 * count;
    vmm_run_put_header (at, type, stream, (uint32_t)(4 * count + length));
    for (size_t i = 0; i < count; i++)
        vmm_run_put32 (at + VMM_RUN_HEADER + 4 * i, numbers[i]);
    if (length > 0)
        memcpy (at + head, text, length);
    wire->out_end += head + length;
}

void
wire_put_plain (Wire *wire, VmmRunType type, VmmRunStream stream)
{
    wire_put (wire, type, stream, NULL, 0, NULL, 0);
}

void
wire_put_number (Wire *wire, VmmRunType type, VmmRunStream stream, uint32_t number)
{
    wire_put (wire, type, stream, &number, 1, NULL, 0);
}

ssize_t
wire_forward (Wire *wire, VmmRunStream stream, int fd, size_t max)
{
    size_t room = make_room (wire) - WIRE_SPARE - VMM_RUN_HEADER;
    uint8_t *at = wire->out + wire->out_end;
    ssize_t got;

    if (max > room)
        max = room;
    if (max > VMM_RUN_BODY_MAX)
        max = VMM_RUN_BODY_MAX;
    got = read (fd, at + VMM_RUN_HEADER, max);
    if (got > 0) {
        vmm_run_put_header (at, VMM_RUN_DATA, stream, (uint32_t)got);
        wire->out_end += VMM_RUN_HEADER + (size_t)got;
    }
    return got;
}
