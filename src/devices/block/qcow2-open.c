/* SPDX-License-Identifier: Apache-2.0 */
/* From a file to a backend: qcow2 images with what is behind them, and overlays for one run. */
#include <fcntl.h>

#include "devices/block/qcow2-block.h"
#include "devices/block/qcow2.h"
#include "vmm/error.h"

/* Tables are read and written at any length and address, which O_DIRECT does not allow. */
static void
use_page_cache (int fd)
{
    int flags = fcntl (fd, F_GETFL);

    if (flags >= 0 && (flags & O_DIRECT) != 0)
        (void)fcntl (fd, F_SETFL, flags & ~O_DIRECT);
}

/**
 * vmm_qcow2_open:
 * @fd: the file, locked as @config wants it; taken over when this succeeds
 * @config: of which @path says where relative names of backing files begin
 * @error: %VMM_ERROR_USAGE or %VMM_ERROR_HOST
 *
 * Opens a disk and the files behind it. Any thread.
 *
 * Returns: (transfer full): a backend
 */
VmmBlock *
vmm_qcow2_open (int fd, const VmmBlockConfig *config, GError **error)
{
    g_autoptr (VmmQcow2) image = NULL;
    VmmBlock *block;

    use_page_cache (fd);
    image = vmm_qcow2_image_open_chain (config->path, fd, config->read_only, NULL, error);
    if (image == NULL)
        return NULL;
    block = vmm_qcow2_block_new (image, config, error);
    if (block == NULL)
        image->fd = -1; /* remains the caller's */
    else
        image = NULL;
    return block;
}

static VmmQcow2 *
open_overlay (int fd, VmmQcow2Backing *backing, const VmmBlockConfig *config, GError **error)
{
    VmmQcow2Format format = {.version = 3, .cluster_bits = 16, .size = backing->size};
    g_autoptr (GError) failure = NULL;

    if (!vmm_qcow2_format (fd, &format, &failure)) {
        g_set_error (error, VMM_ERROR, failure->code, "disk \"%s\": its overlay: %s", config->path,
                     failure->message);
        return NULL;
    }
    return vmm_qcow2_image_open (config->path, fd, false, error);
}

/**
 * vmm_qcow2_open_ephemeral:
 * @overlay_fd: an empty file without a name, that may be written; taken over when this succeeds
 * @base_fd: the file of @config, for reading; taken over when this succeeds
 * @config: of which @format is the base's
 * @error: %VMM_ERROR_USAGE or %VMM_ERROR_HOST
 *
 * A disk that is as the base is at first, and whose changes are forgotten with the backend. Any thread.
 *
 * Returns: (transfer full): a backend
 */
VmmBlock *
vmm_qcow2_open_ephemeral (int overlay_fd, int base_fd, const VmmBlockConfig *config, GError **error)
{
    g_autoptr (VmmQcow2Backing) backing =
        vmm_qcow2_backing_new (config->path, base_fd, config->format == VMM_BLOCK_FORMAT_QCOW2, NULL, error);
    g_autoptr (VmmQcow2) image = backing != NULL ? open_overlay (overlay_fd, backing, config, error) : NULL;
    VmmBlock *block = NULL;

    if (image != NULL) {
        image->no_sync = true;
        block = vmm_qcow2_block_new (image, config, error);
    }
    if (block != NULL) {
        image->backing = g_steal_pointer (&backing);
        image = NULL;
        return block;
    }
    /* Both descriptors remain the caller's. */
    if (image != NULL)
        image->fd = -1;
    if (backing != NULL) {
        backing->fd = -1;
        if (backing->image != NULL)
            backing->image->fd = -1;
    }
    return NULL;
}
