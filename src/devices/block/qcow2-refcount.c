/* SPDX-License-Identifier: Apache-2.0 */
/* Which clusters of a qcow2 file are in use, and how often: changed in memory, until a commit. */
#include "devices/block/qcow2-image.h"

#include <errno.h>

#define RECYCLED_MAX 256u
#define TRIMMED_MAX 1024u
#define SEARCH_MAX                                                                                           \
    (UINT64_C (1) << 20) /* clusters in use behind the end of the file: nobody leaves so many */

static uint64_t
get_count (const VmmQcow2 *image, const VmmQcow2Table *table, uint64_t i)
{
    const uint8_t *bytes = (const uint8_t *)table->data;
    unsigned order = image->header.refcount_order, bits = 1u << order;

    if (bits < 8)
        return bytes[i * bits / 8] >> (i * bits % 8) & ((1u << bits) - 1);
    switch (order) {
    case 3:
        return bytes[i];
    case 4:
        return GUINT16_FROM_BE (((const uint16_t *)table->data)[i]);
    case 5:
        return GUINT32_FROM_BE (((const uint32_t *)table->data)[i]);
    default:
        return GUINT64_FROM_BE (table->data[i]);
    }
}

static void
put_count (const VmmQcow2 *image, VmmQcow2Table *table, uint64_t i, uint64_t count)
{
    uint8_t *bytes = (uint8_t *)table->data;
    unsigned order = image->header.refcount_order, bits = 1u << order;

    if (bits < 8) {
        unsigned shift = i * bits % 8, mask = ((1u << bits) - 1) << shift;

        bytes[i * bits / 8] = (uint8_t)((bytes[i * bits / 8] & ~mask) | (count << shift & mask));
        return;
    }
    switch (order) {
    case 3:
        bytes[i] = (uint8_t)count;
        break;
    case 4:
        ((uint16_t *)table->data)[i] = GUINT16_TO_BE ((uint16_t)count);
        break;
    case 5:
        ((uint32_t *)table->data)[i] = GUINT32_TO_BE ((uint32_t)count);
        break;
    default:
        table->data[i] = GUINT64_TO_BE (count);
        break;
    }
}

static bool
is_held (const VmmQcow2Table *table, uint64_t i)
{
    return table->held != NULL && (table->held[i / 8] >> i % 8 & 1) != 0;
}

/* The refcount table with room for @index. */
static int
extend_rt (VmmQcow2 *image, uint64_t index)
{
    uint64_t *rt;

    if (index < image->rt_len)
        return 0;
    if (index >= QCOW2_REFCOUNT_TABLE_MAX / 8)
        return ENOSPC;
    rt = g_try_realloc_n (image->rt, index + 1, sizeof *rt);
    if (rt == NULL)
        return ENOMEM;
    for (uint64_t i = image->rt_len; i <= index; i++)
        rt[i] = 0;
    image->rt = rt;
    image->rt_len = index + 1;
    return 0;
}

/* The block with @index; *@ret_table is NULL where there is none and @create is not set. */
static int
load_block (VmmQcow2 *image, uint64_t index, bool create, VmmQcow2Table **ret_table)
{
    VmmQcow2Table *table = vmm_qcow2_cache_find (&image->blocks, index);
    uint64_t offset = index < image->rt_len ? image->rt[index] : 0;
    int err = 0;

    *ret_table = table;
    if (table != NULL || (offset == 0 && !create))
        return 0;
    if (offset % image->cluster_size != 0 || offset >= image->file_size)
        return vmm_qcow2_damaged (image);
    if (offset == 0)
        err = extend_rt (image, index);
    if (err != 0)
        return err;
    vmm_qcow2_cache_trim (&image->blocks);
    table = vmm_qcow2_cache_add (&image->blocks, index, image->cluster_size);
    if (table == NULL)
        return ENOMEM;
    if (offset != 0)
        err = vmm_qcow2_pread (image, table->data, image->cluster_size, offset);
    else
        vmm_qcow2_cache_set_dirty (&image->blocks, table);
    if (err != 0) {
        vmm_qcow2_cache_drop (&image->blocks, table);
        return err;
    }
    *ret_table = table;
    return 0;
}

