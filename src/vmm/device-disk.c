/* SPDX-License-Identifier: Apache-2.0 */
/* disk=PATH[,...]: a virtio block device on an image file or a block device. */
#include <string.h>

#include "devices/virtio/blk.h"
#include "vmm/device-kind.h"
#include "vmm/error.h"
#include "vmm/options.h"

typedef struct {
    VmmBlockConfig block;
    char *serial; /* NULL: the device's name */
    uint64_t queues;
} Description;

static void
free_description (void *data)
{
    Description *description = data;

    g_free (description->block.path);
    g_free (description->serial);
    g_free (description);
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
        !vmm_options_finish (options, "format=, cache=, serial=, queues=, readonly, ephemeral and discard",
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

    return vmm_block_open (&description->block, error);
}

static void
close_backend (void *backend)
{
    vmm_block_free (backend);
}

static VmmVirtioDevice *
make (const void *data, void *backend, const VmmVirtioEnv *env, GError **error)
{
    const Description *description = data;
    VmmVirtioBlkConfig config = {
        .serial = description->serial != NULL ? description->serial : env->name,
        .n_queues = (unsigned)description->queues,
        .discard = description->block.discard,
    };
    VmmVirtioDevice *device = vmm_virtio_blk_new (env, backend, &config);

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
    .repeats = true,
    .own_loop = true,
    .parse = parse,
    .free_description = free_description,
    .open = open_backend,
    .close = close_backend,
    .make = make,
};
