/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of the virtio block device (virtio 1.2 section 5.2.6). See blk.c. */
#include <errno.h>
#include <string.h>

#include "devices/virtio/blk-internal.h"

enum {
    TYPE_IN = 0,
    TYPE_OUT = 1,
    TYPE_FLUSH = 4,
    TYPE_GET_ID = 8,
    TYPE_DISCARD = 11,
    TYPE_WRITE_ZEROES = 13,
};

enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPP = 2 };

#define RANGE_FLAG_UNMAP 1u

typedef struct {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
} Header;

typedef struct {
    uint64_t sector;
    uint32_t n_sectors;
    uint32_t flags;
} Range;

/* Without FLUSH a driver cannot ask for what it has to last (section 5.2.6.2). */
static bool
lasts_by_flush (const VmmVirtioBlk *blk)
{
    return (vmm_virtio_device_features (blk->device) & VMM_BLK_F_FLUSH) != 0 &&
           __atomic_load_n (&blk->writeback, __ATOMIC_RELAXED);
}

static VmmVirtioBlkRequest *
take_request (VmmVirtioBlk *blk)
{
    VmmVirtioBlkRequest *request = blk->free;

    if (request != NULL) {
        blk->free = request->next;
        return request;
    }
    request = g_new0 (VmmVirtioBlkRequest, 1);
    vmm_chain_init (&request->chain, VMM_BLK_IOV_MAX_PER_REQUEST);
    request->blk = blk;
    g_ptr_array_add (blk->requests, request);
    return request;
}

/**
 * vmm_virtio_blk_free_request:
 *
 * Ends a request object.
 */
void
vmm_virtio_blk_free_request (gpointer data)
{
    VmmVirtioBlkRequest *request = data;

    vmm_chain_clear (&request->chain);
    g_free (request);
}

static void
finish (VmmVirtioBlkRequest *request, uint8_t status)
{
    VmmVirtioBlk *blk = request->blk;

    vmm_chain_skip_writable (&request->chain, request->chain.writable_left - 1);
    vmm_chain_write (&request->chain, &status, 1);
    /* The driver looks at the status whatever the length says; after a gap it would not be counted. */
    vmm_virtqueue_push (vmm_virtio_device_queue (blk->device, request->queue), &request->chain);
    blk->pushed |= 1u << request->queue;
    request->next = blk->free;
    blk->free = request;
}

/**
 * vmm_virtio_blk_publish:
 *
 * Shows the driver what is done.
 */
void
vmm_virtio_blk_publish (VmmVirtioBlk *blk)
{
    for (unsigned i = 0; blk->pushed != 0; i++) {
        if ((blk->pushed & 1u << i) == 0)
            continue;
        blk->pushed &= ~(1u << i);
        vmm_virtqueue_publish (vmm_virtio_device_queue (blk->device, i));
    }
}

static void
tell_failure (VmmVirtioBlkRequest *request, int error)
{
    static const char *const names[] = {"read", "write", "flush", "discard", "zeroing"};
    const VmmBlockRequest *block = &request->block;

    if (error == ENOSPC || error == EDQUOT)
        vmm_virtio_device_warn (
            request->blk->device,
            "the host's file system is full, or a quota is used up: a %s of the guest failed: make room",
            names[block->op]);
    else
        vmm_virtio_device_warn (request->blk->device,
                                "a %s of %" G_GUINT64_FORMAT " bytes at %" G_GUINT64_FORMAT
                                " failed, and the guest was told so: %s",
                                names[block->op], block->len, block->offset, g_strerror (error));
}

static void
on_done (VmmBlockRequest *block, int error)
{
    VmmVirtioBlkRequest *request = block->user;
    VmmVirtioBlk *blk = request->blk;
    bool wrote = block->op != VMM_BLOCK_READ && block->op != VMM_BLOCK_FLUSH;

    if (error != 0) {
        tell_failure (request, error);
        finish (request, STATUS_IOERR);
    } else if (wrote && !lasts_by_flush (blk)) {
        request->block.op = VMM_BLOCK_FLUSH;
        request->block.len = 0;
        blk->follows = true;
        blk->block->ops->submit (blk->block, block);
    } else {
        finish (request, STATUS_OK);
    }
}

/**
 * vmm_virtio_blk_kick:
 *
 * What was submitted is on its way. A write that is done at once has its flush submitted while the backend is
 * kicked, too late for that kick.
 */
void
vmm_virtio_blk_kick (VmmVirtioBlk *blk)
{
    do {
        blk->follows = false;
        blk->block->ops->kick (blk->block);
    } while (blk->follows);
}

/* Whether the range lies on the disk; with its bytes. */
static bool
set_range (VmmVirtioBlkRequest *request, uint64_t sector, uint64_t len)
{
    uint64_t size = request->blk->block->limits.size;

    if (len % VMM_BLOCK_SECTOR != 0 || sector > size / VMM_BLOCK_SECTOR ||
        len > size - sector * VMM_BLOCK_SECTOR)
        return false;
    request->block.offset = sector * VMM_BLOCK_SECTOR;
    request->block.len = len;
    return true;
}

/**
 * vmm_virtio_blk_pass:
 * @request: ready for the backend
 *
 * Hands it over, or holds it until the limits let it pass.
 */
