/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may use an image at the same time: any number of readers, or one writer. The lock is one of the open
 * file description (fcntl(2), F_OFD_SETLK) over the whole file: it ends with the descriptor, however the
 * process ends, and holds between machines of one process too. After a process was killed, the kernel still
 * ends what io_uring had begun for it, and the lock rightly lasts for as long: so who is refused tries again
 * for a moment before it is told to the user.
 */
#include "devices/block/lock.h"

#include <errno.h>
#include <fcntl.h>

#include "vmm/error.h"

#define TRIES 100u
#define PAUSE_US 20000u

/**
 * vmm_block_lock:
 * @fd: of an image, opened for writing if @writes
 * @path: its name in messages
 * @writes: as the only one
 *
 * Returns: false with %VMM_ERROR_USAGE when somebody has it; true, too, where the file system has no locks
 */
bool
vmm_block_lock (int fd, const char *path, bool writes, GError **error)
{
    struct flock lock = {.l_type = (short)(writes ? F_WRLCK : F_RDLCK), .l_whence = SEEK_SET};

    for (unsigned tries = 0; tries < TRIES; tries++) {
        if (fcntl (fd, F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES))
            return true;
        g_usleep (PAUSE_US);
    }
    if (writes)
        g_set_error (
            error, VMM_ERROR, VMM_ERROR_USAGE,
            "disk \"%s\": another machine uses it: end that, or say readonly on both sides, or ephemeral",
            path);
    else
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "disk \"%s\": another machine writes to it: end that, or use a copy", path);
    return false;
}
