/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a file is written that somebody waits for: without a name, which it gets when it is whole, so that
 * nobody ever finds half of one, and SIGKILL leaves nothing. Where the file system has no such files, it has
 * another name until then.
 */
#include "write-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vmm/vmm.h>

#include "write-all.h"

typedef struct {
    int fd;
    const char *path; /* where it goes */
    char *name;       /* what it is called meanwhile; NULL: it has no name */
} NewFile;

static bool
open_new (NewFile *file, mode_t mode, bool nameless)
{
    if (nameless) {
        g_autofree char *folder = g_path_get_dirname (file->path);

        file->fd = open (folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
        return file->fd >= 0;
    }
    g_autofree char *name = g_strdup_printf ("%s.XXXXXX", file->path);
    file->fd = g_mkstemp_full (name, O_WRONLY | O_CLOEXEC, (int)mode);
    if (file->fd >= 0)
        file->name = g_steal_pointer (&name);
    return file->fd >= 0;
}

static bool
fill (int fd, const char *text)
{
    return write_all (fd, text, strlen (text)) && (fsync (fd) == 0 || errno == EINVAL);
}

static bool
link_to (const NewFile *file, const char *path)
{
    g_autofree char *source = g_strdup_printf ("/proc/self/fd/%d", file->fd);

    return linkat (AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0;
}

/* Only where there is a file of its name already does one without a name get another one for a moment. */
static bool
link_beside (NewFile *file)
{
    g_autofree char *name = g_strdup_printf ("%s.%08x", file->path, g_random_int ());

    if (!link_to (file, name))
        return false;
    file->name = g_steal_pointer (&name);
    return true;
}

/* False with errno, and the name that it has. */
static bool
put_in_place (NewFile *file, bool replace)
{
    if (file->name == NULL) {
        if (link_to (file, file->path))
            return true;
        if (errno != EEXIST || !link_beside (file))
            return false;
    }
    if (replace)
        return rename (file->name, file->path) == 0;
    return renameat2 (AT_FDCWD, file->name, AT_FDCWD, file->path, RENAME_NOREPLACE) == 0 ||
           /* Not every file system can do that. */
           (errno == EINVAL && link (file->name, file->path) == 0 && unlink (file->name) == 0);
}

/* False with errno; @ret_left is then the name of a whole file that is elsewhere, or NULL. */
static bool
try_to_write (const char *path, const char *text, mode_t mode, bool replace, bool nameless, char **ret_left)
{
    NewFile file = {.path = path};
    bool whole, ok;
    int wrong;

    *ret_left = NULL;
    if (!open_new (&file, mode, nameless))
        return false;
    whole = fill (file.fd, text);
    ok = whole && put_in_place (&file, replace);
    wrong = errno;
    close (file.fd);
    if (!whole && file.name != NULL)
        unlink (file.name);
    if (whole && !ok)
        *ret_left = g_steal_pointer (&file.name);
    g_free (file.name);
    errno = wrong;
    return ok;
}

/**
 * write_file:
 * @path: of a file
 * @mode: its mode, of which the umask takes its share
 * @replace: what is there, or comes there meanwhile, is replaced; through a symbolic link the file that it
 * leads to, and not the link. Else it stays.
 * @ret_left: (nullable) (transfer full): gets the path of what was written when only its place could not be
 * had, else NULL; without it nothing is left
 * @error: %VMM_ERROR_HOST, without the path
 *
 * Returns: false on failure; what was at @path is then as it was
 */
bool
write_file (const char *path, const char *text, mode_t mode, bool replace, char **ret_left, GError **error)
{
    g_autofree char *real = replace ? realpath (path, NULL) : NULL;
    const char *to = real != NULL ? real : path;
    g_autofree char *left = NULL;
    bool ok = try_to_write (to, text, mode, replace, true, &left) ||
              (left == NULL && try_to_write (to, text, mode, replace, false, &left));
    int wrong = errno;

    if (left != NULL && ret_left == NULL)
        unlink (left);
    if (ret_left != NULL)
        *ret_left = g_steal_pointer (&left);
    if (!ok)
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_HOST, g_strerror (wrong));
    return ok;
}
