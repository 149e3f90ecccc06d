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
 * While requests come in quick succession the loop looks for them, and for what the backend has done, without
 * sleeping, and the driver is asked not to notify; it is asked to again when the loop goes to sleep.
 *
 * What lasts when: while the driver has write-back on (section 5.2.6.2), data lasts when a flush is done;
 * otherwise a flush follows each write before it is called done.
 */
#include "devices/virtio/blk-internal.h"

#include <errno.h>
#include <string.h>

#include "vmm/core/bytes.h"
#include "vmm/error.h"

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

static uint64_t
blk_features (void *model)
{
    const VmmVirtioBlk *blk = model;
    uint64_t features = VMM_BLK_F_SEG_MAX | VMM_BLK_F_BLK_SIZE | VMM_BLK_F_TOPOLOGY | VMM_BLK_F_MQ;

    if (blk->block->limits.read_only)
        return features | VMM_BLK_F_RO;
    return features | VMM_BLK_F_FLUSH | VMM_BLK_F_CONFIG_WCE | VMM_BLK_F_WRITE_ZEROES |
           (blk->discard ? VMM_BLK_F_DISCARD : 0);
}

/* What the field says (section 5.2.5.2): without FLUSH nothing is ever written back later. */
static bool
is_writeback (const VmmVirtioBlk *blk)
{
    uint64_t features = vmm_virtio_device_features (blk->device) & (VMM_BLK_F_FLUSH | VMM_BLK_F_CONFIG_WCE);

    return features != VMM_BLK_F_CONFIG_WCE && __atomic_load_n (&blk->writeback, __ATOMIC_RELAXED);
}

static void
blk_config_read (void *model, unsigned offset, void *buf, unsigned len)
{
    VmmVirtioBlk *blk = model;
    uint8_t config[CONFIG_SIZE] = {0};
    uint32_t block_size = blk->block->limits.block_size;

    vmm_put_u64 (config + CONFIG_CAPACITY, __atomic_load_n (&blk->capacity, __ATOMIC_ACQUIRE));
    vmm_put_u32 (config + CONFIG_SEG_MAX, VMM_BLK_SEG_MAX);
    vmm_put_u32 (config + CONFIG_BLK_SIZE, block_size);
    /* Physical blocks of 4 KiB: what file systems and page caches work with. */
    config[CONFIG_TOPOLOGY] = block_size == VMM_BLOCK_SECTOR ? 3 : 0;
    vmm_put_u16 (config + CONFIG_TOPOLOGY + 2, 1);
    config[CONFIG_WRITEBACK] = is_writeback (blk);
    vmm_put_u16 (config + CONFIG_NUM_QUEUES, (uint16_t)blk->n_queues);
    vmm_put_u32 (config + CONFIG_MAX_DISCARD_SECTORS, VMM_BLK_DISCARD_MAX_SECTORS);
    vmm_put_u32 (config + CONFIG_MAX_DISCARD_SEG, 1);
    vmm_put_u32 (config + CONFIG_DISCARD_ALIGNMENT,
                 MAX (blk->block->limits.discard_alignment, VMM_BLOCK_SECTOR) / VMM_BLOCK_SECTOR);
    vmm_put_u32 (config + CONFIG_MAX_ZEROES_SECTORS, VMM_BLK_ZEROES_MAX_SECTORS);
    vmm_put_u32 (config + CONFIG_MAX_ZEROES_SEG, 1);
    config[CONFIG_ZEROES_MAY_UNMAP] = blk->discard;
    memcpy (buf, config + offset, len);
}

static void
blk_config_write (void *model, unsigned offset, const void *buf, unsigned len)
{
    VmmVirtioBlk *blk = model;

    if (offset == CONFIG_WRITEBACK && len == 1 &&
        (vmm_virtio_device_features (blk->device) & VMM_BLK_F_CONFIG_WCE) != 0)
        __atomic_store_n (&blk->writeback, *(const uint8_t *)buf != 0, __ATOMIC_RELAXED);
}

static void
on_settled (void *user)
{
    VmmVirtioBlk *blk = user;

    if (blk->follows)
        vmm_virtio_blk_kick (blk);
    vmm_virtio_blk_publish (blk);
}

static void
blk_notify (void *model, unsigned index)
{
    VmmVirtioBlk *blk = model;
    VmmVirtqueue *queue = vmm_virtio_device_queue (blk->device, index);

    if (!blk->attached) {
        vmm_virtqueue_fail (queue, "the host cannot serve it");
        return;
    }
    /* They come back when the loop goes to sleep. */
    vmm_virtqueue_set_kicks (queue, false);
    vmm_virtio_blk_start_all (blk, index);
    vmm_virtio_blk_kick (blk);
    vmm_virtio_blk_publish (blk);
}

