/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: where kernels come from.
 *
 * A package is read from front to back, once, and its files come in no particular order: packages are
 * archives, compressed as a whole, and nobody wants to unpack one twice. Folders and files are told the same
 * way, from a list that is made when they are opened; see kernel-package-folder.c.
 *
 * Which files belong to one kernel is told by their names, boot/vmlinuz-VERSION and lib/modules/VERSION. An
 * archive may say what it likes: its paths are cleaned, and no more of it than our limits is read.
 */
#include "vmm/kernel-package.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/archive.h"
#include "vmm/error.h"
#include "vmm/kernel-package-internal.h"

#define PIECE ((size_t)256 << 10)

/* Debian's largest kernel has 0.4 GiB of modules. */
static const VmmArchiveLimits limits = {UINT64_C (8) << 30, VMM_KERNEL_FILES_MAX, false};

struct _VmmKernelPackage {
    char *path;
    int fd;              /* of the archive; else of the present file */
    VmmArchive *archive; /* NULL: @items */
    GPtrArray *items;
    guint next;
    VmmKernelFile file; /* the present one */
    char *kernel;       /* of @file */
    char *name;         /* of @file, its path */
    char *link;         /* of @file */
    uint64_t done;      /* bytes given out */
    VmmSpan pending;    /* of an archive: bytes behind a hole in the file */
    uint64_t pending_at;
    uint8_t *piece;
};

static bool
fail (const VmmKernelPackage *package, const char *what, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "kernel package \"%s\": %s", package->path, what);
    return false;
}

/* A compressed vmlinux and a compressed archive look alike: names tell, and so does what a .deb begins with.
 */
static bool
is_archive (const char *path, int fd)
{
    static const char *const names[] = {".deb", ".tar",  ".tar.*", ".tgz",
                                        ".txz", ".tzst", ".cpio",  ".cpio.*"};
    static const char magic[] = "!<arch>\n";
    g_autofree char *base = g_path_get_basename (path);
    char start[sizeof magic - 1];

    if (pread (fd, start, sizeof start, 0) == (ssize_t)sizeof start &&
        memcmp (start, magic, sizeof start) == 0)
        return true;
    for (size_t i = 0; i < G_N_ELEMENTS (names); i++) {
        g_autofree char *pattern = g_strconcat ("*", names[i], NULL);

        if (g_pattern_match_simple (pattern, base))
            return true;
    }
    return false;
}

static bool
open_package (VmmKernelPackage *package, GError **error)
{
    struct stat st;
    int fd = open (package->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat (fd, &st) < 0) {
        int errnum = errno;

        if (fd >= 0)
            close (fd);
        return fail (package, g_strerror (errnum), error);
    }
    if (S_ISREG (st.st_mode) && is_archive (package->path, fd)) {
        package->fd = fd;
        package->archive = vmm_archive_open (fd, package->path, &limits, error);
        return package->archive != NULL;
    }
    close (fd);
    package->items = S_ISDIR (st.st_mode) ? vmm_kernel_items_of_folder (package->path, error)
                                          : vmm_kernel_items_of_file (package->path, error);
    return package->items != NULL;
}

/**
 * vmm_kernel_package_open:
 * @path: a kernel; a package of Debian's, or another archive, with boot/vmlinuz-VERSION in it; or a folder: a
 * package that was unpacked, /boot, or the tree of a build
 * @error: %VMM_ERROR_USAGE: it cannot be read, or has no kernel; %VMM_ERROR_NOT_BOOTABLE: the kernel is none;
 * %VMM_ERROR_HOST: what reads packages is not installed
 *
 * Opens what has kernels in it. Of a kernel and of a folder, what belongs to a kernel is found: the
 * configuration and System.map beside it, and its modules, beside it or in /lib/modules. A folder's kernels
 * are looked into, which takes a moment for each. Any one thread at a time.
 *
 * Returns: (transfer full): a package; NULL on failure
 * Since: 0.1
 */
VmmKernelPackage *
vmm_kernel_package_open (const char *path, GError **error)
{
    g_autoptr (VmmKernelPackage) package = g_new0 (VmmKernelPackage, 1);

    package->path = g_strdup (path);
    package->fd = -1;
    return open_package (package, error) ? g_steal_pointer (&package) : NULL;
}

/**
 * vmm_kernel_package_free:
 * @package: (nullable): a package
 *
 * Since: 0.1
 */
