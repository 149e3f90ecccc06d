/* SPDX-License-Identifier: Apache-2.0 */
/* Disk images, for people and programs that look after them: no machine is needed. */
#include "vmm/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/lock.h"
#include "devices/block/qcow2-image.h"
#include "devices/block/qcow2.h"
#include "vmm/core/new-file.h"
#include "vmm/error.h"

#define DEFAULT_CLUSTER_SIZE 65536u

struct _VmmDiskInfo {
    GArray *layers; /* of VmmDiskLayer, whose paths are owned */
};

static void
clear_layer (void *data)
{
    VmmDiskLayer *layer = data;

    g_free ((char *)layer->path);
}

/**
 * vmm_disk_format_to_string:
 * @format: a format
 *
 * Returns: its name, as the key "disk" takes it
 */
const char *
vmm_disk_format_to_string (VmmDiskFormat format)
{
    return format == VMM_DISK_QCOW2 ? "qcow2" : "raw";
}

static bool
fail (GError **error, int code, const char *path, const char *text)
{
    g_set_error (error, VMM_ERROR, code, "disk \"%s\": %s", path, text);
    return false;
}

/* Relative names are relative to the image's folder, as they will be when it is opened. */
static char *
resolve (const char *path, const char *backing_path)
{
    g_autofree char *folder = g_path_get_dirname (path);

    return g_path_is_absolute (backing_path) ? g_strdup (backing_path)
                                             : g_build_filename (folder, backing_path, NULL);
}

/* The backing file with all behind it, opened as a machine will open it. */
static VmmQcow2Backing *
open_backing (const char *path, const char *backing_path, VmmDiskFormat format, GError **error)
{
    g_autofree char *full = resolve (path, backing_path);
    VmmQcow2Backing *backing;
    int fd;

    if (!vmm_qcow2_open_file ("backing file", full, false, &fd, error))
        return NULL;
    backing = vmm_qcow2_backing_new (full, fd, format == VMM_DISK_QCOW2, NULL, error);
    if (backing == NULL)
        close (fd);
    return backing;
}

static bool
fill (int fd, const char *path, VmmDiskFormat format, const VmmQcow2Format *qcow2, GError **error)
{
    g_autoptr (GError) failure = NULL;

    if (format == VMM_DISK_RAW)
        return ftruncate (fd, (off_t)qcow2->size) == 0 ||
               fail (error, VMM_ERROR_USAGE, path, g_strerror (errno));
    if (vmm_qcow2_format (fd, qcow2, &failure))
        return true;
    return fail (error, failure->code, path, failure->message);
}

/* Gives the finished file its name. */
static bool
publish (VmmNewFile *file, const char *path, bool overwrite, GError **error)
{
    const char *slash = strrchr (path, '/');

    if (fsync (file->fd) < 0)
        return fail (error, VMM_ERROR_HOST, path, g_strerror (errno));
    if (vmm_new_file_publish (file, slash != NULL ? slash + 1 : path, overwrite))
        return true;
    if (errno == EEXIST)
        return fail (error, VMM_ERROR_USAGE, path, "it exists: say --force to replace it");
    return fail (error, VMM_ERROR_USAGE, path, g_strerror (errno));
}

static bool
create (const char *path, VmmDiskFormat format, const VmmQcow2Format *qcow2, bool overwrite, GError **error)
{
    g_autofree char *folder = g_path_get_dirname (path);
    VmmNewFile file;
    int folder_fd;
    bool ok;

    if (*path == '\0' || g_str_has_suffix (path, "/"))
        return fail (error, VMM_ERROR_USAGE, path, "give the name of a file");
    if (!overwrite && access (path, F_OK) == 0)
        return fail (error, VMM_ERROR_USAGE, path, "it exists: say --force to replace it");
    folder_fd = open (folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd < 0)
        return fail (error, VMM_ERROR_USAGE, path, g_strerror (errno));
    ok =
        vmm_new_file_open (&file, folder_fd, 0666) || fail (error, VMM_ERROR_USAGE, path, g_strerror (errno));
    ok = ok && fill (file.fd, path, format, qcow2, error) && publish (&file, path, overwrite, error);
    vmm_new_file_clear (&file);
    close (folder_fd);
    return ok;
}

