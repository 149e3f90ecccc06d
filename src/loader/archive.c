/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Reads tar, however it is compressed, cpio, and Debian's packages, which are an ar archive with a tar
 * inside: that one is read by a second reader, fed from the first. libarchive parses; what it finds is
 * believed no more than its input. Names are cleaned, so that nothing is above the place where it is put.
 * Sizes are added up as the headers tell them, and an entry has no more than its header says: a small file
 * that unpacks to no end is given up at the limit.
 */
#include "loader/archive.h"

#include <errno.h>
#include <sys/stat.h>

#include "loader/archive-library.h"
#include "loader/text.h"
#include "vmm/error.h"

#define READ_SIZE (64u << 10)

struct _VmmArchive {
    VmmArchiveLibrary library;
    char *name;
    VmmArchiveLimits limits;
    struct archive *outer;
    struct archive *inner;       /* of a package; else NULL */
    struct archive_entry *entry; /* the present one */
    bool pending;                /* it was read to learn the format, and not given out */
    bool at_end;
    char *path; /* of the entry given out last, as the next two */
    char *link;
    char *target;
    uint32_t n_entries;
    uint64_t announced; /* bytes of content, by the headers */
    uint64_t size;      /* of the present entry */
};

static bool
fail (const VmmArchive *a, const char *what, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "archive \"%s\": %s", a->name, what);
    return false;
}

static struct archive *
reader (const VmmArchive *a)
{
    return a->inner != NULL ? a->inner : a->outer;
}

static bool
fail_library (const VmmArchive *a, struct archive *handle, GError **error)
{
    const char *text = a->library.error_string (handle);
    g_autofree char *what = g_strdelimit (g_strdup (text != NULL ? text : "it cannot be read"), "\n", ' ');

    return fail (a, what, error);
}

static struct archive *
new_reader (const VmmArchive *a, bool of_package)
{
    struct archive *handle = a->library.make ();

    for (size_t i = 0; handle != NULL && a->library.formats[i] != NULL; i++)
        if (!of_package || i == 0)
            a->library.formats[i](handle);
    for (size_t i = 0; handle != NULL && a->library.filters[i] != NULL; i++)
        a->library.filters[i](handle);
    return handle;
}

/* Bytes of the package's data.tar, for the inner reader. */
static la_ssize_t
read_member (struct archive *inner, void *data, const void **ret_bytes)
{
    VmmArchive *a = data;
    size_t len = 0;
    la_int64_t offset;
    int rc;

    do
        rc = a->library.data_block (a->outer, ret_bytes, &len, &offset);
    while (rc == ARCHIVE_OK && len == 0);
    if (rc == ARCHIVE_OK || rc == ARCHIVE_EOF)
        return rc == ARCHIVE_OK ? (la_ssize_t)len : 0;
    const char *text = a->library.error_string (a->outer);
    a->library.set_error (inner, EIO, "%s", text != NULL ? text : "the package cannot be read");
    return -1;
}

static bool
read_header (VmmArchive *a, struct archive *handle, GError **error)
{
    int rc = a->library.next_header (handle, &a->entry);

    a->at_end = rc == ARCHIVE_EOF;
    /* A warning is about a name in another character set; its bytes are as good. */
    return rc == ARCHIVE_OK || rc == ARCHIVE_WARN || a->at_end || fail_library (a, handle, error);
}

/* deb(5): debian-binary, control.tar, data.tar, the latter two compressed or not. */
static bool
open_package (VmmArchive *a, GError **error)
{
    while (!a->at_end) {
        const char *member = a->library.pathname (a->entry);
        if (member != NULL && g_str_has_prefix (member, "data.tar")) {
            a->inner = new_reader (a, true);
            if (a->inner == NULL)
                return fail (a, "no memory for a reader", error);
            if (a->library.open_callbacks (a->inner, a, NULL, read_member, NULL) != ARCHIVE_OK)
                return fail_library (a, a->inner, error);
            return read_header (a, a->inner, error);
        }
        if (!read_header (a, a->outer, error))
            return false;
    }
    return fail (a, "an ar archive without data.tar, so not a package of Debian's", error);
}

