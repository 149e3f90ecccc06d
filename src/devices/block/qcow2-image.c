/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A qcow2 file maps a disk's clusters to clusters of the file by two levels of tables (L1, L2), and counts
 * how often each cluster of the file is referred to (refcount table, refcount blocks). Both say what is in
 * use, in different places, and a process may be killed between any two writes. Here, nothing that the file's
 * header leads to is ever changed but guest data and the header itself:
 *
 *  - Guest data is written in place where the cluster belongs to the disk alone (QCOW2_COPIED), else to a
 *    cluster that the file as it is on disk holds for free.
 *  - Tables change in memory. A commit, which is done for a guest's flush, when too many tables wait, and at
 *    the end, finds free clusters for each changed table, for the L1 table and for the refcount table, writes
 *    them there, and then writes the header, whose 104 bytes lie in one sector and so change at once.
 *  - What a change freed is given out again only after the commit (VmmQcow2Table.held).
 *
 * So the file is consistent at each moment, without errors and without leaked clusters; there is no window
 * that would need the dirty bit or a repair. Two fdatasync() around the header order it against power cuts:
 * the first makes all that it leads to last, guest data too, the second makes the commit last. What was
 * written to new clusters after the last commit is lost when the process is killed: a guest was not told that
 * it would last. The price is that a flush after an allocation writes four clusters or more of tables; one
 * that only overwrote costs nothing but the fdatasync().
 *
 * Refcounts above 1, of files with internal snapshots and of compressed clusters, need no special care:
 * what is not QCOW2_COPIED is written anew elsewhere, and loses one reference. Snapshots stay as they are.
 *
 * The file is believed in nothing. Offsets are checked where they are followed; a table or an entry that
 * leads nowhere fails the request and marks the image as corrupt, after which it is not written any more.
 * Clusters that are known to hold tables are in a set, and guest data is not written to them whatever an
 * entry says.
 */
#include "devices/block/qcow2-image.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/error.h"

#define L2_CACHE_BYTES (32u << 20)
#define BLOCK_CACHE_BYTES (8u << 20)
#define TABLES_MIN 4u

static bool
refuse (VmmQcow2 *image, GError **error, const char *text)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "disk \"%s\": %s", image->path, text);
    return false;
}

/**
 * vmm_qcow2_pread:
 * @image: an image
 * @data: where to
 * @len: bytes
 * @offset: in the file; what is behind its end reads as zeroes
 *
 * Returns: 0 or an errno
 */