/**
 * vmm_disk_create:
 * @path: of the new file
 * @format: its format
 * @size: of the disk in bytes, rounded up to 512; 0: that of the backing file
 * @cluster_size: for qcow2: 512 to 2 MiB, a power of two; 0: 64 KiB
 * @backing_path: (nullable): for qcow2: a file that the disk begins as, and that is never written; a relative
 *     name is relative to the folder of @path
 * @backing_format: its format
 * @overwrite: replace a file that is there
 * @error: %VMM_ERROR_USAGE or %VMM_ERROR_HOST
 *
 * Makes an empty disk. The file is there as a whole, or not at all. Any thread.
 *
 * Returns: true when it is there
 *
 * Since: 0.1
 */
bool
vmm_disk_create (const char *path, VmmDiskFormat format, uint64_t size, uint64_t cluster_size,
                 const char *backing_path, VmmDiskFormat backing_format, bool overwrite, GError **error)
{
    g_autoptr (VmmQcow2Backing) backing = NULL;
    VmmQcow2Format qcow2 = {
        .version = 3,
        .size = size,
        .backing_path = backing_path,
        .backing_format = vmm_disk_format_to_string (backing_format),
    };

    if (cluster_size == 0)
        cluster_size = DEFAULT_CLUSTER_SIZE;
    if ((cluster_size & (cluster_size - 1)) != 0 || cluster_size > UINT32_MAX)
        return fail (error, VMM_ERROR_USAGE, path, "clusters have 512 bytes to 2 MiB, a power of two");
    qcow2.cluster_bits = (unsigned)__builtin_ctzll (cluster_size);
    if (backing_path != NULL && format == VMM_DISK_RAW)
        return fail (error, VMM_ERROR_USAGE, path, "a raw disk has no backing file: make a qcow2 one");
    if (backing_path != NULL) {
        backing = open_backing (path, backing_path, backing_format, error);
        if (backing == NULL)
            return false;
        if (size == 0)
            qcow2.size = backing->size;
    }
    if (qcow2.size == 0)
        return fail (error, VMM_ERROR_USAGE, path, "say how large it is");
    if (!vmm_align_up (qcow2.size, VMM_BLOCK_SECTOR, &qcow2.size) || qcow2.size > G_MAXINT64)
        return fail (error, VMM_ERROR_USAGE, path, "the disk would be too large");
    return create (path, format, &qcow2, overwrite, error);
}

static void
add_layer (VmmDiskInfo *info, const char *path, int fd, const VmmQcow2 *image, uint64_t size)
{
    VmmDiskLayer layer = {.path = g_strdup (path), .virtual_size = size};
    struct stat st;

    if (fstat (fd, &st) == 0)
        layer.actual_size = (uint64_t)st.st_blocks * 512;
    if (image != NULL) {
        const VmmQcow2Header *h = &image->header;

        layer.format = VMM_DISK_QCOW2;
        layer.version = h->version;
        layer.cluster_size = image->cluster_size;
        layer.compression = h->compression_type == QCOW2_COMPRESSION_ZSTD ? "zstd" : "zlib";
        layer.n_snapshots = h->nb_snapshots;
        layer.refcount_bits = 1u << h->refcount_order;
        layer.lazy_refcounts = (h->compatible_features & QCOW2_COMPATIBLE_LAZY_REFCOUNTS) != 0;
        layer.dirty = (h->incompatible_features & QCOW2_INCOMPATIBLE_DIRTY) != 0;
        layer.corrupt = (h->incompatible_features & QCOW2_INCOMPATIBLE_CORRUPT) != 0;
    }
    g_array_append_val (info->layers, layer);
}

static bool
is_qcow2 (int fd)
{
    uint8_t head[4];

    return pread (fd, head, sizeof head, 0) == (ssize_t)sizeof head && vmm_qcow2_detect (head, sizeof head);
}

