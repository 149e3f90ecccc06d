/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of the virtio block device. Of each queue one request at most is held: the first that may not begin
 * yet. What comes behind it stays in the ring, and the loop looks there again when a timer says that it is
 * worth it. A request is held when all about it is known and nothing was done for it, so that a pause can put
 * it back into the ring.
 *
 * All that goes to the backend is an operation. Reads and writes move bytes, and so do zeroes, which some
 * hosts can only write; a flush moves none, and never waits for those that others moved.
 */
#include "devices/virtio/blk-internal.h"

#include "vmm/core/timer.h"

static uint64_t
bytes_of (const VmmBlockRequest *block)
{
    return block->op == VMM_BLOCK_FLUSH || block->op == VMM_BLOCK_DISCARD ? 0 : block->len;
}

/* Queues take turns at being first. */
static void
on_timer (void *user)
{
    VmmVirtioBlk *blk = user;
    unsigned first = blk->turn;

    blk->wake_ns = 0;
    blk->turn = (first + 1) % blk->n_queues;
    for (unsigned i = 0; i < blk->n_queues; i++) {
        unsigned index = (first + i) % blk->n_queues;

        if (blk->held[index] == NULL)
            continue;
        vmm_virtio_blk_pass (g_steal_pointer (&blk->held[index]));
        vmm_virtio_blk_start_all (blk, index);
    }
    vmm_virtio_blk_kick (blk);
    vmm_virtio_blk_publish (blk);
}

/**
 * vmm_virtio_blk_limits_attach:
 *
 * The device begins to work.
 */
void
vmm_virtio_blk_limits_attach (VmmVirtioBlk *blk)
{
    if (blk->limits != NULL)
        blk->timer = vmm_loop_timer_new (vmm_virtio_device_loop (blk->device), on_timer, blk);
}

/**
 * vmm_virtio_blk_limits_detach:
 *
 * It ends; nothing is held.
 */
void
vmm_virtio_blk_limits_detach (VmmVirtioBlk *blk)
{
    g_clear_pointer (&blk->timer, vmm_loop_timer_free);
}

/**
 * vmm_virtio_blk_limits_hold:
 * @request: one that is ready for the backend, of a queue of which none is held; there are limits
 *
 * Returns: whether it is held now; else it was counted
 */
bool
vmm_virtio_blk_limits_hold (VmmVirtioBlkRequest *request)
{
    VmmVirtioBlk *blk = request->blk;
    int64_t now = vmm_now_ns ();
    int64_t wait = vmm_limits_take (blk->limits, bytes_of (&request->block), now);

    if (wait == 0)
        return false;
    blk->held[request->queue] = request;
    wait = MIN (wait, G_MAXINT64 / 2);
    if (blk->wake_ns == 0 || now + wait < blk->wake_ns) {
        blk->wake_ns = now + wait;
        vmm_loop_timer_arm (blk->timer, wait);
    }
    return true;
}

/**
 * vmm_virtio_blk_limits_unpop:
 *
 * A pause: what is held goes back into the rings, to be found there again. Each is the last one that was
 * popped from its queue.
 */
void
vmm_virtio_blk_limits_unpop (VmmVirtioBlk *blk)
{
    if (blk->limits == NULL)
        return;
    for (unsigned i = 0; i < blk->n_queues; i++) {
        VmmVirtioBlkRequest *request = g_steal_pointer (&blk->held[i]);

        if (request == NULL)
            continue;
        vmm_virtqueue_unpop (vmm_virtio_device_queue (blk->device, i), &request->chain);
        request->next = blk->free;
        blk->free = request;
    }
    blk->wake_ns = 0;
    vmm_loop_timer_disarm (blk->timer);
}
