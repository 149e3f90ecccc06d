/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few threads that do plain system calls: all of them where the kernel refuses io_uring, and otherwise what
 * the ring cannot do. Threads are made when there is something for them.
 */
#include "devices/block/raw-internal.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS 8

/* A thread of the pool. */
static void
work (gpointer data, gpointer user)
{
    VmmBlockRequest *request = data;
    VmmRaw *raw = user;
    int error = vmm_raw_do (raw, request, request->private.number[1]);

    request->private.number[0] = (uint64_t)error;
    request->private.next = NULL;
    g_mutex_lock (&raw->lock);
    if (raw->done_last != NULL)
        raw->done_last->private.next = request;
    else
        raw->done_first = request;
    raw->done_last = request;
    g_cond_signal (&raw->changed);
    eventfd_write (raw->done_fd, 1);
    g_mutex_unlock (&raw->lock);
}

static bool
give_back (VmmRaw *raw)
{
    VmmBlockRequest *request;

    g_mutex_lock (&raw->lock);
    request = raw->done_first;
    raw->done_first = NULL;
    raw->done_last = NULL;
    g_mutex_unlock (&raw->lock);
    if (request == NULL)
        return false;
    while (request != NULL) {
        VmmBlockRequest *next = request->private.next;

        vmm_raw_finish (raw, request, (int)request->private.number[0]);
        request = next;
    }
    return true;
}

static void
on_done (void *user, uint32_t events)
{
    VmmRaw *raw = user;
    eventfd_t count;

    eventfd_read (raw->done_fd, &count);
    if (!give_back (raw))
        return;
    /* Those that waited at the gate. */
    raw->engine->kick (raw);
    vmm_block_settle (&raw->base);
}

/**
 * vmm_raw_pool_open:
 *
 * The loop's thread: what attaching needs. No thread begins yet.
 *
 * Returns: false when the host has no descriptors left
 */
bool
vmm_raw_pool_open (VmmRaw *raw)
{
    raw->done_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (raw->done_fd < 0)
        return false;
    raw->done_watch = vmm_loop_watch (raw->loop, raw->done_fd, EPOLLIN, on_done, raw);
    return true;
}

/**
 * vmm_raw_pool_close:
 *
 * The loop's thread, when nothing is at work: ends the threads.
 */
void
vmm_raw_pool_close (VmmRaw *raw)
{
    if (raw->pool != NULL)
        g_thread_pool_free (g_steal_pointer (&raw->pool), FALSE, TRUE);
    g_clear_pointer (&raw->done_watch, vmm_loop_unwatch);
    if (raw->done_fd >= 0)
        close (raw->done_fd);
    raw->done_fd = -1;
}

/**
 * vmm_raw_pool_push:
 * @request: one that is at work
 * @done: of a read or write: how much of it is done already
 *
 * The loop's thread: has a thread do it.
 */
void
vmm_raw_pool_push (VmmRaw *raw, VmmBlockRequest *request, uint64_t done)
{
    request->private.number[1] = done;
    if (raw->pool == NULL)
        raw->pool = g_thread_pool_new (work, raw, THREADS, FALSE, NULL);
    if (g_thread_pool_push (raw->pool, request, NULL) || g_thread_pool_get_num_threads (raw->pool) > 0)
        return;
    /* The host gives no thread, not even one: better slowly than never. */
    g_thread_pool_free (g_steal_pointer (&raw->pool), TRUE, TRUE);
    work (request, raw);
}

/**
 * vmm_raw_pool_wait:
 *
 * The loop's thread: waits until at least one is done of those that were pushed, and gives back all that are.
 */
void
vmm_raw_pool_wait (VmmRaw *raw)
{
    g_mutex_lock (&raw->lock);
    while (raw->done_first == NULL)
        g_cond_wait (&raw->changed, &raw->lock);
    g_mutex_unlock (&raw->lock);
    give_back (raw);
}

static bool
attach (VmmRaw *raw)
{
    return true;
}

static void
submit (VmmRaw *raw, VmmBlockRequest *request)
{
    vmm_raw_pool_push (raw, request, 0);
}

static void
kick (VmmRaw *raw)
{
}

static void
drain (VmmRaw *raw)
{
    while (raw->busy > 0)
        vmm_raw_pool_wait (raw);
}

static void
detach (VmmRaw *raw)
{
}

/**
 * vmm_raw_threads:
 *
 * Works everywhere.
 */
const VmmRawEngine vmm_raw_threads = {attach, submit, kick, NULL, drain, detach};
