/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of a qcow2 file and its extensions: pure, from bytes. What it accepts is within the limits of
 * qcow2-header.h; whether offsets lie inside the file is for those who follow them.
 */
#include "devices/block/qcow2-header.h"

#include <string.h>

#include "devices/block/qcow2.h"
#include "vmm/error.h"

#define EXTENSION_END 0u
#define EXTENSION_BACKING_FORMAT 0xe2792acau
#define EXTENSION_FEATURE_NAMES 0x6803f857u
#define EXTENSION_ENCRYPTION 0x0537be77u
#define FEATURE_NAME_SIZE 48u
#define FEATURE_NAME_MAX 46u
#define KNOWN_INCOMPATIBLE                                                                                   \
    (QCOW2_INCOMPATIBLE_DIRTY | QCOW2_INCOMPATIBLE_CORRUPT | QCOW2_INCOMPATIBLE_COMPRESSION |                \
     QCOW2_INCOMPATIBLE_DATA_FILE | QCOW2_INCOMPATIBLE_EXTENDED_L2)

static uint32_t
be32 (const uint8_t *bytes, size_t at)
{
    return GUINT32_FROM_BE (vmm_get_u32 (bytes + at));
}

static uint64_t
be64 (const uint8_t *bytes, size_t at)
{
    return GUINT64_FROM_BE (vmm_get_u64 (bytes + at));
}

static void
put_be32 (uint8_t *bytes, size_t at, uint32_t value)
{
    vmm_put_u32 (bytes + at, GUINT32_TO_BE (value));
}

static void
put_be64 (uint8_t *bytes, size_t at, uint64_t value)
{
    vmm_put_u64 (bytes + at, GUINT64_TO_BE (value));
}

G_GNUC_PRINTF (3, 4)
static bool
refuse (GError **error, const char *path, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start (args, format);
    text = g_strdup_vprintf (format, args);
    va_end (args);
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "disk \"%s\": %s", path, text);
    return false;
}

/**
 * vmm_qcow2_detect:
 * @head: the first bytes of a file
 * @len: how many
 *
 * Returns: true when they are those of a qcow2 file, or of its predecessor qcow
 */
bool
vmm_qcow2_detect (const void *head, size_t len)
{
    return len >= 4 && be32 (head, 0) == QCOW2_MAGIC;
}

/**
 * vmm_qcow2_l1_entries:
 * @size: of a disk in bytes
 * @cluster_bits: the logarithm of the cluster size
 *
 * Returns: how many L2 tables it takes to map the disk
 */
uint64_t
vmm_qcow2_l1_entries (uint64_t size, unsigned cluster_bits)
{
    unsigned shift = cluster_bits + cluster_bits - 3;

    return (size >> shift) + ((size & ((UINT64_C (1) << shift) - 1)) != 0);
}

static void
read_fields (const uint8_t *b, VmmQcow2Header *h)
{
    h->version = be32 (b, 4);
    h->cluster_bits = be32 (b, 20);
    h->size = be64 (b, 24);
    h->l1_size = be32 (b, 36);
    h->l1_table_offset = be64 (b, 40);
    h->refcount_table_offset = be64 (b, 48);
    h->refcount_table_clusters = be32 (b, 56);
    h->nb_snapshots = be32 (b, 60);
    h->snapshots_offset = be64 (b, 64);
    h->refcount_order = 4;
    h->header_length = QCOW2_HEADER_V2_SIZE;
}

static bool
read_fields_v3 (const char *path, VmmSpan head, VmmQcow2Header *h, GError **error)
{
    const uint8_t *b = head.data;

    if (head.len < QCOW2_HEADER_V3_SIZE)
        return refuse (error, path, "the qcow2 header is cut off; the file is damaged");
    h->incompatible_features = be64 (b, 72);
    h->compatible_features = be64 (b, 80);
    h->autoclear_features = be64 (b, 88);
    h->refcount_order = be32 (b, 96);
    h->header_length = be32 (b, 100);
    if (h->header_length < QCOW2_HEADER_V3_SIZE || h->header_length > head.len || h->header_length % 8 != 0)
        return refuse (error, path, "the qcow2 header says that it is %u bytes long; the file is damaged",
                       h->header_length);
    if (h->header_length > QCOW2_HEADER_V3_SIZE)
        h->compression_type = b[104];
    return true;
}

