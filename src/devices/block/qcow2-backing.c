/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backing files. An image names them, and whoever made the image is not trusted with more than this: they are
 * opened for reading, are regular files or block devices, have the format that the image says (a format is
 * never guessed: a guest that could write a qcow2 header into a raw disk would else choose what is read), and
 * no more than QCOW2_CHAIN_MAX follow each other, none of them twice.
 */
#include "devices/block/qcow2-image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/lock.h"
#include "devices/block/qcow2.h"
#include "vmm/error.h"

static const char *
check_file (int fd)
{
    struct stat st;

    if (fd < 0 || fstat (fd, &st) < 0)
        return g_strerror (errno);
    if (S_ISDIR (st.st_mode))
        return "this is a directory: name a file in it";
    if (!S_ISREG (st.st_mode) && !S_ISBLK (st.st_mode))
        return "this is neither a regular file nor a block device";
    return NULL;
}

/**
 * vmm_qcow2_open_file:
 * @what: names the object in messages: "backing file"
 * @path: the file
 * @writable: open it for reading and writing
 * @ret_fd: the descriptor
 * @error: %VMM_ERROR_USAGE
 *
 * Returns: false when there is no such file, or one that is no regular file or block device
 */
bool
vmm_qcow2_open_file (const char *what, const char *path, bool writable, int *ret_fd, GError **error)
{
    /* Without O_NONBLOCK, to open a named pipe would be to wait for its writer. */
    int fd = open (path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const char *wrong = check_file (fd);

    if (wrong == NULL) {
        *ret_fd = fd;
        return true;
    }
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s \"%s\": %s", what, path, wrong);
    if (fd >= 0)
        close (fd);
    return false;
}

/* "raw" or "qcow2", by what the image says, and never by what the backing file says. */
static bool
find_format (const VmmQcow2 *image, const char *path, int fd, bool *ret_is_qcow2, GError **error)
{
    const char *format = image->header.backing_format;
    uint8_t head[4] = {0};

    if (format == NULL) {
        if (pread (fd, head, sizeof head, 0) == (ssize_t)sizeof head &&
            vmm_qcow2_detect (head, sizeof head)) {
            g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                         "disk \"%s\": it does not say which format its backing file \"%s\" has; say it with "
                         "\"qemu-img rebase -u -F FORMAT -b BACKING IMAGE\"",
                         image->path, path);
            return false;
        }
        *ret_is_qcow2 = false;
        return true;
    }
    *ret_is_qcow2 = g_str_equal (format, "qcow2");
    if (*ret_is_qcow2 || g_str_equal (format, "raw") || g_str_equal (format, "file") ||
        g_str_equal (format, "host_device"))
        return true;
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                 "disk \"%s\": the format of its backing file is neither raw nor qcow2; use qemu-img convert",
                 image->path);
    return false;
}

/**
 * vmm_qcow2_backing_new:
 * @path: of the file
 * @fd: the file; taken over when this succeeds
 * @is_qcow2: its format, else raw
 * @above: (nullable): the image that it is behind
 * @error: %VMM_ERROR_USAGE or %VMM_ERROR_HOST
 *
 * Returns: (transfer full): the file, and what is below it
 */
VmmQcow2Backing *
vmm_qcow2_backing_new (const char *path, int fd, bool is_qcow2, const VmmQcow2 *above, GError **error)
{
    VmmQcow2 *image = NULL;
    VmmQcow2Backing *backing;
    off_t end = lseek (fd, 0, SEEK_END);

    if (end < 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "backing file \"%s\": %s", path, g_strerror (errno));
        return NULL;
    }
    if (is_qcow2) {
        image = vmm_qcow2_image_open_chain (path, fd, true, above, error);
        if (image == NULL)
            return NULL;
    }
    backing = g_new0 (VmmQcow2Backing, 1);
    backing->fd = fd;
    backing->image = image;
    backing->size = image != NULL ? image->header.size : (uint64_t)end;
    return backing;
}

/**
 * vmm_qcow2_backing_free:
 * @backing: (nullable) (transfer full): a backing file
 */
void
vmm_qcow2_backing_free (VmmQcow2Backing *backing)
{
    if (backing == NULL)
        return;
    if (backing->image != NULL)
        vmm_qcow2_image_free (backing->image);
    else if (backing->fd >= 0)
        close (backing->fd);
    g_free (backing);
}

/* Is @fd a file that is above already, or one too many? */
static bool
check_chain (const VmmQcow2 *image, int fd, GError **error)
{
    const VmmQcow2 *above = image;
    struct stat file, other;
    unsigned depth = 1;

    for (; above != NULL; above = above->above, depth++) {
        if (fstat (fd, &file) < 0 || fstat (above->fd, &other) < 0 ||
            (file.st_dev == other.st_dev && file.st_ino == other.st_ino)) {
            g_set_error (
                error, VMM_ERROR, VMM_ERROR_USAGE,
                "disk \"%s\": it is behind itself, its backing files go in a circle; use qemu-img rebase",
                image->path);
            return false;
        }
    }
    if (depth <= QCOW2_CHAIN_MAX)
        return true;
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                 "disk \"%s\": more than %u files are behind each other; use qemu-img rebase or convert",
                 image->path, QCOW2_CHAIN_MAX);
    return false;
}

static char *
resolve (const VmmQcow2 *image)
{
    g_autofree char *folder = g_path_get_dirname (image->path);

    if (g_path_is_absolute (image->header.backing_path))
        return g_strdup (image->header.backing_path);
    return g_build_filename (folder, image->header.backing_path, NULL);
}

/**
 * vmm_qcow2_image_open_backing:
 * @image: an image whose backing file is not open
 * @error: %VMM_ERROR_USAGE or %VMM_ERROR_HOST
 *
 * Returns: false when it has a backing file that cannot be used
 */
bool
vmm_qcow2_image_open_backing (VmmQcow2 *image, GError **error)
{
    g_autofree char *path = NULL;
    bool is_qcow2;
    int fd;

    if (image->header.backing_path == NULL)
        return true;
    path = resolve (image);
    if (!vmm_qcow2_open_file ("backing file", path, false, &fd, error))
        return false;
    if (check_chain (image, fd, error) && vmm_block_lock (fd, path, false, error) &&
        find_format (image, path, fd, &is_qcow2, error))
        image->backing = vmm_qcow2_backing_new (path, fd, is_qcow2, image, error);
    if (image->backing == NULL)
        close (fd);
    return image->backing != NULL;
}
