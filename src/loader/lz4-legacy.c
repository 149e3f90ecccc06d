/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The LZ4 format of the Linux kernel (lib/decompress_unlz4.c; `lz4 -l` makes it): a magic number, then
 * blocks, each behind its length. There is no end mark; a rest too short for a block is the unpacked length
 * that the Linux build appends.
 *
 * Blocks do not refer to each other, and each but the last unpacks to 8 MiB. So several threads unpack them
 * at once: nearly all of the time from the start of vmm to a Linux's first instruction goes here. When a
 * block turns out not to be of that size, or anything else is unusual, one thread does it again in order.
 */
#include "loader/lz4-legacy.h"

#include <glib.h>
#include <lz4.h>

#define MAGIC 0x184c2102u
#define BLOCK ((size_t)8 << 20)

/* 1 GiB, the most that a kernel may be, is 128 blocks. More threads than this wait for memory only. */
#define BLOCKS_MAX 128u
#define THREADS_MAX 8u

typedef struct {
    VmmSpan block[BLOCKS_MAX];
    unsigned n;
    uint8_t *out;
    size_t cap;
    int next;        /* atomic: next block to take */
    int failed;      /* atomic */
    size_t last_len; /* of the last block, written by whoever unpacks it */
} Parallel;

/* The block at @pos, which moves behind it; @ret_done at the end. */
static VmmLz4Result
next_block (VmmSpan in, size_t *pos, VmmSpan *ret_block, bool *ret_done)
{
    uint32_t size = MAGIC;

    /* Two archives may follow each other. */
    while (size == MAGIC) {
        *ret_done = in.len - *pos <= 4;
        if (*ret_done)
            return VMM_LZ4_OK;
        size = vmm_get_u32 (in.data + *pos);
        *pos += 4;
    }
    if (size == 0 || size > (uint32_t)LZ4_compressBound ((int)BLOCK))
        return VMM_LZ4_CORRUPT;
    if (!vmm_span_sub (in, *pos, size, ret_block))
        return VMM_LZ4_TRUNCATED;
    *pos += size;
    return VMM_LZ4_OK;
}

static int
unpack_block (VmmSpan block, uint8_t *out, size_t room, bool prefix)
{
    const char *src = (const char *)block.data;
    int n = (int)MIN (room, BLOCK);

    return prefix ? LZ4_decompress_safe_partial (src, (char *)out, (int)block.len, n, n)
                  : LZ4_decompress_safe (src, (char *)out, (int)block.len, n);
}

static void *
worker (void *data)
{
    Parallel *p = data;

    for (;;) {
        unsigned i = (unsigned)g_atomic_int_add (&p->next, 1);
        if (i >= p->n || g_atomic_int_get (&p->failed))
            return NULL;
        int n = unpack_block (p->block[i], p->out + i * BLOCK, p->cap - i * BLOCK, false);
        if (n < 0 || (i + 1 < p->n && (size_t)n != BLOCK))
            g_atomic_int_set (&p->failed, 1);
        else if (i + 1 == p->n)
            p->last_len = (size_t)n;
    }
}

/* Cuts the input into blocks; false when it is not worth it or not as usual. */
static bool
plan (Parallel *p, VmmSpan in)
{
    bool done = false;
    size_t pos = 4;

    for (p->n = 0; p->n < BLOCKS_MAX && p->n * BLOCK < p->cap; p->n++) {
        if (next_block (in, &pos, &p->block[p->n], &done) != VMM_LZ4_OK)
            return false;
        if (done)
            return p->n > 1;
    }
    VmmSpan more;
    return next_block (in, &pos, &more, &done) == VMM_LZ4_OK && done && p->n > 1;
}

static bool
unpack_parallel (VmmSpan in, uint8_t *out, size_t cap, size_t *ret_len)
{
    g_autofree Parallel *p = g_new0 (Parallel, 1);
    GThread *threads[THREADS_MAX] = {NULL};

    p->out = out;
    p->cap = cap;
    if (!plan (p, in))
        return false;
    unsigned n = MIN (MIN (g_get_num_processors (), p->n), THREADS_MAX);
    /* This thread works too, and alone when the host has no more threads to give. */
    for (unsigned i = 1; i < n; i++)
        threads[i] = g_thread_try_new ("vmm-unpack", worker, p, NULL);
    worker (p);
    for (unsigned i = 1; i < n; i++)
        if (threads[i] != NULL)
            g_thread_join (threads[i]);
    if (g_atomic_int_get (&p->failed))
        return false;
    *ret_len = (p->n - 1) * BLOCK + p->last_len;
    return true;
}

/**
 * vmm_lz4_legacy_unpack:
 * @in: the stream, with its magic number
 * @out: takes at most @cap bytes
 * @cap: bytes at @out
 * @prefix: stop when @out is full
 * @ret_len: bytes written
 *
 * Returns: what came of it; @ret_len is untouched unless %VMM_LZ4_OK
 */
VmmLz4Result
vmm_lz4_legacy_unpack (VmmSpan in, uint8_t *out, size_t cap, bool prefix, size_t *ret_len)
{
    size_t pos = 4, len = 0;
    VmmSpan block;
    bool done;

    if (in.len < 4)
        return VMM_LZ4_TRUNCATED;
    if (!prefix && unpack_parallel (in, out, cap, ret_len))
        return VMM_LZ4_OK;
    while (len < cap || !prefix) {
        VmmLz4Result result = next_block (in, &pos, &block, &done);
        if (result != VMM_LZ4_OK)
            return result;
        if (done)
            break;
        int n = unpack_block (block, out + len, cap - len, prefix);
        /* What unpacks in part has only too little room. */
        if (n < 0)
            return cap - len < BLOCK && unpack_block (block, out + len, cap - len, true) >= 0
                       ? VMM_LZ4_TOO_BIG
                       : VMM_LZ4_CORRUPT;
        len += (size_t)n;
    }
    *ret_len = len;
    return VMM_LZ4_OK;
}
