/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw images by plain system calls, which may take their time: on the pool's threads, but for what is a mere
 * copy. Here is also what no ring does: the rest of a short read or write, zeroes where the file system knows
 * no fallocate(), and direct access from memory, or to places, that the host's disk cannot take as they are.
 *
 * A disk has sectors of 512 bytes for its guest, whatever the host's disk has. A direct write that begins or
 * ends inside a block of the host's reads the block first, changes it, and writes it back. Nothing else may
 * be written into that block meanwhile: raw.c sees to it that such a request is alone.
 */
#include "devices/block/raw-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The buffers of a request from its byte @done on, at most @max_iov of them. */
static int
rest_of (const VmmBlockRequest *request, uint64_t done, struct iovec *iov, int max_iov)
{
    int n = 0;

    for (unsigned i = 0; i < request->n_iov && n < max_iov; i++) {
        struct iovec part = request->iov[i];

        if (done >= part.iov_len) {
            done -= part.iov_len;
            continue;
        }
        iov[n++] = (struct iovec){(uint8_t *)part.iov_base + done, part.iov_len - done};
        done = 0;
    }
    return n;
}

/* 0, an errno, or -1 at the end of the file. */
static int
move_some (VmmRaw *raw, const VmmBlockRequest *request, uint64_t *done)
{
    struct iovec iov[16];
    int n_iov = rest_of (request, *done, iov, (int)G_N_ELEMENTS (iov));
    off_t at = (off_t)(request->offset + *done);
    ssize_t n;

    /* A direct read stops inside a block only where the file ends there. */
    if (request->op == VMM_BLOCK_READ && *done > 0 && raw->direct && (at & (raw->offset_alignment - 1)) != 0)
        return -1;

    do {
        n = request->op == VMM_BLOCK_READ
                ? preadv (raw->fd, iov, n_iov, at)
                : pwritev2 (raw->fd, iov, n_iov, at, raw->writethrough ? RWF_DSYNC : 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno;
    *done += (uint64_t)n;
    if (n > 0)
        return 0;
    return request->op == VMM_BLOCK_READ ? -1 : ENOSPC;
}

/* A piece of at most @len bytes between an aligned buffer and the request's. */
static void
copy_piece (const VmmBlockRequest *request, uint64_t done, uint8_t *piece, size_t len, bool to_request)
{
    while (len > 0) {
        struct iovec part;
        size_t run;

        if (rest_of (request, done, &part, 1) == 0)
            return;
        run = MIN (len, part.iov_len);
        memcpy (to_request ? part.iov_base : piece, to_request ? piece : part.iov_base, run);
        piece += run;
        done += run;
        len -= run;
    }
}

/* One window of whole blocks, [@start, @stop), of which the request has [@from, @to). */
typedef struct {
    uint64_t start;
    uint64_t stop;
    uint64_t from;
    uint64_t to;
} Window;

static int
move_window (VmmRaw *raw, const VmmBlockRequest *request, const Window *window, uint8_t *piece)
{
    struct iovec iov = {piece, window->stop - window->start};
    VmmBlockRequest part = {
        .op = VMM_BLOCK_READ, .offset = window->start, .len = iov.iov_len, .iov = &iov, .n_iov = 1};
    bool whole = window->start == window->from && window->stop == window->to;
    uint64_t done = window->from - request->offset;
    size_t len = (size_t)(window->to - window->from);
    int error = 0;

    if (request->op == VMM_BLOCK_READ || !whole)
        error = vmm_raw_do (raw, &part, 0);
    if (error == 0)
        copy_piece (request, done, piece + (window->from - window->start), len,
                    request->op == VMM_BLOCK_READ);
    if (error != 0 || request->op == VMM_BLOCK_READ)
        return error;
    part.op = VMM_BLOCK_WRITE;
    error = vmm_raw_do (raw, &part, 0);
    /* The disk may end inside the last block, and then the file does. */
    if (error == 0 && window->stop > raw->base.limits.size &&
        ftruncate (raw->fd, (off_t)raw->base.limits.size) < 0)
        error = errno;
    return error;
}

static int
move_by_copy (VmmRaw *raw, const VmmBlockRequest *request)
{
    uint64_t mask = raw->offset_alignment - 1;
    uint64_t end = request->offset + request->len;
    void *piece;
    int error = 0;

    if (posix_memalign (&piece, VMM_RAW_PIECE, VMM_RAW_PIECE) != 0)
        return ENOMEM;
    for (uint64_t at = request->offset; at < end && error == 0;) {
        Window window = {.start = at & ~mask, .from = at};

        window.stop = MIN (window.start + VMM_RAW_PIECE, (end + mask) & ~mask);
        window.to = MIN (window.stop, end);
        error = move_window (raw, request, &window, piece);
        at = window.to;
    }
    free (piece);
    return error;
}

static int
move (VmmRaw *raw, const VmmBlockRequest *request, uint64_t done)
{
    int error = 0;

    if (done == 0 && vmm_raw_needs_copy (raw, request))
        return move_by_copy (raw, request);
    while (done < request->len && error == 0)
        error = move_some (raw, request, &done);
    /* Beyond the end of a file that was cut off there are zeroes. */
    while (error < 0 && done < request->len) {
        struct iovec part;

        if (rest_of (request, done, &part, 1) == 0)
            break;
        memset (part.iov_base, 0, part.iov_len);
        done += part.iov_len;
    }
    return MAX (error, 0);
}

static int
write_zeroes (VmmRaw *raw, const VmmBlockRequest *request)
{
    void *zeroes;
    int error = 0;

    if (posix_memalign (&zeroes, VMM_RAW_PIECE, VMM_RAW_PIECE) != 0)
        return ENOMEM;
    memset (zeroes, 0, VMM_RAW_PIECE);
    for (uint64_t done = 0; done < request->len && error == 0; done += VMM_RAW_PIECE) {
        struct iovec iov = {zeroes, (size_t)MIN (VMM_RAW_PIECE, request->len - done)};
        VmmBlockRequest part = {.op = VMM_BLOCK_WRITE,
                                .offset = request->offset + done,
                                .len = iov.iov_len,
                                .iov = &iov,
                                .n_iov = 1};

        error = vmm_raw_do (raw, &part, 0);
    }
    free (zeroes);
    return error;
}

static int
allocate (VmmRaw *raw, const VmmBlockRequest *request)
{
    int mode = vmm_raw_fallocate_mode (raw, request);
    int error = 0;

    if (mode < 0)
        return 0;
    if (fallocate (raw->fd, mode, (off_t)request->offset, (off_t)request->len) < 0)
        error = errno;
    /* A block device takes whole blocks of its own only. */
    if (error != EOPNOTSUPP && error != ENODEV && error != EINVAL)
        return error;
    return request->op == VMM_BLOCK_DISCARD ? 0 : write_zeroes (raw, request);
}

/**
 * vmm_raw_do:
 * @done: of a read or write: how much of it is done already
 *
 * Does a request with plain system calls, on any thread; it may wait for the host's disk.
 *
 * Returns: 0 or an errno
 */
int
vmm_raw_do (VmmRaw *raw, const VmmBlockRequest *request, uint64_t done)
{
    int error;

    switch (request->op) {
    case VMM_BLOCK_READ:
    case VMM_BLOCK_WRITE:
        return move (raw, request, done);
    case VMM_BLOCK_FLUSH:
        return fdatasync (raw->fd) == 0 ? 0 : errno;
    case VMM_BLOCK_DISCARD:
    case VMM_BLOCK_WRITE_ZEROES:
        error = allocate (raw, request);
        return error == 0 && raw->writethrough && fdatasync (raw->fd) < 0 ? errno : error;
    }
    return EINVAL;
}
