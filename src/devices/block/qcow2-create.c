/* SPDX-License-Identifier: Apache-2.0 */
/* Empty qcow2 files. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "devices/block/qcow2-image.h"
#include "devices/block/qcow2.h"
#include "vmm/error.h"

#define EXTENSION_BACKING_FORMAT 0xe2792acau
#define REFCOUNT_ORDER 4u /* 16 bits, which version 2 takes for granted */

static void
put_be32 (uint8_t *bytes, size_t at, uint32_t value)
{
    vmm_put_u32 (bytes + at, GUINT32_TO_BE (value));
}

/* Header, extensions and name, in the first cluster. False when they are too long for it. */
static bool
put_head (const VmmQcow2Format *format, const VmmQcow2Header *header, uint8_t *head)
{
    size_t at = header->header_length, size = (size_t)1 << format->cluster_bits;
    size_t path_len = format->backing_path != NULL ? strlen (format->backing_path) : 0;
    size_t format_len = path_len > 0 ? strlen (format->backing_format) : 0;

    vmm_qcow2_header_update (header, head);
    if (path_len == 0)
        return true;
    if (path_len > QCOW2_BACKING_NAME_MAX || at + 24 + format_len + path_len > size)
        return false;
    put_be32 (head, at, EXTENSION_BACKING_FORMAT);
    put_be32 (head, at + 4, (uint32_t)format_len);
    memcpy (head + at + 8, format->backing_format, format_len);
    at += 8 + ((format_len + 7) & ~(size_t)7) + 8; /* and the extension that ends them, of zeroes */
    put_be32 (head, 12, (uint32_t)at);
    put_be32 (head, 16, (uint32_t)path_len);
    memcpy (head + at, format->backing_path, path_len);
    return true;
}

static bool
write_at (int fd, const void *data, size_t len, uint64_t offset)
{
    ssize_t n = pwrite (fd, data, len, (off_t)offset);

    if (n >= 0 && (size_t)n != len)
        errno = ENOSPC;
    return n >= 0 && (size_t)n == len;
}

/* Cluster 0: header, 1: refcount table, 2: the only refcount block, from 3 on: the L1 table, of zeroes. A
 * block counts more clusters than that, whatever the size of the disk: what is missing is added by a commit.
 */
static bool
write_empty (int fd, const VmmQcow2Format *format, VmmQcow2Header *header, GError **error)
{
    uint64_t size = UINT64_C (1) << format->cluster_bits;
    uint64_t l1 = ((uint64_t)header->l1_size * 8 + size - 1) >> format->cluster_bits;
    uint64_t counts = size / 2, blocks = (l1 + 2 + counts - 1) / counts;
    g_autofree uint8_t *cluster = g_malloc0 (size);
    bool ok = true;

    /* As many blocks as count themselves and the rest. */
    while (blocks * counts < 2 + blocks + l1)
        blocks++;
    if (blocks > size / 8) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "a disk of %" G_GUINT64_FORMAT " bytes is too large for clusters of %" G_GUINT64_FORMAT
                     " bytes; take larger clusters",
                     format->size, size);
        return false;
    }
    header->refcount_table_offset = size;
    header->refcount_table_clusters = 1;
    header->l1_table_offset = header->l1_size > 0 ? (2 + blocks) * size : 0;
    if (!put_head (format, header, cluster)) {
        g_set_error (
            error, VMM_ERROR, VMM_ERROR_USAGE,
            "the backing file's name is too long for the header; take a shorter one or larger clusters");
        return false;
    }
    /* The header last: before it, this is no image. */
    for (uint64_t b = 0; b < blocks && ok; b++) {
        g_autofree uint16_t *block = g_malloc0 (size);

        for (uint64_t i = 0; i < counts && b * counts + i < 2 + blocks + l1; i++)
            block[i] = GUINT16_TO_BE (1);
        ok = write_at (fd, block, size, (2 + b) * size);
    }
    if (ok) {
        g_autofree uint64_t *table = g_malloc0 (size);

        for (uint64_t b = 0; b < blocks; b++)
            table[b] = GUINT64_TO_BE ((2 + b) * size);
        ok = write_at (fd, table, size, size);
    }
    ok = ok && ftruncate (fd, (off_t)((2 + blocks + l1) * size)) == 0 && write_at (fd, cluster, size, 0);
    if (!ok)
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "%s", g_strerror (errno));
    return ok;
}

/**
 * vmm_qcow2_format:
 * @fd: an empty file
 * @format: what to make
 * @error: %VMM_ERROR_USAGE or %VMM_ERROR_HOST; without the file's name, which the caller knows
 *
 * Any thread.
 *
 * Returns: false when the file is not, or only partly, written
 */
bool
vmm_qcow2_format (int fd, const VmmQcow2Format *format, GError **error)
{
    VmmQcow2Header header = {
        .version = format->version,
        .cluster_bits = format->cluster_bits,
        .refcount_order = REFCOUNT_ORDER,
        .header_length = format->version == 2 ? QCOW2_HEADER_V2_SIZE : QCOW2_HEADER_V3_SIZE,
    };
    uint64_t l1_size;

    if (format->version < 2 || format->version > 3 || format->cluster_bits < QCOW2_CLUSTER_BITS_MIN ||
        format->cluster_bits > QCOW2_CLUSTER_BITS_MAX) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "clusters have 512 bytes to 2 MiB, a power of two");
        return false;
    }
    if (!vmm_align_up (format->size, VMM_BLOCK_SECTOR, &header.size) || header.size > G_MAXINT64) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "the disk would be too large");
        return false;
    }
    l1_size = vmm_qcow2_l1_entries (header.size, header.cluster_bits);
    if (l1_size > QCOW2_L1_MAX / 8) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "a disk of %" G_GUINT64_FORMAT
                     " bytes is too large for clusters of %u bytes; take larger clusters",
                     format->size, 1u << format->cluster_bits);
        return false;
    }
    header.l1_size = (uint32_t)l1_size;
    return write_empty (fd, format, &header, error);
}
