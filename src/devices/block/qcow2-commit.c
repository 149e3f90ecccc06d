/* SPDX-License-Identifier: Apache-2.0 */
/* Commits: changed tables get new places, and then the header changes. See qcow2-image.c. */
#include "devices/block/qcow2-image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define DIRTY_BYTES_MAX (16u << 20)
#define DIRTY_TABLES_MIN 8u
#define RECYCLED_MAX 256u

static int
release_table (VmmQcow2 *image, uint64_t offset)
{
    return offset != 0 ? vmm_qcow2_release (image, (VmmQcow2Run){offset >> image->cluster_bits, 1}, true) : 0;
}

/* An L2 table gets its place; the former one is free, or only a snapshot's, when the commit is done. */
static int
place_l2 (VmmQcow2 *image, VmmQcow2Table *table)
{
    uint64_t old = image->l1[table->index] & QCOW2_OFFSET_MASK;
    VmmQcow2Run run;
    int err = table->moved ? 0 : vmm_qcow2_alloc (image, 1, true, &run);

    if (err != 0 || table->moved)
        return err;
    g_mutex_lock (&image->lock);
    image->l1[table->index] = run.first << image->cluster_bits | QCOW2_COPIED;
    g_mutex_unlock (&image->lock);
    vmm_qcow2_add_metadata (image, run);
    table->moved = true;
    return release_table (image, old);
}

static int
place_block (VmmQcow2 *image, VmmQcow2Table *table)
{
    uint64_t old = image->rt[table->index];
    VmmQcow2Run run;
    int err = table->moved ? 0 : vmm_qcow2_alloc (image, 1, true, &run);

    if (err != 0 || table->moved)
        return err;
    image->rt[table->index] = run.first << image->cluster_bits;
    vmm_qcow2_add_metadata (image, run);
    table->moved = true;
    return release_table (image, old);
}

static VmmQcow2Run
run_of (const VmmQcow2 *image, uint64_t offset, uint64_t bytes)
{
    return (VmmQcow2Run){offset >> image->cluster_bits,
                         offset != 0 ? (bytes + image->cluster_size - 1) >> image->cluster_bits : 0};
}

/* What the header on disk says, which image->header may be ahead of. */
static VmmQcow2Run
committed_l1 (const VmmQcow2 *image)
{
    uint32_t entries = GUINT32_FROM_BE (vmm_get_u32 (image->head + 36));

    return run_of (image, image->header.l1_table_offset, (uint64_t)entries * 8);
}

static VmmQcow2Run
committed_rt (const VmmQcow2 *image)
{
    return run_of (image, image->header.refcount_table_offset,
                   (uint64_t)image->header.refcount_table_clusters << image->cluster_bits);
}

static int
place_l1 (VmmQcow2 *image)
{
    uint64_t clusters = run_of (image, 1, (uint64_t)image->header.l1_size * 8).count;
    int err = 0;

    if (!image->l1_retired)
        err = vmm_qcow2_release (image, committed_l1 (image), true);
    if (err != 0)
        return err;
    image->l1_retired = true;
    if (image->l1_place.count >= clusters)
        return 0;
    if (image->l1_place.count > 0) /* grown since a commit that failed */
        err = vmm_qcow2_release (image, image->l1_place, true);
    image->l1_place.count = 0;
    return err == 0 ? vmm_qcow2_alloc (image, clusters, true, &image->l1_place) : err;
}

/* The refcount table and its blocks: to place one changes others. It ends, as each is placed once. */
static int
place_refcounts (VmmQcow2 *image)
{
    int err = image->rt_retired ? 0 : vmm_qcow2_release (image, committed_rt (image), true);
    guint placed = 0;

    if (err != 0)
        return err;
    image->rt_retired = true;
    for (;;) {
        uint64_t clusters;

        for (; placed < image->blocks.dirty->len && err == 0; placed++)
            err = place_block (image, image->blocks.dirty->pdata[placed]);
        clusters = run_of (image, 1, image->rt_len * 8).count;
        if (err != 0 || image->rt_place.count >= clusters)
            return err;
        if (image->rt_place.count > 0)
            err = vmm_qcow2_release (image, image->rt_place, true);
        image->rt_place.count = 0;
        if (err == 0)
            err = vmm_qcow2_alloc (image, clusters, true, &image->rt_place);
    }
}

static int
place_all (VmmQcow2 *image)
{
    int err = 0;

    for (guint i = 0; i < image->l2s.dirty->len && err == 0; i++)
        err = place_l2 (image, image->l2s.dirty->pdata[i]);
    if (err == 0)
        err = place_l1 (image);
    if (err == 0)
        err = place_refcounts (image);
    return err;
}

static int
write_table (VmmQcow2 *image, const uint64_t *table, uint64_t len, VmmQcow2Run run)
{
    uint64_t words = run.count << (image->cluster_bits - 3);
    g_autofree uint64_t *bytes = g_try_malloc0_n (words, sizeof *bytes);

    if (run.count == 0)
        return 0; /* of a disk without bytes */
    if (bytes == NULL)
        return ENOMEM;
    for (uint64_t i = 0; i < len; i++)
        bytes[i] = GUINT64_TO_BE (table[i]);
    return vmm_qcow2_pwrite (image, bytes, words * sizeof *bytes, run.first << image->cluster_bits);
}

