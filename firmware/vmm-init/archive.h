/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_INIT_ARCHIVE_H
#define VMM_INIT_ARCHIVE_H

#include <limits.h>
#include <stdint.h>

/* Written by one write() into a pipe of records, without what follows the path's NUL. */
typedef struct {
    int32_t reason;  /* errno */
    char path[4092]; /* a record is at most PIPE_BUF; a longer path is cut */
} ArchiveFailure;

/*
 * Writes a newc archive (cpio) of a file or folder, whose names begin with the last component of its path. A
 * symbolic link at the path itself is followed, those below are kept. Devices, sockets and pipes are left
 * out. What could not be read goes to failures_fd; with nothing at the path there is no archive at all.
 */
void archive_write (const char *path, int fd, int failures_fd);

#endif
