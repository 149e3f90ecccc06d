/* SPDX-License-Identifier: Apache-2.0 */
/* From the disk's clusters to the file's: L2 tables and their entries. */
#include "devices/block/qcow2-image.h"

#include <errno.h>
#include <string.h>

static uint64_t
l2_entries (const VmmQcow2 *image)
{
    return UINT64_C (1) << image->l2_bits;
}

/**
 * vmm_qcow2_get_entry:
 * @table: an L2 table
 * @index: of a cluster in it
 *
 * Returns: the entry
 */
uint64_t
vmm_qcow2_get_entry (const VmmQcow2Table *table, uint64_t index)
{
    return GUINT64_FROM_BE (table->data[index]);
}

/**
 * vmm_qcow2_set_entry:
 * @image: an image that may be written
 * @table: an L2 table of it
 * @index: of a cluster in it
 * @entry: the new entry
 */
void
vmm_qcow2_set_entry (VmmQcow2 *image, VmmQcow2Table *table, uint64_t index, uint64_t entry)
{
    g_mutex_lock (&image->lock);
    vmm_qcow2_cache_set_dirty (&image->l2s, table);
    table->data[index] = GUINT64_TO_BE (entry);
    image->uncommitted = true;
    g_mutex_unlock (&image->lock);
}

/**
 * vmm_qcow2_is_metadata:
 * @image: an image, by its own thread or with its lock
 * @offset: in the file
 * @len: bytes
 *
 * Returns: true when a cluster of the range is known to hold tables
 */
bool
vmm_qcow2_is_metadata (VmmQcow2 *image, uint64_t offset, uint64_t len)
{
    uint64_t last = (offset + len - 1) >> image->cluster_bits;

    for (uint64_t cluster = offset >> image->cluster_bits; cluster <= last; cluster++) {
        if (g_hash_table_contains (image->metadata, GSIZE_TO_POINTER (cluster)))
            return true;
    }
    return false;
}

/**
 * vmm_qcow2_add_metadata:
 * @image: an image
 * @run: clusters that hold tables from now on
 */
void
vmm_qcow2_add_metadata (VmmQcow2 *image, VmmQcow2Run run)
{
    g_mutex_lock (&image->lock);
    for (uint64_t k = 0; k < run.count; k++)
        g_hash_table_add (image->metadata, GSIZE_TO_POINTER (run.first + k));
    g_mutex_unlock (&image->lock);
}

/**
 * vmm_qcow2_remove_metadata:
 * @image: an image
 * @run: clusters that do not hold tables any more
 */
void
vmm_qcow2_remove_metadata (VmmQcow2 *image, VmmQcow2Run run)
{
    g_mutex_lock (&image->lock);
    for (uint64_t k = 0; k < run.count; k++)
        g_hash_table_remove (image->metadata, GSIZE_TO_POINTER (run.first + k));
    g_mutex_unlock (&image->lock);
}

/**
 * vmm_qcow2_compressed_span:
 * @image: an image
 * @entry: the L2 entry of a compressed cluster
 * @ret_offset: where in the file it begins
 * @ret_len: bytes, to the end of the last sector that belongs to it
 */
void
vmm_qcow2_compressed_span (const VmmQcow2 *image, uint64_t entry, uint64_t *ret_offset, uint64_t *ret_len)
{
    unsigned shift = 62 - (image->cluster_bits - 8);
    uint64_t offset = entry & ((UINT64_C (1) << shift) - 1);
    uint64_t sectors = (entry >> shift & ((UINT64_C (1) << (62 - shift)) - 1)) + 1;

    *ret_offset = offset;
    *ret_len = sectors * 512 - (offset & 511);
}

/**
 * vmm_qcow2_release_entry:
 * @image: an image that may be written
 * @entry: an L2 entry that is in no table any more
 *
 * What it refers to loses one reference.
 *
 * Returns: 0 or an errno
 */
int
vmm_qcow2_release_entry (VmmQcow2 *image, uint64_t entry)
{
    VmmQcow2Run run = {(entry & QCOW2_OFFSET_MASK) >> image->cluster_bits, 1};
    uint64_t offset, len;

    if ((entry & QCOW2_COMPRESSED) != 0) {
        vmm_qcow2_compressed_span (image, entry, &offset, &len);
        run.first = offset >> image->cluster_bits;
        run.count = ((offset + len - 1) >> image->cluster_bits) - run.first + 1;
    } else if ((entry & QCOW2_OFFSET_MASK) == 0) {
        return 0;
    }
    /* A table that an entry for data leads to is not freed, whatever its refcount. */
    if (vmm_qcow2_is_metadata (image, run.first << image->cluster_bits, run.count << image->cluster_bits))
        return vmm_qcow2_damaged (image);
    return vmm_qcow2_release (image, run, false);
}

/**
 * vmm_qcow2_load_l2:
 * @image: an image
 * @index: of the L1 table
 * @create: make an empty table where there is none
 * @ret_table: the table, until the next call; %NULL where there is none
 *
 * Returns: 0 or an errno
 */
