/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The virtio block device (virtio 1.2 section 5.2) over a VmmBlock. The guest's buffers go to the backend as
 * they are. A request may be cut into descriptors in any way (section 2.7.4.2): the header is the first bytes
 * that the device may read, the status the last byte that it may write, and what is in between is data.
 *
 * All that a notification finds is submitted before the backend is kicked, and all that a completion brings
 * is published at once, so that requests in a crowd cost few system calls and few interrupts. Request objects
 * are made when they are first needed, at most as many as a queue has entries, and used again.
 *
 * What lasts when: while the driver has write-back on (section 5.2.6.2), data lasts when a flush is done;
 * otherwise a flush follows each write before it is called done.
 */
#include "devices/virtio/blk.h"

#include <errno.h>
#include <string.h>

#include "vmm/core/bytes.h"
#include "vmm/error.h"

#define QUEUE_SIZE 256u
#define SEG_MAX (QUEUE_SIZE - 2)
#define IOV_MAX_PER_REQUEST (QUEUE_SIZE + 8)

#define F_SEG_MAX (UINT64_C (1) << 2)
#define F_RO (UINT64_C (1) << 5)
#define F_BLK_SIZE (UINT64_C (1) << 6)
#define F_FLUSH (UINT64_C (1) << 9)
#define F_TOPOLOGY (UINT64_C (1) << 10)
#define F_CONFIG_WCE (UINT64_C (1) << 11)
#define F_MQ (UINT64_C (1) << 12)
#define F_DISCARD (UINT64_C (1) << 13)
#define F_WRITE_ZEROES (UINT64_C (1) << 14)

enum {
    TYPE_IN = 0,
    TYPE_OUT = 1,
    TYPE_FLUSH = 4,
    TYPE_GET_ID = 8,
    TYPE_DISCARD = 11,
    TYPE_WRITE_ZEROES = 13,
};

enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPP = 2 };

/* Where the fields of the configuration space are (section 5.2.4). */
enum {
    CONFIG_CAPACITY = 0,
    CONFIG_SEG_MAX = 12,
    CONFIG_BLK_SIZE = 20,
    CONFIG_TOPOLOGY = 24,
    CONFIG_WRITEBACK = 32,
    CONFIG_NUM_QUEUES = 34,
    CONFIG_MAX_DISCARD_SECTORS = 36,
    CONFIG_MAX_DISCARD_SEG = 40,
    CONFIG_DISCARD_ALIGNMENT = 44,
    CONFIG_MAX_ZEROES_SECTORS = 48,
    CONFIG_MAX_ZEROES_SEG = 52,
    CONFIG_ZEROES_MAY_UNMAP = 56,
    CONFIG_SIZE = 60,
};

/* 1 GiB at once, so that one request does not keep the disk busy for ever. */
#define RANGE_MAX_SECTORS (2u << 20)
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

typedef struct _Blk Blk;
typedef struct _Request Request;

struct _Request {
    VmmBlockRequest block;
    VmmChain chain;
    struct iovec iov[IOV_MAX_PER_REQUEST];
    Blk *blk;
    Request *next; /* while it is free */
    unsigned queue;
};

struct _Blk {
    VmmVirtioDevice *device;
    VmmBlock *block;
    unsigned n_queues;
    bool discard;
    char serial[VMM_VIRTIO_BLK_SERIAL_MAX];
    bool attached;
    bool writeback;    /* vCPU threads, with the core's lock, write it; the loop reads it */
    uint64_t capacity; /* sectors; as above, the other way round */
    Request *free;
    GPtrArray *requests; /* of Request: all that there are */
    uint32_t pushed;     /* queues with something to be published */
    bool follows;        /* a flush after a write was submitted, and not kicked yet */
};

static uint64_t
blk_features (void *model)
{
    const Blk *blk = model;
    uint64_t features = F_SEG_MAX | F_BLK_SIZE | F_TOPOLOGY | F_MQ;

    if (blk->block->limits.read_only)
        return features | F_RO;
    return features | F_FLUSH | F_CONFIG_WCE | F_WRITE_ZEROES | (blk->discard ? F_DISCARD : 0);
}

