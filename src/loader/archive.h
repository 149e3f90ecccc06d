/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_ARCHIVE_H
#define VMM_LOADER_ARCHIVE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "loader/cpio.h"

/**
 * VmmArchiveLimits:
 * @bytes_max: of all its files together, unpacked
 * @entries_max: how many
 * @for_initrd: the user can give a guest more memory, or a disk, and is told so
 *
 * What an archive may have, before it is refused.
 */
typedef struct {
    uint64_t bytes_max;
    uint32_t entries_max;
    bool for_initrd;
} VmmArchiveLimits;

/**
 * VmmArchiveEntry:
 * @path: clean, so it stays below where it is put; "" is the root
 * @link: (nullable): of a hard link: the clean path of the file that this is another name of
 * @target: (nullable): of a symbolic link
 * @mode: type and permissions
 * @attr: permissions, owner, time
 * @size: bytes of content
 * @major: of a device
 * @minor: of a device
 *
 * What is next in an archive; valid until the next one is asked for.
 */
typedef struct {
    const char *path;
    const char *link;
    const char *target;
    uint32_t mode;
    VmmCpioAttr attr;
    uint64_t size;
    uint32_t major;
    uint32_t minor;
} VmmArchiveEntry;

typedef struct _VmmArchive VmmArchive;

VmmArchive *vmm_archive_open (int fd, const char *name, const VmmArchiveLimits *limits, GError **error);
void vmm_archive_free (VmmArchive *archive);
bool vmm_archive_next (VmmArchive *archive, VmmArchiveEntry *ret_entry, bool *ret_end, GError **error);
bool vmm_archive_read (VmmArchive *archive, VmmSpan *ret_bytes, uint64_t *ret_offset, GError **error);
bool vmm_archive_unpack (VmmArchive *archive, VmmCpio *cpio, const char *under, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmArchive, vmm_archive_free)

#endif
