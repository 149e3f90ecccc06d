/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_BLOCK_LOCK_H
#define VMM_DEVICES_BLOCK_LOCK_H

#include <glib.h>
#include <stdbool.h>

bool vmm_block_lock (int fd, const char *path, bool writes, GError **error);

#endif