void
vmm_kernel_package_free (VmmKernelPackage *package)
{
    if (package == NULL)
        return;
    vmm_archive_free (package->archive);
    if (package->fd >= 0)
        close (package->fd);
    g_clear_pointer (&package->items, g_ptr_array_unref);
    g_free (package->kernel);
    g_free (package->name);
    g_free (package->link);
    g_free (package->piece);
    g_free (package->path);
    g_free (package);
}

static void
take_file (VmmKernelPackage *package, VmmKernelFileKind kind, char *kernel, char *path, uint64_t size)
{
    g_free (package->kernel);
    g_free (package->name);
    package->kernel = kernel;
    package->name = path;
    package->done = 0;
    package->pending = (VmmSpan){NULL, 0};
    package->file = (VmmKernelFile){.kind = kind, .kernel = kernel, .path = path, .size = size};
}

static bool
next_item (VmmKernelPackage *package, const VmmKernelFile **ret_file, GError **error)
{
    const VmmKernelItem *item;
    struct stat st;

    if (package->fd >= 0)
        close (package->fd);
    package->fd = -1;
    if (package->next == package->items->len) {
        *ret_file = NULL;
        return true;
    }
    item = package->items->pdata[package->next++];
    package->fd = open (item->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (package->fd < 0 || fstat (package->fd, &st) < 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "kernel package \"%s\": \"%s\": %s", package->path,
                     item->source, g_strerror (errno));
        return false;
    }
    if (!S_ISREG (st.st_mode)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "kernel package \"%s\": \"%s\": this is not a regular file", package->path,
                     item->source);
        return false;
    }
    take_file (package, item->kind, g_strdup (item->kernel), g_strdup (item->path), (uint64_t)st.st_size);
    *ret_file = &package->file;
    return true;
}

/* Splits "lib/modules/VERSION/REST"; Fedora has the kernel there, too. */
static bool
classify_module (const char *path, VmmKernelFileKind *ret_kind, char **ret_kernel, const char **ret_path)
{
    const char *slash = strchr (path, '/');

    if (slash == NULL || slash == path || slash[1] == '\0')
        return false;
    *ret_path = slash + 1;
    *ret_kind = strcmp (slash + 1, "vmlinuz") == 0      ? VMM_KERNEL_FILE_KERNEL
                : strcmp (slash + 1, "config") == 0     ? VMM_KERNEL_FILE_CONFIG
                : strcmp (slash + 1, "System.map") == 0 ? VMM_KERNEL_FILE_SYSTEM_MAP
                                                        : VMM_KERNEL_FILE_MODULES;
    *ret_kernel = g_strndup (path, (gsize)(slash - path));
    return true;
}

/* What a file of an archive is, by its path; false when it is nothing of a kernel's. */
static bool
classify (const char *path, VmmKernelFileKind *ret_kind, char **ret_kernel, const char **ret_path)
{
    static const struct {
        const char *start;
        VmmKernelFileKind kind;
    } starts[] = {
        {"boot/vmlinuz-", VMM_KERNEL_FILE_KERNEL},
        {"boot/vmlinux-", VMM_KERNEL_FILE_KERNEL},
        {"boot/config-", VMM_KERNEL_FILE_CONFIG},
        {"boot/System.map-", VMM_KERNEL_FILE_SYSTEM_MAP},
    };

    path += g_str_has_prefix (path, "usr/") ? strlen ("usr/") : 0;
    if (g_str_has_prefix (path, "lib/modules/"))
        return classify_module (path + strlen ("lib/modules/"), ret_kind, ret_kernel, ret_path);
    for (size_t i = 0; i < G_N_ELEMENTS (starts); i++) {
        const char *kernel = path + strlen (starts[i].start);

        if (!g_str_has_prefix (path, starts[i].start) || *kernel == '\0' || strchr (kernel, '/') != NULL)
            continue;
        *ret_kind = starts[i].kind;
        *ret_kernel = g_strdup (kernel);
        *ret_path = path + strlen ("boot/");
        return true;
    }
    return false;
}

/* Where a symbolic link leads, seen from the archive's root, which nothing leads out of. */
static char *
link_path (const VmmArchiveEntry *entry)
{
    g_autofree char *folder = g_path_get_dirname (entry->path);
    g_autofree char *path = g_strconcat (*entry->target == '/' ? "" : folder, "/", entry->target, NULL);

    return vmm_cpio_clean_path (path);
}