static bool
poll (void *user)
{
    VmmVirtioBlk *blk = user;
    bool any = false;

    if (blk->quiet)
        return false;
    if (blk->block->ops->poll != NULL && blk->block->ops->poll (blk->block)) {
        on_settled (blk);
        any = true;
    }
    for (unsigned i = 0; i < blk->n_queues; i++) {
        if (blk->held[i] != NULL || vmm_virtqueue_is_empty (vmm_virtio_device_queue (blk->device, i)))
            continue;
        blk_notify (blk, i);
        any = true;
    }
    return any;
}

static bool
may_sleep (void *user)
{
    VmmVirtioBlk *blk = user;
    bool ok = true;

    for (unsigned i = 0; i < blk->n_queues && !blk->quiet; i++) {
        /* Behind one that is held nobody looks before the timer. */
        if (blk->held[i] != NULL || vmm_virtqueue_arm (vmm_virtio_device_queue (blk->device, i)))
            continue;
        blk_notify (blk, i);
        ok = false;
    }
    return ok;
}

static const VmmLoopPoller poller = {poll, may_sleep};

static void
blk_activate (void *model)
{
    VmmVirtioBlk *blk = model;
    g_autoptr (GError) error = NULL;

    blk->attached = blk->block->ops->attach (blk->block, vmm_virtio_device_loop (blk->device), &error);
    if (!blk->attached)
        vmm_virtio_device_warn (blk->device, "%s", error->message);
    for (unsigned i = 0; !blk->attached && i < blk->n_queues; i++)
        vmm_virtqueue_fail (vmm_virtio_device_queue (blk->device, i), "the host cannot serve it");
    blk->block->settled = on_settled;
    blk->block->settled_user = blk;
    blk->quiet = false;
    if (!blk->attached)
        return;
    vmm_virtio_blk_limits_attach (blk);
    vmm_loop_set_poller (vmm_virtio_device_loop (blk->device), &poller, blk);
}

static void
blk_quiesce (void *model)
{
    VmmVirtioBlk *blk = model;

    blk->quiet = true;
    if (!blk->attached)
        return;
    vmm_virtio_blk_limits_unpop (blk);
    do {
        vmm_virtio_blk_kick (blk);
        blk->block->ops->drain (blk->block);
    } while (blk->follows);
    vmm_virtio_blk_publish (blk);
}

static void
blk_resume (void *model)
{
    ((VmmVirtioBlk *)model)->quiet = false;
}

static void
blk_reset (void *model)
{
    VmmVirtioBlk *blk = model;

    if (blk->attached) {
        vmm_loop_set_poller (vmm_virtio_device_loop (blk->device), NULL, NULL);
        vmm_virtio_blk_limits_detach (blk);
        blk->block->ops->detach (blk->block);
    }
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
    VmmVirtioBlk *blk = model;

    vmm_state_put_bool (writer, blk->writeback);
    vmm_state_put_u64 (writer, blk->capacity);
}

static bool
blk_load (void *model, VmmStateReader *reader, uint32_t version)
{
    VmmVirtioBlk *blk = model;
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
    VmmVirtioBlk *blk = model;

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
    VmmVirtioBlk *blk = g_new0 (VmmVirtioBlk, 1);

    blk->block = block;
    blk->n_queues = config->n_queues;
    blk->discard = config->discard && !block->limits.read_only;
    blk->limits = config->limits != NULL && vmm_limits_are_set (config->limits) ? config->limits : NULL;
    blk->writeback = true;
    blk->capacity = block->limits.size / VMM_BLOCK_SECTOR;
    blk->requests = g_ptr_array_new_with_free_func (vmm_virtio_blk_free_request);
    memcpy (blk->serial, config->serial, MIN (strlen (config->serial), sizeof blk->serial));
    blk->device = vmm_virtio_device_new (env, &blk_model, blk, blk->n_queues, VMM_BLK_QUEUE_SIZE);
    return blk->device;
}

typedef struct {
    VmmVirtioBlk *blk;
    uint64_t size;
    int failed;
} Resize;

static void
do_resize (void *user)
{
    Resize *resize = user;
    VmmVirtioBlk *blk = resize->blk;

    bool was_quiet = blk->quiet;

    blk_quiesce (blk);
    blk->quiet = was_quiet;
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
    if (resize.failed == ENOSPC) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "%s: there is no room for %" G_GUINT64_FORMAT
                     " bytes: let its file system or its block device grow first",
                     name, size);
        return false;
    }
    if (resize.failed != 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "%s: it cannot be resized: %s", name,
                     g_strerror (resize.failed));
        return false;
    }
    vmm_virtio_device_config_changed (device);
    return true;
}
