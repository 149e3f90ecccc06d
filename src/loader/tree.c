/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A folder of the host goes into an archive, in an order that depends on names only. Each folder is opened
 * from the descriptor of the one above, and no symbolic link is followed but the one that the user named: so
 * whatever somebody moves or replaces meanwhile, nothing from outside the tree gets in. It stays on one file
 * system: what is mounted in the tree is an empty folder there.
 */
#include "loader/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vmm/error.h"

/* One descriptor for each. */
#define DEPTH_MAX 256u

typedef struct {
    uint64_t dev;
    uint64_t ino;
} FileId;

typedef struct {
    VmmCpio *cpio;
    const char *host_path;
    const char *under;
    VmmTreeOwners owners;
    uint64_t dev;
    GHashTable *linked; /* FileId -> the path in the archive of the first name */
    unsigned depth;
} Walk;

static guint
id_hash (gconstpointer key)
{
    const FileId *id = key;

    return g_int64_hash (&(gint64){(gint64)(id->ino * 31 + id->dev)});
}

static gboolean
id_equal (gconstpointer a, gconstpointer b)
{
    return memcmp (a, b, sizeof (FileId)) == 0;
}

/* @path: in the archive, and in the tree below @host_path */
static bool
fail (const Walk *walk, const char *path, const char *what, GError **error)
{
    const char *slash = *path != '\0' && !g_str_has_suffix (walk->host_path, "/") ? "/" : "";

    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "\"%s%s%s\": %s", walk->host_path, slash, path, what);
    return false;
}

static bool
fail_read (const Walk *walk, const char *path, int errnum, GError **error)
{
    g_autofree char *what = g_strdup_printf ("cannot be read: %s", g_strerror (errnum));

    return fail (walk, path, what, error);
}

static VmmCpioAttr
attr_of (const Walk *walk, const struct stat *st)
{
    bool root = walk->owners == VMM_TREE_OWNERS_ROOT;

    return (VmmCpioAttr){
        .mode = st->st_mode & 07777,
        .uid = root ? 0 : st->st_uid,
        .gid = root ? 0 : st->st_gid,
        .mtime = (uint32_t)CLAMP (st->st_mtime, 0, (time_t)UINT32_MAX),
    };
}

static char *
in_archive (const Walk *walk, const char *path)
{
    return g_build_path ("/", walk->under, path, NULL);
}

/* A file that has several names is stored with the first that is met. */
static bool
pack_opened (Walk *walk, int fd, const char *path, const struct stat *st, GError **error)
{
    FileId id = {st->st_dev, st->st_ino};
    VmmCpioAttr attr = attr_of (walk, st);
    g_autofree char *name = in_archive (walk, path);
    const char *first = st->st_nlink > 1 ? g_hash_table_lookup (walk->linked, &id) : NULL;

    if (first != NULL)
        return vmm_cpio_add_hard_link (walk->cpio, name, &attr, first, error);
    if (!vmm_cpio_add_fd (walk->cpio, name, &attr, fd, error))
        return false;
    if (st->st_nlink > 1)
        g_hash_table_insert (walk->linked, g_memdup2 (&id, sizeof id), g_steal_pointer (&name));
    return true;
}