/**
 * vmm_qcow2_get_refcount:
 * @image: an image
 * @cluster: of the file
 * @ret_count: how often it is referred to
 *
 * Returns: 0 or an errno
 */
int
vmm_qcow2_get_refcount (VmmQcow2 *image, uint64_t cluster, uint64_t *ret_count)
{
    VmmQcow2Table *table;
    int err = load_block (image, cluster >> image->block_bits, false, &table);

    if (err == 0)
        *ret_count =
            table != NULL ? get_count (image, table, cluster & ((UINT64_C (1) << image->block_bits) - 1)) : 0;
    return err;
}

/**
 * vmm_qcow2_set_refcount:
 * @image: an image that may be written
 * @cluster: of the file
 * @count: how often it is referred to from the next commit on
 *
 * A cluster whose count becomes 0 is not given out before the next commit is done.
 *
 * Returns: 0 or an errno
 */
int
vmm_qcow2_set_refcount (VmmQcow2 *image, uint64_t cluster, uint64_t count)
{
    uint64_t i = cluster & ((UINT64_C (1) << image->block_bits) - 1);
    VmmQcow2Table *table;
    int err = load_block (image, cluster >> image->block_bits, true, &table);

    if (err != 0)
        return err;
    if (image->header.refcount_order < 6 && count >> (1u << image->header.refcount_order) != 0)
        return EOVERFLOW;
    if (count == 0 && get_count (image, table, i) != 0) {
        if (table->held == NULL)
            table->held = g_try_malloc0 (((UINT64_C (1) << image->block_bits) + 7) / 8);
        if (table->held == NULL)
            return ENOMEM;
        table->held[i / 8] |= (uint8_t)(1u << i % 8);
    }
    vmm_qcow2_cache_set_dirty (&image->blocks, table);
    put_count (image, table, i, count);
    g_mutex_lock (&image->lock);
    image->uncommitted = true;
    g_mutex_unlock (&image->lock);
    return 0;
}

/* Is @cluster free and not held? */
static int
check_free (VmmQcow2 *image, uint64_t cluster, bool *ret_free)
{
    uint64_t i = cluster & ((UINT64_C (1) << image->block_bits) - 1);
    VmmQcow2Table *table;
    int err = load_block (image, cluster >> image->block_bits, false, &table);

    if (err != 0)
        return err;
    *ret_free = table == NULL || (get_count (image, table, i) == 0 && !is_held (table, i));
    return 0;
}

/* Free clusters are looked for from the hint on. Without @exact the first run is taken, cut at @wanted. */
static int
find_run (VmmQcow2 *image, uint64_t wanted, bool exact, VmmQcow2Run *ret_run)
{
    uint64_t limit = MIN ((uint64_t)(QCOW2_REFCOUNT_TABLE_MAX / 8) << image->block_bits,
                          QCOW2_OFFSET_MASK >> image->cluster_bits);
    uint64_t unlikely = MAX (image->free_hint, image->file_size >> image->cluster_bits) + SEARCH_MAX;
    VmmQcow2Run run = {0};

    for (uint64_t cluster = image->free_hint; cluster < limit; cluster++) {
        bool is_free;
        int err = check_free (image, cluster, &is_free);

        if (err == 0 && !is_free && cluster > unlikely)
            err = vmm_qcow2_damaged (image);
        if (err != 0)
            return err;
        if (is_free && run.count++ == 0)
            run.first = cluster;
        if (run.count == wanted || (!is_free && run.count > 0 && !exact)) {
            *ret_run = run;
            return 0;
        }
        if (!is_free)
            run.count = 0;
    }
    return ENOSPC;
}

