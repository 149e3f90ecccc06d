/* SPDX-License-Identifier: Apache-2.0 */
#include "input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Less room is not worth a frame: then more than the rest is allowed, or waits for the command to read it. */
#define WORTH_TELLING (INPUT_WINDOW / 4)

void
input_init (Input *input)
{
    *input = (Input){.owed = INPUT_WINDOW, .last = '\n'};
}

bool
input_take (Input *input, const uint8_t *bytes, size_t length)
{
    if (length > input->allowed || input->ended)
        return false;
    input->allowed -= (uint32_t)length;
    if (input->closed) {
        input->owed += (uint32_t)length;
        return true;
    }
    /* What is allowed, owed and waits is never more than the window, so it fits. */
    memmove (input->bytes, input->bytes + input->start, input->end - input->start);
    input->end -= input->start;
    input->start = 0;
    memcpy (input->bytes + input->end, bytes, length);
    input->end += length;
    if (length > 0)
        input->last = bytes[length - 1];
    return true;
}

static void
close_fd (Input *input, Job *job)
{
    if (job->in >= 0 && !job->pty)
        close (job->in);
    job->in = -1;
    input->closed = true;
}

void
input_close (Input *input, Job *job, Wire *wire)
{
    if (input->closed)
        return;
    if (!input->ended)
        wire_put_plain (wire, VMM_RUN_EOF, VMM_RUN_STDIN);
    input->owed += (uint32_t)(input->end - input->start);
    input->start = input->end = 0;
    close_fd (input, job);
}

/* The host's end of input has come and all before it is written. A terminal takes the end as one more byte or
 * two. */
static void
finish (Input *input, Job *job)
{
    input->start = input->end = 0;
    if (job->pty && !input->finishing)
        input->end = job_end_of_input (job, input->last == '\n', input->bytes);
    input->finishing = true;
    if (!input_waits (input))
        close_fd (input, job);
}

void
input_forward (Input *input, Job *job, Wire *wire)
{
    if (input->ended && !input->closed && !input_waits (input))
        finish (input, job);
    while (input_waits (input)) {
        ssize_t written = write (job->in, input->bytes + input->start, input->end - input->start);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno != EAGAIN)
            input_close (input, job, wire);
        if (written <= 0)
            return;
        input->start += (size_t)written;
        input->owed += (uint32_t)written;
        if (input->ended && !input_waits (input))
            finish (input, job);
    }
}

void
input_allow (Input *input, Wire *wire)
{
    if (input->ended || input->owed < WORTH_TELLING || !wire_has_room (wire))
        return;
    wire_put_number (wire, VMM_RUN_WINDOW, VMM_RUN_STDIN, input->owed);
    input->allowed += input->owed;
    input->owed = 0;
}
