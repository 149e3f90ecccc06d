/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * One or several files become one run of bytes in guest memory, as high as the kernel can read it, so that it
 * stays out of the way of everything that the kernel places from the bottom. Linux takes several archives one
 * after the other (Linux: init/initramfs.c); each must start at a multiple of four bytes, and the zeros
 * between are skipped.
 *
 * The files are read by the host kernel straight into guest memory. Only what has no size, a pipe, is read
 * into our own memory first.
 */
#include "loader/initrd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/decompress.h"
#include "loader/text.h"
#include "vmm/error.h"

/* Kernel and initrd share the RAM below 4 GiB, so more than this cannot be loaded. */
#define TOTAL_MAX ((uint64_t)1 << 32)
#define PIPE_MAX ((size_t)1 << 30)
#define LOW_MEMORY_END 0x100000u
#define MAGIC_LEN 6u
#define ALIGN 4u

typedef struct {
    char *name;
    int fd;
    uint64_t size;
    GByteArray *content; /* of a pipe; else NULL */
} File;

struct _VmmInitrd {
    GArray *files;
    uint64_t total;
    char *warning;
};

static void
file_clear (void *data)
{
    File *file = data;

    g_free (file->name);
    g_clear_pointer (&file->content, g_byte_array_unref);
    if (file->fd >= 0)
        close (file->fd);
}

/**
 * vmm_initrd_new:
 *
 * Returns: (transfer full): an initrd without files
 */
VmmInitrd *
vmm_initrd_new (void)
{
    VmmInitrd *initrd = g_new0 (VmmInitrd, 1);

    initrd->files = g_array_new (FALSE, TRUE, sizeof (File));
    g_array_set_clear_func (initrd->files, file_clear);
    return initrd;
}

/**
 * vmm_initrd_free:
 * @initrd: (nullable): an initrd
 *
 * Frees it; what was loaded stays in guest memory.
 */
void
vmm_initrd_free (VmmInitrd *initrd)
{
    if (initrd == NULL)
        return;
    g_array_unref (initrd->files);
    g_free (initrd->warning);
    g_free (initrd);
}

static bool
fail_errno (const char *name, const char *what, int errnum, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "initrd \"%s\": %s%s", name, what, g_strerror (errnum));
    return false;
}

static bool
read_pipe (File *file, GError **error)
{
    const guint step = 1u << 20;
    ssize_t n;

    file->content = g_byte_array_new ();
    do {
        guint len = file->content->len;
        g_byte_array_set_size (file->content, len + step);
        do
            n = read (file->fd, file->content->data + len, step);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            return fail_errno (file->name, "", errno, error);
        g_byte_array_set_size (file->content, len + (guint)n);
        if (file->content->len > PIPE_MAX) {
            g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                         "initrd \"%s\": more than 1 GiB comes from the pipe; give a file", file->name);
            return false;
        }
    } while (n > 0);
    file->size = file->content->len;
    return true;
}

static bool
measure (File *file, GError **error)
{
    struct stat st;

    if (fstat (file->fd, &st) < 0)
        return fail_errno (file->name, "", errno, error);
    if (S_ISDIR (st.st_mode))
        return fail_errno (file->name, "", EISDIR, error);
    if (S_ISREG (st.st_mode)) {
        file->size = (uint64_t)st.st_size;
        return true;
    }
    if (S_ISFIFO (st.st_mode) || S_ISCHR (st.st_mode) || S_ISSOCK (st.st_mode))
        return read_pipe (file, error);
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "initrd \"%s\": neither a file nor a pipe", file->name);
    return false;
}

/* The kernel knows these; one that it does not know it reports late, if at all. */
static bool
looks_right (const uint8_t *magic, size_t len)
{
    VmmCompression kind = vmm_compression_detect ((VmmSpan){magic, len});

    if (len == MAGIC_LEN && (memcmp (magic, "070701", 6) == 0 || memcmp (magic, "070702", 6) == 0))
        return true;
    return kind != VMM_COMPRESSION_NONE && kind != VMM_COMPRESSION_LZ4_FRAME;
}

static void
check_kind (VmmInitrd *initrd, const File *file)
{
    uint8_t magic[MAGIC_LEN];
    ssize_t n = 0;

    if (file->content != NULL) {
        n = (ssize_t)MIN (sizeof magic, file->content->len);
        memcpy (magic, file->content->data, (size_t)n);
    } else {
        n = pread (file->fd, magic, sizeof magic, 0);
    }
    if (n < 0 || looks_right (magic, (size_t)n) || initrd->warning != NULL)
        return;
    initrd->warning = g_strdup_printf ("initrd \"%s\": neither a cpio archive (newc) nor compressed as Linux "
                                       "knows it; Linux may find no init in it",
                                       file->name);
}

/**
 * vmm_initrd_add:
 * @initrd: an initrd
 * @fd: open for reading; duplicated. A pipe is read to its end now
 * @name: what to call it in messages
 * @error: %VMM_ERROR_USAGE: it is a directory or cannot be read; %VMM_ERROR_NOT_BOOTABLE: it is empty or
 * beyond all limits
 *
 * Adds a file behind those that were added before. Any one thread.
 *
 * Returns: false on failure, with @initrd unchanged
 */