static bool
open_archive (VmmArchive *a, int fd, GError **error)
{
    g_autoptr (GError) missing = NULL;

    if (!vmm_archive_library_open (&a->library, &missing)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "archive \"%s\": %s", a->name, missing->message);
        return false;
    }
    a->outer = new_reader (a, false);
    if (a->outer == NULL)
        return fail (a, "no memory for a reader", error);
    if (a->library.open_fd (a->outer, fd, READ_SIZE) != ARCHIVE_OK)
        return fail_library (a, a->outer, error);
    if (!read_header (a, a->outer, error))
        return false;
    if ((a->library.format (a->outer) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_AR &&
        !open_package (a, error))
        return false;
    a->pending = true;
    return true;
}

/**
 * vmm_archive_open:
 * @fd: open for reading, at the start; it has to stay open. A pipe will do
 * @name: what to call it in messages
 * @limits: what it may have
 * @error: %VMM_ERROR_USAGE: it is no archive, or damaged; %VMM_ERROR_HOST: libarchive is not installed
 *
 * Begins to read an archive. Any one thread at a time.
 *
 * Returns: (transfer full): an archive; NULL on failure
 */
VmmArchive *
vmm_archive_open (int fd, const char *name, const VmmArchiveLimits *limits, GError **error)
{
    g_autoptr (VmmArchive) a = g_new0 (VmmArchive, 1);

    a->name = g_strdup (name);
    a->limits = *limits;
    return open_archive (a, fd, error) ? g_steal_pointer (&a) : NULL;
}

/**
 * vmm_archive_free:
 * @archive: (nullable): an archive
 */
void
vmm_archive_free (VmmArchive *archive)
{
    if (archive == NULL)
        return;
    if (archive->inner != NULL)
        archive->library.free (archive->inner);
    if (archive->outer != NULL)
        archive->library.free (archive->outer);
    vmm_archive_library_close (&archive->library);
    g_free (archive->name);
    g_free (archive->path);
    g_free (archive->link);
    g_free (archive->target);
    g_free (archive);
}

/* pax says that its names are UTF-8; what is not can be had as it is. */
static const char *
name_of (const char *utf8, const char *bytes)
{
    return utf8 != NULL ? utf8 : bytes;
}

static bool
count (VmmArchive *a, GError **error)
{
    la_int64_t size = a->library.size (a->entry);

    a->size = size > 0 ? (uint64_t)size : 0;
    if (++a->n_entries > a->limits.entries_max) {
        g_autofree char *what = g_strdup_printf ("more than %u entries%s", a->limits.entries_max,
                                                 a->limits.for_initrd ? "; use a disk" : "");
        return fail (a, what, error);
    }
    if (a->size <= a->limits.bytes_max - a->announced) {
        a->announced += a->size;
        return true;
    }
    g_autofree char *what =
        g_strdup_printf ("unpacks to more than %s%s", vmm_size_text (a->limits.bytes_max).s,
                         a->limits.for_initrd ? "; give more --mem, or use a disk" : "");
    return fail (a, what, error);
}

static bool
take_names (VmmArchive *a, GError **error)
{
    const VmmArchiveLibrary *l = &a->library;
    const char *path = name_of (l->pathname_utf8 (a->entry), l->pathname (a->entry));
    const char *link = name_of (l->hardlink_utf8 (a->entry), l->hardlink (a->entry));
    const char *target = name_of (l->symlink_utf8 (a->entry), l->symlink (a->entry));

    if (path == NULL)
        return fail (a, "an entry has no name", error);
    g_free (a->path);
    g_free (a->link);
    g_free (a->target);
    a->path = vmm_cpio_clean_path (path);
    a->link = link != NULL ? vmm_cpio_clean_path (link) : NULL;
    a->target = g_strdup (target);
    return true;
}

/**
 * vmm_archive_next:
 * @archive: an archive
 * @ret_entry: its next entry, of which vmm_archive_read() reads
 * @ret_end: whether there is none, and @ret_entry was not written
 * @error: %VMM_ERROR_USAGE: the archive is damaged, or beyond its limits
 *
 * What was not read of the entry before is skipped.
 *
 * Returns: false on failure
 */
bool
vmm_archive_next (VmmArchive *archive, VmmArchiveEntry *ret_entry, bool *ret_end, GError **error)
{
    const VmmArchiveLibrary *l = &archive->library;
    bool pending = archive->pending;

    archive->pending = false;
    if (!pending && !archive->at_end && !read_header (archive, reader (archive), error))
        return false;
    *ret_end = archive->at_end;
    if (archive->at_end)
        return true;
    if (!count (archive, error) || !take_names (archive, error))
        return false;
    uint32_t mode = (uint32_t)l->mode (archive->entry);
    *ret_entry = (VmmArchiveEntry){
        .path = archive->path,
        .link = archive->link,
        .target = archive->target,
        .mode = mode,
        .attr = {mode & 07777, (uint32_t)l->uid (archive->entry), (uint32_t)l->gid (archive->entry),
                 (uint32_t)CLAMP (l->mtime (archive->entry), 0, (time_t)UINT32_MAX)},
        .size = archive->size,
        .major = (uint32_t)l->rdevmajor (archive->entry),
        .minor = (uint32_t)l->rdevminor (archive->entry),
    };
    return true;
}

