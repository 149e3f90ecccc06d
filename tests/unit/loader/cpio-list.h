/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a cpio archive, as text: a line for each entry. */
#ifndef TESTS_LOADER_CPIO_LIST_H
#define TESTS_LOADER_CPIO_LIST_H

#include <glib.h>

#include "vmm/core/bytes.h"

/*
 * "NAME MODE UID:GID MTIME", then "#INODE*NLINK" of what has several names, ">TARGET" of links, "MAJOR,MINOR"
 * of devices, "=CONTENT" of files, with a dot for each NUL. NULL when the archive is damaged or not complete.
 * @step: bytes fed at once.
 */
char *cpio_list (VmmSpan archive, size_t step);
char *cpio_list_fd (int fd);

#endif