static void
blk_config_read (void *model, unsigned offset, void *buf, unsigned len)
{
    Blk *blk = model;
    uint8_t config[CONFIG_SIZE] = {0};
    uint32_t block_size = blk->block->limits.block_size;

    vmm_put_u64 (config + CONFIG_CAPACITY, __atomic_load_n (&blk->capacity, __ATOMIC_ACQUIRE));
    vmm_put_u32 (config + CONFIG_SEG_MAX, SEG_MAX);
    vmm_put_u32 (config + CONFIG_BLK_SIZE, block_size);
    /* Physical blocks of 4 KiB: what file systems and page caches work with. */
    config[CONFIG_TOPOLOGY] = block_size == VMM_BLOCK_SECTOR ? 3 : 0;
    vmm_put_u16 (config + CONFIG_TOPOLOGY + 2, 1);
    config[CONFIG_WRITEBACK] = __atomic_load_n (&blk->writeback, __ATOMIC_RELAXED);
    vmm_put_u16 (config + CONFIG_NUM_QUEUES, (uint16_t)blk->n_queues);
    vmm_put_u32 (config + CONFIG_MAX_DISCARD_SECTORS, RANGE_MAX_SECTORS);
    vmm_put_u32 (config + CONFIG_MAX_DISCARD_SEG, 1);
    vmm_put_u32 (config + CONFIG_DISCARD_ALIGNMENT,
                 MAX (blk->block->limits.discard_alignment, VMM_BLOCK_SECTOR) / VMM_BLOCK_SECTOR);
    vmm_put_u32 (config + CONFIG_MAX_ZEROES_SECTORS, RANGE_MAX_SECTORS);
    vmm_put_u32 (config + CONFIG_MAX_ZEROES_SEG, 1);
    config[CONFIG_ZEROES_MAY_UNMAP] = blk->discard;
    memcpy (buf, config + offset, len);
}

static void
blk_config_write (void *model, unsigned offset, const void *buf, unsigned len)
{
    Blk *blk = model;

    if (offset == CONFIG_WRITEBACK && len == 1 &&
        (vmm_virtio_device_features (blk->device) & F_CONFIG_WCE) != 0)
        __atomic_store_n (&blk->writeback, *(const uint8_t *)buf != 0, __ATOMIC_RELAXED);
}

/* Without FLUSH a driver cannot ask for what it has to last (section 5.2.6.2). */
static bool
lasts_by_flush (const Blk *blk)
{
    return (vmm_virtio_device_features (blk->device) & F_FLUSH) != 0 &&
           __atomic_load_n (&blk->writeback, __ATOMIC_RELAXED);
}

static Request *
take_request (Blk *blk)
{
    Request *request = blk->free;

    if (request != NULL) {
        blk->free = request->next;
        return request;
    }
    request = g_new0 (Request, 1);
    vmm_chain_init (&request->chain, IOV_MAX_PER_REQUEST);
    request->blk = blk;
    g_ptr_array_add (blk->requests, request);
    return request;
}

static void
free_request (gpointer data)
{
    Request *request = data;

    vmm_chain_clear (&request->chain);
    g_free (request);
}

static void
finish (Request *request, uint8_t status)
{
    Blk *blk = request->blk;

    vmm_chain_skip_writable (&request->chain, request->chain.writable_left - 1);
    vmm_chain_write (&request->chain, &status, 1);
    /* The driver looks at the status whatever the length says; after a gap it would not be counted. */
    vmm_virtqueue_push (vmm_virtio_device_queue (blk->device, request->queue), &request->chain);
    blk->pushed |= 1u << request->queue;
    request->next = blk->free;
    blk->free = request;
}

static void
publish (Blk *blk)
{
    for (unsigned i = 0; blk->pushed != 0; i++) {
        if ((blk->pushed & 1u << i) == 0)
            continue;
        blk->pushed &= ~(1u << i);
        vmm_virtqueue_publish (vmm_virtio_device_queue (blk->device, i));
    }
}

