/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_MAPPED_FILE_H
#define VMM_MAPPED_FILE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

#include "vmm/core/bytes.h"

/**
 * VmmMappedFile:
 * @map: where its bytes are, read-only; NULL when there is none
 * @len: how many
 *
 * A whole file that the user named. Zeroed is a valid one without a file.
 */
typedef struct {
    void *map;
    size_t len;
} VmmMappedFile;

bool vmm_mapped_file_open (const char *what, const char *path, VmmMappedFile *ret_file, GError **error);
void vmm_mapped_file_close (VmmMappedFile *file);
VmmSpan vmm_mapped_file_span (const VmmMappedFile *file);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VmmMappedFile, vmm_mapped_file_close)

#endif
