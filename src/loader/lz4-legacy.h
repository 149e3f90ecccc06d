/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_LZ4_LEGACY_H
#define VMM_LOADER_LZ4_LEGACY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/bytes.h"

/**
 * VmmLz4Result:
 * @VMM_LZ4_OK: unpacked
 * @VMM_LZ4_TRUNCATED: a block reaches beyond the input
 * @VMM_LZ4_CORRUPT: a block cannot be unpacked
 * @VMM_LZ4_TOO_BIG: it does not fit
 */
typedef enum {
    VMM_LZ4_OK,
    VMM_LZ4_TRUNCATED,
    VMM_LZ4_CORRUPT,
    VMM_LZ4_TOO_BIG,
} VmmLz4Result;

VmmLz4Result vmm_lz4_legacy_unpack (VmmSpan in, uint8_t *out, size_t cap, bool prefix, size_t *ret_len);

#endif