/* Without O_NONBLOCK, what became a named pipe meanwhile would have us wait for its writer. */
static bool
pack_file (Walk *walk, int folder, const char *name, const char *path, GError **error)
{
    int fd = openat (folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    bool ok;

    if (fd < 0)
        return errno == ENOENT || fail_read (walk, path, errno, error);
    if (fstat (fd, &st) < 0)
        ok = fail_read (walk, path, errno, error);
    else if (!S_ISREG (st.st_mode))
        ok = fail (walk, path, "was replaced while the tree was read; try again", error);
    else
        ok = pack_opened (walk, fd, path, &st, error);
    close (fd);
    return ok;
}

static bool
pack_symlink (Walk *walk, int folder, const char *name, const char *path, const struct stat *st,
              GError **error)
{
    char target[VMM_CPIO_PATH_MAX + 2];
    ssize_t n = readlinkat (folder, name, target, sizeof target - 1);
    VmmCpioAttr attr = attr_of (walk, st);
    g_autofree char *stored = in_archive (walk, path);

    if (n < 0)
        return errno == ENOENT || fail_read (walk, path, errno, error);
    target[n] = '\0';
    return vmm_cpio_add_symlink (walk->cpio, stored, &attr, target, error);
}

/* Nodes tell their numbers without being opened; those that the user may not read would be of no use to him.
 */
static bool
pack_node (Walk *walk, int folder, const char *name, const char *path, const struct stat *st, GError **error)
{
    VmmCpioAttr attr = attr_of (walk, st);
    g_autofree char *stored = in_archive (walk, path);
    bool device = !S_ISFIFO (st->st_mode);

    if (device && faccessat (folder, name, R_OK, AT_EACCESS) < 0)
        return true;
    return vmm_cpio_add_device (walk->cpio, stored, &attr, st->st_mode & S_IFMT,
                                device ? major (st->st_rdev) : 0, device ? minor (st->st_rdev) : 0, error);
}

static bool pack_folder (Walk *walk, int fd, const char *path, GError **error);

static bool
pack_subfolder (Walk *walk, int folder, const char *name, const char *path, const struct stat *st,
                GError **error)
{
    VmmCpioAttr attr = attr_of (walk, st);
    g_autofree char *stored = in_archive (walk, path);

    if (!vmm_cpio_add_folder (walk->cpio, stored, &attr, error))
        return false;
    if (st->st_dev != walk->dev)
        return true;
    if (walk->depth >= DEPTH_MAX)
        return fail (walk, path, "folders are nested deeper than " G_STRINGIFY (DEPTH_MAX) "; use a disk",
                     error);
    int fd = openat (folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_DIRECTORY);
    if (fd < 0)
        return errno == ENOENT || fail_read (walk, path, errno, error);
    walk->depth++;
    bool ok = pack_folder (walk, fd, path, error);
    walk->depth--;
    return ok;
}

/* What is gone since the folder was listed is not there: no failure. */
static bool
pack_entry (Walk *walk, int folder, const char *name, const char *path, GError **error)
{
    struct stat st;

    if (fstatat (folder, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
        return errno == ENOENT || fail_read (walk, path, errno, error);
    switch (st.st_mode & S_IFMT) {
    case S_IFDIR:
        return pack_subfolder (walk, folder, name, path, &st, error);
    case S_IFREG:
        return pack_file (walk, folder, name, path, error);
    case S_IFLNK:
        return pack_symlink (walk, folder, name, path, &st, error);
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
        return pack_node (walk, folder, name, path, &st, error);
    default:
        return true; /* a socket means nothing without who listens */
    }
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
    return strcmp (*(char *const *)a, *(char *const *)b);
}

static GPtrArray *
list_folder (DIR *dir)
{
    GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
    const struct dirent *entry;

    while ((errno = 0, entry = readdir (dir)) != NULL)
        if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0)
            g_ptr_array_add (names, g_strdup (entry->d_name));
    int errnum = errno;
    g_ptr_array_sort (names, compare_names);
    errno = errnum;
    return names;
}

/* @fd: taken */
static bool
pack_folder (Walk *walk, int fd, const char *path, GError **error)
{
    DIR *dir = fdopendir (fd);
    bool ok = true;

    if (dir == NULL) {
        close (fd);
        return fail_read (walk, path, errno, error);
    }
    g_autoptr (GPtrArray) names = list_folder (dir);
    if (errno != 0)
        ok = fail_read (walk, path, errno, error);
    for (guint i = 0; ok && i < names->len; i++) {
        g_autofree char *below =
            *path != '\0' ? g_strconcat (path, "/", names->pdata[i], NULL) : g_strdup (names->pdata[i]);
        ok = pack_entry (walk, dirfd (dir), names->pdata[i], below, error);
    }
    closedir (dir);
    return ok;
}

/* @fd: taken */
static bool
pack_top (Walk *walk, int fd, GError **error)
{
    struct stat st;

    if (fstat (fd, &st) < 0) {
        close (fd);
        return fail_read (walk, "", errno, error);
    }
    if (S_ISDIR (st.st_mode)) {
        VmmCpioAttr attr = attr_of (walk, &st);
        walk->dev = st.st_dev;
        if (vmm_cpio_add_folder (walk->cpio, walk->under, &attr, error))
            return pack_folder (walk, fd, "", error);
        close (fd);
        return false;
    }
    bool ok = S_ISREG (st.st_mode) ? pack_opened (walk, fd, "", &st, error)
                                   : fail (walk, "", "is neither a file nor a folder", error);
    close (fd);
    return ok;
}

/**
 * vmm_tree_pack:
 * @cpio: gets it
 * @host_path: a folder, or a file; a symbolic link is followed here, and nowhere below
 * @under: its name in @cpio; "" for a folder that becomes the root
 * @owners: whom the files belong to
 * @error: %VMM_ERROR_USAGE: something in it cannot be read; else what adding to @cpio says
 *
 * Packs a tree: folders, files, symbolic and hard links, named pipes, and the devices that the user may read;
 * no sockets, and nothing of what is mounted below. Names that vanish meanwhile are left out.
 *
 * Returns: false on failure; @cpio has then what was read before
 */
bool
vmm_tree_pack (VmmCpio *cpio, const char *host_path, const char *under, VmmTreeOwners owners, GError **error)
{
    g_autoptr (GHashTable) linked = g_hash_table_new_full (id_hash, id_equal, g_free, g_free);
    Walk walk = {.cpio = cpio, .host_path = host_path, .under = under, .owners = owners, .linked = linked};
    int fd = open (host_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    return fd < 0 ? fail_read (&walk, "", errno, error) : pack_top (&walk, fd, error);
}