/**
 * vmm_disk_get_info:
 * @path: of an image
 * @error: %VMM_ERROR_USAGE or %VMM_ERROR_HOST
 *
 * Tells what a file is, by its first bytes, and what is behind it. It is only read, and may be in use. Any
 * thread.
 *
 * Returns: (transfer full): what it is
 *
 * Since: 0.1
 */
VmmDiskInfo *
vmm_disk_get_info (const char *path, GError **error)
{
    g_autoptr (VmmDiskInfo) info = g_new0 (VmmDiskInfo, 1);
    g_autoptr (VmmQcow2Backing) first = NULL;
    const VmmQcow2Backing *layer;
    g_autofree char *name = g_strdup (path);
    int fd;

    info->layers = g_array_new (FALSE, FALSE, sizeof (VmmDiskLayer));
    g_array_set_clear_func (info->layers, clear_layer);
    if (!vmm_qcow2_open_file ("disk", path, false, &fd, error))
        return NULL;
    first = vmm_qcow2_backing_new (path, fd, is_qcow2 (fd), NULL, error);
    if (first == NULL) {
        close (fd);
        return NULL;
    }
    for (layer = first; layer != NULL; layer = layer->image != NULL ? layer->image->backing : NULL) {
        add_layer (info, name, layer->fd, layer->image, layer->size);
        if (layer->image != NULL && layer->image->header.backing_path != NULL) {
            char *below = resolve (name, layer->image->header.backing_path);

            g_free (name);
            name = below;
        }
    }
    return g_steal_pointer (&info);
}

/**
 * vmm_disk_info_free:
 * @info: (nullable) (transfer full): what a disk is
 *
 * Since: 0.1
 */
void
vmm_disk_info_free (VmmDiskInfo *info)
{
    if (info == NULL)
        return;
    g_array_free (info->layers, TRUE);
    g_free (info);
}

/**
 * vmm_disk_info_get_n_layers:
 * @info: what a disk is
 *
 * Returns: the number of its files, at least 1
 *
 * Since: 0.1
 */
unsigned
vmm_disk_info_get_n_layers (const VmmDiskInfo *info)
{
    return info->layers->len;
}

/**
 * vmm_disk_info_get_layer:
 * @info: what a disk is
 * @index: 0 for the file itself, 1 for the one behind it
 *
 * Returns: (nullable) (transfer none): the file, or %NULL when there are not so many
 *
 * Since: 0.1
 */
const VmmDiskLayer *
vmm_disk_info_get_layer (const VmmDiskInfo *info, unsigned index)
{
    return index < info->layers->len ? &g_array_index (info->layers, VmmDiskLayer, index) : NULL;
}

/**
 * vmm_disk_check:
 * @path: of a qcow2 file that nobody writes to
 * @ret_check: what is wrong with it
 * @error: %VMM_ERROR_USAGE or %VMM_ERROR_HOST
 *
 * Follows all tables, and compares what they use with what is counted. The file is only read. Any thread.
 *
 * Returns: false when it could not be checked
 *
 * Since: 0.1
 */
bool
vmm_disk_check (const char *path, VmmDiskCheck *ret_check, GError **error)
{
    g_autoptr (VmmQcow2) image = NULL;
    VmmQcow2CheckResult result;
    int fd, err;

    if (!vmm_qcow2_open_file ("disk", path, false, &fd, error))
        return false;
    if (vmm_block_lock (fd, path, false, error))
        image = vmm_qcow2_image_open (path, fd, true, error);
    if (image == NULL) {
        close (fd);
        return false;
    }
    err = vmm_qcow2_check (image, &result);
    if (err != 0)
        return fail (error, VMM_ERROR_HOST, path, g_strerror (err));
    if (result.incomplete)
        return fail (error, VMM_ERROR_USAGE, path,
                     "it is too large to be checked here, or has bitmaps: use \"qemu-img check\"");
    *ret_check = (VmmDiskCheck){result.damage, result.errors, result.leaks, result.allocated};
    return true;
}