static void
tell_failure (Request *request, int error)
{
    static const char *const names[] = {"read", "write", "flush", "discard", "zeroing"};
    const VmmBlockRequest *block = &request->block;

    if (error == ENOSPC)
        vmm_virtio_device_warn (request->blk->device,
                                "the host's file system is full: a %s of the guest failed: make room",
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
    Request *request = block->user;
    Blk *blk = request->blk;
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

/* A write that is done at once has its flush submitted while the backend is kicked, too late for that kick.
 */
static void
kick (Blk *blk)
{
    do {
        blk->follows = false;
        blk->block->ops->kick (blk->block);
    } while (blk->follows);
}

static void
on_settled (void *user)
{
    Blk *blk = user;

    if (blk->follows)
        kick (blk);
    publish (blk);
}

/* Whether the range lies on the disk; with its bytes. */
static bool
set_range (Request *request, uint64_t sector, uint64_t len)
{
    uint64_t size = request->blk->block->limits.size;

    if (len % VMM_BLOCK_SECTOR != 0 || sector > size / VMM_BLOCK_SECTOR ||
        len > size - sector * VMM_BLOCK_SECTOR)
        return false;
    request->block.offset = sector * VMM_BLOCK_SECTOR;
    request->block.len = len;
    return true;
}

static void
submit (Request *request, VmmBlockOp op, unsigned n_iov)
{
    request->block.op = op;
    request->block.iov = request->iov;
    request->block.n_iov = n_iov;
    request->block.done = on_done;
    request->block.user = request;
    request->blk->block->ops->submit (request->blk->block, &request->block);
}

static void
start_read (Request *request, uint64_t sector)
{
    uint64_t len = request->chain.writable_left - 1;

    if (!set_range (request, sector, len)) {
        finish (request, STATUS_IOERR);
        return;
    }
    submit (request, VMM_BLOCK_READ,
            vmm_chain_take_writable (&request->chain, len, request->iov, IOV_MAX_PER_REQUEST));
}

static void
start_write (Request *request, uint64_t sector)
{
    uint64_t len = request->chain.readable_left;

    if (request->blk->block->limits.read_only || !set_range (request, sector, len)) {
        finish (request, STATUS_IOERR);
        return;
    }
    submit (request, VMM_BLOCK_WRITE,
            vmm_chain_take_readable (&request->chain, len, request->iov, IOV_MAX_PER_REQUEST));
}

/* DISCARD and WRITE_ZEROES: one range, as the configuration space says (section 5.2.6.2). */
static void
start_range (Request *request, VmmBlockOp op)
{
    uint64_t features = vmm_virtio_device_features (request->blk->device);
    uint64_t needed = op == VMM_BLOCK_DISCARD ? F_DISCARD : F_WRITE_ZEROES;
    Range range;

    if ((features & needed) == 0) {
        finish (request, STATUS_UNSUPP);
        return;
    }
    if (request->chain.readable_left != sizeof range ||
        vmm_chain_read (&request->chain, &range, sizeof range) != sizeof range ||
        range.n_sectors > RANGE_MAX_SECTORS ||
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
start_get_id (Request *request)
{
    /* No NUL behind it where it has the whole length. */
    vmm_chain_write (&request->chain, request->blk->serial,
                     MIN (sizeof request->blk->serial, request->chain.writable_left - 1));
    finish (request, STATUS_OK);
}

static void
start (Request *request)
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

static void
start_all (Blk *blk, unsigned index)
{
    VmmVirtqueue *queue = vmm_virtio_device_queue (blk->device, index);

    for (;;) {
        Request *request = take_request (blk);

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
    }
}

static void
blk_notify (void *model, unsigned index)
{
    Blk *blk = model;
    VmmVirtqueue *queue = vmm_virtio_device_queue (blk->device, index);

    vmm_virtqueue_set_kicks (queue, false);
    do {
        start_all (blk, index);
        kick (blk);
        publish (blk);
    } while (!vmm_virtqueue_arm (queue));
}

static void
blk_activate (void *model)
{
    Blk *blk = model;
    g_autoptr (GError) error = NULL;

    blk->attached = blk->block->ops->attach (blk->block, vmm_virtio_device_loop (blk->device), &error);
    if (!blk->attached)
        vmm_virtio_device_warn (blk->device, "%s", error->message);
    for (unsigned i = 0; !blk->attached && i < blk->n_queues; i++)
        vmm_virtqueue_fail (vmm_virtio_device_queue (blk->device, i), "the host cannot serve it");
    blk->block->settled = on_settled;
    blk->block->settled_user = blk;
}

static void
blk_quiesce (void *model)
{
    Blk *blk = model;

    if (!blk->attached)
        return;
    do {
        kick (blk);
        blk->block->ops->drain (blk->block);
    } while (blk->follows);
    publish (blk);
}

static void
blk_resume (void *model)
{
}

static void
blk_reset (void *model)
{
    Blk *blk = model;

    if (blk->attached)
        blk->block->ops->detach (blk->block);
    blk->attached = false;
    blk->block->settled = NULL;
    blk->pushed = 0;
    __atomic_store_n (&blk->writeback, true, __ATOMIC_RELAXED);
    blk->free = NULL;
    g_ptr_array_set_size (blk->requests, 0);
}

static void
blk_save (void *model, VmmStateWriter *writer)
{
    Blk *blk = model;

    vmm_state_put_bool (writer, blk->writeback);
    vmm_state_put_u64 (writer, blk->capacity);
}

static bool
blk_load (void *model, VmmStateReader *reader, uint32_t version)
{
    Blk *blk = model;
    bool writeback;
    uint64_t capacity;

    if (!vmm_state_get_bool (reader, &writeback) || !vmm_state_get_u64 (reader, &capacity) ||
        capacity != blk->capacity)
        return false;
    blk->writeback = writeback;
    return true;
}

static void
blk_free (void *model)
{
    Blk *blk = model;

    g_ptr_array_unref (blk->requests);
    g_free (blk);
}

static const VmmVirtioModel blk_model = {
    .name = "blk",
    .id = VMM_VIRTIO_ID_BLOCK,
    .features = blk_features,
    .config_size = CONFIG_SIZE,
    .config_read = blk_config_read,
    .config_write = blk_config_write,
    .activate = blk_activate,
    .notify = blk_notify,
    .quiesce = blk_quiesce,
    .resume = blk_resume,
    .reset = blk_reset,
    .save = blk_save,
    .load = blk_load,
    .free = blk_free,
};

/**
 * vmm_virtio_blk_new:
 * @env: what it is made with
 * @block: the disk, borrowed and outliving the device; nobody else attaches it
 * @config: how it looks to the guest
 *
 * Returns: (transfer full) (nullable): the device; NULL when the host has no descriptors left
 */
VmmVirtioDevice *
vmm_virtio_blk_new (const VmmVirtioEnv *env, VmmBlock *block, const VmmVirtioBlkConfig *config)
{
    Blk *blk = g_new0 (Blk, 1);

    blk->block = block;
    blk->n_queues = config->n_queues;
    blk->discard = config->discard && !block->limits.read_only;
    blk->writeback = true;
    blk->capacity = block->limits.size / VMM_BLOCK_SECTOR;
    blk->requests = g_ptr_array_new_with_free_func (free_request);
    memcpy (blk->serial, config->serial, MIN (strlen (config->serial), sizeof blk->serial));
    blk->device = vmm_virtio_device_new (env, &blk_model, blk, blk->n_queues, QUEUE_SIZE);
    return blk->device;
}

typedef struct {
    Blk *blk;
    uint64_t size;
    int failed;
} Resize;

static void
do_resize (void *user)
{
    Resize *resize = user;
    Blk *blk = resize->blk;

    blk_quiesce (blk);
    resize->failed = blk->block->ops->resize (blk->block, resize->size);
    if (resize->failed == 0)
        __atomic_store_n (&blk->capacity, blk->block->limits.size / VMM_BLOCK_SECTOR, __ATOMIC_RELEASE);
}

/**
 * vmm_virtio_blk_resize:
 * @device: a device of vmm_virtio_blk_new()
 * @size: bytes, a multiple of 512, not less than now
 *
 * The machine's thread: grows the disk and tells the guest.
 *
 * Returns: false with %VMM_ERROR_USAGE or %VMM_ERROR_HOST
 */
bool
vmm_virtio_blk_resize (VmmVirtioDevice *device, uint64_t size, GError **error)
{
    Resize resize = {.blk = vmm_virtio_device_model (device), .size = size, .failed = EOPNOTSUPP};
    const char *name = vmm_virtio_device_name (device);

    if (size % VMM_BLOCK_SECTOR != 0 || size < resize.blk->block->limits.size) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "%s: it has %" G_GUINT64_FORMAT " bytes now, and can only grow, by multiples of 512",
                     name, resize.blk->block->limits.size);
        return false;
    }
    if (resize.blk->block->ops->resize != NULL)
        vmm_loop_call (vmm_virtio_device_loop (device), do_resize, &resize);
    if (resize.failed != 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "%s: it cannot be resized: %s", name,
                     g_strerror (resize.failed));
        return false;
    }
    vmm_virtio_device_config_changed (device);
    return true;
}
