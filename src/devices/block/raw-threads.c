/* SPDX-License-Identifier: Apache-2.0 */
/* Raw images where the kernel refuses io_uring: a few threads do plain system calls. */
#include "devices/block/raw-internal.h"

#define THREADS 8

static void
work (gpointer data, gpointer user)
{
    VmmBlockRequest *request = data;
    VmmRaw *raw = user;

    request->private.number[0] = (uint64_t)vmm_raw_do (raw, request, 0);
    request->private.next = NULL;
    g_mutex_lock (&raw->lock);
    if (raw->done_last != NULL)
        raw->done_last->private.next = request;
    else
        raw->done_first = request;
    raw->done_last = request;
    g_cond_signal (&raw->changed);
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

        raw->in_flight--;
        request->done (request, (int)request->private.number[0]);
        request = next;
    }
    return true;
}

static void
on_done (void *user)
{
    VmmRaw *raw = user;

    if (give_back (raw))
        vmm_block_settle (&raw->base);
}

static void
work_and_tell (gpointer data, gpointer user)
{
    VmmRaw *raw = user;
    VmmLoop *loop = raw->loop;

    work (data, user);
    vmm_loop_post (loop, on_done, raw);
}

static bool
attach (VmmRaw *raw)
{
    raw->pool = g_thread_pool_new (work_and_tell, raw, THREADS, FALSE, NULL);
    return raw->pool != NULL;
}

static void
submit (VmmRaw *raw, VmmBlockRequest *request)
{
    raw->in_flight++;
    g_thread_pool_push (raw->pool, request, NULL);
}

static void
kick (VmmRaw *raw)
{
}

static void
drain (VmmRaw *raw)
{
    while (raw->in_flight > 0) {
        g_mutex_lock (&raw->lock);
        while (raw->done_first == NULL)
            g_cond_wait (&raw->changed, &raw->lock);
        g_mutex_unlock (&raw->lock);
        give_back (raw);
    }
}

static void
detach (VmmRaw *raw)
{
    /* Waits for the threads, whose last act is to post. That finds nothing to do any more. */
    g_thread_pool_free (g_steal_pointer (&raw->pool), FALSE, TRUE);
}

/**
 * vmm_raw_threads:
 *
 * Works everywhere.
 */
const VmmRawEngine vmm_raw_threads = {attach, submit, kick, NULL, drain, detach};