int
vmm_qcow2_pread (VmmQcow2 *image, void *data, size_t len, uint64_t offset)
{
    uint8_t *to = data;

    while (len > 0) {
        ssize_t n = pread (image->fd, to, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0) {
            memset (to, 0, len);
            return 0;
        }
        to += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

/**
 * vmm_qcow2_pwrite:
 * @image: an image
 * @data: what
 * @len: bytes
 * @offset: in the file
 *
 * Returns: 0 or an errno
 */
int
vmm_qcow2_pwrite (VmmQcow2 *image, const void *data, size_t len, uint64_t offset)
{
    const uint8_t *from = data;

    while (len > 0) {
        ssize_t n = pwrite (image->fd, from, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        from += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
        vmm_qcow2_extend_file (image, offset);
    }
    return 0;
}

/**
 * vmm_qcow2_file_size:
 * @image: an image; any thread
 *
 * Returns: the bytes of the file
 */
uint64_t
vmm_qcow2_file_size (const VmmQcow2 *image)
{
    return __atomic_load_n (&image->file_size, __ATOMIC_RELAXED);
}

/**
 * vmm_qcow2_extend_file:
 * @image: an image
 * @end: where something was written up to
 */
void
vmm_qcow2_extend_file (VmmQcow2 *image, uint64_t end)
{
    if (end > image->file_size)
        __atomic_store_n (&image->file_size, end, __ATOMIC_RELAXED);
}

/**
 * vmm_qcow2_sync:
 * @image: an image
 *
 * Returns: 0 or an errno
 */
int
vmm_qcow2_sync (VmmQcow2 *image)
{
    return image->no_sync || fdatasync (image->fd) == 0 ? 0 : errno;
}

/**
 * vmm_qcow2_damaged:
 * @image: an image in which something was found that cannot be
 *
 * Marks it, in the file too, so that nobody writes to it before it is repaired.
 *
 * Returns: EIO
 */
int
vmm_qcow2_damaged (VmmQcow2 *image)
{
    bool was;

    g_mutex_lock (&image->lock);
    was = image->corrupt;
    image->corrupt = true;
    g_mutex_unlock (&image->lock);
    if (was || image->read_only || image->header.version < 3)
        return EIO;
    /* The committed header but for the one bit. */
    image->head[79] |= QCOW2_INCOMPATIBLE_CORRUPT;
    (void)vmm_qcow2_pwrite (image, image->head, QCOW2_HEADER_V3_SIZE, 0);
    return EIO;
}

static bool
read_table (VmmQcow2 *image, uint64_t offset, uint64_t len, uint64_t **ret_table)
{
    g_autofree uint64_t *table = g_try_malloc0_n (len + 1, sizeof *table);

    if (table == NULL || vmm_qcow2_pread (image, table, len * sizeof *table, offset) != 0)
        return false;
    for (uint64_t i = 0; i < len; i++)
        table[i] = GUINT64_FROM_BE (table[i]);
    *ret_table = g_steal_pointer (&table);
    return true;
}

static bool
is_inside (const VmmQcow2 *image, uint64_t offset, uint64_t len)
{
    return offset <= image->file_size && len <= image->file_size - offset;
}

static void
note_metadata (VmmQcow2 *image, uint64_t offset, uint64_t bytes)
{
    uint64_t first = offset >> image->cluster_bits;

    if (offset != 0)
        vmm_qcow2_add_metadata (
            image, (VmmQcow2Run){first, ((offset + bytes + image->cluster_size - 1) >> image->cluster_bits) -
                                            first});
}

static void
note_all_metadata (VmmQcow2 *image)
{
    vmm_qcow2_add_metadata (image, (VmmQcow2Run){0, 1});
    note_metadata (image, image->header.l1_table_offset, (uint64_t)image->header.l1_size * 8);
    note_metadata (image, image->header.refcount_table_offset,
                   (uint64_t)image->header.refcount_table_clusters << image->cluster_bits);
    for (uint64_t i = 0; i < image->header.l1_size; i++)
        note_metadata (image, image->l1[i] & QCOW2_OFFSET_MASK, image->cluster_size);
    for (uint64_t i = 0; i < image->rt_len; i++)
        note_metadata (image, image->rt[i] & QCOW2_OFFSET_MASK, image->cluster_size);
}

static bool
read_tables (VmmQcow2 *image, GError **error)
{
    VmmQcow2Header *h = &image->header;
    uint64_t rt_bytes = (uint64_t)h->refcount_table_clusters << image->cluster_bits;

    /* A table of zeroes need not be in the file to its end. */
    if (h->l1_table_offset >= image->file_size && h->l1_size > 0)
        return refuse (image, error,
                       "its L1 table is behind the end of the file; the file is damaged or cut off");
    if (!is_inside (image, h->refcount_table_offset, 8))
        return refuse (image, error,
                       "its refcount table is behind the end of the file; the file is damaged or cut off");
    image->rt_len = rt_bytes / 8;
    if (!read_table (image, h->l1_table_offset, h->l1_size, &image->l1) ||
        !read_table (image, h->refcount_table_offset, image->rt_len, &image->rt)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "disk \"%s\": its tables cannot be read", image->path);
        return false;
    }
    while (image->rt_len > 1 && image->rt[image->rt_len - 1] == 0)
        image->rt_len--;
    note_all_metadata (image);
    return true;
}

static bool
check_writable (VmmQcow2 *image, GError **error)
{
    uint64_t features = image->header.incompatible_features;

    if ((features & QCOW2_INCOMPATIBLE_CORRUPT) != 0)
        return refuse (
            image, error,
            "it is marked as damaged: repair it with \"qemu-img check -r all\", or open it readonly");
    if (image->header.autoclear_features != 0) {
        /* Bitmaps of changed clusters, and whatever else is only true while nobody else writes. */
        image->header.autoclear_features = 0;
        vmm_qcow2_header_update (&image->header, image->head);
        if (vmm_qcow2_pwrite (image, image->head, QCOW2_HEADER_V3_SIZE, 0) != 0)
            return refuse (image, error, "its header cannot be written");
    }
    if ((features & QCOW2_INCOMPATIBLE_DIRTY) != 0) {
        VmmQcow2CheckResult result;
        int err = vmm_qcow2_repair (image, &result);

        if (err != 0)
            return refuse (image, error,
                           "it was not closed and its refcounts cannot be repaired: "
                           "use \"qemu-img check -r all\", or open it readonly");
    }
    return true;
}

static void
init (VmmQcow2 *image, VmmQcow2Header *header)
{
    unsigned clusters_l2, clusters_blocks;

    image->header = *header;
    *header = (VmmQcow2Header){0};
    image->cluster_bits = image->header.cluster_bits;
    image->cluster_size = UINT64_C (1) << image->cluster_bits;
    image->l2_bits = image->cluster_bits - 3;
    image->block_bits = image->cluster_bits + 3 - image->header.refcount_order;
    clusters_l2 = L2_CACHE_BYTES >> image->cluster_bits;
    clusters_blocks = BLOCK_CACHE_BYTES >> image->cluster_bits;
    vmm_qcow2_cache_init (&image->l2s, MAX (clusters_l2, TABLES_MIN));
    vmm_qcow2_cache_init (&image->blocks, MAX (clusters_blocks, TABLES_MIN));
}

static VmmQcow2 *
new_image (const char *path, int fd, bool read_only)
{
    VmmQcow2 *image = g_new0 (VmmQcow2, 1);

    image->path = g_strdup (path);
    image->fd = fd;
    image->read_only = read_only;
    image->freed_min = UINT64_MAX;
    g_mutex_init (&image->lock);
    image->metadata = g_hash_table_new (g_direct_hash, g_direct_equal);
    image->recycled = g_array_new (FALSE, FALSE, sizeof (VmmQcow2Run));
    image->retired = g_array_new (FALSE, FALSE, sizeof (VmmQcow2Run));
    image->trimmed = g_array_new (FALSE, FALSE, sizeof (VmmQcow2Run));
    return image;
}

static bool
load (VmmQcow2 *image, GError **error)
{
    g_autofree uint8_t *head = g_malloc0 (QCOW2_HEAD_READ);
    g_auto (VmmQcow2Header) header = {0};
    off_t end = lseek (image->fd, 0, SEEK_END); /* a block device's size, too */
    int err = end < 0 ? errno : 0;

    if (err == 0) {
        image->file_size = (uint64_t)end;
        err = vmm_qcow2_pread (image, head, QCOW2_HEAD_READ, 0);
    }
    if (err != 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "disk \"%s\": %s", image->path, g_strerror (err));
        return false;
    }
    if (!vmm_qcow2_header_parse (
            image->path, (VmmSpan){head, (size_t)MIN (image->file_size, QCOW2_HEAD_READ)}, &header, error))
        return false;
    memcpy (image->head, head, sizeof image->head);
    init (image, &header);
    return read_tables (image, error);
}

/**
 * vmm_qcow2_image_open:
 * @path: for messages, and where relative names of backing files begin
 * @fd: the file, through the page cache; taken over when this succeeds
 * @read_only: @fd is, or is not to be written
 * @error: %VMM_ERROR_USAGE or %VMM_ERROR_HOST
 *
 * Without its backing file. An image that was not closed is repaired when it may be written.
 *
 * Returns: (transfer full): an image
 */
VmmQcow2 *
vmm_qcow2_image_open (const char *path, int fd, bool read_only, GError **error)
{
    g_autoptr (VmmQcow2) image = new_image (path, fd, read_only);

    if (!load (image, error) || (!read_only && !check_writable (image, error))) {
        image->fd = -1; /* remains the caller's */
        return NULL;
    }
    if ((image->header.incompatible_features & QCOW2_INCOMPATIBLE_CORRUPT) != 0)
        image->corrupt = true;
    return g_steal_pointer (&image);
}

/**
 * vmm_qcow2_image_open_chain:
 * @path: for messages, and where relative names of backing files begin
 * @fd: the file, through the page cache; taken over when this succeeds
 * @read_only: @fd is, or is not to be written
 * @above: (nullable): the image that it is behind
 * @error: %VMM_ERROR_USAGE or %VMM_ERROR_HOST
 *
 * Returns: (transfer full): an image with its backing files, which are opened for reading
 */
VmmQcow2 *
vmm_qcow2_image_open_chain (const char *path, int fd, bool read_only, const VmmQcow2 *above, GError **error)
{
    g_autoptr (VmmQcow2) image = vmm_qcow2_image_open (path, fd, read_only, error);

    if (image == NULL)
        return NULL;
    image->above = above;
    if (!vmm_qcow2_image_open_backing (image, error)) {
        image->fd = -1;
        return NULL;
    }
    image->above = NULL;
    return g_steal_pointer (&image);
}

/**
 * vmm_qcow2_image_free:
 * @image: (nullable) (transfer full): an image, or a half-built one
 *
 * Closes it, without a commit.
 */
void
vmm_qcow2_image_free (VmmQcow2 *image)
{
    if (image == NULL)
        return;
    vmm_qcow2_backing_free (image->backing);
    vmm_qcow2_header_clear (&image->header);
    vmm_qcow2_cache_clear (&image->l2s);
    vmm_qcow2_cache_clear (&image->blocks);
    g_hash_table_unref (image->metadata);
    g_array_free (image->recycled, TRUE);
    g_array_free (image->retired, TRUE);
    g_array_free (image->trimmed, TRUE);
    g_mutex_clear (&image->lock);
    g_free (image->unpacked);
    g_free (image->l1);
    g_free (image->rt);
    g_free (image->path);
    if (image->fd >= 0)
        close (image->fd);
    g_free (image);
}

/* What a backing file has behind the former end must not come to light. */
static int
hide_backing (VmmQcow2 *image, uint64_t from)
{
    if (image->backing == NULL || image->backing->size <= from)
        return 0;
    return vmm_qcow2_write_zeroes (image, from, MIN (image->backing->size, image->header.size) - from);
}

/**
 * vmm_qcow2_grow:
 * @image: an image
 * @size: its new size in bytes, not less than the present one
 *
 * What is new reads as zeroes. Committed with the next commit, all at once.
 *
 * Returns: 0 or an errno
 */
int
vmm_qcow2_grow (VmmQcow2 *image, uint64_t size)
{
    uint64_t entries = vmm_qcow2_l1_entries (size, image->cluster_bits), old = image->header.size;
    uint64_t *l1;

    if (image->read_only)
        return EROFS;
    if (size < old || size > G_MAXINT64)
        return EINVAL;
    if (entries > QCOW2_L1_MAX / 8)
        return EFBIG;
    g_mutex_lock (&image->lock);
    if (entries > image->header.l1_size) {
        l1 = g_try_realloc_n (image->l1, entries + 1, sizeof *l1);
        if (l1 == NULL) {
            g_mutex_unlock (&image->lock);
            return ENOMEM;
        }
        memset (l1 + image->header.l1_size, 0, (entries + 1 - image->header.l1_size) * sizeof *l1);
        image->l1 = l1;
        image->header.l1_size = (uint32_t)entries;
    }
    image->header.size = size;
    image->uncommitted = true;
    g_mutex_unlock (&image->lock);
    return hide_backing (image, old);
}
