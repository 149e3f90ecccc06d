/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What refers to each cluster of a qcow2 file, counted from all tables, against what its refcounts say. A
 * repair takes the counts from the tables: it is for images whose writer kept refcounts in memory ("lazy
 * refcounts") and was killed.
 */
#include <errno.h>
#include <string.h>

#include "devices/block/qcow2-image.h"

#define COUNTED_MAX (UINT64_C (1) << 26) /* clusters; 4 bytes of memory each */
#define VISITS_MAX (UINT64_C (1) << 30)
#define SNAPSHOT_HEAD 40u
#define AUTOCLEAR_BITMAPS 1u

typedef struct {
    VmmQcow2 *image;
    VmmQcow2CheckResult result;
    uint32_t *refs;
    uint64_t n;
    uint64_t visits;
} Check;

static bool
count (Check *check, uint64_t offset, uint64_t len)
{
    unsigned bits = check->image->cluster_bits;

    if (len == 0)
        return true;
    if (offset >> bits >= check->n || (offset + len - 1) >> bits >= check->n) {
        check->result.damage++;
        return false;
    }
    for (uint64_t cluster = offset >> bits; cluster <= (offset + len - 1) >> bits; cluster++) {
        check->refs[cluster]++;
        check->visits++;
    }
    return true;
}

/* Whether nothing was counted there but what was just counted: an L1 table is nobody else's. */
static bool
is_new (const Check *check, uint64_t offset, uint64_t len)
{
    unsigned bits = check->image->cluster_bits;

    for (uint64_t cluster = offset >> bits; len > 0 && cluster <= (offset + len - 1) >> bits; cluster++) {
        if (check->refs[cluster] > 1)
            return false;
    }
    return true;
}

static void
count_entry (Check *check, uint64_t entry)
{
    uint64_t offset = entry & QCOW2_OFFSET_MASK, len = check->image->cluster_size;

    if ((entry & QCOW2_COMPRESSED) != 0)
        vmm_qcow2_compressed_span (check->image, entry, &offset, &len);
    else if (offset == 0)
        return;
    else if (offset % check->image->cluster_size != 0)
        offset = UINT64_MAX >> 8;
    if (count (check, offset, len))
        check->result.allocated++;
}

static int
count_l2 (Check *check, uint64_t offset, uint64_t *table)
{
    VmmQcow2 *image = check->image;
    int err;

    if (offset % image->cluster_size != 0 || !count (check, offset, image->cluster_size)) {
        check->result.damage += offset % image->cluster_size != 0;
        return 0;
    }
    /* Each snapshot refers to a table once at most. */
    if (check->refs[offset >> image->cluster_bits] > 1 + image->header.nb_snapshots) {
        check->result.damage++;
        return 0;
    }
    err = vmm_qcow2_pread (image, table, image->cluster_size, offset);
    for (uint64_t i = 0; i < image->cluster_size / 8 && err == 0; i++)
        count_entry (check, GUINT64_FROM_BE (table[i]));
    check->visits += image->cluster_size / 8;
    return err;
}

static int
count_l1 (Check *check, uint64_t offset, uint64_t entries)
{
    VmmQcow2 *image = check->image;
    g_autofree uint64_t *table = g_try_malloc (image->cluster_size), *l1 = NULL;
    int err = table != NULL ? 0 : ENOMEM;

    if (entries > QCOW2_L1_MAX / 8 || !count (check, offset, entries * 8) ||
        !is_new (check, offset, entries * 8)) {
        check->result.damage++;
        return 0;
    }
    l1 = g_try_malloc_n (entries + 1, sizeof *l1);
    if (l1 == NULL)
        return ENOMEM;
    if (err == 0)
        err = vmm_qcow2_pread (image, l1, entries * 8, offset);
    for (uint64_t i = 0; i < entries && err == 0 && check->visits < VISITS_MAX; i++) {
        uint64_t l2 = GUINT64_FROM_BE (l1[i]) & QCOW2_OFFSET_MASK;

        if (l2 != 0)
            err = count_l2 (check, l2, table);
    }
    check->visits += entries;
    return err;
}

static int
count_snapshots (Check *check)
{
    VmmQcow2 *image = check->image;
    uint64_t start = image->header.snapshots_offset, at = start;
    int err = 0;

    for (uint32_t i = 0; i < image->header.nb_snapshots && err == 0 && check->visits < VISITS_MAX; i++) {
        uint8_t head[SNAPSHOT_HEAD];
        uint64_t len;

        if (at >= image->file_size) {
            check->result.damage++;
            return 0;
        }
        err = vmm_qcow2_pread (image, head, sizeof head, at);
        if (err != 0)
            return err;
        len = SNAPSHOT_HEAD + (uint64_t)GUINT32_FROM_BE (vmm_get_u32 (head + 36)) +
              GUINT16_FROM_BE (vmm_get_u16 (head + 12)) + GUINT16_FROM_BE (vmm_get_u16 (head + 14));
        at += (len + 7) & ~UINT64_C (7);
        err =
            count_l1 (check, GUINT64_FROM_BE (vmm_get_u64 (head)), GUINT32_FROM_BE (vmm_get_u32 (head + 8)));
    }
    if (image->header.nb_snapshots > 0)
        count (check, start, at - start);
    return err;
}

static int
count_all (Check *check)
{
    VmmQcow2 *image = check->image;
    const VmmQcow2Header *h = &image->header;
    int err;

    count (check, 0, image->cluster_size);
    err = count_l1 (check, h->l1_table_offset, h->l1_size);
    if (err == 0)
        err = count_snapshots (check);
    count (check, h->refcount_table_offset, (uint64_t)h->refcount_table_clusters << image->cluster_bits);
    for (uint64_t i = 0; i < image->rt_len; i++) {
        if (image->rt[i] % image->cluster_size != 0)
            check->result.damage++;
        else if (image->rt[i] != 0)
            count (check, image->rt[i], image->cluster_size);
    }
    return err;
}

/* Without @repair: counts what differs; with it: changes that. */
static int
compare (Check *check, bool repair)
{
    for (uint64_t cluster = 0; cluster < check->n; cluster++) {
        uint64_t refcount, refs = check->refs[cluster];
        int err = vmm_qcow2_get_refcount (check->image, cluster, &refcount);

        if (err != 0)
            return err;
        if (refcount == refs)
            continue;
        if (repair)
            err = vmm_qcow2_set_refcount (check->image, cluster, refs);
        else if (refcount < refs)
            check->result.errors++;
        else
            check->result.leaks++;
        if (err != 0)
            return err;
    }
    return 0;
}

static int
run (Check *check, VmmQcow2 *image)
{
    int err;

    check->image = image;
    check->n = (image->file_size + image->cluster_size - 1) >> image->cluster_bits;
    check->result.incomplete =
        check->n > COUNTED_MAX || (image->header.autoclear_features & AUTOCLEAR_BITMAPS) != 0;
    if (check->result.incomplete)
        return 0;
    check->refs = g_try_malloc0_n (check->n + 1, sizeof *check->refs);
    if (check->refs == NULL)
        return ENOMEM;
    err = count_all (check);
    check->result.incomplete = check->visits >= VISITS_MAX;
    if (err == 0 && !check->result.incomplete)
        err = compare (check, false);
    return err;
}

/**
 * vmm_qcow2_check:
 * @image: an image without changes that wait for a commit
 * @ret_result: what is wrong with it
 *
 * Returns: 0, or an errno when it cannot be read
 */
int
vmm_qcow2_check (VmmQcow2 *image, VmmQcow2CheckResult *ret_result)
{
    Check check = {0};
    int err = run (&check, image);

    g_free (check.refs);
    *ret_result = check.result;
    return err;
}

/**
 * vmm_qcow2_repair:
 * @image: an image that may be written, just opened
 * @ret_result: what was wrong with it
 *
 * Sets its refcounts by its tables, and says in the header that they are right.
 *
 * Returns: 0, or an errno; EUCLEAN when its tables are damaged
 */
int
vmm_qcow2_repair (VmmQcow2 *image, VmmQcow2CheckResult *ret_result)
{
    Check check = {0};
    int err = run (&check, image);

    if (err == 0 && (check.result.damage > 0 || check.result.incomplete))
        err = EUCLEAN;
    /* New places for tables come from behind all that is in use, whatever the old refcounts say. */
    image->free_hint = check.n;
    if (err == 0)
        err = compare (&check, true);
    g_free (check.refs);
    if (err == 0) {
        image->header.incompatible_features &= ~QCOW2_INCOMPATIBLE_DIRTY;
        image->uncommitted = true;
        err = vmm_qcow2_commit (image);
    }
    image->free_hint = 0;
    *ret_result = check.result;
    return err;
}
