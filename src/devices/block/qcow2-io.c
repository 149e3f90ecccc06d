/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing a disk in a qcow2 file, with whatever changes of tables that takes. */
#include "devices/block/qcow2-image.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/**
 * vmm_qcow2_slice:
 * @iov: buffers
 * @n_iov: how many
 * @skip: bytes of them to leave out
 * @len: bytes wanted, which they have
 * @ret_slice: where they are
 * @max: entries of @ret_slice
 * @ret_len: how many of the bytes @ret_slice has room for
 *
 * Returns: the used entries of @ret_slice
 */
unsigned
vmm_qcow2_slice (const struct iovec *iov, unsigned n_iov, uint64_t skip, uint64_t len,
                 struct iovec *ret_slice, unsigned max, uint64_t *ret_len)
{
    unsigned n = 0;

    *ret_len = 0;
    for (unsigned i = 0; i < n_iov && n < max && len > 0; i++) {
        uint64_t here = iov[i].iov_len;

        if (skip >= here) {
            skip -= here;
            continue;
        }
        here = MIN (here - skip, len);
        ret_slice[n++] = (struct iovec){(uint8_t *)iov[i].iov_base + skip, here};
        skip = 0;
        len -= here;
        *ret_len += here;
    }
    return n;
}

static void
advance (struct iovec *iov, unsigned n_iov, size_t done)
{
    for (unsigned i = 0; i < n_iov && done > 0; i++) {
        size_t here = MIN (iov[i].iov_len, done);

        iov[i].iov_base = (uint8_t *)iov[i].iov_base + here;
        iov[i].iov_len -= here;
        done -= here;
    }
}

static void
fill (const struct iovec *iov, unsigned n_iov, const uint8_t *from, uint64_t len)
{
    for (unsigned i = 0; i < n_iov && len > 0; i++) {
        size_t here = MIN (iov[i].iov_len, len);

        if (from != NULL)
            memcpy (iov[i].iov_base, from, here);
        else
            memset (iov[i].iov_base, 0, here);
        from = from != NULL ? from + here : NULL;
        len -= here;
    }
}

