/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Disks are opened here, whatever their format: the file is opened with the rights that the configuration
 * gives and no more, locked, and handed to its format's backend. The format is what the configuration says.
 * It is never guessed from the contents, which are the guest's: a guest that may write what its disk looks
 * like could make its host open any file as a backing file. For the same reason a raw disk that begins like
 * another format is refused, unless the user has said that it is raw.
 *
 * An ephemeral disk is a nameless qcow2 overlay on the image, which is opened for reading only.
 */
#include "devices/block/block.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/lock.h"
#include "devices/block/qcow2.h"
#include "devices/block/raw.h"
#include "vmm/error.h"

/* As much as direct access reads at once, whatever the disk. */
#define HEAD 4096u

static bool
refuse (GError **error, const VmmBlockConfig *config, const char *why)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "disk \"%s\": %s", config->path, why);
    return false;
}

static bool
check_kind (int fd, const VmmBlockConfig *config, GError **error)
{
    struct stat st;

    if (fstat (fd, &st) < 0)
        return refuse (error, config, g_strerror (errno));
    if (S_ISDIR (st.st_mode))
        return refuse (error, config, "this is a directory: name an image file or a block device");
    if (!S_ISREG (st.st_mode) && !S_ISBLK (st.st_mode))
        return refuse (error, config, "this is neither a file nor a block device");
    return true;
}

/* A raw disk whose first bytes are those of a qcow2 file. */
static bool
check_contents (int fd, const VmmBlockConfig *config, GError **error)
{
    uint8_t head[HEAD] __attribute__ ((aligned (4096)));
    ssize_t n;

    if (config->format != VMM_BLOCK_FORMAT_RAW || config->probe_raw)
        return true;
    n = pread (fd, head, sizeof head, 0);
    if (n < 0)
        return refuse (error, config, g_strerror (errno));
    if (vmm_qcow2_detect (head, (size_t)n))
        return refuse (
            error, config,
            "it looks like a qcow2 image: say format=qcow2, or format=raw if the guest is to see it as "
            "it is");
    return true;
}

/* The image, with its lock; -1 with an error. */
static int
open_image (const VmmBlockConfig *config, bool writes, GError **error)
{
    bool direct = config->cache == VMM_BLOCK_CACHE_NONE;
    /* Not to block on a FIFO, which is refused later. */
    int flags = O_CLOEXEC | O_NONBLOCK | (writes ? O_RDWR : O_RDONLY);
    int fd = open (config->path, flags | (direct ? O_DIRECT : 0));
    bool ok;

    if (fd < 0 && direct && errno == EINVAL) {
        refuse (error, config, "its file system has no direct access: leave out cache=none");
        return -1;
    }
    if (fd < 0) {
        int failed = errno;

        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "disk \"%s\": %s%s", config->path,
                     g_strerror (failed),
                     failed == EACCES || failed == EROFS || failed == EPERM
                         ? (writes ? ": say readonly or ephemeral, or change who may write it" : "")
                         : "");
        return -1;
    }
    ok = check_kind (fd, config, error) && vmm_block_lock (fd, config->path, writes, error) &&
         check_contents (fd, config, error);
    if (ok)
        return fd;
    close (fd);
    return -1;
}

/* A nameless file where there is room: beside the image, else where large temporary files go, else in memory.
 */
static int
open_overlay (const VmmBlockConfig *config, GError **error)
{
    g_autofree char *folder = g_path_get_dirname (config->path);
    const char *const places[] = {folder, "/var/tmp", "/tmp"};
    int fd = -1;

    for (size_t i = 0; i < G_N_ELEMENTS (places) && fd < 0; i++)
        fd = open (places[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        fd = memfd_create ("vmm-overlay", MFD_CLOEXEC);
    if (fd < 0)
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "disk \"%s\": no temporary file can be made: %s",
                     config->path, g_strerror (errno));
    return fd;
}

static VmmBlock *
open_ephemeral (int base_fd, const VmmBlockConfig *config, GError **error)
{
    int overlay_fd = open_overlay (config, error);
    VmmBlock *block;

    if (overlay_fd < 0)
        return NULL;
    block = vmm_qcow2_open_ephemeral (overlay_fd, base_fd, config, error);
    if (block == NULL)
        close (overlay_fd);
    return block;
}

/**
 * vmm_block_open:
 * @config: what to open
 * @error: return location
 *
 * Returns: (transfer full) (nullable): a backend that is attached to no loop; NULL with %VMM_ERROR_USAGE or
 *   %VMM_ERROR_HOST
 */
VmmBlock *
vmm_block_open (const VmmBlockConfig *config, GError **error)
{
    VmmBlock *block;
    int fd = open_image (config, !config->read_only && !config->ephemeral, error);

    if (fd < 0)
        return NULL;
    if (config->ephemeral)
        block = open_ephemeral (fd, config, error);
    else if (config->format == VMM_BLOCK_FORMAT_QCOW2)
        block = vmm_qcow2_open (fd, config, error);
    else
        block = vmm_raw_open (fd, config, error);
    if (block == NULL)
        close (fd);
    return block;
}

/**
 * vmm_block_free:
 * @block: (nullable): attached to no loop
 */
void
vmm_block_free (VmmBlock *block)
{
    if (block != NULL)
        block->ops->free (block);
}
