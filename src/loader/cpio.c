/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * One archive in the format that Linux calls newc (Linux: Documentation/driver-api/early-userspace/
 * buffer-format.rst) grows in a memfd, which is sealed when it is done and then read like any initrd's file.
 * Each entry is a header of 110 bytes, the name, and the content, the latter two padded to four bytes.
 *
 * An entry's header is written after its content: only then it is known how long a file was that somebody
 * else was still writing. Padding and holes are never written; a memfd is zero where nobody wrote. So what an
 * entry that failed left behind must be cut off, for the next one to find zeros.
 *
 * Linux makes no folders by itself and drops what has none, so those that nobody added are added here. All
 * names are cleaned: they are relative, and ".." ends at the root. What a name means is up to Linux, which
 * follows the archive's own symbolic links; it unpacks into the guest, which is the archive's place.
 *
 * Hard links are entries with one inode number. The content is with one of them, the first as a rule.
 */
#include "loader/cpio-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/text.h"
#include "vmm/error.h"

/* In the header. */
#define NLINK_AT 38u
#define DIGITS 8u

/**
 * vmm_cpio_clean_path:
 * @path: any path
 *
 * Returns: (transfer full): the same below the root, without "", "." and ".."; "" for the root itself
 */
char *
vmm_cpio_clean_path (const char *path)
{
    GString *clean = g_string_sized_new (strlen (path));

    while (*path != '\0') {
        size_t n = strcspn (path, "/");
        if (n == 2 && memcmp (path, "..", 2) == 0) {
            const char *slash = strrchr (clean->str, '/');
            g_string_truncate (clean, slash != NULL ? (gsize)(slash - clean->str) : 0);
        } else if (n > 0 && !(n == 1 && *path == '.')) {
            if (clean->len > 0)
                g_string_append_c (clean, '/');
            g_string_append_len (clean, path, (gssize)n);
        }
        path += n + (path[n] == '/');
    }
    return g_string_free (clean, FALSE);
}

/**
 * vmm_cpio_new:
 * @size_max: bytes that the whole archive may have
 * @error: %VMM_ERROR_HOST
 *
 * Any one thread at a time.
 *
 * Returns: (transfer full): an archive without entries; NULL on failure
 */
VmmCpio *
vmm_cpio_new (uint64_t size_max, GError **error)
{
    int fd = memfd_create ("vmm-initrd", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "initrd: memfd_create: %s", g_strerror (errno));
        return NULL;
    }
    VmmCpio *cpio = g_new0 (VmmCpio, 1);
    cpio->fd = fd;
    cpio->size_max = size_max;
    cpio->entries = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
    return cpio;
}

/**
 * vmm_cpio_free:
 * @cpio: (nullable): an archive
 *
 * A descriptor that vmm_cpio_finish() gave lives on.
 */
void
vmm_cpio_free (VmmCpio *cpio)
{
    if (cpio == NULL)
        return;
    if (cpio->fd >= 0)
        close (cpio->fd);
    g_hash_table_unref (cpio->entries);
    g_free (cpio->path);
    g_free (cpio);
}

/**
 * vmm_cpio_size:
 * @cpio: an archive
 *
 * Returns: its bytes so far
 */
uint64_t
vmm_cpio_size (const VmmCpio *cpio)
{
    return cpio->at;
}

/**
 * vmm_cpio_has:
 * @cpio: an archive
 * @path: in it
 *
 * Returns: whether there is an entry of that name
 */
bool
vmm_cpio_has (const VmmCpio *cpio, const char *path)
{
    g_autofree char *clean = vmm_cpio_clean_path (path);

    return g_hash_table_contains (cpio->entries, clean);
}

/**
 * vmm_cpio_fail:
 * @path: of the entry
 * @code: a #VmmError
 * @what: is wrong with it
 * @error: takes both
 *
 * Returns: false
 */
bool
vmm_cpio_fail (const char *path, int code, const char *what, GError **error)
{
    g_set_error (error, VMM_ERROR, code, "initrd: \"%s\": %s", path, what);
    return false;
}

static uint64_t
padded (uint64_t n)
{
    return (n + 3) & ~UINT64_C (3);
}

