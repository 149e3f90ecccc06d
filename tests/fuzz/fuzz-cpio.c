/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first byte chooses. Even: the rest is an archive that comes in pieces, and what is read of it is
 * written again, and read again: what the writer takes comes back. Odd: the rest are names for the writer.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/cpio-reader.h"
#include "loader/cpio.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define SIZE_MAX_OF_ALL (1u << 20)

typedef struct {
    VmmCpio *copy; /* NULL: count only */
    size_t n_entries;
    size_t n_bytes;
    size_t n_taken; /* by the copy */
    size_t n_taken_bytes;
    uint64_t at;
    bool open;
} Reading;

static bool
begin (void *data, const VmmCpioReadEntry *e, GError **error)
{
    Reading *r = data;
    VmmCpioAttr attr = {e->mode & 07777, e->uid, e->gid, e->mtime};
    bool taken = false;

    if (e->name[0] == '\0' || (S_ISLNK (e->mode) != (e->target != NULL)))
        abort ();
    r->n_entries++;
    r->at = 0;
    r->open = false;
    if (r->copy == NULL)
        return true;
    /* Parents that are made would be counted as entries: here only what needs none. */
    if (strchr (e->name, '/') != NULL)
        return true;
    if (S_ISREG (e->mode))
        r->open = vmm_cpio_begin_file (r->copy, e->name, &attr, NULL, NULL);
    else if (S_ISDIR (e->mode))
        taken = strcmp (e->name, ".") != 0 && strcmp (e->name, "..") != 0 &&
                vmm_cpio_add_folder (r->copy, e->name, &attr, NULL);
    else if (e->target != NULL)
        taken = vmm_cpio_add_symlink (r->copy, e->name, &attr, e->target, NULL);
    else
        taken = vmm_cpio_add_device (r->copy, e->name, &attr, e->mode & S_IFMT, e->major, e->minor, NULL);
    r->n_taken += taken;
    return true;
}

static bool
content (void *data, VmmSpan bytes, GError **error)
{
    Reading *r = data;

    r->n_bytes += bytes.len;
    if (r->open)
        r->open = vmm_cpio_write (r->copy, r->at, bytes, NULL);
    r->at += bytes.len;
    return true;
}

static bool
end (void *data, GError **error)
{
    Reading *r = data;

    if (r->open && vmm_cpio_end_file (r->copy, r->at, NULL)) {
        r->n_taken++;
        r->n_taken_bytes += r->at;
    }
    r->open = false;
    return true;
}

static const VmmCpioReaderOps ops = {begin, content, end};

static bool
read_archive (VmmSpan archive, size_t step, Reading *reading)
{
    g_autoptr (VmmCpioReader) reader = vmm_cpio_reader_new (&ops, reading);

    for (size_t at = 0; at < archive.len; at += step)
        if (!vmm_cpio_reader_feed (reader, (VmmSpan){archive.data + at, MIN (step, archive.len - at)}, NULL))
            return false;
    return vmm_cpio_reader_complete (reader);
}

static void
check_copy (VmmCpio *cpio, const Reading *wrote)
{
    int fd = vmm_cpio_finish (cpio, NULL);
    Reading again = {0};
    struct stat st;

    if (fd < 0)
        return;
    if (fstat (fd, &st) < 0 || st.st_size > SIZE_MAX_OF_ALL)
        abort ();
    void *map = mmap (NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED || !read_archive ((VmmSpan){map, (size_t)st.st_size}, 4096, &again))
        abort ();
    if (wrote != NULL && (again.n_entries != wrote->n_taken || again.n_bytes != wrote->n_taken_bytes))
        abort ();
    munmap (map, (size_t)st.st_size);
    close (fd);
}

static void
copy (VmmSpan archive, size_t step)
{
    g_autoptr (VmmCpio) cpio = vmm_cpio_new (SIZE_MAX_OF_ALL, NULL);
    Reading whole = {0}, pieces = {.copy = cpio};
    bool complete = read_archive (archive, archive.len + 1, &whole);

    if (read_archive (archive, step, &pieces) != complete ||
        (complete && (whole.n_entries != pieces.n_entries || whole.n_bytes != pieces.n_bytes)))
        abort ();
    check_copy (cpio, &pieces);
}

/* Each line is a name; its first letter says of what. */
static void
write_names (VmmSpan in)
{
    g_autoptr (VmmCpio) cpio = vmm_cpio_new (SIZE_MAX_OF_ALL, NULL);
    g_autofree char *text = g_strndup ((const char *)in.data, in.len);
    g_auto (GStrv) lines = g_strsplit (text, "\n", 64);
    const char *last = "";

    for (char **line = lines; *line != NULL; last = *line++) {
        const char *name = **line != '\0' ? *line + 1 : *line;
        if (**line == 'd')
            vmm_cpio_add_folder (cpio, name, NULL, NULL);
        else if (**line == 'l')
            vmm_cpio_add_symlink (cpio, name, NULL, last, NULL);
        else if (**line == 'h')
            vmm_cpio_add_hard_link (cpio, name, NULL, *last != '\0' ? last + 1 : last, NULL);
        else
            vmm_cpio_add_file (cpio, name, NULL, in, NULL);
    }
    check_copy (cpio, NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    VmmSpan rest = {data + 1, size - 1};
    if (data[0] % 2 == 0)
        copy (rest, data[0] / 2 + 1);
    else
        write_names (rest);
    return 0;
}