/**
 * vmm_archive_read:
 * @archive: an archive
 * @ret_bytes: the next bytes of the entry, valid until the next call; none at its end
 * @ret_offset: where they are in it; what is left out is zeros
 * @error: %VMM_ERROR_USAGE: the archive is damaged
 *
 * Returns: false on failure
 */
bool
vmm_archive_read (VmmArchive *archive, VmmSpan *ret_bytes, uint64_t *ret_offset, GError **error)
{
    const void *bytes = NULL;
    size_t len = 0;
    la_int64_t offset = 0;
    int rc;

    do
        rc = archive->library.data_block (reader (archive), &bytes, &len, &offset);
    while (rc == ARCHIVE_OK && len == 0);
    if (rc == ARCHIVE_EOF) {
        len = 0;
        offset = 0;
    } else if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) {
        return fail_library (archive, reader (archive), error);
    }
    if (offset < 0 || (uint64_t)offset > archive->size || len > archive->size - (uint64_t)offset)
        return fail (archive, "an entry is longer than it says", error);
    *ret_bytes = (VmmSpan){bytes, len};
    *ret_offset = (uint64_t)offset;
    return true;
}

static bool
unpack_file (VmmArchive *a, const VmmArchiveEntry *entry, VmmCpio *cpio, const char *path, const char *link,
             GError **error)
{
    uint64_t offset;
    VmmSpan bytes;

    if (!vmm_cpio_begin_file (cpio, path, &entry->attr, link, error))
        return false;
    for (;;) {
        if (!vmm_archive_read (a, &bytes, &offset, error))
            return false;
        if (bytes.len == 0)
            return vmm_cpio_end_file (cpio, entry->size, error);
        if (!vmm_cpio_write (cpio, offset, bytes, error))
            return false;
    }
}

static bool
unpack_entry (VmmArchive *a, const VmmArchiveEntry *entry, VmmCpio *cpio, const char *under, GError **error)
{
    g_autofree char *path = g_strconcat (under, "/", entry->path, NULL);
    g_autofree char *link = entry->link != NULL ? g_strconcat (under, "/", entry->link, NULL) : NULL;

    if (link != NULL)
        return unpack_file (a, entry, cpio, path, link, error);
    switch (entry->mode & S_IFMT) {
    case S_IFDIR:
        return vmm_cpio_add_folder (cpio, path, &entry->attr, error);
    case S_IFREG:
        return unpack_file (a, entry, cpio, path, NULL, error);
    case S_IFLNK:
        return vmm_cpio_add_symlink (cpio, path, &entry->attr, entry->target != NULL ? entry->target : "",
                                     error);
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
        return vmm_cpio_add_device (cpio, path, &entry->attr, entry->mode & S_IFMT, entry->major,
                                    entry->minor, error);
    default:
        return true; /* a socket means nothing without who listens */
    }
}

/**
 * vmm_archive_unpack:
 * @archive: an archive, nothing of which was read
 * @cpio: gets all that is in it
 * @under: a folder in @cpio; "" for its root
 * @error: as vmm_archive_next(), or what adding to @cpio says; names @archive
 *
 * Returns: false on failure; @cpio has then what was read before
 */
bool
vmm_archive_unpack (VmmArchive *archive, VmmCpio *cpio, const char *under, GError **error)
{
    VmmArchiveEntry entry;
    bool end;

    for (;;) {
        if (!vmm_archive_next (archive, &entry, &end, error))
            return false;
        if (end)
            return true;
        g_autoptr (GError) inner = NULL;
        if (unpack_entry (archive, &entry, cpio, under, &inner))
            continue;
        if (g_str_has_prefix (inner->message, "archive "))
            g_propagate_error (error, g_steal_pointer (&inner));
        else
            g_set_error (error, inner->domain, inner->code, "archive \"%s\": %s", archive->name,
                         inner->message);
        return false;
    }
}
