/* SPDX-License-Identifier: Apache-2.0 */
#include "cpio-list.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include "loader/cpio-reader.h"

static bool
begin (void *data, const VmmCpioReadEntry *e, GError **error)
{
    GString *list = data;

    g_string_append_printf (list, "%s %o %u:%u %u", e->name, e->mode, e->uid, e->gid, e->mtime);
    if (e->nlink > 1 && !S_ISDIR (e->mode))
        g_string_append_printf (list, " #%u*%u", e->ino, e->nlink);
    if (e->target != NULL)
        g_string_append_printf (list, " >%s", e->target);
    if (S_ISCHR (e->mode) || S_ISBLK (e->mode) || S_ISFIFO (e->mode))
        g_string_append_printf (list, " %u,%u", e->major, e->minor);
    if (S_ISREG (e->mode))
        g_string_append (list, " =");
    return true;
}

static bool
content (void *data, VmmSpan bytes, GError **error)
{
    for (size_t i = 0; i < bytes.len; i++)
        g_string_append_c (data, bytes.data[i] != 0 ? (char)bytes.data[i] : '.');
    return true;
}

static bool
end (void *data, GError **error)
{
    g_string_append_c (data, '\n');
    return true;
}

char *
cpio_list (VmmSpan archive, size_t step)
{
    static const VmmCpioReaderOps ops = {begin, content, end};
    GString *list = g_string_new ("");
    g_autoptr (VmmCpioReader) reader = vmm_cpio_reader_new (&ops, list);
    bool ok = true;

    for (size_t at = 0; at < archive.len && ok; at += step)
        ok = vmm_cpio_reader_feed (reader, (VmmSpan){archive.data + at, MIN (step, archive.len - at)}, NULL);
    return g_string_free (list, !ok || !vmm_cpio_reader_complete (reader));
}

char *
cpio_list_fd (int fd)
{
    struct stat st;

    if (fstat (fd, &st) < 0)
        return NULL;
    void *map = mmap (NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    char *list = map != MAP_FAILED ? cpio_list ((VmmSpan){map, (size_t)st.st_size}, 4096) : NULL;
    if (map != MAP_FAILED)
        munmap (map, (size_t)st.st_size);
    return list;
}