/**
 * vmm_cpio_content_at:
 * @cpio: an archive with an entry begun
 *
 * Returns: where its content goes
 */
uint64_t
vmm_cpio_content_at (const VmmCpio *cpio)
{
    return padded (cpio->at + VMM_CPIO_HEADER_SIZE + strlen (cpio->path) + 1);
}

/**
 * vmm_cpio_check_room:
 * @cpio: an archive with an entry begun
 * @size: of its content
 * @error: %VMM_ERROR_NOT_BOOTABLE
 *
 * Returns: false when that is more than the format, or the archive, can have
 */
bool
vmm_cpio_check_room (VmmCpio *cpio, uint64_t size, GError **error)
{
    if (size > VMM_CPIO_FILE_MAX)
        return vmm_cpio_fail (cpio->path, VMM_ERROR_NOT_BOOTABLE,
                              "a file of 4 GiB or more does not go into an initrd; use a disk", error);
    if (padded (vmm_cpio_content_at (cpio) + size) <= cpio->size_max)
        return true;
    g_autofree char *what = g_strdup_printf ("with it the initrd is larger than the %s that fit; leave "
                                             "something out, give more --mem, or use a disk",
                                             vmm_size_text (cpio->size_max).s);
    return vmm_cpio_fail (cpio->path, VMM_ERROR_NOT_BOOTABLE, what, error);
}

