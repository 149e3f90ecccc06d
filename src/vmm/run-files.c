/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * What a guest gives back comes as a cpio archive whose first names are the last part of the path that the
 * user asked for. It is written as cp would write it: into HOST when that is a folder, as HOST when not.
 *
 * The guest is hostile. Nothing is written but below the name that the user chose: names are checked part by
 * part, and folders are opened by openat2(), which lets no link lead out (openat2(2)): neither one that the
 * guest sent before, nor one that is there. A host without that call gets no files. Permissions are cut down
 * to plain ones, and the process's umask applies; devices, pipes and sockets are left out, and those that are
 * there are not replaced. Bytes and entries have limits.
 *
 * A file gets its name when it is whole (see VmmNewFile): so what was there is whole, or replaced by what is.
 * Of a transfer that fails, the file in the middle is gone, and those that were whole stay.
 */
#include "vmm/run-files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loader/cpio-reader.h"
#include "loader/text.h"
#include "vmm/core/new-file.h"
#include "vmm/error.h"

#define ENTRIES_MAX (1u << 20)

/**
 * VmmRunFiles:
 * @guest_name: what each name from the guest starts with
 * @host_name: what stands in its place, in @top
 * @shown: @top as the user wrote it, for messages
 * @top: the folder that all is below
 * @reader: takes the archive apart
 * @bytes_max: of content
 * @bytes: of content, so far
 * @n_entries: so far
 * @n_skipped: of those
 * @folder: (nullable): below @top, "" for @top itself: the one that @folder_fd is
 * @folder_fd: where the last entry went
 * @file: that grows, in @folder
 * @name: what its name will be
 */
struct _VmmRunFiles {
    char *guest_name;
    char *host_name;
    char *shown;
    int top;
    VmmCpioReader *reader;
    uint64_t bytes_max;
    uint64_t bytes;
    unsigned n_entries;
    unsigned n_skipped;
    char *folder;
    int folder_fd;
    VmmNewFile file;
    char *name;
};

static bool
fail (const VmmRunFiles *files, const char *name, const char *what, GError **error)
{
    g_autofree char *path = g_build_filename (files->shown, name, NULL);

    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "output \"%s\": %s", path, what);
    return false;
}

/* The guest chose this name, so it is not shown as it came. */
static bool
fail_guest (const VmmRunFiles *files, const char *name, const char *what, GError **error)
{
    g_autofree char *shown = g_strescape (name, NULL);

    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "output \"%s\": the guest sent \"%.200s\", %s",
                 files->shown, shown, what);
    return false;
}