/* Of the present file, which is a module: whether it is another name of a module of its kernel. */
static bool
take_link (VmmKernelPackage *package, const VmmArchiveEntry *entry)
{
    bool is_symbolic = entry->link == NULL && entry->target != NULL && *entry->target != '\0';
    g_autofree char *leads_to = is_symbolic ? link_path (entry) : g_strdup (entry->link);
    g_autofree char *kernel = NULL;
    VmmKernelFileKind kind;
    const char *path;

    if (leads_to == NULL || !classify (leads_to, &kind, &kernel, &path) || kind != VMM_KERNEL_FILE_MODULES ||
        strcmp (kernel, package->kernel) != 0)
        return false;
    g_free (package->link);
    package->file.link = package->link = g_strdup (path);
    return true;
}

static bool
next_entry (VmmKernelPackage *package, const VmmKernelFile **ret_file, GError **error)
{
    VmmArchiveEntry entry;
    bool end;

    for (;;) {
        VmmKernelFileKind kind;
        const char *path;
        char *kernel;

        if (!vmm_archive_next (package->archive, &entry, &end, error))
            return false;
        if (end) {
            *ret_file = NULL;
            return true;
        }
        /* In a cpio archive it is one of the links that has the content. */
        bool has_content = S_ISREG (entry.mode) && (entry.link == NULL || entry.size > 0);
        if ((!has_content && entry.link == NULL && !S_ISLNK (entry.mode)) ||
            !classify (entry.path, &kind, &kernel, &path))
            continue;
        take_file (package, kind, kernel, g_strdup (path), has_content ? entry.size : 0);
        bool is_link = kind == VMM_KERNEL_FILE_MODULES && take_link (package, &entry);
        if (!has_content && !is_link)
            continue;
        *ret_file = &package->file;
        return true;
    }
}

/**
 * vmm_kernel_package_next:
 * @package: a package
 * @ret_file: (transfer none) (nullable): its next file, of which vmm_kernel_package_read() reads; NULL at the
 * end
 * @error: %VMM_ERROR_USAGE: the file cannot be read, or the archive is damaged
 *
 * What was not read of the file before is skipped.
 *
 * Returns: false on failure
 * Since: 0.1
 */
bool
vmm_kernel_package_next (VmmKernelPackage *package, const VmmKernelFile **ret_file, GError **error)
{
    return package->archive != NULL ? next_entry (package, ret_file, error)
                                    : next_item (package, ret_file, error);
}

static bool
read_item (VmmKernelPackage *package, size_t left, size_t *ret_len, GError **error)
{
    ssize_t n;

    if (package->fd < 0)
        return fail (package, "no file of it was asked for", error);
    do
        n = pread (package->fd, package->piece, MIN (left, PIECE), (off_t)package->done);
    while (n < 0 && errno == EINTR);
    if (n <= 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "kernel package \"%s\": \"%s\": %s", package->path,
                     package->name, n < 0 ? g_strerror (errno) : "became shorter while it was read");
        return false;
    }
    *ret_len = (size_t)n;
    return true;
}

/* What an archive leaves out of a file is zeros: they are given out from @piece, which has nothing else. */
static bool
read_entry (VmmKernelPackage *package, uint64_t left, VmmSpan *ret_bytes, GError **error)
{
    uint64_t hole;

    if (package->pending.len == 0 &&
        !vmm_archive_read (package->archive, &package->pending, &package->pending_at, error))
        return false;
    hole = package->pending.len > 0 ? package->pending_at - MIN (package->done, package->pending_at) : left;
    if (hole > 0) {
        *ret_bytes = (VmmSpan){package->piece, (size_t)MIN (hole, PIECE)};
        return true;
    }
    if (package->pending_at < package->done)
        return fail (package, "the archive is damaged: a file's parts overlap", error);
    *ret_bytes = package->pending;
    package->pending = (VmmSpan){NULL, 0};
    return true;
}

/**
 * vmm_kernel_package_read:
 * @package: a package
 * @ret_bytes: the next bytes of the present file, valid until the next call
 * @ret_len: how many; 0 at the file's end
 * @error: %VMM_ERROR_USAGE: the file cannot be read, or the archive is damaged
 *
 * Returns: false on failure
 * Since: 0.1
 */
bool
vmm_kernel_package_read (VmmKernelPackage *package, const void **ret_bytes, size_t *ret_len, GError **error)
{
    uint64_t left = package->file.size - package->done;
    VmmSpan bytes = {NULL, 0};

    if (package->piece == NULL)
        package->piece = g_malloc0 (PIECE);
    if (left > 0 && package->archive != NULL) {
        if (!read_entry (package, left, &bytes, error))
            return false;
    } else if (left > 0) {
        if (!read_item (package, (size_t)MIN (left, PIECE), &bytes.len, error))
            return false;
        bytes.data = package->piece;
    }
    package->done += bytes.len;
    *ret_bytes = bytes.data;
    *ret_len = bytes.len;
    return true;
}
