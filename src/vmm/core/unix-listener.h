/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CORE_UNIX_LISTENER_H
#define VMM_CORE_UNIX_LISTENER_H

#include <glib.h>
#include <sys/stat.h>

/**
 * VmmUnixListener:
 * @fd: a listening stream socket that does not block; -1: there is none
 * @path: where programs find it
 *
 * A Unix socket in the file system that only its owner can connect to. All zeroes but @fd is an ended one.
 */
typedef struct {
    int fd;
    char *path;
    dev_t device; /* of the socket's file, */
    ino_t inode;  /* so that nobody else's is removed */
} VmmUnixListener;

/* After this long there may be descriptors again. */
#define VMM_UNIX_LISTENER_RETRY_MS 1000

gboolean vmm_unix_listener_open (VmmUnixListener *listener, const char *what, const char *path,
                                 GError **error);
int vmm_unix_listener_accept (const VmmUnixListener *listener, gboolean *ret_exhausted);
void vmm_unix_listener_close (VmmUnixListener *listener);

#endif