/* A folder below @top, without a link on the way. */
static int
open_below (const VmmRunFiles *files, const char *path)
{
    struct open_how how = {
        .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd;

    /* EAGAIN: something was renamed meanwhile, so that the kernel could not be sure. */
    for (unsigned i = 0; i < 100; i++) {
        fd = (int)syscall (SYS_openat2, files->top, *path != '\0' ? path : ".", &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return fd;
}

static const char *
explain (int errnum)
{
    switch (errnum) {
    case ELOOP:
    case EXDEV:
        return "a symbolic link is in the way";
    case ENOTDIR:
        return "something that is not a folder is in the way";
    case EISDIR:
        return "a folder is in the way";
    default:
        return g_strerror (errnum);
    }
}

static bool
enter_folder (VmmRunFiles *files, const char *folder, GError **error)
{
    if (files->folder != NULL && strcmp (files->folder, folder) == 0)
        return true;
    int fd = open_below (files, folder);
    if (fd < 0)
        return fail (files, folder,
                     errno == ENOENT ? "the guest sent what is in it, but not the folder" : explain (errno),
                     error);
    if (files->folder_fd >= 0)
        close (files->folder_fd);
    files->folder_fd = fd;
    g_free (files->folder);
    files->folder = g_strdup (folder);
    return true;
}

/* Is each part of it a name? */
static bool
is_plain (const char *path)
{
    for (;;) {
        size_t n = strcspn (path, "/");
        if (n == 0 || (n == 1 && path[0] == '.') || (n == 2 && path[0] == '.' && path[1] == '.'))
            return false;
        if (path[n] == '\0')
            return true;
        path += n + 1;
    }
}

/* The guest's name for it becomes ours; NULL when it is none that it may send. */
static char *
translate (const VmmRunFiles *files, const char *name)
{
    size_t n = strlen (files->guest_name);

    if (!is_plain (name) || strncmp (name, files->guest_name, n) != 0 || (name[n] != '\0' && name[n] != '/'))
        return NULL;
    return g_strconcat (files->host_name, name + n, NULL);
}

static bool
make_folder (VmmRunFiles *files, uint32_t mode, GError **error)
{
    struct stat st;

    /* What follows is to be written into it. */
    if (mkdirat (files->folder_fd, files->name, (mode & 0777) | 0700) == 0)
        return true;
    if (errno == EEXIST && fstatat (files->folder_fd, files->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISDIR (st.st_mode))
            return true;
        errno = S_ISLNK (st.st_mode) ? ELOOP : ENOTDIR;
    }
    return fail (files, files->name, explain (errno), error);
}

/* A folder is not replaced either, whatever is tried. */
static bool
check_place (const VmmRunFiles *files, GError **error)
{
    struct stat st;

    if (fstatat (files->folder_fd, files->name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISREG (st.st_mode) ||
        S_ISLNK (st.st_mode) || S_ISDIR (st.st_mode))
        return true;
    return fail (files, files->name, "a device, a pipe or a socket is in the way", error);
}

static bool
make_file (VmmRunFiles *files, const VmmCpioReadEntry *entry, GError **error)
{
    return vmm_new_file_open (&files->file, files->folder_fd, entry->mode & 0777) ||
           fail (files, files->name, explain (errno), error);
}

static bool
replace_by_symlink (const VmmRunFiles *files, const char *target)
{
    char temporary[VMM_NEW_FILE_NAME_SIZE];
    int wrong;

    if (!vmm_new_file_choose_name (temporary) || symlinkat (target, files->folder_fd, temporary) < 0)
        return false;
    if (renameat (files->folder_fd, temporary, files->folder_fd, files->name) == 0)
        return true;
    wrong = errno;
    unlinkat (files->folder_fd, temporary, 0);
    errno = wrong;
    return false;
}

static bool
make_symlink (VmmRunFiles *files, const char *target, GError **error)
{
    return symlinkat (target, files->folder_fd, files->name) == 0 ||
           (errno == EEXIST && replace_by_symlink (files, target)) ||
           fail (files, files->name, explain (errno), error);
}

static bool
make_entry (VmmRunFiles *files, const VmmCpioReadEntry *entry, GError **error)
{
    switch (entry->mode & S_IFMT) {
    case S_IFDIR:
        return make_folder (files, entry->mode, error);
    case S_IFREG:
        return check_place (files, error) && make_file (files, entry, error);
    case S_IFLNK:
        return check_place (files, error) && make_symlink (files, entry->target, error);
    default:
        files->n_skipped++;
        return true;
    }
}

static bool
check_limits (VmmRunFiles *files, const VmmCpioReadEntry *entry, GError **error)
{
    if (++files->n_entries > ENTRIES_MAX)
        return fail_guest (files, entry->name, "and that is one too many: a million can come back", error);
    if (entry->size <= files->bytes_max - files->bytes) {
        files->bytes += entry->size;
        return true;
    }
    g_autofree char *what =
        g_strdup_printf ("with which it is more than %s", vmm_size_text (files->bytes_max).s);
    return fail_guest (files, entry->name, what, error);
}

static bool
begin (void *data, const VmmCpioReadEntry *entry, GError **error)
{
    VmmRunFiles *files = data;
    g_autofree char *path = translate (files, entry->name);

    if (path == NULL)
        return fail_guest (files, entry->name, "which is not what it was asked for", error);
    if (!check_limits (files, entry, error))
        return false;
    char *slash = strrchr (path, '/');
    if (slash != NULL)
        *slash = '\0';
    g_free (files->name);
    files->name = g_strdup (slash != NULL ? slash + 1 : path);
    return enter_folder (files, slash != NULL ? path : "", error) && make_entry (files, entry, error);
}

static bool
content (void *data, VmmSpan bytes, GError **error)
{
    VmmRunFiles *files = data;

    while (files->file.fd >= 0 && bytes.len > 0) {
        ssize_t n = write (files->file.fd, bytes.data, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail (files, files->name, g_strerror (errno), error);
        bytes = (VmmSpan){bytes.data + n, bytes.len - (size_t)n};
    }
    return true;
}

static bool
end (void *data, GError **error)
{
    VmmRunFiles *files = data;

    return files->file.fd < 0 || vmm_new_file_publish (&files->file, files->name, true) ||
           fail (files, files->name, explain (errno), error);
}

static bool
fail_host (const char *host_path, const char *what, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "output \"%s\": %s", host_path, what);
    return false;
}

static bool
choose_name (VmmRunFiles *files, const char *host_path, GError **error)
{
    files->shown = g_path_get_dirname (host_path);
    files->host_name = g_path_get_basename (host_path);
    if (g_str_has_suffix (host_path, "/")) {
        /* The parts of "a/b/" are "a/b" and "b" for GLib, and "a" and "b" for us. */
        g_autofree char *folder = g_steal_pointer (&files->shown);
        files->shown = g_path_get_dirname (folder);
    }
    return is_plain (files->host_name) || fail_host (host_path, "name a file or a folder for it", error);
}

/* The names of open files, such as /dev/stdout, are links that nobody wants to lose, nor what they lead to.
 */
static bool
is_open_file (const char *path)
{
    struct stat st;

    return (g_str_has_prefix (path, "/dev/") || g_str_has_prefix (path, "/proc/")) &&
           lstat (path, &st) == 0 && S_ISLNK (st.st_mode);
}

/* As cp: into a folder that is there, else as the name itself, or the file that a link of that name leads to.
 */
static bool
choose_place (VmmRunFiles *files, const char *host_path, GError **error)
{
    g_autofree char *real = realpath (host_path, NULL);
    struct stat st;

    if (real == NULL || stat (real, &st) < 0)
        return choose_name (files, host_path, error);
    if (S_ISDIR (st.st_mode)) {
        files->shown = g_strdup (host_path);
        files->host_name = g_strdup (files->guest_name);
        return true;
    }
    if (!S_ISREG (st.st_mode) || is_open_file (host_path))
        return fail_host (host_path, "this is neither a file nor a folder, and is not to be replaced by one",
                          error);
    return choose_name (files, lstat (host_path, &st) == 0 && S_ISLNK (st.st_mode) ? real : host_path, error);
}

/* Told before the command runs, and not when it has made its files. */
static bool
open_place (VmmRunFiles *files, GError **error)
{
    struct stat st;

    files->top = open (files->shown, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (files->top < 0)
        return fail_host (files->shown, g_strerror (errno), error);
    /* In a folder that is there, something may be made even where the one above it allows nothing. */
    if (fstatat (files->top, files->host_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR (st.st_mode))
        return true;
    return faccessat (files->top, ".", W_OK | X_OK, AT_EACCESS) == 0 ||
           fail_host (files->shown, g_strerror (errno), error);
}

static bool
prepare (VmmRunFiles *files, const char *guest_path, const char *host_path, GError **error)
{
    files->guest_name = g_path_get_basename (guest_path);
    if (*guest_path == '\0' || !is_plain (files->guest_name)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "output \"%s\": name a file or a folder of the guest, not all of it", guest_path);
        return false;
    }
    if (!choose_place (files, host_path, error) || !open_place (files, error))
        return false;
    int fd = open_below (files, "");
    if (fd < 0) {
        bool old = errno == ENOSYS;
        fail (files, "",
              old ? "this host's kernel cannot write below a folder safely: openat2 came with "
                    "Linux 5.6"
                  : g_strerror (errno),
              error);
        return false;
    }
    close (fd);
    return true;
}

/**
 * vmm_run_files_new:
 * @guest_path: what the user asked for, in the guest
 * @host_path: where to; when it is a folder, into it, as `cp -r` does
 * @bytes_max: of content that is taken, all files together
 * @error: %VMM_ERROR_USAGE: that is no place; %VMM_ERROR_HOST: the kernel is too old
 *
 * Prepares to take what comes back. Any one thread at a time.
 *
 * Returns: (transfer full): a receiver of one archive; NULL on failure
 */
VmmRunFiles *
vmm_run_files_new (const char *guest_path, const char *host_path, uint64_t bytes_max, GError **error)
{
    static const VmmCpioReaderOps ops = {begin, content, end};
    g_autoptr (VmmRunFiles) files = g_new0 (VmmRunFiles, 1);

    files->top = files->folder_fd = files->file.fd = -1;
    files->bytes_max = bytes_max;
    if (!prepare (files, guest_path, host_path, error))
        return NULL;
    files->reader = vmm_cpio_reader_new (&ops, files);
    return g_steal_pointer (&files);
}

/**
 * vmm_run_files_free:
 * @files: (nullable): a receiver; the file in the middle, if any, is removed
 */
void
vmm_run_files_free (VmmRunFiles *files)
{
    if (files == NULL)
        return;
    vmm_new_file_clear (&files->file);
    if (files->folder_fd >= 0)
        close (files->folder_fd);
    if (files->top >= 0)
        close (files->top);
    vmm_cpio_reader_free (files->reader);
    g_free (files->guest_name);
    g_free (files->host_name);
    g_free (files->shown);
    g_free (files->folder);
    g_free (files->name);
    g_free (files);
}

/**
 * vmm_run_files_feed:
 * @files: a receiver
 * @bytes: the next ones from the guest
 * @error: %VMM_ERROR_HOST: they cannot be written; %VMM_ERROR_HOST, %VMM_ERROR_STATE: the guest sent
 * nonsense, or too much
 *
 * Writes what they say. It may wait for the disk.
 *
 * Returns: false on failure, and from then on
 */
bool
vmm_run_files_feed (VmmRunFiles *files, VmmSpan bytes, GError **error)
{
    if (vmm_cpio_reader_feed (files->reader, bytes, error))
        return true;
    vmm_new_file_clear (&files->file);
    return false;
}

/**
 * vmm_run_files_finish:
 * @files: a receiver, after all bytes
 * @error: %VMM_ERROR_HOST: there should have been more
 *
 * Returns: whether all came that there was
 */
bool
vmm_run_files_finish (VmmRunFiles *files, GError **error)
{
    vmm_new_file_clear (&files->file);
    if (!vmm_cpio_reader_complete (files->reader))
        return fail (files, files->host_name, "the guest stopped in the middle of it", error);
    return files->n_entries > 0 || fail (files, files->host_name, "the guest sent nothing", error);
}

/**
 * vmm_run_files_bytes:
 * @files: a receiver
 *
 * Returns: bytes of content so far, of all files
 */
uint64_t
vmm_run_files_bytes (const VmmRunFiles *files)
{
    return files->bytes;
}

/**
 * vmm_run_files_skipped:
 * @files: a receiver
 *
 * Returns: how many devices, pipes and sockets were left out
 */
unsigned
vmm_run_files_skipped (const VmmRunFiles *files)
{
    return files->n_skipped;
}
