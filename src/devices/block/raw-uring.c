/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw images on io_uring: one ring for each disk, used by its loop's thread alone. Submissions are collected
 * until the kick, which is one system call for all of them; what the page cache had is then done already and
 * given back at once. For the rest the ring's descriptor wakes the loop. What the ring cannot do, or left
 * undone, goes to the pool of threads: the loop's own thread waits for no disk.
 *
 * A write into the page cache is a copy, and no more than that as a rule; but a file system such as ext4
 * cannot promise it, so the ring would give each one to a thread of the kernel's, with a wake-up there and
 * one back, at several times the price of the copy. So the loop's thread makes such copies itself, as long as
 * they are just that: once one has waited for the disk, the next ones go to the ring for a while, and longer
 * each time.
 *
 * The file is not registered with the ring: the kernel lets go of a ring some time after its process has
 * ended, and a file that the ring holds would stay locked for as long.
 */
#include <errno.h>
#include <sys/uio.h>

#include "devices/block/raw-internal.h"
#include "vmm/core/timer.h"

#define SUBMIT_TRIES 10000u
/* More reads than that before a kick are a crowd. */
#define FEW_READS 1u
/* What a copy into the page cache may take: more, and it has waited. */
#define COPY_NS INT64_C (300000)
#define COPY_NS_FOR_KIB INT64_C (1000)
/* So long none is tried again, at first and at most: it may have been the host's other work. */
#define PAUSE_MIN_NS INT64_C (10000000)
#define PAUSE_MAX_NS INT64_C (1000000000)

static void
prepare (VmmRaw *raw, struct io_uring_sqe *sqe, VmmBlockRequest *request)
{
    switch (request->op) {
    case VMM_BLOCK_READ:
        if (request->n_iov == 1)
            io_uring_prep_read (sqe, raw->fd, request->iov->iov_base, (unsigned)request->iov->iov_len,
                                request->offset);
        else
            io_uring_prep_readv (sqe, raw->fd, request->iov, request->n_iov, request->offset);
        break;
    case VMM_BLOCK_WRITE:
        if (request->n_iov == 1)
            io_uring_prep_write (sqe, raw->fd, request->iov->iov_base, (unsigned)request->iov->iov_len,
                                 request->offset);
        else
            io_uring_prep_writev (sqe, raw->fd, request->iov, request->n_iov, request->offset);
        sqe->rw_flags = raw->writethrough ? RWF_DSYNC : 0;
        break;
    case VMM_BLOCK_FLUSH:
        io_uring_prep_fsync (sqe, raw->fd, IORING_FSYNC_DATASYNC);
        break;
    case VMM_BLOCK_DISCARD:
    case VMM_BLOCK_WRITE_ZEROES:
        io_uring_prep_fallocate (sqe, raw->fd, vmm_raw_fallocate_mode (raw, request), (off_t)request->offset,
                                 (off_t)request->len);
        break;
    }
    io_uring_sqe_set_data (sqe, request);
}

/* Whether the ring left something undone, and then how much of a read or write it did. */
static bool
is_undone (const VmmRaw *raw, const VmmBlockRequest *request, int result, uint64_t *ret_done)
{
    *ret_done = 0;
    if (result == -EINTR || result == -EAGAIN)
        return true;
    switch (request->op) {
    case VMM_BLOCK_READ:
    case VMM_BLOCK_WRITE:
        *ret_done = (uint64_t)MAX (result, 0);
        return result >= 0 && *ret_done < request->len;
    case VMM_BLOCK_FLUSH:
        return false;
    case VMM_BLOCK_DISCARD:
    case VMM_BLOCK_WRITE_ZEROES:
        /* It is to last at once, or nobody there knows it in this way. */
        return (result == 0 && raw->writethrough) || result == -EOPNOTSUPP || result == -ENODEV ||
               result == -EINVAL;
    }
    return false;
}

static bool
reap (VmmRaw *raw)
{
    struct io_uring_cqe *cqe;
    bool any = false;

    while (io_uring_peek_cqe (&raw->ring, &cqe) == 0) {
        VmmBlockRequest *request = io_uring_cqe_get_data (cqe);
        int result = cqe->res;
        uint64_t done;

        io_uring_cqe_seen (&raw->ring, cqe);
        raw->in_flight--;
        any = true;
        if (is_undone (raw, request, result, &done))
            vmm_raw_pool_push (raw, request, done);
        else
            vmm_raw_finish (raw, request, MAX (-result, 0));
    }
    return any;
}

/* False when the ring is full. */
static bool
put (VmmRaw *raw, VmmBlockRequest *request)
{
    struct io_uring_sqe *sqe;

    /* The completions of all that is in flight have room. */
    if (raw->in_flight >= VMM_RAW_RING_ENTRIES)
        return false;
    sqe = io_uring_get_sqe (&raw->ring);
    if (sqe == NULL)
        return false;
    prepare (raw, sqe, request);
    raw->in_flight++;
    return true;
}

