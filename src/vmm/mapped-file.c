/* SPDX-License-Identifier: Apache-2.0 */
/* A file that the user named, as bytes, and one clear line where it cannot be had. */
#include "vmm/mapped-file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/error.h"

/* What is wrong with the file, or NULL. */
static const char *
map (int fd, VmmMappedFile *ret_file)
{
    VmmMappedFile file;
    struct stat st;

    if (fd < 0 || fstat (fd, &st) < 0)
        return g_strerror (errno);
    if (S_ISDIR (st.st_mode))
        return "this is a directory: name a file in it";
    if (!S_ISREG (st.st_mode))
        return "this is not a regular file";
    if (st.st_size == 0)
        return "the file is empty";
    file.len = (size_t)st.st_size;
    file.map = mmap (NULL, file.len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (file.map == MAP_FAILED)
        return g_strerror (errno);
    *ret_file = file;
    return NULL;
}

/**
 * vmm_mapped_file_open:
 * @what: names the object in messages: "kernel"
 * @path: the file
 * @ret_file: its bytes; vmm_mapped_file_close() when done
 * @error: %VMM_ERROR_USAGE
 *
 * Maps a file. Its bytes are the file's as they are read: whoever can write the file can change them, and one
 * who cuts it off while it is read ends the process, by SIGBUS. Any thread.
 *
 * Returns: false when there is no such file, or one that has no bytes to map
 */
bool
vmm_mapped_file_open (const char *what, const char *path, VmmMappedFile *ret_file, GError **error)
{
    /* Without O_NONBLOCK, to open a named pipe would be to wait for its writer. */
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const char *wrong = map (fd, ret_file);

    if (fd >= 0)
        close (fd);
    if (wrong != NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s \"%s\": %s", what, path, wrong);
    return wrong == NULL;
}

/**
 * vmm_mapped_file_close:
 * @file: a file, or a zeroed one
 */
void
vmm_mapped_file_close (VmmMappedFile *file)
{
    if (file->map != NULL)
        munmap (file->map, file->len);
    *file = (VmmMappedFile){0};
}

/**
 * vmm_mapped_file_span:
 * @file: a file
 *
 * Returns: its bytes, as long as it is open
 */
VmmSpan
vmm_mapped_file_span (const VmmMappedFile *file)
{
    return (VmmSpan){file->map, file->len};
}
