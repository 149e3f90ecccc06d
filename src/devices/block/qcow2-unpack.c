/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed clusters of qcow2 files: at most one cluster comes out of them, whatever they say. */
#include "devices/block/qcow2-image.h"

#include <errno.h>
#include <zlib.h>
#include <zstd.h>

#define DEFLATE_WINDOW_BITS 12

static bool
inflate_cluster (VmmSpan packed, uint8_t *to, uint64_t size)
{
    z_stream stream = {
        .next_in = (Bytef *)packed.data,
        .avail_in = (uInt)packed.len,
        .next_out = to,
        .avail_out = (uInt)size,
    };
    int status;

    /* Raw deflate, without zlib's own header. */
    if (inflateInit2 (&stream, -DEFLATE_WINDOW_BITS) != Z_OK)
        return false;
    status = inflate (&stream, Z_FINISH);
    inflateEnd (&stream);
    /* Z_BUF_ERROR: all of the cluster came out, and what follows is of another one. */
    return (status == Z_STREAM_END || status == Z_BUF_ERROR) && stream.avail_out == 0;
}

static bool
unzstd_cluster (VmmSpan packed, uint8_t *to, uint64_t size)
{
    ZSTD_DStream *stream = ZSTD_createDStream ();
    ZSTD_inBuffer in = {packed.data, packed.len, 0};
    ZSTD_outBuffer out = {to, size, 0};

    while (stream != NULL && out.pos < out.size) {
        size_t before = in.pos + out.pos;

        if (ZSTD_isError (ZSTD_decompressStream (stream, &out, &in)) || in.pos + out.pos == before)
            break;
    }
    ZSTD_freeDStream (stream);
    return out.pos == out.size;
}

/**
 * vmm_qcow2_unpack:
 * @image: an image
 * @entry: the L2 entry of a compressed cluster
 *
 * Leaves the cluster in @image->unpacked.
 *
 * Returns: 0 or an errno
 */
int
vmm_qcow2_unpack (VmmQcow2 *image, uint64_t entry)
{
    g_autofree uint8_t *packed = NULL;
    uint64_t offset, len;
    bool ok;
    int err;

    if (image->unpacked != NULL && image->unpacked_entry == entry)
        return 0;
    if (image->unpacked == NULL)
        image->unpacked = g_try_malloc (image->cluster_size);
    vmm_qcow2_compressed_span (image, entry, &offset, &len);
    if (offset >= image->file_size)
        return vmm_qcow2_damaged (image);
    len = MIN (len, image->file_size - offset);
    packed = g_try_malloc (len);
    if (packed == NULL || image->unpacked == NULL)
        return ENOMEM;
    image->unpacked_entry = 0; /* that of no compressed cluster */
    err = vmm_qcow2_pread (image, packed, len, offset);
    if (err != 0)
        return err;
    ok = image->header.compression_type == QCOW2_COMPRESSION_ZSTD
             ? unzstd_cluster ((VmmSpan){packed, len}, image->unpacked, image->cluster_size)
             : inflate_cluster ((VmmSpan){packed, len}, image->unpacked, image->cluster_size);
    if (!ok)
        return EIO;
    image->unpacked_entry = entry;
    return 0;
}
