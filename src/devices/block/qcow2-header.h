/* SPDX-License-Identifier: Apache-2.0 */
/* The first cluster of a qcow2 file, as values. */
#ifndef VMM_DEVICES_BLOCK_QCOW2_HEADER_H
#define VMM_DEVICES_BLOCK_QCOW2_HEADER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/bytes.h"

#define QCOW2_MAGIC 0x514649fbu /* "QFI\xfb" */
#define QCOW2_CLUSTER_BITS_MIN 9u
#define QCOW2_CLUSTER_BITS_MAX 21u
#define QCOW2_HEADER_V2_SIZE 72u
#define QCOW2_HEADER_V3_SIZE 104u
#define QCOW2_HEADER_SIZE_MAX 112u /* of what is written */
/* What a header may ask for, in bytes: what QEMU's own limits are. */
#define QCOW2_L1_MAX (32u << 20)
#define QCOW2_REFCOUNT_TABLE_MAX (8u << 20)
#define QCOW2_BACKING_NAME_MAX 1023u
#define QCOW2_BACKING_FORMAT_MAX 15u
#define QCOW2_SNAPSHOTS_MAX 65536u
#define QCOW2_HEAD_READ (64u << 10) /* of the file, where everything of the header must be */

#define QCOW2_INCOMPATIBLE_DIRTY (UINT64_C (1) << 0)
#define QCOW2_INCOMPATIBLE_CORRUPT (UINT64_C (1) << 1)
#define QCOW2_INCOMPATIBLE_DATA_FILE (UINT64_C (1) << 2)
#define QCOW2_INCOMPATIBLE_COMPRESSION (UINT64_C (1) << 3)
#define QCOW2_INCOMPATIBLE_EXTENDED_L2 (UINT64_C (1) << 4)
#define QCOW2_COMPATIBLE_LAZY_REFCOUNTS (UINT64_C (1) << 0)

#define QCOW2_COMPRESSION_ZLIB 0u
#define QCOW2_COMPRESSION_ZSTD 1u

/**
 * VmmQcow2Header:
 * @backing_path: (nullable): as stored
 * @backing_format: (nullable): as stored
 *
 * The rest has the names of the format's specification.
 */
typedef struct {
    uint32_t version;
    uint32_t cluster_bits;
    uint64_t size;
    uint32_t l1_size;
    uint64_t l1_table_offset;
    uint64_t refcount_table_offset;
    uint32_t refcount_table_clusters;
    uint32_t nb_snapshots;
    uint64_t snapshots_offset;
    uint64_t incompatible_features;
    uint64_t compatible_features;
    uint64_t autoclear_features;
    uint32_t refcount_order;
    uint32_t header_length;
    uint8_t compression_type;
    char *backing_path;
    char *backing_format;
} VmmQcow2Header;

bool vmm_qcow2_header_parse (const char *path, VmmSpan head, VmmQcow2Header *ret_header, GError **error);
void vmm_qcow2_header_clear (VmmQcow2Header *header);
void vmm_qcow2_header_update (const VmmQcow2Header *header, uint8_t *bytes);
uint64_t vmm_qcow2_l1_entries (uint64_t size, unsigned cluster_bits);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VmmQcow2Header, vmm_qcow2_header_clear)

#endif
