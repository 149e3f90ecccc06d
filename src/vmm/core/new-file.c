/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/new-file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#define NAME_TRIES 16u

/* By this path can a file without a name be given one. */
#define PATH_SIZE 32u

static void
print_path (int fd, char path[PATH_SIZE])
{
    snprintf (path, PATH_SIZE, "/proc/self/fd/%d", fd);
}

static bool
link_to (const VmmNewFile *file, const char *name)
{
    char path[PATH_SIZE];

    print_path (file->fd, path);
    return linkat (AT_FDCWD, path, file->folder_fd, name, AT_SYMLINK_FOLLOW) == 0;
}

static int
open_nameless (int folder_fd, mode_t mode)
{
    int fd = openat (folder_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    char path[PATH_SIZE];

    if (fd < 0)
        return -1;
    print_path (fd, path);
    if (access (path, F_OK) == 0)
        return fd;
    close (fd); /* no /proc here */
    return -1;
}

/**
 * vmm_new_file_choose_name:
 * @name: (out): one that nobody knows, for a moment
 *
 * Returns: false with errno
 */
bool
vmm_new_file_choose_name (char name[VMM_NEW_FILE_NAME_SIZE])
{
    uint64_t random;

    if (getrandom (&random, sizeof random, 0) != (ssize_t)sizeof random)
        return false;
    snprintf (name, VMM_NEW_FILE_NAME_SIZE, ".vmm-%016" PRIx64, random);
    return true;
}

/**
 * vmm_new_file_open:
 * @file: (out): to be read and written by its descriptor
 * @folder_fd: where it is to be; stays open until vmm_new_file_clear()
 * @mode: its permissions, of which the umask takes its share
 *
 * Returns: false with errno; @file is then clear
 */
bool
vmm_new_file_open (VmmNewFile *file, int folder_fd, mode_t mode)
{
    *file = (VmmNewFile){.folder_fd = folder_fd, .fd = open_nameless (folder_fd, mode)};
    for (unsigned i = 0; file->fd < 0 && i < NAME_TRIES; i++) {
        if (!vmm_new_file_choose_name (file->name))
            break;
        file->fd = openat (folder_fd, file->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (file->fd < 0 && errno != EEXIST)
            break;
    }
    if (file->fd < 0)
        file->name[0] = '\0';
    return file->fd >= 0;
}

static bool
link_beside (VmmNewFile *file)
{
    for (unsigned i = 0; i < NAME_TRIES; i++) {
        char name[VMM_NEW_FILE_NAME_SIZE];

        if (!vmm_new_file_choose_name (name))
            return false;
        if (link_to (file, name)) {
            snprintf (file->name, sizeof file->name, "%s", name);
            return true;
        }
        if (errno != EEXIST)
            return false;
    }
    return false;
}

/* The file has a name already. */
static bool
move_to (const VmmNewFile *file, const char *name, bool replace)
{
    int folder = file->folder_fd;

    if (replace)
        return renameat (folder, file->name, folder, name) == 0;
    return renameat2 (folder, file->name, folder, name, RENAME_NOREPLACE) == 0 ||
           /* Not every file system can do that. */
           (errno == EINVAL && linkat (folder, file->name, folder, name, 0) == 0 &&
            unlinkat (folder, file->name, 0) == 0);
}

/* Some file systems tell when a file is closed that they could not write; it gets no name then. */
static bool
is_written (int fd)
{
    int second = fcntl (fd, F_DUPFD_CLOEXEC, 0);

    return second >= 0 && close (second) == 0;
}

/* A file without a name has another one only where its place is taken, and only for a moment. */
static bool
put_in_place (VmmNewFile *file, const char *name, bool replace)
{
    if (!is_written (file->fd))
        return false;
    if (file->name[0] == '\0') {
        if (link_to (file, name))
            return true;
        if (!replace || errno != EEXIST || !link_beside (file))
            return false;
    }
    if (!move_to (file, name, replace))
        return false;
    file->name[0] = '\0';
    return true;
}

/**
 * vmm_new_file_publish:
 * @file: is whole
 * @name: in its folder
 * @replace: what is there is replaced, itself and not what it leads to; else it stays, and that is EEXIST
 *
 * Returns: false with errno, and nothing is left; in either case @file is clear
 */
bool
vmm_new_file_publish (VmmNewFile *file, const char *name, bool replace)
{
    bool ok = put_in_place (file, name, replace);
    int wrong = errno;

    vmm_new_file_clear (file);
    errno = wrong;
    return ok;
}

/**
 * vmm_new_file_clear:
 * @file: opened, published or clear; what is not published is gone
 */
void
vmm_new_file_clear (VmmNewFile *file)
{
    if (file->fd >= 0)
        close (file->fd);
    if (file->name[0] != '\0')
        unlinkat (file->folder_fd, file->name, 0);
    file->fd = -1;
    file->name[0] = '\0';
}
