/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_INIT_MOUNTS_H
#define VMM_INIT_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

/* /dev, /proc and /sys, as far as there can be any: enough to find devices. */
void mounts_early (void);

/*
 * Makes the file system on device the root, with /dev, /proc and /sys in it. Waits for the device. Returns
 * false after having put into ret_text what failed, with errno set.
 */
bool mounts_root (const char *device, bool readonly, char *ret_text, size_t size);

/* What else programs expect of a system: what is in /dev, /tmp, and /run unless that is to stay as it is. */
void mounts_late (bool keep_run);

/* Everything is on its disk after this. File systems that are in use become read-only. */
void mounts_end (void);

/* Makes the folders above a path, where they are missing and can be made. */
void mounts_make_parents (const char *path);

#endif