bool
vmm_initrd_add (VmmInitrd *initrd, int fd, const char *name, GError **error)
{
    File file = {.name = g_strdup (name), .fd = fcntl (fd, F_DUPFD_CLOEXEC, 0)};
    bool ok = file.fd >= 0 ? measure (&file, error) : fail_errno (name, "", errno, error);

    if (ok && file.size == 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE, "initrd \"%s\": the file is empty", name);
        ok = false;
    }
    uint64_t start = (initrd->total + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
    if (ok && file.size > TOTAL_MAX - MIN (start, TOTAL_MAX)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                     "initrd \"%s\": %s are more than the 4 GiB below which it must be loaded", name,
                     vmm_size_text (start + file.size).s);
        ok = false;
    }
    if (!ok) {
        file_clear (&file);
        return false;
    }
    initrd->total = start + file.size;
    check_kind (initrd, &file);
    g_array_append_val (initrd->files, file);
    return true;
}

/**
 * vmm_initrd_size:
 * @initrd: an initrd
 *
 * Returns: bytes of all files, with the padding between them; 0 without files
 */
uint64_t
vmm_initrd_size (const VmmInitrd *initrd)
{
    return initrd->total;
}

/**
 * vmm_initrd_warning:
 * @initrd: an initrd
 *
 * Returns: (transfer none) (nullable): a line for the user when a file does not look like an initrd
 */
const char *
vmm_initrd_warning (const VmmInitrd *initrd)
{
    return initrd->warning;
}

/* The highest page below @top with room for @size bytes. */
static bool
below (uint64_t top, uint64_t size, uint64_t *ret_gpa)
{
    if (top < LOW_MEMORY_END || size > top - LOW_MEMORY_END)
        return false;
    *ret_gpa = (top - size) & ~(uint64_t)(VMM_GUEST_PAGE_SIZE - 1);
    return *ret_gpa >= LOW_MEMORY_END;
}

static bool
choose_place (const VmmInitrd *initrd, const VmmInitrdPlace *place, uint64_t *ret_gpa)
{
    uint64_t limit = place->addr_max == UINT64_MAX ? UINT64_MAX : place->addr_max + 1;
    uint64_t top = MIN (place->low_end, limit);

    if (!below (top, initrd->total, ret_gpa))
        return false;
    if (*ret_gpa >= place->kernel_end || top <= place->kernel_start)
        return true;
    return below (MIN (top, place->kernel_start), initrd->total, ret_gpa);
}

static bool
fail_too_large (const VmmInitrd *initrd, const VmmInitrdPlace *place, GError **error)
{
    const File *first = &g_array_index (initrd->files, File, 0);
    g_autofree char *more =
        initrd->files->len > 1 ? g_strdup_printf (" and %u more", initrd->files->len - 1) : NULL;

    g_set_error (
        error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
        "initrd \"%s\"%s: %s do not fit into the %s of guest memory below 4 GiB beside the kernel's %s; "
        "give more --mem or a smaller initrd",
        first->name, more != NULL ? more : "", vmm_size_text (initrd->total).s,
        vmm_size_text (place->low_end).s, vmm_size_text (place->kernel_end - place->kernel_start).s);
    return false;
}

static bool
read_file (const File *file, uint8_t *to, GError **error)
{
    uint64_t done = 0;

    if (file->content != NULL) {
        memcpy (to, file->content->data, file->size);
        return true;
    }
    while (done < file->size) {
        ssize_t n = pread (file->fd, to + done, file->size - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno (file->name, "", errno, error);
        if (n == 0) {
            g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                         "initrd \"%s\": became shorter while it was read, %" PRIu64 " of %" PRIu64
                         " bytes; is it still being written?",
                         file->name, done, file->size);
            return false;
        }
        done += (uint64_t)n;
    }
    return true;
}

/**
 * vmm_initrd_load:
 * @initrd: with one file at least
 * @memory: goes there, and is zero there
 * @place: limits
 * @ret_gpa: where it starts, at a page; it has vmm_initrd_size() bytes
 * @error: %VMM_ERROR_NOT_BOOTABLE: does not fit, or a file shrank; %VMM_ERROR_USAGE: cannot be read
 *
 * Reads the files into guest memory, as high as @place allows. After the kernel, see kernel-load.c. Any
 * thread.
 *
 * Returns: false on failure; guest memory is undefined then
 */
bool
vmm_initrd_load (VmmInitrd *initrd, VmmGuestMemory *memory, const VmmInitrdPlace *place, uint64_t *ret_gpa,
                 GError **error)
{
    uint64_t gpa, at = 0;
    uint8_t *to;

    if (initrd->files->len == 0) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_BUSY, "the initrd has no file");
        return false;
    }
    if (!choose_place (initrd, place, &gpa) ||
        (to = vmm_guest_memory_ptr (memory, gpa, initrd->total)) == NULL)
        return fail_too_large (initrd, place, error);
    for (guint i = 0; i < initrd->files->len; i++) {
        const File *file = &g_array_index (initrd->files, File, i);
        uint64_t start = (at + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
        /* What unpacking the kernel left behind must not stand between two archives. */
        memset (to + at, 0, start - at);
        if (!read_file (file, to + start, error))
            return false;
        at = start + file->size;
    }
    *ret_gpa = gpa;
    return true;
}
