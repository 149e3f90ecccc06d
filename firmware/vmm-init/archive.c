/* SPDX-License-Identifier: Apache-2.0 */
#include "archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define DEPTH_MAX 200 /* each level holds a descriptor */
#define HEADER_SIZE 110
#define TRAILER "TRAILER!!!"

typedef struct {
    int fd, failures_fd;
    uint32_t inode;      /* numbers of our own: hard links come as files of their own */
    size_t top;          /* where the names of the archive begin in path */
    char path[PATH_MAX]; /* of the file at hand */
    uint8_t buffer[65536];
} Archive;

static void
tell_failure (Archive *archive, int reason)
{
    ArchiveFailure failure = {.reason = reason};
    size_t length = strlen (archive->path);

    if (length >= sizeof (failure.path))
        length = sizeof (failure.path) - 1;
    memcpy (failure.path, archive->path, length);
    if (write (archive->failures_fd, &failure, offsetof (ArchiveFailure, path) + length + 1) < 0)
        _exit (1);
}

static void
put (Archive *archive, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;

    while (length > 0) {
        ssize_t written = write (archive->fd, at, length);

        if (written < 0 && errno != EINTR)
            _exit (1); /* who reads has gone */
        if (written > 0) {
            at += written;
            length -= (size_t)written;
        }
    }
}

static void
put_padding (Archive *archive, uint64_t length)
{
    put (archive, "\0\0\0", (4 - length % 4) % 4);
}

static void
put_header (Archive *archive, const char *name, const struct stat *st, uint64_t size)
{
    char header[HEADER_SIZE + 1];
    uint32_t name_size = (uint32_t)strlen (name) + 1;

    archive->inode++;
    snprintf (header, sizeof (header), "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
              archive->inode, (unsigned int)st->st_mode, (unsigned int)st->st_uid, (unsigned int)st->st_gid,
              S_ISDIR (st->st_mode) ? 2u : 1u, (uint32_t)st->st_mtime, (uint32_t)size, 0u, 0u, 0u, 0u,
              name_size, 0u);
    put (archive, header, HEADER_SIZE);
    put (archive, name, name_size);
    put_padding (archive, HEADER_SIZE + name_size);
}

/* The size has been promised: what cannot be read is zeros, and said to have failed. So much has been read
 * into the buffer already. */
static void
put_contents (Archive *archive, int fd, uint64_t size, size_t used)
{
    uint64_t left = size > used ? size - used : 0;
    bool failed = false;

    put (archive, archive->buffer, size < used ? (size_t)size : used);
    while (left > 0) {
        size_t want = left < sizeof (archive->buffer) ? (size_t)left : sizeof (archive->buffer);
        ssize_t got = failed ? (ssize_t)want : read (fd, archive->buffer, want);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            tell_failure (archive, got < 0 ? errno : EIO);
            memset (archive->buffer, 0, sizeof (archive->buffer));
            failed = true;
            continue;
        }
        put (archive, archive->buffer, (size_t)got);
        left -= (uint64_t)got;
    }
    put_padding (archive, size);
}

/* Reads until the buffer is full, or the file has no more, now at least. Returns how much, or -1 with errno
 * set.
 */
static ssize_t
fill (int fd, uint8_t *buffer, size_t size)
{
    size_t used = 0;
    ssize_t got = 1;

    while (used < size && got != 0) {
        got = read (fd, buffer + used, size - used);
        if (got < 0 && errno == EAGAIN)
            break;
        if (got < 0 && errno != EINTR)
            return -1;
        used += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)used;
}

/* How much of what has no file the guest's memory can hold for a while. */
static uint64_t
spool_max (void)
{
    struct sysinfo info;

    return sysinfo (&info) == 0 ? (uint64_t)info.freeram * info.mem_unit / 2 : 0;
}

/* Copies what is in the buffer and the rest of a file into a file of its own. Returns that, or -1. */
static int
spool (Archive *archive, int fd, size_t used, uint64_t *ret_size)
{
    int copy = (int)syscall (SYS_memfd_create, "spool", MFD_CLOEXEC);
    uint64_t max = spool_max ();
    ssize_t got = (ssize_t)used;

    for (*ret_size = 0; copy >= 0 && got > 0; got = fill (fd, archive->buffer, sizeof (archive->buffer))) {
        *ret_size += (uint64_t)got;
        if (*ret_size > max)
            errno = EFBIG;
        if (*ret_size > max || write (copy, archive->buffer, (size_t)got) != got) {
            got = -1;
            break;
        }
    }
    if (got == 0 && lseek (copy, 0, SEEK_SET) == 0)
        return copy;
    if (copy >= 0)
        close (copy);
    return -1;
}

