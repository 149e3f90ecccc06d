/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks in qcow2 files, versions 2 and 3: as a backend, and what makes, examines and checks them.
 */
#ifndef VMM_DEVICES_BLOCK_QCOW2_H
#define VMM_DEVICES_BLOCK_QCOW2_H

#include "devices/block/block.h"

/* The first bytes of each qcow2 file. */
bool vmm_qcow2_detect (const void *head, size_t len);

/* Both take the descriptors over when they succeed, and leave them alone when they fail. */
VmmBlock *vmm_qcow2_open (int fd, const VmmBlockConfig *config, GError **error);
VmmBlock *vmm_qcow2_open_ephemeral (int overlay_fd, int base_fd, const VmmBlockConfig *config,
                                    GError **error);

/**
 * VmmQcow2Format:
 * @version: 2 or 3
 * @cluster_bits: 9 to 21; 16 is usual
 * @size: of the disk in bytes
 * @backing_path: (nullable): as it is stored, so relative to the image's folder or absolute
 * @backing_format: "raw" or "qcow2"; with @backing_path
 */
typedef struct {
    unsigned version;
    unsigned cluster_bits;
    uint64_t size;
    const char *backing_path;
    const char *backing_format;
} VmmQcow2Format;

bool vmm_qcow2_format (int fd, const VmmQcow2Format *format, GError **error);

#endif