/* The name that the file itself gives the lowest unknown feature. */
static bool
refuse_feature (const char *path, const uint8_t *names, size_t len, uint64_t unknown, GError **error)
{
    unsigned bit = (unsigned)__builtin_ctzll (unknown);

    for (size_t at = 0; at + FEATURE_NAME_SIZE <= len; at += FEATURE_NAME_SIZE) {
        if (names[at] != 0 || names[at + 1] != bit)
            continue;
        g_autofree char *name = g_strndup ((const char *)names + at + 2, FEATURE_NAME_MAX);
        g_strcanon (name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.()/ ", '?');
        return refuse (error, path, "the qcow2 feature \"%s\" (bit %u) is not supported; convert the image",
                       name, bit);
    }
    return refuse (error, path, "the qcow2 feature with bit %u is not supported; convert the image", bit);
}

static bool
read_extensions (const char *path, VmmSpan head, VmmQcow2Header *h, GError **error)
{
    const uint8_t *names = NULL;
    size_t names_len = 0, at = h->header_length;
    uint64_t unknown;

    while (at + 8 <= head.len) {
        uint32_t type = be32 (head.data, at), len = be32 (head.data, at + 4);
        const uint8_t *data = head.data + at + 8;

        if (type == EXTENSION_END)
            break;
        if (len > head.len - at - 8)
            return refuse (error, path,
                           "a qcow2 header extension is longer than its cluster; "
                           "the file is damaged");
        if (type == EXTENSION_BACKING_FORMAT) {
            if (len > QCOW2_BACKING_FORMAT_MAX)
                return refuse (error, path,
                               "the name of its backing file's format is too long; "
                               "the file is damaged");
            g_free (h->backing_format);
            h->backing_format = g_strndup ((const char *)data, len);
        } else if (type == EXTENSION_FEATURE_NAMES) {
            names = data;
            names_len = len;
        } else if (type == EXTENSION_ENCRYPTION) {
            return refuse (error, path,
                           "encrypted images are not supported; decrypt it with qemu-img convert");
        }
        at += 8 + (((size_t)len + 7) & ~(size_t)7);
    }
    unknown = h->incompatible_features & ~KNOWN_INCOMPATIBLE;
    return unknown == 0 || refuse_feature (path, names, names_len, unknown, error);
}

static bool
read_backing_path (const char *path, VmmSpan head, VmmQcow2Header *h, GError **error)
{
    uint64_t offset = be64 (head.data, 8);
    uint32_t len = be32 (head.data, 16);

    if (offset == 0)
        return true;
    if (len == 0 || len > QCOW2_BACKING_NAME_MAX || offset > head.len || len > head.len - offset ||
        memchr (head.data + offset, 0, len) != NULL)
        return refuse (error, path, "the name of its backing file is not a name; the file is damaged");
    h->backing_path = g_strndup ((const char *)head.data + offset, len);
    return true;
}

static bool
check_features (const char *path, const VmmQcow2Header *h, GError **error)
{
    if ((h->incompatible_features & QCOW2_INCOMPATIBLE_DATA_FILE) != 0)
        return refuse (error, path,
                       "images with an external data file are not supported; use qemu-img convert");
    if ((h->incompatible_features & QCOW2_INCOMPATIBLE_EXTENDED_L2) != 0)
        return refuse (
            error, path,
            "images with extended L2 entries (subclusters) are not supported; use qemu-img convert");
    if (h->compression_type > QCOW2_COMPRESSION_ZSTD)
        return refuse (error, path, "its compression (type %u) is not supported; use qemu-img convert",
                       h->compression_type);
    if ((h->compression_type != 0) != ((h->incompatible_features & QCOW2_INCOMPATIBLE_COMPRESSION) != 0))
        return refuse (error, path, "its compression type contradicts its features; the file is damaged");
    return true;
}

static bool
check_limits (const char *path, const VmmQcow2Header *h, GError **error)
{
    uint64_t mask = (UINT64_C (1) << h->cluster_bits) - 1;

    if (h->size > G_MAXINT64)
        return refuse (error, path,
                       "the disk is said to have %" G_GUINT64_FORMAT " bytes; the file is damaged", h->size);
    if (h->l1_size > QCOW2_L1_MAX / 8)
        return refuse (error, path, "its L1 table is too large (%u entries)", h->l1_size);
    if (h->l1_size < vmm_qcow2_l1_entries (h->size, h->cluster_bits))
        return refuse (error, path, "its L1 table is too small for the disk; the file is damaged");
    if ((h->l1_table_offset & mask) != 0 || (h->l1_size > 0 && h->l1_table_offset == 0))
        return refuse (error, path, "its L1 table is at no cluster's start; the file is damaged");
    if (h->refcount_table_clusters == 0 ||
        h->refcount_table_clusters > (QCOW2_REFCOUNT_TABLE_MAX >> h->cluster_bits))
        return refuse (error, path, "its refcount table has %u clusters; the file is damaged",
                       h->refcount_table_clusters);
    if ((h->refcount_table_offset & mask) != 0 || h->refcount_table_offset == 0)
        return refuse (error, path, "its refcount table is at no cluster's start; the file is damaged");
    if (h->refcount_order > 6)
        return refuse (error, path, "its refcounts are wider than 64 bits; the file is damaged");
    if (h->nb_snapshots > QCOW2_SNAPSHOTS_MAX)
        return refuse (error, path, "it has too many snapshots (%u)", h->nb_snapshots);
    return true;
}

static bool
parse (const char *path, VmmSpan head, VmmQcow2Header *h, GError **error)
{
    if (!vmm_qcow2_detect (head.data, head.len))
        return refuse (error, path, "this is not a qcow2 file; a raw one is opened with format=raw");
    if (head.len < QCOW2_HEADER_V2_SIZE)
        return refuse (error, path, "the qcow2 header is cut off; the file is damaged");
    read_fields (head.data, h);
    if (h->version != 2 && h->version != 3)
        return refuse (error, path, "version %u of the qcow2 format is not supported; use qemu-img convert",
                       h->version);
    if (h->cluster_bits < QCOW2_CLUSTER_BITS_MIN || h->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
        return refuse (error, path, "clusters of 2^%u bytes; the format has 2^9 to 2^21", h->cluster_bits);
    if (be32 (head.data, 32) != 0)
        return refuse (error, path, "encrypted images are not supported; decrypt it with qemu-img convert");
    head.len = MIN (head.len, (size_t)1 << h->cluster_bits);
    return (h->version == 2 || read_fields_v3 (path, head, h, error)) && check_limits (path, h, error) &&
           read_extensions (path, head, h, error) && check_features (path, h, error) &&
           read_backing_path (path, head, h, error);
}

/**
 * vmm_qcow2_header_parse:
 * @path: for messages
 * @head: the file's first bytes, %QCOW2_HEAD_READ or all there are
 * @ret_header: vmm_qcow2_header_clear() when done
 * @error: %VMM_ERROR_USAGE
 *
 * Any thread.
 *
 * Returns: false when it is no header of an image that can be used
 */
bool
vmm_qcow2_header_parse (const char *path, VmmSpan head, VmmQcow2Header *ret_header, GError **error)
{
    g_auto (VmmQcow2Header) header = {0};

    if (!parse (path, head, &header, error))
        return false;
    *ret_header = header;
    header = (VmmQcow2Header){0};
    return true;
}

/**
 * vmm_qcow2_header_clear:
 * @header: a header, or a zeroed one
 */
void
vmm_qcow2_header_clear (VmmQcow2Header *header)
{
    g_free (header->backing_path);
    g_free (header->backing_format);
    *header = (VmmQcow2Header){0};
}

/**
 * vmm_qcow2_header_update:
 * @header: its numbers
 * @bytes: (inout): the first %QCOW2_HEADER_SIZE_MAX bytes of the file; what no field of @header stands for
 *     stays as it is
 */
void
vmm_qcow2_header_update (const VmmQcow2Header *header, uint8_t *bytes)
{
    put_be32 (bytes, 0, QCOW2_MAGIC);
    put_be32 (bytes, 4, header->version);
    put_be32 (bytes, 20, header->cluster_bits);
    put_be64 (bytes, 24, header->size);
    put_be32 (bytes, 36, header->l1_size);
    put_be64 (bytes, 40, header->l1_table_offset);
    put_be64 (bytes, 48, header->refcount_table_offset);
    put_be32 (bytes, 56, header->refcount_table_clusters);
    if (header->version < 3)
        return;
    put_be64 (bytes, 72, header->incompatible_features);
    put_be64 (bytes, 80, header->compatible_features);
    put_be64 (bytes, 88, header->autoclear_features);
    put_be32 (bytes, 96, header->refcount_order);
    put_be32 (bytes, 100, header->header_length);
}
