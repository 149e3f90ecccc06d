/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_DECOMPRESS_H
#define VMM_LOADER_DECOMPRESS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/bytes.h"

/**
 * VmmCompression:
 * @VMM_COMPRESSION_NONE: no compression that we know
 * @VMM_COMPRESSION_GZIP: gzip (RFC 1952)
 * @VMM_COMPRESSION_XZ: .xz, filters included
 * @VMM_COMPRESSION_LZMA: the older .lzma
 * @VMM_COMPRESSION_ZSTD: Zstandard (RFC 8878)
 * @VMM_COMPRESSION_LZ4_LEGACY: the LZ4 format that the Linux kernel uses, made by `lz4 -l`
 * @VMM_COMPRESSION_LZ4_FRAME: the LZ4 format that plain `lz4` makes
 * @VMM_COMPRESSION_BZIP2: recognised, never unpacked
 * @VMM_COMPRESSION_LZO: recognised, never unpacked
 *
 * How a run of bytes is compressed.
 */
typedef enum {
    VMM_COMPRESSION_NONE,
    VMM_COMPRESSION_GZIP,
    VMM_COMPRESSION_XZ,
    VMM_COMPRESSION_LZMA,
    VMM_COMPRESSION_ZSTD,
    VMM_COMPRESSION_LZ4_LEGACY,
    VMM_COMPRESSION_LZ4_FRAME,
    VMM_COMPRESSION_BZIP2,
    VMM_COMPRESSION_LZO,
} VmmCompression;

VmmCompression vmm_compression_detect (VmmSpan in);
const char *vmm_compression_name (VmmCompression kind);
bool vmm_compression_supported (VmmCompression kind);

bool vmm_decompress (VmmCompression kind, VmmSpan in, uint8_t *out, size_t cap, size_t *ret_len,
                     GError **error);
bool vmm_decompress_prefix (VmmCompression kind, VmmSpan in, uint8_t *out, size_t cap, size_t *ret_len,
                            GError **error);

#endif