/* What is behind the end of the file is zeroes. */
static int
read_file (int fd, struct iovec *iov, unsigned n_iov, uint64_t len, uint64_t offset)
{
    while (len > 0) {
        ssize_t n = preadv (fd, iov, (int)n_iov, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0) {
            fill (iov, n_iov, NULL, len);
            return 0;
        }
        advance (iov, n_iov, (size_t)n);
        len -= (uint64_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int
write_file (VmmQcow2 *image, struct iovec *iov, unsigned n_iov, uint64_t len, uint64_t offset)
{
    while (len > 0) {
        ssize_t n = pwritev (image->fd, iov, (int)n_iov, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        advance (iov, n_iov, (size_t)n);
        len -= (uint64_t)n;
        offset += (uint64_t)n;
        vmm_qcow2_extend_file (image, offset);
    }
    return 0;
}

static int
read_extent (const VmmQcow2Extent *extent, uint64_t offset, struct iovec *iov, unsigned n_iov, uint64_t len)
{
    VmmQcow2 *image = extent->image;
    int err = 0;

    switch (extent->kind) {
    case VMM_QCOW2_DATA:
        return read_file (extent->fd, iov, n_iov, len, extent->host);
    case VMM_QCOW2_COMPRESSED_DATA:
        err = vmm_qcow2_unpack (image, extent->host);
        if (err == 0)
            fill (iov, n_iov, image->unpacked + (offset & (image->cluster_size - 1)), len);
        return err;
    case VMM_QCOW2_BAD:
        return vmm_qcow2_damaged (image);
    default:
        fill (iov, n_iov, NULL, len);
        return 0;
    }
}

/**
 * vmm_qcow2_read:
 * @image: an image
 * @offset: of the disk
 * @len: bytes, up to the disk's end at most
 * @iov: where to
 * @n_iov: how many
 * @skip: bytes of @iov that are left out
 *
 * Returns: 0 or an errno
 */
int
vmm_qcow2_read (VmmQcow2 *image, uint64_t offset, uint64_t len, const struct iovec *iov, unsigned n_iov,
                uint64_t skip)
{
    int err = 0;

    while (len > 0 && err == 0) {
        struct iovec slice[QCOW2_IOV_MAX];
        VmmQcow2Extent extent;
        VmmQcow2Table *table;
        uint64_t here;
        unsigned n;

        vmm_qcow2_map (image, offset, len, true, &extent);
        if (extent.kind == VMM_QCOW2_MISS) {
            VmmQcow2 *missing = extent.image;

            err = vmm_qcow2_load_l2 (missing, offset >> (missing->cluster_bits + missing->l2_bits), false,
                                     &table);
            continue;
        }
        n = vmm_qcow2_slice (iov, n_iov, skip, extent.len, slice, QCOW2_IOV_MAX, &here);
        if (here == 0)
            return EINVAL;
        err = read_extent (&extent, offset, slice, n, here);
        offset += here;
        skip += here;
        len -= here;
    }
    return err;
}

/* The bytes of clusters that a write covers in part, before and behind it. */
typedef struct {
    uint8_t *head;
    uint8_t *tail;
    uint64_t head_len;
    uint64_t tail_len;
} Edges;

/* @fresh: the file has nothing there yet, so zeroes need not be written. */
static int
read_edge (VmmQcow2 *image, uint64_t offset, uint64_t *len, bool fresh, uint8_t **ret_bytes)
{
    g_autofree uint8_t *bytes = NULL;
    struct iovec iov;
    uint64_t inside;
    int err;

    if (*len == 0)
        return 0;
    if (fresh) {
        VmmQcow2Extent extent;

        vmm_qcow2_map (image, offset, *len, true, &extent);
        if ((extent.kind == VMM_QCOW2_ZEROES || extent.kind == VMM_QCOW2_UNMAPPED) && extent.len == *len) {
            *len = 0;
            return 0;
        }
    }
    bytes = g_try_malloc0 (*len);
    if (bytes == NULL)
        return ENOMEM;
    inside = offset < image->header.size ? MIN (*len, image->header.size - offset) : 0;
    iov = (struct iovec){bytes, inside};
    err = vmm_qcow2_read (image, offset, inside, &iov, 1, 0);
    if (err == 0)
        *ret_bytes = g_steal_pointer (&bytes);
    return err;
}

/* Writes @len bytes of the disk at @offset, the old contents around them, to new clusters at @host. */
static int
fill_clusters (VmmQcow2 *image, uint64_t offset, uint64_t len, uint64_t host, const struct iovec *iov,
               unsigned n_iov, uint64_t skip)
{
    uint64_t mask = image->cluster_size - 1, before = offset & mask, behind = -(offset + len) & mask;
    Edges edges = {.head_len = before, .tail_len = behind};
    bool fresh = host >= vmm_qcow2_file_size (image);
    g_autofree uint8_t *head = NULL, *tail = NULL;
    int err = read_edge (image, offset - before, &edges.head_len, fresh, &head);

    if (err == 0)
        err = read_edge (image, offset + len, &edges.tail_len, fresh, &tail);
    host += before - edges.head_len;
    while (err == 0 && edges.head_len + len + edges.tail_len > 0) {
        struct iovec slice[QCOW2_IOV_MAX + 2];
        uint64_t here, total;
        unsigned n = edges.head_len > 0;

        slice[0] = (struct iovec){head, edges.head_len};
        n += vmm_qcow2_slice (iov, n_iov, skip, len, slice + n, QCOW2_IOV_MAX, &here);
        total = edges.head_len + here;
        edges.head_len = 0;
        skip += here;
        len -= here;
        if (len == 0 && edges.tail_len > 0) {
            slice[n++] = (struct iovec){tail, edges.tail_len};
            total += edges.tail_len;
            edges.tail_len = 0;
        }
        if (total == 0)
            return EINVAL;
        err = write_file (image, slice, n, total, host);
        host += total;
    }
    return err;
}

static bool
is_owned_data (const VmmQcow2 *image, uint64_t entry)
{
    return (entry & QCOW2_COMPRESSED) == 0 && (entry & QCOW2_COPIED) != 0 &&
           (entry & QCOW2_OFFSET_MASK) != 0 && ((entry & QCOW2_ZERO) == 0 || image->header.version < 3);
}

/* The first clusters of [@offset, @offset + @len), up to one that can be overwritten, get new places. */
static int
write_new (VmmQcow2 *image, uint64_t offset, uint64_t *len, const struct iovec *iov, unsigned n_iov,
           uint64_t skip)
{
    uint64_t cluster = offset >> image->cluster_bits, mask = (UINT64_C (1) << image->l2_bits) - 1;
    uint64_t i = cluster & mask, within = offset & (image->cluster_size - 1), n = 1;
    uint64_t most = MIN (mask + 1 - i, ((within + *len - 1) >> image->cluster_bits) + 1);
    VmmQcow2Table *table;
    VmmQcow2Run run;
    int err = vmm_qcow2_load_l2 (image, cluster >> image->l2_bits, true, &table);

    if (err != 0)
        return err;
    if (is_owned_data (image, vmm_qcow2_get_entry (table, i)))
        return vmm_qcow2_damaged (image); /* it leads to a table */
    while (n < most && !is_owned_data (image, vmm_qcow2_get_entry (table, i + n)))
        n++;
    err = vmm_qcow2_alloc (image, n, false, &run);
    if (err != 0)
        return err;
    *len = MIN (*len, (run.count << image->cluster_bits) - within);
    err = fill_clusters (image, offset, *len, run.first << image->cluster_bits, iov, n_iov, skip);
    if (err != 0) {
        (void)vmm_qcow2_release (image, run, false);
        return err;
    }
    for (uint64_t k = 0; k < run.count && err == 0; k++) {
        uint64_t old = vmm_qcow2_get_entry (table, i + k);

        vmm_qcow2_set_entry (image, table, i + k, (run.first + k) << image->cluster_bits | QCOW2_COPIED);
        err = vmm_qcow2_release_entry (image, old);
    }
    return err;
}

static int
check_write (VmmQcow2 *image)
{
    if (image->read_only)
        return EROFS;
    if (image->corrupt)
        return EIO;
    return vmm_qcow2_is_full (image) ? vmm_qcow2_commit (image) : 0;
}

/**
 * vmm_qcow2_write:
 * @image: an image
 * @offset: of the disk
 * @len: bytes, up to the disk's end at most
 * @iov: what
 * @n_iov: how many
 * @skip: bytes of @iov that are left out
 *
 * Returns: 0 or an errno
 */
int
vmm_qcow2_write (VmmQcow2 *image, uint64_t offset, uint64_t len, const struct iovec *iov, unsigned n_iov,
                 uint64_t skip)
{
    int err = 0;

    while (len > 0 && err == 0) {
        struct iovec slice[QCOW2_IOV_MAX];
        VmmQcow2Extent extent;
        VmmQcow2Table *table;
        uint64_t here = len;
        unsigned n;

        err = check_write (image);
        if (err == 0)
            err = vmm_qcow2_load_l2 (image, offset >> (image->cluster_bits + image->l2_bits), true, &table);
        if (err != 0)
            return err;
        vmm_qcow2_map (image, offset, len, false, &extent);
        if (extent.kind == VMM_QCOW2_BAD)
            return vmm_qcow2_damaged (image);
        if (extent.kind == VMM_QCOW2_DATA && extent.owned) {
            n = vmm_qcow2_slice (iov, n_iov, skip, extent.len, slice, QCOW2_IOV_MAX, &here);
            err = here > 0 ? write_file (image, slice, n, here, extent.host) : EINVAL;
        } else {
            err = write_new (image, offset, &here, iov, n_iov, skip);
        }
        offset += here;
        skip += here;
        len -= here;
    }
    return err;
}

static int
write_zero_bytes (VmmQcow2 *image, uint64_t offset, uint64_t len)
{
    g_autofree uint8_t *zeroes = g_try_malloc0 (MIN (len, image->cluster_size));
    int err = zeroes != NULL ? 0 : ENOMEM;

    while (len > 0 && err == 0) {
        struct iovec iov = {zeroes, MIN (len, image->cluster_size)};

        err = vmm_qcow2_write (image, offset, iov.iov_len, &iov, 1, 0);
        offset += iov.iov_len;
        len -= iov.iov_len;
    }
    return err;
}

/* Whole clusters get the entry @entry. */
static int
clear_clusters (VmmQcow2 *image, uint64_t offset, uint64_t len, uint64_t entry)
{
    uint64_t first = offset >> image->cluster_bits, mask = (UINT64_C (1) << image->l2_bits) - 1;
    VmmQcow2Table *table;
    int err = vmm_qcow2_load_l2 (image, first >> image->l2_bits, true, &table);

    for (uint64_t k = 0; k < len >> image->cluster_bits && err == 0; k++) {
        uint64_t old = vmm_qcow2_get_entry (table, (first & mask) + k);

        vmm_qcow2_set_entry (image, table, (first & mask) + k, entry);
        err = vmm_qcow2_release_entry (image, old);
    }
    return err;
}

/* The last cluster of a disk counts as whole when it is covered to the disk's end. */
static uint64_t
round_end (const VmmQcow2 *image, uint64_t end)
{
    uint64_t mask = image->cluster_size - 1;

    return end == image->header.size ? (end + mask) & ~mask : end;
}

/* One extent of one kind: whole clusters as far as possible, its edges by @edges. */
static int
clear_extent (VmmQcow2 *image, uint64_t offset, uint64_t len, uint64_t entry, bool edges)
{
    uint64_t mask = image->cluster_size - 1, start = (offset + mask) & ~mask;
    uint64_t end = round_end (image, offset + len) & ~mask;
    int err = 0;

    if (start >= end)
        return edges ? write_zero_bytes (image, offset, len) : 0;
    if (edges && start > offset)
        err = write_zero_bytes (image, offset, start - offset);
    if (err == 0)
        err = clear_clusters (image, start, end - start, entry);
    if (edges && err == 0 && end < offset + len)
        err = write_zero_bytes (image, end, offset + len - end);
    return err;
}

static int
clear (VmmQcow2 *image, uint64_t offset, uint64_t len, bool edges)
{
    bool can_zero = image->header.version >= 3;
    int err = 0;

    while (len > 0 && err == 0) {
        VmmQcow2Extent extent;
        VmmQcow2Table *table;

        err = check_write (image);
        if (err != 0)
            return err;
        vmm_qcow2_map (image, offset, len, false, &extent);
        if (extent.kind == VMM_QCOW2_MISS) {
            err = vmm_qcow2_load_l2 (image, offset >> (image->cluster_bits + image->l2_bits), false, &table);
            continue;
        }
        /* A piece at a time, for the sake of check_write(). */
        extent.len = MIN (extent.len, (UINT64_C (1) << (image->cluster_bits + image->l2_bits)));
        if (extent.kind == VMM_QCOW2_BAD)
            err = vmm_qcow2_damaged (image);
        else if (extent.kind == VMM_QCOW2_UNMAPPED || extent.kind == VMM_QCOW2_ZEROES)
            err = 0;
        else if (image->backing == NULL || can_zero)
            err = clear_extent (image, offset, extent.len, image->backing != NULL ? QCOW2_ZERO : 0, edges);
        else if (edges)
            err = write_zero_bytes (image, offset, extent.len);
        offset += extent.len;
        len -= extent.len;
    }
    return err;
}

/**
 * vmm_qcow2_write_zeroes:
 * @image: an image
 * @offset: of the disk
 * @len: bytes, up to the disk's end at most
 *
 * Whole clusters are given back, or turned into clusters of zeroes where a backing file would come to light.
 *
 * Returns: 0 or an errno
 */
int
vmm_qcow2_write_zeroes (VmmQcow2 *image, uint64_t offset, uint64_t len)
{
    return clear (image, offset, len, true);
}

/**
 * vmm_qcow2_discard:
 * @image: an image
 * @offset: of the disk
 * @len: bytes, up to the disk's end at most
 *
 * Gives whole clusters back, which then read as zeroes. Parts of clusters stay as they are, and so do all of
 * a version 2 file with a backing file.
 *
 * Returns: 0 or an errno
 */
int
vmm_qcow2_discard (VmmQcow2 *image, uint64_t offset, uint64_t len)
{
    return clear (image, offset, len, false);
}