void
vmm_virtio_blk_pass (VmmVirtioBlkRequest *request)
{
    VmmVirtioBlk *blk = request->blk;

    if (blk->limits == NULL || !vmm_virtio_blk_limits_hold (request))
        blk->block->ops->submit (blk->block, &request->block);
}

static void
submit (VmmVirtioBlkRequest *request, VmmBlockOp op, unsigned n_iov)
{
    request->block.op = op;
    request->block.iov = request->iov;
    request->block.n_iov = n_iov;
    request->block.done = on_done;
    request->block.user = request;
    vmm_virtio_blk_pass (request);
}

static void
start_read (VmmVirtioBlkRequest *request, uint64_t sector)
{
    uint64_t len = request->chain.writable_left - 1;

    if (!set_range (request, sector, len)) {
        finish (request, STATUS_IOERR);
        return;
    }
    submit (request, VMM_BLOCK_READ,
            vmm_chain_take_writable (&request->chain, len, request->iov, VMM_BLK_IOV_MAX_PER_REQUEST));
}

static void
start_write (VmmVirtioBlkRequest *request, uint64_t sector)
{
    uint64_t len = request->chain.readable_left;

    if (request->blk->block->limits.read_only || !set_range (request, sector, len)) {
        finish (request, STATUS_IOERR);
        return;
    }
    submit (request, VMM_BLOCK_WRITE,
            vmm_chain_take_readable (&request->chain, len, request->iov, VMM_BLK_IOV_MAX_PER_REQUEST));
}

/* DISCARD and WRITE_ZEROES: one range, as the configuration space says (section 5.2.6.2). */
static void
start_range (VmmVirtioBlkRequest *request, VmmBlockOp op)
{
    uint64_t features = vmm_virtio_device_features (request->blk->device);
    uint64_t needed = op == VMM_BLOCK_DISCARD ? VMM_BLK_F_DISCARD : VMM_BLK_F_WRITE_ZEROES;
    uint32_t most = op == VMM_BLOCK_DISCARD ? VMM_BLK_DISCARD_MAX_SECTORS : VMM_BLK_ZEROES_MAX_SECTORS;
    Range range;

    if ((features & needed) == 0) {
        finish (request, STATUS_UNSUPP);
        return;
    }
    if (request->chain.readable_left != sizeof range ||
        vmm_chain_read (&request->chain, &range, sizeof range) != sizeof range || range.n_sectors > most ||
        !set_range (request, range.sector, (uint64_t)range.n_sectors * VMM_BLOCK_SECTOR)) {
        finish (request, STATUS_IOERR);
        return;
    }
    if ((range.flags & ~RANGE_FLAG_UNMAP) != 0 || (op == VMM_BLOCK_DISCARD && range.flags != 0)) {
        finish (request, STATUS_UNSUPP);
        return;
    }
    request->block.may_unmap = range.flags != 0;
    submit (request, op, 0);
}

static void
start_get_id (VmmVirtioBlkRequest *request)
{
    /* No NUL behind it where it has the whole length. */
    vmm_chain_write (&request->chain, request->blk->serial,
                     MIN (sizeof request->blk->serial, request->chain.writable_left - 1));
    finish (request, STATUS_OK);
}

static void
start (VmmVirtioBlkRequest *request)
{
    Header header;

    if (vmm_chain_read (&request->chain, &header, sizeof header) != sizeof header) {
        finish (request, STATUS_IOERR);
        return;
    }
    switch (header.type) {
    case TYPE_IN:
        start_read (request, header.sector);
        break;
    case TYPE_OUT:
        start_write (request, header.sector);
        break;
    case TYPE_FLUSH:
        request->block.offset = 0;
        request->block.len = 0;
        submit (request, VMM_BLOCK_FLUSH, 0);
        break;
    case TYPE_GET_ID:
        start_get_id (request);
        break;
    case TYPE_DISCARD:
        start_range (request, VMM_BLOCK_DISCARD);
        break;
    case TYPE_WRITE_ZEROES:
        start_range (request, VMM_BLOCK_WRITE_ZEROES);
        break;
    default:
        finish (request, STATUS_UNSUPP);
    }
}

/**
 * vmm_virtio_blk_start_all:
 *
 * Starts what the driver has put into queue @index, up to one that the limits hold; the kick is the caller's.
 */
void
vmm_virtio_blk_start_all (VmmVirtioBlk *blk, unsigned index)
{
    VmmVirtqueue *queue = vmm_virtio_device_queue (blk->device, index);

    for (unsigned n = 1; blk->held[index] == NULL; n++) {
        VmmVirtioBlkRequest *request = take_request (blk);

        if (!vmm_virtqueue_pop (queue, &request->chain)) {
            request->next = blk->free;
            blk->free = request;
            return;
        }
        request->queue = index;
        if (request->chain.writable_left == 0) {
            request->next = blk->free;
            blk->free = request;
            vmm_virtqueue_fail (queue, "a request without room for its status");
            return;
        }
        start (request);
        /* The driver goes on with what was done at once, while the rest is. */
        if (n % VMM_BLK_PUBLISH_EACH == 0)
            vmm_virtio_blk_publish (blk);
    }
}
