/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "devices/virtio/virtqueue.h"

/**
 * vmm_chain_init:
 * @chain: to be cleared by vmm_chain_clear()
 * @max_iov: how many buffers it can hold; %VMM_CHAIN_IOV_MAX is enough for every chain
 */
void
vmm_chain_init (VmmChain *chain, unsigned max_iov)
{
    *chain = (VmmChain){.iov = g_new (struct iovec, max_iov), .max_iov = max_iov};
}

/**
 * vmm_chain_clear:
 * @chain: initialized, or all zeroes
 */
void
vmm_chain_clear (VmmChain *chain)
{
    g_free (chain->iov);
    *chain = (VmmChain){0};
}

/* The rest of the current buffer of a stream, at most @len bytes; NULL at the end of the stream. */
static uint8_t *
next_run (const struct iovec *iov, unsigned n, unsigned *index, size_t *offset, size_t *len)
{
    uint8_t *start;

    if (*index == n)
        return NULL;
    start = (uint8_t *)iov[*index].iov_base + *offset;
    *len = MIN (*len, iov[*index].iov_len - *offset);
    *offset += *len;
    if (*offset == iov[*index].iov_len) {
        *offset = 0;
        (*index)++;
    }
    return start;
}

static uint8_t *
next_readable (VmmChain *chain, size_t *len)
{
    uint8_t *start = next_run (chain->iov, chain->n_readable, &chain->read_index, &chain->read_offset, len);

    if (start != NULL)
        chain->readable_left -= *len;
    return start;
}

static uint8_t *
next_writable (VmmChain *chain, size_t *len)
{
    uint8_t *start = next_run (chain->iov + chain->n_readable, chain->n_writable, &chain->write_index,
                               &chain->write_offset, len);

    if (start != NULL)
        chain->writable_left -= *len;
    return start;
}

/**
 * vmm_chain_read:
 * @buf: gets at most @len bytes
 *
 * Returns: how many bytes were read, fewer than @len at the end of what the driver gave
 */
size_t
vmm_chain_read (VmmChain *chain, void *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        size_t run = len - done;
        const uint8_t *from = next_readable (chain, &run);

        if (from == NULL)
            break;
        memcpy ((uint8_t *)buf + done, from, run);
        done += run;
    }
    return done;
}

/**
 * vmm_chain_write:
 * @buf: @len bytes for the driver
 *
 * Returns: how many bytes were written, fewer than @len at the end of the room
 */
size_t
vmm_chain_write (VmmChain *chain, const void *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        size_t run = len - done;
        uint8_t *to = next_writable (chain, &run);

        if (to == NULL)
            break;
        memcpy (to, (const uint8_t *)buf + done, run);
        done += run;
    }
    chain->written += chain->skipped ? 0 : done;
    return done;
}

/**
 * vmm_chain_skip_writable:
 * @len: bytes to leave as they are
 *
 * Returns: how many were skipped
 */
size_t
vmm_chain_skip_writable (VmmChain *chain, size_t len)
{
    size_t done = 0;

    while (done < len) {
        size_t run = len - done;

        if (next_writable (chain, &run) == NULL)
            break;
        done += run;
    }
    chain->skipped = chain->skipped || done > 0;
    return done;
}

/**
 * vmm_chain_take_readable:
 * @len: at most so many bytes
 * @iov: (out) (array length=max_iov): where they are
 *
 * Goes on by what it gives.
 *
 * Returns: how many elements of @iov are used; the bytes are fewer than @len where the stream or @iov ends
 */
unsigned
vmm_chain_take_readable (VmmChain *chain, size_t len, struct iovec *iov, unsigned max_iov)
{
    unsigned n = 0;

    while (len > 0 && n < max_iov) {
        size_t run = len;
        uint8_t *start = next_readable (chain, &run);

        if (start == NULL)
            break;
        iov[n++] = (struct iovec){start, run};
        len -= run;
    }
    return n;
}

/**
 * vmm_chain_take_writable:
 * @len: at most so many bytes
 * @iov: (out) (array length=max_iov): where they are
 *
 * As vmm_chain_take_readable(); they count as written.
 *
 * Returns: how many elements of @iov are used
 */
unsigned
vmm_chain_take_writable (VmmChain *chain, size_t len, struct iovec *iov, unsigned max_iov)
{
    unsigned n = 0;

    while (len > 0 && n < max_iov) {
        size_t run = len;
        uint8_t *start = next_writable (chain, &run);

        if (start == NULL)
            break;
        iov[n++] = (struct iovec){start, run};
        chain->written += chain->skipped ? 0 : run;
        len -= run;
    }
    return n;
}