int
vmm_qcow2_load_l2 (VmmQcow2 *image, uint64_t index, bool create, VmmQcow2Table **ret_table)
{
    uint64_t offset = image->l1[index] & QCOW2_OFFSET_MASK;
    g_autofree uint64_t *data = NULL;
    VmmQcow2Table *table;
    int err;

    g_mutex_lock (&image->lock);
    table = vmm_qcow2_cache_find (&image->l2s, index);
    if (table == NULL)
        vmm_qcow2_cache_trim (&image->l2s);
    g_mutex_unlock (&image->lock);
    *ret_table = table;
    if (table != NULL || (offset == 0 && !create))
        return 0;
    if (offset % image->cluster_size != 0 || offset >= image->file_size)
        return vmm_qcow2_damaged (image);
    data = g_try_malloc0 (image->cluster_size);
    if (data == NULL)
        return ENOMEM;
    err = offset != 0 ? vmm_qcow2_pread (image, data, image->cluster_size, offset) : 0;
    if (err != 0)
        return err;
    g_mutex_lock (&image->lock);
    table = vmm_qcow2_cache_add (&image->l2s, index, image->cluster_size);
    if (table != NULL)
        memcpy (table->data, data, image->cluster_size);
    g_mutex_unlock (&image->lock);
    *ret_table = table;
    return table != NULL ? 0 : ENOMEM;
}

static VmmQcow2Kind
kind_of (const VmmQcow2 *image, uint64_t entry)
{
    uint64_t offset = entry & QCOW2_OFFSET_MASK;

    if ((entry & QCOW2_COMPRESSED) != 0)
        return VMM_QCOW2_COMPRESSED_DATA;
    if ((entry & QCOW2_ZERO) != 0 && image->header.version >= 3)
        return VMM_QCOW2_ZEROES;
    if (offset == 0)
        return VMM_QCOW2_UNMAPPED;
    if (offset % image->cluster_size != 0 || offset >= vmm_qcow2_file_size (image))
        return VMM_QCOW2_BAD;
    return VMM_QCOW2_DATA;
}

/* Entries from @i on that go on where the one before ends. */
static void
map_table (VmmQcow2 *image, const VmmQcow2Table *table, uint64_t i, uint64_t clusters, VmmQcow2Extent *extent)
{
    uint64_t entry = vmm_qcow2_get_entry (table, i), n = 1;

    extent->kind = kind_of (image, entry);
    extent->host = extent->kind == VMM_QCOW2_COMPRESSED_DATA ? entry : entry & QCOW2_OFFSET_MASK;
    extent->owned = (entry & QCOW2_COPIED) != 0;
    for (; n < clusters && extent->kind != VMM_QCOW2_COMPRESSED_DATA; n++) {
        uint64_t next = vmm_qcow2_get_entry (table, i + n);

        if (kind_of (image, next) != extent->kind)
            break;
        if (extent->kind == VMM_QCOW2_DATA &&
            ((next & QCOW2_OFFSET_MASK) != extent->host + (n << image->cluster_bits) ||
             ((next & QCOW2_COPIED) != 0) != extent->owned))
            break;
    }
    extent->len = n << image->cluster_bits;
    if (extent->kind == VMM_QCOW2_DATA && extent->owned &&
        vmm_qcow2_is_metadata (image, extent->host, extent->len))
        extent->owned = false;
}

/* Of the image itself. */
static void
map_one (VmmQcow2 *image, uint64_t offset, uint64_t len, VmmQcow2Extent *extent)
{
    uint64_t cluster = offset >> image->cluster_bits, index = cluster >> image->l2_bits;
    uint64_t i = cluster & (l2_entries (image) - 1), within = offset & (image->cluster_size - 1);
    uint64_t clusters = MIN (l2_entries (image) - i, ((len + within - 1) >> image->cluster_bits) + 1);
    VmmQcow2Table *table;

    *extent = (VmmQcow2Extent){.fd = image->fd, .image = image};
    g_mutex_lock (&image->lock);
    table = vmm_qcow2_cache_find (&image->l2s, index);
    if (table != NULL) {
        map_table (image, table, i, clusters, extent);
    } else {
        extent->kind = (image->l1[index] & QCOW2_OFFSET_MASK) == 0 ? VMM_QCOW2_UNMAPPED : VMM_QCOW2_MISS;
        extent->len = clusters << image->cluster_bits;
    }
    g_mutex_unlock (&image->lock);
    extent->len = MIN (extent->len - within, len);
    if (extent->kind == VMM_QCOW2_DATA)
        extent->host += within;
}

/**
 * vmm_qcow2_map:
 * @image: an image, whose sizes do not change during the call
 * @offset: of the disk, below its size
 * @len: bytes from there on, not 0
 * @deep: look into backing files
 * @ret_extent: what is at @offset
 *
 * Looks only at what is in memory. Any thread.
 */
void
vmm_qcow2_map (VmmQcow2 *image, uint64_t offset, uint64_t len, bool deep, VmmQcow2Extent *ret_extent)
{
    map_one (image, offset, len, ret_extent);
    while (ret_extent->kind == VMM_QCOW2_UNMAPPED && image->backing != NULL) {
        const VmmQcow2Backing *backing = image->backing;

        len = ret_extent->len;
        if (offset >= backing->size)
            return;
        len = MIN (len, backing->size - offset);
        if (!deep) {
            ret_extent->kind = VMM_QCOW2_BEHIND;
            ret_extent->len = len;
            return;
        }
        if (backing->image == NULL) {
            *ret_extent =
                (VmmQcow2Extent){.kind = VMM_QCOW2_DATA, .len = len, .fd = backing->fd, .host = offset};
            return;
        }
        image = backing->image;
        map_one (image, offset, len, ret_extent);
    }
}
