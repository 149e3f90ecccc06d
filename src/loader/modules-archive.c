/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel's modules in a package. */
#include "loader/modules-internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/archive.h"

/* Debian's largest kernel has 0.4 GiB of them. */
static const VmmArchiveLimits limits = {UINT64_C (4) << 30, VMM_MODULES_MAX, false};

typedef struct {
    VmmModules *modules;
    VmmArchive *archive;
    const char *version; /* wanted; or NULL */
    char *dep;           /* the text, or NULL */
    off_t end;           /* of the memfd */
} Reading;

/* Splits "usr/lib/modules/VERSION/REST"; false when it is something else. */
static bool
split_path (const char *path, char **ret_version, const char **ret_rest)
{
    path += g_str_has_prefix (path, "usr/") ? strlen ("usr/") : 0;
    if (!g_str_has_prefix (path, "lib/modules/"))
        return false;
    path += strlen ("lib/modules/");
    const char *slash = strchr (path, '/');
    if (slash == NULL)
        return false;
    *ret_version = g_strndup (path, (gsize)(slash - path));
    *ret_rest = slash + 1;
    return true;
}

static bool
keep_module (Reading *r, const VmmArchiveEntry *entry, const char *path, GError **error)
{
    VmmModuleFile *file = entry->size <= VMM_MODULES_FILE_MAX ? vmm_modules_add (r->modules, path) : NULL;
    uint64_t offset;
    VmmSpan bytes;

    if (file == NULL)
        return true;
    file->at = r->end;
    file->size = (size_t)entry->size;
    r->end += (off_t)entry->size;
    for (;;) {
        if (!vmm_archive_read (r->archive, &bytes, &offset, error))
            return false;
        if (bytes.len == 0)
            return true;
        if (pwrite (r->modules->fd, bytes.data, bytes.len, file->at + (off_t)offset) != (ssize_t)bytes.len)
            return vmm_modules_fail (r->modules, g_strerror (errno), error);
    }
}

static bool
read_list (Reading *r, const VmmArchiveEntry *entry, char **ret_text, GError **error)
{
    GString *text = g_string_new ("");
    uint64_t offset;
    VmmSpan bytes = {NULL, 1};
    bool ok = true;

    while (ok && bytes.len > 0 && text->len < VMM_MODULES_TEXT_MAX) {
        ok = vmm_archive_read (r->archive, &bytes, &offset, error);
        if (ok && bytes.len > 0)
            g_string_append_len (text, (const char *)bytes.data, (gssize)bytes.len);
    }
    char *read = g_string_free (text, !ok);
    if (ok) {
        g_free (*ret_text);
        *ret_text = read;
    }
    return ok;
}

static bool
take_version (Reading *r, const char *version, GError **error)
{
    if (r->modules->version == NULL)
        r->modules->version = g_strdup (version);
    if (strcmp (r->modules->version, version) == 0)
        return true;
    g_autofree char *what =
        g_strdup_printf ("for several kernels: %s, %s; say for which", r->modules->version, version);
    return vmm_modules_fail (r->modules, what, error);
}

static bool
take_entry (Reading *r, const VmmArchiveEntry *entry, GError **error)
{
    g_autofree char *version = NULL, *builtin = NULL;
    const char *rest;

    if (!S_ISREG (entry->mode) || entry->link != NULL || !split_path (entry->path, &version, &rest))
        return true;
    if (r->version != NULL && strcmp (version, r->version) != 0)
        return true;
    if (!take_version (r, version, error))
        return false;
    if (strcmp (rest, "modules.dep") == 0)
        return read_list (r, entry, &r->dep, error);
    if (strcmp (rest, "modules.builtin") != 0)
        return keep_module (r, entry, rest, error);
    if (!read_list (r, entry, &builtin, error))
        return false;
    vmm_modules_take_builtin (r->modules, builtin);
    return true;
}

static bool
take_all (Reading *r, GError **error)
{
    VmmArchiveEntry entry;
    bool end;

    for (;;) {
        if (!vmm_archive_next (r->archive, &entry, &end, error))
            return false;
        if (end)
            return true;
        if (!take_entry (r, &entry, error))
            return false;
    }
}

/**
 * vmm_modules_read_archive:
 * @modules: gets them
 * @fd: a package, or an archive
 * @version: (nullable): the kernel's
 * @error: %VMM_ERROR_USAGE, %VMM_ERROR_HOST
 *
 * Returns: false when there are none, or of several kernels
 */
bool
vmm_modules_read_archive (VmmModules *modules, int fd, const char *version, GError **error)
{
    g_autoptr (VmmArchive) archive = vmm_archive_open (fd, modules->path, &limits, error);
    Reading r = {.modules = modules, .archive = archive, .version = version};

    if (archive == NULL)
        return false;
    modules->from_archive = true;
    modules->fd = memfd_create ("vmm-modules", MFD_CLOEXEC);
    if (modules->fd < 0)
        return vmm_modules_fail (modules, g_strerror (errno), error);
    bool ok = take_all (&r, error);
    if (ok && r.dep != NULL)
        vmm_modules_take_dep (modules, r.dep);
    g_free (r.dep);
    if (ok && g_hash_table_size (modules->files) == 0)
        ok = vmm_modules_fail (modules, "no kernel modules in it", error);
    return ok;
}