static bool
write_at (VmmCpio *cpio, uint64_t at, const void *data, size_t len, GError **error)
{
    const uint8_t *p = data;

    while (len > 0) {
        ssize_t n = pwrite (cpio->fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vmm_cpio_fail (cpio->path, VMM_ERROR_HOST, g_strerror (errno), error);
        p += n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return true;
}

/**
 * vmm_cpio_abandon:
 * @cpio: an archive
 *
 * Forgets the entry that was begun, and leaves zeros for the next.
 *
 * Returns: false
 */
bool
vmm_cpio_abandon (VmmCpio *cpio)
{
    g_clear_pointer (&cpio->path, g_free);
    if (ftruncate (cpio->fd, (off_t)cpio->at) < 0)
        cpio->broken = true;
    return false;
}

static bool
check_name (const char *path, GError **error)
{
    /* Linux takes a name of 4096 bytes, the zero at its end included. */
    if (strlen (path) > VMM_CPIO_PATH_MAX)
        return vmm_cpio_fail (path, VMM_ERROR_USAGE, "the name is longer than an initrd can have", error);
    for (const char *part = path; *part != '\0'; part += strspn (part, "/")) {
        size_t n = strcspn (part, "/");
        if (n > NAME_MAX)
            return vmm_cpio_fail (path, VMM_ERROR_USAGE, "a part of the name has more than 255 bytes", error);
        part += n;
    }
    if (strcmp (path, VMM_CPIO_TRAILER) == 0)
        return vmm_cpio_fail (path, VMM_ERROR_USAGE, "this name ends an archive; call it something else",
                              error);
    return true;
}

static bool begin (VmmCpio *cpio, const char *path, uint32_t mode, const VmmCpioAttr *attr, GError **error);
static bool end (VmmCpio *cpio, uint64_t size, GError **error);

/* From the top down, so that Linux finds each one's parent made. */
static bool
make_parents (VmmCpio *cpio, const char *path, GError **error)
{
    for (const char *slash = strchr (path, '/'); slash != NULL; slash = strchr (slash + 1, '/')) {
        g_autofree char *parent = g_strndup (path, (gsize)(slash - path));
        const VmmCpioEntryPlace *place = g_hash_table_lookup (cpio->entries, parent);
        if (place == NULL) {
            if (!begin (cpio, parent, S_IFDIR | 0755, NULL, error) || !end (cpio, 0, error))
                return false;
        } else if (!S_ISDIR (place->mode) && !S_ISLNK (place->mode)) {
            g_autofree char *what = g_strdup_printf ("\"%s\" is in the way: it is not a folder", parent);
            return vmm_cpio_fail (path, VMM_ERROR_USAGE, what, error);
        }
    }
    return true;
}

/* An entry at the next place, of a clean path whose parents are there. */
static bool
begin (VmmCpio *cpio, const char *path, uint32_t mode, const VmmCpioAttr *attr, GError **error)
{
    if (cpio->n_entries >= VMM_CPIO_ENTRIES_MAX)
        return vmm_cpio_fail (path, VMM_ERROR_NOT_BOOTABLE,
                              "an initrd can have a million entries; use a disk", error);
    cpio->path = g_strdup (path);
    cpio->attr = attr != NULL ? *attr : (VmmCpioAttr){0};
    cpio->place = (VmmCpioEntryPlace){
        .at = cpio->at,
        .first_at = cpio->at,
        .ino = ++cpio->n_entries,
        .mode = attr != NULL ? (mode & S_IFMT) | (attr->mode & 07777) : mode,
    };
    cpio->major = 0;
    cpio->minor = 0;
    return true;
}

static bool
prepare (VmmCpio *cpio, const char *path, uint32_t mode, const VmmCpioAttr *attr, GError **error)
{
    g_autofree char *clean = vmm_cpio_clean_path (path);

    if (cpio->path != NULL)
        vmm_cpio_abandon (cpio);
    if (cpio->fd < 0 || cpio->broken)
        return vmm_cpio_fail (clean, VMM_ERROR_BUSY, "the archive is closed", error);
    if (*clean == '\0')
        return vmm_cpio_fail ("/", VMM_ERROR_USAGE, "the root can only be a folder", error);
    if (!S_ISDIR (mode) && vmm_cpio_is_over (cpio, clean, S_IFDIR))
        return vmm_cpio_fail (clean, VMM_ERROR_USAGE,
                              "this is a folder in the guest: name the file in it, or put a slash behind it",
                              error);
    return check_name (clean, error) && make_parents (cpio, clean, error) &&
           begin (cpio, clean, mode, attr, error);
}

/* The first entry of an inode has the number of all. */
static bool
count_link (VmmCpio *cpio, GError **error)
{
    char text[DIGITS + 1] = "";

    if (cpio->place.first_at == cpio->place.at)
        return true;
    if (pread (cpio->fd, text, DIGITS, (off_t)(cpio->place.first_at + NLINK_AT)) != (ssize_t)DIGITS)
        return vmm_cpio_fail (cpio->path, VMM_ERROR_HOST, "the archive cannot be read", error);
    snprintf (text, sizeof text, "%08X", (unsigned)g_ascii_strtoull (text, NULL, 16) + 1);
    return write_at (cpio, cpio->place.first_at + NLINK_AT, text, DIGITS, error);
}

static bool
write_header (VmmCpio *cpio, uint64_t size, GError **error)
{
    char buffer[VMM_CPIO_HEADER_SIZE + VMM_CPIO_PATH_MAX + 1];
    unsigned nlink = cpio->place.first_at != cpio->place.at || S_ISDIR (cpio->place.mode) ? 2 : 1;
    int n = snprintf (
        buffer, sizeof buffer, VMM_CPIO_MAGIC "%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s",
        cpio->place.ino, cpio->place.mode, cpio->attr.uid, cpio->attr.gid, nlink, cpio->attr.mtime,
        (unsigned)size, 0u, 0u, cpio->major, cpio->minor, (unsigned)strlen (cpio->path) + 1, 0u, cpio->path);

    return write_at (cpio, cpio->at, buffer, (size_t)n + 1, error);
}

/* The content is in place; the header before it makes an entry of it. */
static bool
end (VmmCpio *cpio, uint64_t size, GError **error)
{
    if (!vmm_cpio_check_room (cpio, size, error) || !write_header (cpio, size, error) ||
        !count_link (cpio, error))
        return vmm_cpio_abandon (cpio);
    cpio->at = padded (vmm_cpio_content_at (cpio) + size);
    g_hash_table_replace (cpio->entries, g_steal_pointer (&cpio->path),
                          g_memdup2 (&cpio->place, sizeof cpio->place));
    return true;
}

/* What has its content in memory. */
static bool
finish_entry (VmmCpio *cpio, VmmSpan content, GError **error)
{
    return vmm_cpio_write (cpio, 0, content, error) && end (cpio, content.len, error);
}

/**
 * vmm_cpio_add_folder:
 * @cpio: an archive
 * @path: in it; missing parents are made. The root is there already, and stays as it is
 * @attr: (nullable): its owner, mode and time
 * @error: as vmm_cpio_add_file()
 *
 * Adds a folder, or changes one that was added.
 *
 * Returns: false on failure, with the archive as it was, but for parents
 */
bool
vmm_cpio_add_folder (VmmCpio *cpio, const char *path, const VmmCpioAttr *attr, GError **error)
{
    g_autofree char *clean = vmm_cpio_clean_path (path);

    if (*clean == '\0' || vmm_cpio_is_over (cpio, clean, S_IFLNK))
        return true;
    return prepare (cpio, clean, S_IFDIR | 0755, attr, error) && end (cpio, 0, error);
}

/**
 * vmm_cpio_add_file:
 * @cpio: an archive
 * @path: in it; missing parents are made. A later entry of the same name replaces an earlier one
 * @attr: (nullable): its owner, mode and time
 * @content: of the file
 * @error: %VMM_ERROR_NOT_BOOTABLE: too large; %VMM_ERROR_USAGE: the name cannot be; %VMM_ERROR_HOST
 *
 * Adds a file.
 *
 * Returns: false on failure, with the archive as it was, but for parents
 */
bool
vmm_cpio_add_file (VmmCpio *cpio, const char *path, const VmmCpioAttr *attr, VmmSpan content, GError **error)
{
    return prepare (cpio, path, S_IFREG | 0644, attr, error) && finish_entry (cpio, content, error);
}

/**
 * vmm_cpio_add_symlink:
 * @cpio: an archive
 * @path: in it; missing parents are made
 * @attr: (nullable): its owner and time
 * @target: what it says, as it is
 * @error: as vmm_cpio_add_file()
 *
 * Adds a symbolic link.
 *
 * Returns: false on failure, with the archive as it was, but for parents
 */
bool
vmm_cpio_add_symlink (VmmCpio *cpio, const char *path, const VmmCpioAttr *attr, const char *target,
                      GError **error)
{
    VmmSpan content = {(const uint8_t *)target, strlen (target)};

    if (content.len == 0 || content.len > VMM_CPIO_PATH_MAX)
        return vmm_cpio_fail (path, VMM_ERROR_USAGE,
                              "the target of this link is empty, or too long for an initrd", error);
    return prepare (cpio, path, S_IFLNK | 0777, attr, error) && finish_entry (cpio, content, error);
}

/**
 * vmm_cpio_add_device:
 * @cpio: an archive
 * @path: in it; missing parents are made
 * @attr: (nullable): its owner, mode and time
 * @type: S_IFCHR, S_IFBLK, or S_IFIFO, which has no numbers
 * @major: number
 * @minor: number
 * @error: as vmm_cpio_add_file()
 *
 * Adds a device node or a named pipe; that needs no privilege.
 *
 * Returns: false on failure, with the archive as it was, but for parents
 */
bool
vmm_cpio_add_device (VmmCpio *cpio, const char *path, const VmmCpioAttr *attr, uint32_t type, uint32_t major,
                     uint32_t minor, GError **error)
{
    if (type != S_IFCHR && type != S_IFBLK && type != S_IFIFO)
        return vmm_cpio_fail (path, VMM_ERROR_USAGE, "this is no device", error);
    if (!prepare (cpio, path, type | 0600, attr, error))
        return false;
    cpio->major = major;
    cpio->minor = minor;
    return end (cpio, 0, error);
}

/**
 * vmm_cpio_begin_file:
 * @cpio: an archive
 * @path: in it; missing parents are made
 * @attr: (nullable): its owner, mode and time
 * @existing: (nullable): a file that was added: this is another name of it
 * @error: as vmm_cpio_add_file()
 *
 * Begins a file whose content comes in pieces, by vmm_cpio_write(); vmm_cpio_end_file() makes it part of the
 * archive. One that is not ended is forgotten when the next entry is added.
 *
 * Returns: false on failure
 */
bool
vmm_cpio_begin_file (VmmCpio *cpio, const char *path, const VmmCpioAttr *attr, const char *existing,
                     GError **error)
{
    if (existing == NULL)
        return prepare (cpio, path, S_IFREG | 0644, attr, error);
    g_autofree char *clean = vmm_cpio_clean_path (existing);
    const VmmCpioEntryPlace *original = g_hash_table_lookup (cpio->entries, clean);
    if (original == NULL || !S_ISREG (original->mode)) {
        g_autofree char *what =
            g_strdup_printf ("this is a hard link to \"%s\", %s", clean,
                             original == NULL ? "which is not there" : "which is not a file");
        return vmm_cpio_fail (path, VMM_ERROR_USAGE, what, error);
    }
    VmmCpioEntryPlace first = *original;
    if (!prepare (cpio, path, first.mode, attr, error))
        return false;
    cpio->place.first_at = first.first_at;
    cpio->place.ino = first.ino;
    return true;
}

/**
 * vmm_cpio_write:
 * @cpio: an archive with a file begun
 * @offset: in the file; what is left out is zeros, and no memory is used for it
 * @bytes: go there
 * @error: %VMM_ERROR_NOT_BOOTABLE: too large; %VMM_ERROR_HOST
 *
 * Returns: false on failure; the file is forgotten then
 */
bool
vmm_cpio_write (VmmCpio *cpio, uint64_t offset, VmmSpan bytes, GError **error)
{
    uint64_t file_end;

    if (cpio->path == NULL)
        return vmm_cpio_fail ("", VMM_ERROR_BUSY, "no file is begun", error);
    if (__builtin_add_overflow (offset, bytes.len, &file_end))
        file_end = UINT64_MAX;
    return (vmm_cpio_check_room (cpio, file_end, error) &&
            write_at (cpio, vmm_cpio_content_at (cpio) + offset, bytes.data, bytes.len, error)) ||
           vmm_cpio_abandon (cpio);
}

/**
 * vmm_cpio_end_file:
 * @cpio: an archive with a file begun
 * @size: of the file; nothing was written beyond it
 * @error: as vmm_cpio_write()
 *
 * Returns: false on failure; the file is forgotten then
 */
bool
vmm_cpio_end_file (VmmCpio *cpio, uint64_t size, GError **error)
{
    if (cpio->path == NULL)
        return vmm_cpio_fail ("", VMM_ERROR_BUSY, "no file is begun", error);
    return end (cpio, size, error);
}

/**
 * vmm_cpio_add_hard_link:
 * @cpio: an archive
 * @path: in it; missing parents are made
 * @attr: (nullable): what the file had
 * @existing: a file that was added
 * @error: as vmm_cpio_add_file()
 *
 * Gives a file another name.
 *
 * Returns: false on failure, with the archive as it was, but for parents
 */
bool
vmm_cpio_add_hard_link (VmmCpio *cpio, const char *path, const VmmCpioAttr *attr, const char *existing,
                        GError **error)
{
    return vmm_cpio_begin_file (cpio, path, attr, existing, error) && end (cpio, 0, error);
}

/**
 * vmm_cpio_finish:
 * @cpio: an archive; nothing can be added any more, and it has no other use
 * @error: %VMM_ERROR_HOST, %VMM_ERROR_NOT_BOOTABLE
 *
 * Returns: (transfer full): a descriptor, sealed, for vmm_initrd_add(); -1 on failure
 */
int
vmm_cpio_finish (VmmCpio *cpio, GError **error)
{
    if (cpio->path != NULL)
        vmm_cpio_abandon (cpio);
    if (cpio->fd < 0 || cpio->broken) {
        vmm_cpio_fail ("", VMM_ERROR_BUSY, "the archive is closed", error);
        return -1;
    }
    cpio->path = g_strdup (VMM_CPIO_TRAILER);
    cpio->attr = (VmmCpioAttr){0};
    cpio->place = (VmmCpioEntryPlace){.at = cpio->at, .first_at = cpio->at};
    if (!end (cpio, 0, error))
        return -1;
    if (ftruncate (cpio->fd, (off_t)cpio->at) < 0 ||
        fcntl (cpio->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0) {
        vmm_cpio_fail ("", VMM_ERROR_HOST, g_strerror (errno), error);
        return -1;
    }
    int fd = cpio->fd;
    cpio->fd = -1;
    return fd;
}
