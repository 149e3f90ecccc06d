/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may use an image at the same time: any number of readers, or one writer. Locks are those of the open
 * file description (fcntl(2), F_OFD_SETLK): they end with the descriptor, however the process ends, and hold
 * between machines of one process too.
 *
 * A writer locks all of the file. Readers lock it as QEMU and its tools do, so that each side knows of the
 * other's writers and both can read at the same time. There a byte stands for a right. Who has a right holds
 * a shared lock of its byte, who grants it to nobody else holds one of a second byte; having taken its locks,
 * each looks for those of others that contradict its own.
 *
 * After a process was killed, the kernel still ends what io_uring had begun for it, and the lock rightly
 * lasts for as long: so who is refused tries again for a moment before it is told to the user.
 */
#include "devices/block/lock.h"

#include <errno.h>
#include <fcntl.h>

#include "vmm/error.h"

#define TRIES 100u
#define PAUSE_US 20000u

/* The bytes of QEMU's rights: to have them, and to deny them to others. */
#define HAS_READ 100
#define HAS_WRITE 101
#define HAS_RESIZE 103
#define DENIES_READ 200
#define DENIES_WRITE 201
#define DENIES_RESIZE 203

/* Errors but for a conflict are of a file system without locks. */
static bool
is_conflict (void)
{
    return errno == EAGAIN || errno == EACCES;
}

static bool
lock_bytes (int fd, short type, off_t start, off_t len)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

    return fcntl (fd, F_OFD_SETLK, &lock) == 0 || !is_conflict ();
}

static bool
is_locked_by_others (int fd, off_t byte)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    return fcntl (fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static bool
lock_for_reading (int fd)
{
    if (lock_bytes (fd, F_RDLCK, HAS_READ, 1) && lock_bytes (fd, F_RDLCK, DENIES_WRITE, 1) &&
        lock_bytes (fd, F_RDLCK, DENIES_RESIZE, 1) && !is_locked_by_others (fd, HAS_WRITE) &&
        !is_locked_by_others (fd, HAS_RESIZE) && !is_locked_by_others (fd, DENIES_READ))
        return true;
    lock_bytes (fd, F_UNLCK, 0, 0);
    return false;
}

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
    for (unsigned tries = 0; tries < TRIES; tries++) {
        if (writes ? lock_bytes (fd, F_WRLCK, 0, 0) : lock_for_reading (fd))
            return true;
        g_usleep (PAUSE_US);
    }
    if (writes)
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "disk \"%s\": another program uses it, or another disk of this machine: end that, or "
                     "say readonly on both "
                     "sides, or ephemeral",
                     path);
    else
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "disk \"%s\": another program writes to it: end that, or use a copy", path);
    return false;
}
