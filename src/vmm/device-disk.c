/* SPDX-License-Identifier: Apache-2.0 */
/* disk=PATH[,...]: a virtio block device on an image file or a block device. */
#include <string.h>

#include "devices/virtio/blk.h"
#include "vmm/core/timer.h"
#include "vmm/device-kind.h"
#include "vmm/error.h"
#include "vmm/options.h"

typedef struct {
    VmmBlockConfig block;
    char *serial; /* NULL: the device's name */
    uint64_t queues;
    uint64_t iops; /* 0: any number */
    uint64_t bps;  /* as above */
} Description;

/* What is behind a disk. The limits go on across the guest's reboots. */
typedef struct {
    VmmBlock *block;
    VmmLimits limits;
    char *path;
} Disk;

#define IOPS_MAX UINT64_C (1000000000)
/* A page in a second: with less, the guest only seems to hang. */
#define BPS_MIN UINT64_C (4096)

static void
free_description (void *data)
{
    Description *description = data;

    g_free (description->block.path);
    g_free (description->serial);
    g_free (description);
}

static bool
parse_limits (VmmOptions *options, Description *description, GError **error)
{
    uint64_t bps = 0;

    if (!vmm_options_take_unsigned (options, "iops", 0, IOPS_MAX, &description->iops, error) ||
        !vmm_options_take_size (options, "bps", &bps, error))
        return false;
    if (bps != 0 && (bps < BPS_MIN || bps > VMM_BUCKET_RATE_MAX))
        return vmm_options_refuse (
            options, error,
            "bps=%" G_GUINT64_FORMAT ": give bytes per second from 4K to 16G, or 0 for no limit", bps);
    description->bps = bps;
    return true;
}

static bool
parse_words (VmmOptions *options, Description *description, GError **error)
{
    static const char *const formats[] = {"raw", "qcow2", NULL};
    static const char *const caches[] = {"writeback", "writethrough", "none", NULL};
    VmmBlockConfig *block = &description->block;
    unsigned format = G_N_ELEMENTS (formats);
    unsigned cache = 0;

    block->path = vmm_options_take_first (options);
    if (block->path == NULL || *block->path == '\0')
        return vmm_options_refuse (options, error, "give an image file or a block device");
    description->serial = vmm_options_take (options, "serial");
    if (!vmm_options_take_choice (options, "format", formats, &format, error) ||
        !vmm_options_take_choice (options, "cache", caches, &cache, error) ||
        !vmm_options_take_flag (options, "readonly", &block->read_only, error) ||
        !vmm_options_take_flag (options, "ephemeral", &block->ephemeral, error) ||
        !vmm_options_take_flag (options, "discard", &block->discard, error) ||
        !vmm_options_take_unsigned (options, "queues", 1, VMM_VIRTIO_BLK_QUEUES_MAX, &description->queues,
                                    error) ||
        !parse_limits (options, description, error) ||
        !vmm_options_finish (
            options, "format=, cache=, serial=, queues=, iops=, bps=, readonly, ephemeral and discard",
            error))
        return false;
    if (description->serial != NULL && strlen (description->serial) > VMM_VIRTIO_BLK_SERIAL_MAX)
        return vmm_options_refuse (options, error, "a serial has at most %u bytes",
                                   VMM_VIRTIO_BLK_SERIAL_MAX);
    if (block->ephemeral && block->read_only)
        return vmm_options_refuse (options, error, "readonly and ephemeral exclude each other");
    block->format = format == 1 ? VMM_BLOCK_FORMAT_QCOW2 : VMM_BLOCK_FORMAT_RAW;
    /* Who says raw means it. */
    block->probe_raw = format == 0;
    block->cache = (VmmBlockCache)cache;
    return true;
}

static void *
parse (const char *value, GError **error)
{
    g_auto (VmmOptions) options = {0};
    Description *description = g_new0 (Description, 1);

    description->queues = 1;
    vmm_options_init (&options, "disk", value);
    if (parse_words (&options, description, error))
        return description;
    free_description (description);
    return NULL;
}

static void *
open_backend (const void *data, const VmmDeviceHost *host, GError **error)
{
    const Description *description = data;
    VmmBlock *block = vmm_block_open (&description->block, error);
    Disk *disk;

    if (block == NULL)
        return NULL;
    disk = g_new0 (Disk, 1);
    disk->block = block;
    disk->path = g_strdup (description->block.path);
    vmm_limits_init (&disk->limits, description->iops, description->bps, vmm_now_ns ());
    return disk;
}

static bool
settle_backend (void *backend, GError **error)
{
    const Disk *disk = backend;
    int failed = disk->block->ops->commit != NULL ? disk->block->ops->commit (disk->block) : 0;

    if (failed == 0)
        return true;
    g_set_error (
        error, VMM_ERROR, VMM_ERROR_HOST,
        "disk \"%s\": what the guest wrote since its last flush could not be stored, and is lost: %s",
        disk->path, g_strerror (failed));
    return false;
}

static void
close_backend (void *backend)
{
    Disk *disk = backend;

    vmm_block_free (disk->block);
    g_free (disk->path);
    g_free (disk);
}

static VmmVirtioDevice *
make (const void *data, void *backend, const VmmVirtioEnv *env, GError **error)
{
    const Description *description = data;
    Disk *disk = backend;
    VmmVirtioBlkConfig config = {
        .serial = description->serial != NULL ? description->serial : env->name,
        .n_queues = (unsigned)description->queues,
        .discard = description->block.discard,
        .limits = &disk->limits,
    };
    VmmVirtioDevice *device = vmm_virtio_blk_new (env, disk->block, &config);

    if (device == NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "%s: there are no file descriptors left: raise the limit (ulimit -n)", env->name);
    return device;
}

/**
 * vmm_device_kind_disk:
 *
 * Disks.
 */
const VmmDeviceKind vmm_device_kind_disk = {
    .key = "disk",
    .driver = "virtio_blk",
    .repeats = true,
    .own_loop = true,
    .parse = parse,
    .free_description = free_description,
    .open = open_backend,
    .settle = settle_backend,
    .close = close_backend,
    .make = make,
};
