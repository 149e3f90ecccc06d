/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the archive writer share; see cpio.c. */
#ifndef VMM_LOADER_CPIO_INTERNAL_H
#define VMM_LOADER_CPIO_INTERNAL_H

#include "loader/cpio.h"

/**
 * VmmCpioEntryPlace:
 * @at: where its header is
 * @first_at: where the header of the first entry of its inode is
 * @ino: its inode
 * @mode: type and permissions
 *
 * What is remembered of an entry. One of an archive before this one has a mode only.
 */
typedef struct {
    uint64_t at;
    uint64_t first_at;
    uint32_t ino;
    uint32_t mode;
} VmmCpioEntryPlace;

/**
 * VmmCpio:
 * @fd: the memfd; -1 when it was given away
 * @size_max: bytes that it may have
 * @at: end of the last entry, a multiple of four
 * @n_entries: how many
 * @entries: (element-type utf8 VmmCpioEntryPlace): by clean path; the last of each name
 * @over: what is added is laid over what is there
 * @broken: an entry that failed could not be cut off
 * @path: (nullable): clean, of the entry that is begun
 * @attr: its
 * @place: its
 * @major: its
 * @minor: its
 */
struct _VmmCpio {
    int fd;
    uint64_t size_max;
    uint64_t at;
    uint32_t n_entries;
    GHashTable *entries;
    bool over;
    bool broken;
    char *path;
    VmmCpioAttr attr;
    VmmCpioEntryPlace place;
    uint32_t major;
    uint32_t minor;
};

bool vmm_cpio_fail (const char *path, int code, const char *what, GError **error);
uint64_t vmm_cpio_content_at (const VmmCpio *cpio);
bool vmm_cpio_check_room (VmmCpio *cpio, uint64_t size, GError **error);
bool vmm_cpio_abandon (VmmCpio *cpio);
bool vmm_cpio_is_over (const VmmCpio *cpio, const char *path, uint32_t type);

#endif