static int
write_all (VmmQcow2 *image)
{
    int err = 0;

    for (guint i = 0; i < image->l2s.dirty->len && err == 0; i++) {
        const VmmQcow2Table *table = image->l2s.dirty->pdata[i];

        err = vmm_qcow2_pwrite (image, table->data, image->cluster_size,
                                image->l1[table->index] & QCOW2_OFFSET_MASK);
    }
    for (guint i = 0; i < image->blocks.dirty->len && err == 0; i++) {
        const VmmQcow2Table *table = image->blocks.dirty->pdata[i];

        err = vmm_qcow2_pwrite (image, table->data, image->cluster_size, image->rt[table->index]);
    }
    if (err == 0)
        err = write_table (image, image->l1, image->header.l1_size, image->l1_place);
    return err == 0 ? write_table (image, image->rt, image->rt_len, image->rt_place) : err;
}

static int
write_header (VmmQcow2 *image)
{
    VmmQcow2Header header = image->header;
    uint8_t bytes[QCOW2_HEADER_SIZE_MAX];
    int err;

    header.l1_table_offset = image->l1_place.first << image->cluster_bits;
    header.refcount_table_offset = image->rt_place.first << image->cluster_bits;
    header.refcount_table_clusters = (uint32_t)image->rt_place.count;
    memcpy (bytes, image->head, sizeof bytes);
    vmm_qcow2_header_update (&header, bytes);
    err =
        vmm_qcow2_pwrite (image, bytes, header.version == 2 ? QCOW2_HEADER_V2_SIZE : QCOW2_HEADER_V3_SIZE, 0);
    if (err != 0)
        return err;
    vmm_qcow2_remove_metadata (image, committed_l1 (image));
    vmm_qcow2_remove_metadata (image, committed_rt (image));
    vmm_qcow2_add_metadata (image, image->l1_place);
    vmm_qcow2_add_metadata (image, image->rt_place);
    memcpy (image->head, bytes, sizeof bytes);
    image->header = header;
    image->l1_place.count = image->rt_place.count = 0;
    image->l1_retired = image->rt_retired = false;
    return 0;
}

static void
settle (VmmQcow2Cache *cache)
{
    for (guint i = 0; i < cache->dirty->len; i++) {
        VmmQcow2Table *table = cache->dirty->pdata[i];

        table->dirty = table->moved = false;
        g_clear_pointer (&table->held, g_free);
    }
    g_ptr_array_set_size (cache->dirty, 0);
}

/* What was freed is free. */
static void
recycle (VmmQcow2 *image)
{
    for (guint i = 0; i < image->retired->len; i++) {
        VmmQcow2Run *run = &g_array_index (image->retired, VmmQcow2Run, i);

        vmm_qcow2_remove_metadata (image, *run);
        if (image->recycled->len < RECYCLED_MAX)
            g_array_append_val (image->recycled, *run);
        else
            image->freed_min = MIN (image->freed_min, run->first);
    }
    g_array_set_size (image->retired, 0);
    image->free_hint = MIN (image->free_hint, image->freed_min);
    image->freed_min = UINT64_MAX;
}

static void
trim_file (VmmQcow2 *image)
{
    for (guint i = 0; i < image->trimmed->len; i++) {
        VmmQcow2Run *run = &g_array_index (image->trimmed, VmmQcow2Run, i);

        /* Only a favour: where the file system cannot do it, the room is used again for other clusters. */
        (void)fallocate (image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         (off_t)(run->first << image->cluster_bits),
                         (off_t)(run->count << image->cluster_bits));
    }
    g_array_set_size (image->trimmed, 0);
}

/**
 * vmm_qcow2_is_full:
 * @image: an image
 *
 * Returns: true when so much has changed that a commit is due
 */
bool
vmm_qcow2_is_full (const VmmQcow2 *image)
{
    guint tables = image->l2s.dirty->len + image->blocks.dirty->len;

    return tables > MAX (DIRTY_BYTES_MAX >> image->cluster_bits, DIRTY_TABLES_MIN);
}

/**
 * vmm_qcow2_commit:
 * @image: an image
 *
 * Makes all that was changed last, guest data too. When it fails, the file is as it was after the last
 * commit, and the next commit tries again.
 *
 * Returns: 0 or an errno
 */
int
vmm_qcow2_commit (VmmQcow2 *image)
{
    int err;

    if (image->read_only || !image->uncommitted)
        return 0;
    if (image->corrupt)
        return EIO;
    err = place_all (image);
    if (err == 0)
        err = write_all (image);
    if (err == 0)
        err = vmm_qcow2_sync (image);
    if (err == 0)
        err = write_header (image);
    if (err != 0)
        return err;
    /* The header leads to the new tables, whether that lasts or not: there is no way back. */
    err = vmm_qcow2_sync (image);
    g_mutex_lock (&image->lock);
    settle (&image->l2s);
    image->uncommitted = false;
    g_mutex_unlock (&image->lock);
    settle (&image->blocks);
    recycle (image);
    if (err == 0)
        trim_file (image);
    return err;
}