/* The files of proc, sysfs and debugfs do not say how long they are, or say too much: what is there to read
 * tells. */
static void
add_file (Archive *archive, int fd, const struct stat *st)
{
    const char *name = archive->path + archive->top;
    uint64_t size = (uint64_t)st->st_size;
    ssize_t used;

    if (size > UINT32_MAX) { /* a limit of the format */
        tell_failure (archive, EFBIG);
        return;
    }
    used = fill (fd, archive->buffer, sizeof (archive->buffer));
    if (used < 0) {
        tell_failure (archive, errno);
    } else if ((size_t)used < sizeof (archive->buffer)) {
        put_header (archive, name, st, (uint64_t)used);
        put (archive, archive->buffer, (size_t)used);
        put_padding (archive, (uint64_t)used);
    } else if (size > 0) {
        put_header (archive, name, st, size);
        put_contents (archive, fd, size, (size_t)used);
    } else {
        int copy = spool (archive, fd, (size_t)used, &size);

        if (copy < 0) {
            tell_failure (archive, errno);
            return;
        }
        put_header (archive, name, st, size);
        put_contents (archive, copy, size, 0);
        close (copy);
    }
}

static void
add_link (Archive *archive, int folder, const char *name, const struct stat *st)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat (folder, name, target, sizeof (target));

    if (length < 0) {
        tell_failure (archive, errno);
        return;
    }
    put_header (archive, archive->path + archive->top, st, (uint64_t)length);
    put (archive, target, (size_t)length);
    put_padding (archive, (uint64_t)length);
}

static void add_entry (Archive *archive, int folder, const char *name, int follow, unsigned int depth);

/* Takes the descriptor. */
static void
add_folder (Archive *archive, int fd, const struct stat *st, unsigned int depth)
{
    DIR *dir = depth < DEPTH_MAX ? fdopendir (fd) : NULL;
    size_t length = strlen (archive->path);
    struct dirent *entry;

    if (dir == NULL) {
        tell_failure (archive, depth < DEPTH_MAX ? errno : ENAMETOOLONG);
        close (fd);
        return;
    }
    put_header (archive, archive->path + archive->top, st, 0);
    while ((errno = 0, entry = readdir (dir)) != NULL) {
        size_t name_length = strlen (entry->d_name);

        if (strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0)
            continue;
        if (length + 1 + name_length >= sizeof (archive->path)) {
            tell_failure (archive, ENAMETOOLONG);
            continue;
        }
        archive->path[length] = '/';
        memcpy (archive->path + length + 1, entry->d_name, name_length + 1);
        add_entry (archive, dirfd (dir), entry->d_name, AT_SYMLINK_NOFOLLOW, depth + 1);
        archive->path[length] = '\0';
    }
    if (errno != 0)
        tell_failure (archive, errno);
    closedir (dir);
}

static void
add_entry (Archive *archive, int folder, const char *name, int follow, unsigned int depth)
{
    struct stat st;
    int fd;

    if (fstatat (folder, name, &st, follow) < 0) {
        tell_failure (archive, errno);
    } else if (S_ISLNK (st.st_mode)) {
        add_link (archive, folder, name, &st);
    } else if (S_ISREG (st.st_mode) || S_ISDIR (st.st_mode)) {
        fd = openat (folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (follow != 0 ? O_NOFOLLOW : 0));
        if (fd < 0) {
            tell_failure (archive, errno);
        } else if (S_ISDIR (st.st_mode)) {
            add_folder (archive, fd, &st, depth);
        } else {
            add_file (archive, fd, &st);
            close (fd);
        }
    } else if (depth == 0) { /* asked for by name */
        tell_failure (archive, EINVAL);
    }
}

void
archive_write (const char *path, int fd, int failures_fd)
{
    static Archive archive; /* of a process that does nothing else; too big for a stack */
    static const struct stat trailer;
    size_t length = strlen (path);

    archive.fd = fd;
    archive.failures_fd = failures_fd;
    if (length >= sizeof (archive.path))
        return;
    memcpy (archive.path, path, length + 1);
    archive.top = (size_t)(strrchr (path, '/') + 1 - path);
    add_entry (&archive, AT_FDCWD, path, 0, 0);
    if (archive.inode == 0)
        return;
    archive.inode = UINT32_MAX; /* so that the trailer's is 0 */
    put_header (&archive, TRAILER, &trailer, 0);
}
