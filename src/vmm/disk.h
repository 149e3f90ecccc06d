/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk images: making them, and telling what is in them.
 */
#ifndef VMM_DISK_H
#define VMM_DISK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/export.h"

G_BEGIN_DECLS

/**
 * VmmDiskFormat:
 * @VMM_DISK_RAW: the disk's bytes, one after the other
 * @VMM_DISK_QCOW2: a qcow2 file
 */
typedef enum {
    VMM_DISK_RAW,
    VMM_DISK_QCOW2,
} VmmDiskFormat;

/**
 * VmmDiskLayer:
 * @path: of the file
 * @format: its format
 * @virtual_size: bytes of the disk in it
 * @actual_size: bytes that the file occupies on the host
 * @version: of the qcow2 format; 0 for raw
 * @cluster_size: bytes; 0 for raw
 * @compression: "zlib" or "zstd"; %NULL for raw
 * @n_snapshots: internal snapshots
 * @refcount_bits: bits of each refcount; 0 for raw
 * @lazy_refcounts: its writers may leave refcounts to be repaired
 * @dirty: it was not closed, and its refcounts are to be repaired
 * @corrupt: it is marked as damaged
 *
 * One file of a disk. It belongs to its #VmmDiskInfo. Members may be added at the end.
 */
typedef struct {
    const char *path;
    VmmDiskFormat format;
    uint64_t virtual_size;
    uint64_t actual_size;
    unsigned version;
    uint64_t cluster_size;
    const char *compression;
    unsigned n_snapshots;
    unsigned refcount_bits;
    bool lazy_refcounts;
    bool dirty;
    bool corrupt;
} VmmDiskLayer;

/**
 * VmmDiskCheck:
 * @damage: tables that lead nowhere
 * @errors: clusters that are used more often than they are counted: writing to the disk would lose data
 * @leaks: clusters that are counted and not used: room that is lost, no harm
 * @allocated: clusters of the disk that have data
 *
 * What a check found. Members may be added at the end.
 */
typedef struct {
    uint64_t damage;
    uint64_t errors;
    uint64_t leaks;
    uint64_t allocated;
} VmmDiskCheck;

typedef struct _VmmDiskInfo VmmDiskInfo;

VMM_EXPORT bool vmm_disk_create (const char *path, VmmDiskFormat format, uint64_t size, uint64_t cluster_size,
                                 const char *backing_path, VmmDiskFormat backing_format, bool overwrite,
                                 GError **error);
VMM_EXPORT VmmDiskInfo *vmm_disk_get_info (const char *path, GError **error);
VMM_EXPORT void vmm_disk_info_free (VmmDiskInfo *info);
VMM_EXPORT unsigned vmm_disk_info_get_n_layers (const VmmDiskInfo *info);
VMM_EXPORT const VmmDiskLayer *vmm_disk_info_get_layer (const VmmDiskInfo *info, unsigned index);
VMM_EXPORT bool vmm_disk_check (const char *path, VmmDiskCheck *ret_check, GError **error);
VMM_EXPORT const char *vmm_disk_format_to_string (VmmDiskFormat format);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmDiskInfo, vmm_disk_info_free)

G_END_DECLS

#endif