/* From what the last commits gave back; tables mostly, which are written anew again and again. */
static bool
find_recycled (VmmQcow2 *image, uint64_t wanted, VmmQcow2Run *ret_run)
{
    for (guint i = 0; i < image->recycled->len; i++) {
        VmmQcow2Run *run = &g_array_index (image->recycled, VmmQcow2Run, i);
        bool is_free = run->count >= wanted;

        for (uint64_t k = 0; is_free && k < wanted; k++) {
            if (check_free (image, run->first + k, &is_free) != 0)
                return false;
        }
        if (!is_free)
            continue;
        *ret_run = (VmmQcow2Run){run->first, wanted};
        run->first += wanted;
        run->count -= wanted;
        if (run->count == 0)
            g_array_remove_index_fast (image->recycled, i);
        return true;
    }
    return false;
}

static int
take (VmmQcow2 *image, VmmQcow2Run run)
{
    int err = 0;

    if (vmm_qcow2_is_metadata (image, run.first << image->cluster_bits, run.count << image->cluster_bits))
        return vmm_qcow2_damaged (image); /* a table with a refcount of 0 */
    for (uint64_t k = 0; k < run.count && err == 0; k++)
        err = vmm_qcow2_set_refcount (image, run.first + k, 1);
    return err;
}

/**
 * vmm_qcow2_alloc:
 * @image: an image that may be written
 * @wanted: clusters
 * @exact: that many, for tables; else up to that many, at least one, for data
 * @ret_run: the clusters, with a refcount of 1
 *
 * Returns: 0 or an errno
 */
int
vmm_qcow2_alloc (VmmQcow2 *image, uint64_t wanted, bool exact, VmmQcow2Run *ret_run)
{
    bool found = exact && find_recycled (image, wanted, ret_run);
    int err = found ? 0 : find_run (image, wanted, exact, ret_run);

    if (err != 0)
        return err;
    if (!found && (!exact || wanted == 1))
        image->free_hint = ret_run->first + ret_run->count;
    return take (image, *ret_run);
}

static void
note_freed (VmmQcow2 *image, VmmQcow2Run run, bool is_metadata)
{
    if (is_metadata && image->retired->len < RECYCLED_MAX) {
        g_array_append_val (image->retired, run);
        return;
    }
    image->freed_min = MIN (image->freed_min, run.first);
    if (image->discard && !is_metadata && image->trimmed->len > 0) {
        VmmQcow2Run *last = &g_array_index (image->trimmed, VmmQcow2Run, image->trimmed->len - 1);

        if (last->first + last->count == run.first) {
            last->count += run.count;
            return;
        }
    }
    if (image->discard && !is_metadata && image->trimmed->len < TRIMMED_MAX)
        g_array_append_val (image->trimmed, run);
}

/**
 * vmm_qcow2_release:
 * @image: an image that may be written
 * @run: clusters that lose one reference
 * @is_metadata: they held tables
 *
 * Returns: 0 or an errno; EIO for one that has no references, which is damage
 */
int
vmm_qcow2_release (VmmQcow2 *image, VmmQcow2Run run, bool is_metadata)
{
    VmmQcow2Run freed = {0};

    for (uint64_t k = 0; k < run.count; k++) {
        uint64_t count;
        int err = vmm_qcow2_get_refcount (image, run.first + k, &count);

        if (err == 0 && count == 0)
            err = vmm_qcow2_damaged (image);
        if (err == 0)
            err = vmm_qcow2_set_refcount (image, run.first + k, count - 1);
        if (err != 0)
            return err;
        if (count == 1 && freed.count++ == 0)
            freed.first = run.first + k;
        if (freed.count > 0 && (count != 1 || k + 1 == run.count)) {
            note_freed (image, freed, is_metadata);
            freed.count = 0;
        }
    }
    return 0;
}
