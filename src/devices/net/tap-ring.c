/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several frames for a tap, or from one, in one system call, by io_uring. Each is written or read on the spot
 * or not at all, as by a descriptor that does not block: when the call returns nothing is in flight, and no
 * memory is the kernel's.
 *
 * The ring is made with the first batch. The tap is not registered with it: the kernel lets go of a ring some
 * time after its process has ended, and an interface that the ring holds would stay in use for as long.
 */
#include "devices/net/tap-internal.h"

#include <errno.h>

#define SUBMIT_TRIES 10000u

static bool
open_ring (VmmNetTap *tap)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};

    if (tap->ring_is != VMM_NET_TAP_RING_NONE)
        return tap->ring_is == VMM_NET_TAP_RING_OPEN;
    tap->ring_is = VMM_NET_TAP_RING_NEVER;
    if (io_uring_queue_init_params (VMM_NET_BATCH_MAX, &tap->ring, &params) < 0 &&
        io_uring_queue_init (VMM_NET_BATCH_MAX, &tap->ring, 0) < 0)
        return false;
    tap->ring_is = VMM_NET_TAP_RING_OPEN;
    return true;
}

/* For the rest of the process's life: what the kernel cannot do now it will not learn. */
static void
give_up (VmmNetTap *tap)
{
    vmm_net_tap_ring_close (tap);
    tap->ring_is = VMM_NET_TAP_RING_NEVER;
}

static unsigned
reap (VmmNetTap *tap, int *ret_results)
{
    struct io_uring_cqe *cqe;
    unsigned n = 0;

    for (; io_uring_peek_cqe (&tap->ring, &cqe) == 0; n++) {
        ret_results[io_uring_cqe_get_data64 (cqe)] = cqe->res;
        io_uring_cqe_seen (&tap->ring, cqe);
    }
    return n;
}

/* Until all is done that the kernel took; returns how much that is. */
static unsigned
submit (VmmNetTap *tap, unsigned n, int *ret_results)
{
    unsigned done = 0;

    /* Where the kernel is short of memory for a moment, it is asked again. */
    for (unsigned tries = 0; tries < SUBMIT_TRIES && io_uring_sq_ready (&tap->ring) > 0; tries++) {
        if (io_uring_submit_and_wait (&tap->ring, n - done) < 0)
            g_thread_yield ();
        done += reap (tap, ret_results);
    }
    n -= io_uring_sq_ready (&tap->ring);
    while (done < n) {
        struct io_uring_cqe *cqe;

        io_uring_wait_cqe (&tap->ring, &cqe);
        done += reap (tap, ret_results);
    }
    return n;
}

typedef void (*Prepare) (struct io_uring_sqe *sqe, int fd, const struct iovec *iov, unsigned n_iov,
                         __u64 offset);

static unsigned
run (VmmNetTap *tap, int fd, Prepare prepare, const VmmNetFrame *frames, unsigned n, int *ret_results)
{
    unsigned done;

    if (!open_ring (tap))
        return 0;
    for (unsigned i = 0; i < n; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe (&tap->ring);

        prepare (sqe, fd, frames[i].iov, frames[i].n_iov, 0);
        sqe->rw_flags = RWF_NOWAIT;
        io_uring_sqe_set_data64 (sqe, i);
    }
    done = submit (tap, n, ret_results);
    /* Before Linux 5.18 a tap cannot be used in this way. */
    if (done > 0 && ret_results[0] == -EOPNOTSUPP)
        done = 0;
    /* What is left in the ring must not be done later. */
    if (done < n)
        give_up (tap);
    return done;
}

/**
 * vmm_net_tap_ring_write:
 * @fd: of a queue of @tap
 * @frames: at most %VMM_NET_BATCH_MAX
 * @ret_results: (out) (array length=n): of each, bytes or a negative errno
 *
 * Writes them in their order.
 *
 * Returns: how many have a result, from the first on: none of the others was written
 */
unsigned
vmm_net_tap_ring_write (VmmNetTap *tap, int fd, const VmmNetFrame *frames, unsigned n, int *ret_results)
{
    return run (tap, fd, io_uring_prep_writev, frames, n, ret_results);
}

/**
 * vmm_net_tap_ring_read:
 * @fd: of a queue of @tap
 * @rooms: at most %VMM_NET_BATCH_MAX, one for each frame
 * @ret_results: (out) (array length=n): of each, bytes or a negative errno
 *
 * Reads frames in their order.
 *
 * Returns: how many have a result, from the first on: nothing was read into the others
 */
unsigned
vmm_net_tap_ring_read (VmmNetTap *tap, int fd, const VmmNetFrame *rooms, unsigned n, int *ret_results)
{
    return run (tap, fd, io_uring_prep_readv, rooms, n, ret_results);
}

/**
 * vmm_net_tap_ring_close:
 *
 * The ring may be opened again, by another thread.
 */
void
vmm_net_tap_ring_close (VmmNetTap *tap)
{
    if (tap->ring_is != VMM_NET_TAP_RING_OPEN)
        return;
    io_uring_queue_exit (&tap->ring);
    tap->ring_is = VMM_NET_TAP_RING_NONE;
}
