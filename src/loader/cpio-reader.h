/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_CPIO_READER_H
#define VMM_LOADER_CPIO_READER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/bytes.h"

/**
 * VmmCpioReadEntry:
 * @name: as it came: any bytes, but for a zero
 * @target: of a symbolic link; NULL for all else
 * @mode: type and permissions
 * @ino: inode
 * @uid: owner
 * @gid: group
 * @nlink: names of the inode
 * @mtime: seconds since 1970
 * @size: of the content; 0 for symbolic links
 * @major: of a device
 * @minor: of a device
 *
 * An entry of an archive; nothing of it is to be believed.
 */
typedef struct {
    const char *name;
    const char *target;
    uint32_t mode;
    uint32_t ino;
    uint32_t uid;
    uint32_t gid;
    uint32_t nlink;
    uint32_t mtime;
    uint32_t size;
    uint32_t major;
    uint32_t minor;
} VmmCpioReadEntry;

/**
 * VmmCpioReaderOps:
 * @begin: an entry; what it points to is gone when it returns
 * @content: the next bytes of its content
 * @end: all of its content was there
 *
 * Who gets what is in an archive. Each may say false, with the error set: the archive is not read on.
 */
typedef struct {
    bool (*begin) (void *data, const VmmCpioReadEntry *entry, GError **error);
    bool (*content) (void *data, VmmSpan bytes, GError **error);
    bool (*end) (void *data, GError **error);
} VmmCpioReaderOps;

typedef struct _VmmCpioReader VmmCpioReader;

VmmCpioReader *vmm_cpio_reader_new (const VmmCpioReaderOps *ops, void *data);
void vmm_cpio_reader_free (VmmCpioReader *reader);
bool vmm_cpio_reader_feed (VmmCpioReader *reader, VmmSpan bytes, GError **error);
bool vmm_cpio_reader_complete (const VmmCpioReader *reader);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmCpioReader, vmm_cpio_reader_free)

#endif
