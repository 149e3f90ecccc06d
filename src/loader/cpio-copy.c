/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files go from a descriptor into the archive inside the host's kernel. That is sendfile(): copy_file_range()
 * refuses two file systems, and a memfd is on one of its own. What sendfile() does not read is read here. A
 * file is never mapped: one that is cut off meanwhile would end the process, by SIGBUS.
 */
#include "loader/cpio-internal.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/error.h"

#define PIECE (64u << 10)

/* One piece by way of our own memory. */
static ssize_t
copy_by_hand (VmmCpio *cpio, int fd, off_t from, off_t to, size_t len)
{
    g_autofree uint8_t *piece = g_malloc (PIECE);
    ssize_t n = pread (fd, piece, MIN (len, PIECE), from);

    return n > 0 ? pwrite (cpio->fd, piece, (size_t)n, to) : n;
}

static ssize_t
copy_some (VmmCpio *cpio, int fd, off_t from, off_t to, size_t len)
{
    off_t at = from;
    ssize_t n = -1;

    if (lseek (cpio->fd, to, SEEK_SET) == to)
        n = sendfile (cpio->fd, fd, &at, len);
    return n < 0 && errno != EINTR ? copy_by_hand (cpio, fd, from, to, len) : n;
}

/* The next run of data at or after @*from; false at the end. File systems without holes say that all is data.
 */
static bool
next_data (int fd, off_t *from, off_t *ret_end)
{
    off_t start = lseek (fd, *from, SEEK_DATA);

    if (start < 0) {
        *ret_end = INT64_MAX;
        return errno != ENXIO;
    }
    off_t end = lseek (fd, start, SEEK_HOLE);
    *from = start;
    *ret_end = end > start ? end : INT64_MAX;
    return true;
}

static bool
copy_run (VmmCpio *cpio, int fd, off_t *from, off_t end, GError **error)
{
    while (*from < end) {
        /* One byte more than may be, to see that it is too much. */
        uint64_t room = cpio->size_max - MIN (cpio->size_max, vmm_cpio_content_at (cpio) + (uint64_t)*from);
        size_t len = (size_t)MIN (MIN ((uint64_t)(end - *from), room + 1), (uint64_t)1 << 30);
        ssize_t n = copy_some (cpio, fd, *from, (off_t)vmm_cpio_content_at (cpio) + *from, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vmm_cpio_fail (cpio->path, VMM_ERROR_USAGE, g_strerror (errno), error);
        if (n == 0)
            return true;
        *from += n;
        if (!vmm_cpio_check_room (cpio, (uint64_t)*from, error))
            return false;
    }
    return true;
}

/* What is there of the first @size bytes. */
static bool
copy (VmmCpio *cpio, int fd, off_t size, GError **error)
{
    off_t from = 0, end, now;

    while (from < size && next_data (fd, &from, &end)) {
        off_t stop = MIN (end, size);
        if (!copy_run (cpio, fd, &from, stop, error))
            return vmm_cpio_abandon (cpio);
        if (from < stop)
            break;
    }
    /* It may end with a hole, and may have become shorter. */
    now = lseek (fd, 0, SEEK_END);
    return vmm_cpio_end_file (cpio, (uint64_t)MAX (MIN (now, size), MIN (from, size)), error);
}

/**
 * vmm_cpio_add_fd:
 * @cpio: an archive
 * @path: in it; missing parents are made
 * @attr: (nullable): its owner, mode and time
 * @fd: a regular file, open for reading; where it stands may change
 * @error: %VMM_ERROR_USAGE: it cannot be read; else as vmm_cpio_add_file()
 *
 * Adds a file, from its start to where its end is now. When it changes meanwhile, each byte is what it was as
 * it was read, and the entry is as long as what there was to read. Holes take no memory.
 *
 * Returns: false on failure, with the archive as it was, but for parents
 */
bool
vmm_cpio_add_fd (VmmCpio *cpio, const char *path, const VmmCpioAttr *attr, int fd, GError **error)
{
    struct stat st;

    if (fstat (fd, &st) < 0)
        return vmm_cpio_fail (path, VMM_ERROR_USAGE, g_strerror (errno), error);
    if (!S_ISREG (st.st_mode))
        return vmm_cpio_fail (path, VMM_ERROR_USAGE, "this is not a regular file", error);
    if (!vmm_cpio_begin_file (cpio, path, attr, NULL, error))
        return false;
    if (!vmm_cpio_check_room (cpio, (uint64_t)st.st_size, error))
        return vmm_cpio_abandon (cpio);
    /* The files of /proc have bytes, and no size. */
    return copy (cpio, fd, st.st_size > 0 ? st.st_size : INT64_MAX, error);
}
