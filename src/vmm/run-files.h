/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_RUN_FILES_H
#define VMM_RUN_FILES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/bytes.h"

typedef struct _VmmRunFiles VmmRunFiles;

VmmRunFiles *vmm_run_files_new (const char *guest_path, const char *host_path, uint64_t bytes_max,
                                GError **error);
void vmm_run_files_free (VmmRunFiles *files);
bool vmm_run_files_feed (VmmRunFiles *files, VmmSpan bytes, GError **error);
bool vmm_run_files_finish (VmmRunFiles *files, GError **error);
uint64_t vmm_run_files_bytes (const VmmRunFiles *files);
unsigned vmm_run_files_skipped (const VmmRunFiles *files);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmRunFiles, vmm_run_files_free)

#endif