static void
put_waiting (VmmRaw *raw)
{
    while (raw->waiting_first != NULL && put (raw, raw->waiting_first)) {
        raw->waiting_first = raw->waiting_first->private.next;
        if (raw->waiting_first == NULL)
            raw->waiting_last = NULL;
    }
}

/* Where the kernel is short of memory for a moment, it is asked again: nothing else would. */
static void
submit_all (VmmRaw *raw)
{
    for (unsigned tries = 0; io_uring_sq_ready (&raw->ring) > 0 && tries < SUBMIT_TRIES; tries++) {
        if (io_uring_submit (&raw->ring) < 0)
            g_thread_yield ();
    }
}

/* What the ring's memory holds goes to the kernel, and what is done comes back, until nothing moves. */
static bool
turn (VmmRaw *raw)
{
    bool any = false;
    bool now;

    do {
        put_waiting (raw);
        submit_all (raw);
        now = reap (raw);
        any = any || now;
    } while ((now && io_uring_sq_ready (&raw->ring) > 0) ||
             (raw->waiting_first != NULL && raw->in_flight < VMM_RAW_RING_ENTRIES));
    return any;
}

static void
on_ready (void *user, uint32_t events)
{
    VmmRaw *raw = user;

    if (turn (raw))
        vmm_block_settle (&raw->base);
}

static bool
attach (VmmRaw *raw)
{
    struct io_uring_params params = {.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER};

    if (io_uring_queue_init_params (VMM_RAW_RING_ENTRIES, &raw->ring, &params) < 0 &&
        io_uring_queue_init (VMM_RAW_RING_ENTRIES, &raw->ring, 0) < 0)
        return false;
    raw->watch = vmm_loop_watch (raw->loop, raw->ring.ring_fd, EPOLLIN, on_ready, raw);
    return true;
}

/* Whether the request is done, by a copy into the page cache. */
static bool
write_now (VmmRaw *raw, VmmBlockRequest *request)
{
    int64_t begun, took;
    int error;

    if (request->op != VMM_BLOCK_WRITE || !raw->cached_file || raw->writethrough)
        return false;
    begun = vmm_now_ns ();
    if (begun < raw->copy_after_ns)
        return false;
    error = vmm_raw_do (raw, request, 0);
    took = vmm_now_ns () - begun;
    if (took > COPY_NS + COPY_NS_FOR_KIB * (int64_t)(request->len >> 10)) {
        raw->copy_pause_ns = CLAMP (2 * raw->copy_pause_ns, PAUSE_MIN_NS, PAUSE_MAX_NS);
        raw->copy_after_ns = begun + took + raw->copy_pause_ns;
    } else {
        raw->copy_pause_ns -= raw->copy_pause_ns / 16;
    }
    vmm_raw_finish (raw, request, error);
    return true;
}

/* Whether the request is done, by a copy out of the page cache. In a crowd of reads the ring is cheaper: one
 * call of the kernel's for all. */
static bool
read_now (VmmRaw *raw, VmmBlockRequest *request)
{
    ssize_t n;

    if (request->op != VMM_BLOCK_READ || !raw->cached_file || raw->cannot_peek)
        return false;
    if (++raw->n_reads > FEW_READS || raw->n_last_reads > FEW_READS)
        return false;
    n = preadv2 (raw->fd, request->iov, (int)request->n_iov, (off_t)request->offset, RWF_NOWAIT);
    if (n >= 0 && (uint64_t)n == request->len) {
        vmm_raw_finish (raw, request, 0);
        return true;
    }
    raw->cannot_peek = n < 0 && errno == EOPNOTSUPP;
    return false;
}

static void
submit (VmmRaw *raw, VmmBlockRequest *request)
{
    if (vmm_raw_needs_copy (raw, request)) {
        vmm_raw_pool_push (raw, request, 0);
        return;
    }
    if (read_now (raw, request) || write_now (raw, request) ||
        (raw->waiting_first == NULL && put (raw, request)))
        return;
    request->private.next = NULL;
    if (raw->waiting_last != NULL)
        raw->waiting_last->private.next = request;
    else
        raw->waiting_first = request;
    raw->waiting_last = request;
}

static void
kick (VmmRaw *raw)
{
    raw->n_last_reads = raw->n_reads;
    raw->n_reads = 0;
    turn (raw);
}

static bool
poll_done (VmmRaw *raw)
{
    return raw->in_flight > 0 && io_uring_cq_ready (&raw->ring) > 0 && turn (raw);
}

static void
drain (VmmRaw *raw)
{
    turn (raw);
    while (raw->busy > 0) {
        if (raw->in_flight > 0)
            io_uring_submit_and_wait (&raw->ring, 1);
        else
            vmm_raw_pool_wait (raw);
        turn (raw);
    }
}

static void
detach (VmmRaw *raw)
{
    g_clear_pointer (&raw->watch, vmm_loop_unwatch);
    io_uring_queue_exit (&raw->ring);
}

/**
 * vmm_raw_uring:
 *
 * Where the kernel has io_uring.
 */
const VmmRawEngine vmm_raw_uring = {attach, submit, kick, poll_done, drain, detach};
