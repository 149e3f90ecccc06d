/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_CPIO_H
#define VMM_LOADER_CPIO_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/bytes.h"

/* What Linux reads of an initramfs: longer names and targets it skips without a word. */
#define VMM_CPIO_PATH_MAX 4095u
#define VMM_CPIO_FILE_MAX UINT64_C (0xffffffff)
/* Each is remembered, so there is an end to them. */
#define VMM_CPIO_ENTRIES_MAX (1u << 20)

#define VMM_CPIO_HEADER_SIZE 110u
#define VMM_CPIO_MAGIC "070701"
#define VMM_CPIO_TRAILER "TRAILER!!!"

typedef struct _VmmCpio VmmCpio;

/**
 * VmmCpioAttr:
 * @mode: permission bits, 07777
 * @uid: owner
 * @gid: group
 * @mtime: seconds since 1970
 *
 * What an entry has beside its content. NULL in its place means 0755 for folders, 0644 for files, 0777 for
 * symbolic links, 0600 for devices; root's, from 1970.
 */
typedef struct {
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint32_t mtime;
} VmmCpioAttr;

VmmCpio *vmm_cpio_new (uint64_t size_max, GError **error);
void vmm_cpio_free (VmmCpio *cpio);
uint64_t vmm_cpio_size (const VmmCpio *cpio);
bool vmm_cpio_has (const VmmCpio *cpio, const char *path);
bool vmm_cpio_know (VmmCpio *cpio, const char *path, uint32_t mode);
void vmm_cpio_lay_over (VmmCpio *cpio);

bool vmm_cpio_add_folder (VmmCpio *cpio, const char *path, const VmmCpioAttr *attr, GError **error);
bool vmm_cpio_add_file (VmmCpio *cpio, const char *path, const VmmCpioAttr *attr, VmmSpan content,
                        GError **error);
bool vmm_cpio_add_fd (VmmCpio *cpio, const char *path, const VmmCpioAttr *attr, int fd, GError **error);
bool vmm_cpio_add_symlink (VmmCpio *cpio, const char *path, const VmmCpioAttr *attr, const char *target,
                           GError **error);
bool vmm_cpio_add_device (VmmCpio *cpio, const char *path, const VmmCpioAttr *attr, uint32_t type,
                          uint32_t major, uint32_t minor, GError **error);
bool vmm_cpio_add_hard_link (VmmCpio *cpio, const char *path, const VmmCpioAttr *attr, const char *existing,
                             GError **error);

bool vmm_cpio_begin_file (VmmCpio *cpio, const char *path, const VmmCpioAttr *attr, const char *existing,
                          GError **error);
bool vmm_cpio_write (VmmCpio *cpio, uint64_t offset, VmmSpan bytes, GError **error);
bool vmm_cpio_end_file (VmmCpio *cpio, uint64_t size, GError **error);

int vmm_cpio_finish (VmmCpio *cpio, GError **error);

char *vmm_cpio_clean_path (const char *path);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmCpio, vmm_cpio_free)

#endif
