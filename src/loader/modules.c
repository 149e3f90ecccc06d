/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A kernel's modules are a folder, /lib/modules/VERSION, or a package that has one in it. Which module needs
 * which others is in modules.dep, made by depmod as a package is installed. Where that is missing, in
 * packages and in what was merely unpacked, the modules are asked themselves: each names those that it needs
 * in its ELF file, see modinfo.c. Modules are known by the names of their files, in which "-" and "_" are the
 * same.
 *
 * Packages can be read from front to back only, and what is needed is known last: so all modules of a package
 * are kept, as they are, in a memfd.
 */
#include "loader/modules-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/decompress.h"
#include "loader/modinfo.h"
#include "vmm/error.h"

/* Of modules that need modules; the kernel has less than ten. */
#define DEPTH_MAX 64u

static void
file_free (void *data)
{
    VmmModuleFile *file = data;

    g_free (file->module.name);
    g_free (file->module.path);
    g_free (file->deps);
    g_clear_pointer (&file->content, g_bytes_unref);
    g_free (file);
}

/**
 * vmm_modules_new:
 * @path: for messages
 *
 * Returns: (transfer full): no modules
 */
VmmModules *
vmm_modules_new (const char *path)
{
    VmmModules *modules = g_new0 (VmmModules, 1);

    modules->path = g_strdup (path);
    modules->fd = -1;
    modules->files = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, file_free);
    modules->builtin = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    return modules;
}

/**
 * vmm_modules_free:
 * @modules: (nullable): modules
 */
void
vmm_modules_free (VmmModules *modules)
{
    if (modules == NULL)
        return;
    if (modules->fd >= 0)
        close (modules->fd);
    g_hash_table_unref (modules->files);
    g_hash_table_unref (modules->builtin);
    g_free (modules->version);
    g_free (modules->path);
    g_free (modules);
}

/**
 * vmm_modules_fail:
 * @modules: modules
 * @what: is wrong with them
 * @error: %VMM_ERROR_USAGE
 *
 * Returns: false
 */
bool
vmm_modules_fail (const VmmModules *modules, const char *what, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "modules \"%s\": %s", modules->path, what);
    return false;
}

/**
 * vmm_modules_name_of:
 * @path: of a file
 *
 * Returns: (transfer full) (nullable): the name of the module that it is, NULL when it is none
 */
char *
vmm_modules_name_of (const char *path)
{
    static const char *const ends[] = {".ko", ".ko.xz", ".ko.zst", ".ko.gz"};
    const char *slash = strrchr (path, '/');
    const char *base = slash != NULL ? slash + 1 : path;

    for (size_t i = 0; i < G_N_ELEMENTS (ends); i++)
        if (g_str_has_suffix (base, ends[i]) && strlen (base) > strlen (ends[i]))
            return g_strdelimit (g_strndup (base, strlen (base) - strlen (ends[i])), "-", '_');
    return NULL;
}

/* depmod's default: what is below updates/ wins. Of two others one has to. */
static bool
is_better (const char *path, const char *than)
{
    bool one = g_str_has_prefix (path, "updates/"), other = g_str_has_prefix (than, "updates/");

    return one != other ? one : strcmp (path, than) < 0;
}

/**
 * vmm_modules_add:
 * @modules: modules
 * @path: of a file below the folder of modules
 *
 * Returns: (transfer none) (nullable): the module that it is; NULL when it is none, or another of that name
 * is the one to take
 */
VmmModuleFile *
vmm_modules_add (VmmModules *modules, const char *path)
{
    g_autofree char *name = vmm_modules_name_of (path);

    if (name == NULL || g_hash_table_size (modules->files) >= VMM_MODULES_MAX)
        return NULL;
    const VmmModuleFile *present = g_hash_table_lookup (modules->files, name);
    if (present != NULL && !is_better (path, present->module.path))
        return NULL;
    VmmModuleFile *file = g_new0 (VmmModuleFile, 1);
    file->module.name = g_steal_pointer (&name);
    file->module.path = g_strdup (path);
    g_hash_table_replace (modules->files, file->module.name, file);
    return file;
}

/* A path that leads nowhere else, whoever wrote the list. */
static bool
is_below (const char *path)
{
    return *path != '/' && strcmp (path, "..") != 0 && !g_str_has_prefix (path, "../") &&
           strstr (path, "/../") == NULL;
}

/**
 * vmm_modules_take_dep:
 * @modules: modules
 * @text: of modules.dep: lines "PATH: PATH PATH", what a module needs, and then that needs
 *
 * Adds the modules that it lists, and what they need; of an archive, what those need that are in it. Lines
 * that make no sense are ignored. See modules.dep(5).
 */
void
vmm_modules_take_dep (VmmModules *modules, const char *text)
{
    g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

    for (char **line = lines; *line != NULL; line++) {
        char *colon = strchr (*line, ':');
        if (colon == NULL)
            continue;
        *colon = '\0';
        if (!is_below (*line))
            continue;
        g_autofree char *name = vmm_modules_name_of (*line);
        VmmModuleFile *file = modules->from_archive ? NULL : vmm_modules_add (modules, *line);
        if (file == NULL && name != NULL)
            file = g_hash_table_lookup (modules->files, name);
        if (file == NULL || strcmp (file->module.path, *line) != 0)
            continue;
        g_free (file->deps);
        file->deps = g_strdup (colon + 1);
    }
}

/**
 * vmm_modules_take_builtin:
 * @modules: modules
 * @text: of modules.builtin: a path in each line
 *
 * Notes what is in the kernel itself.
 */
void
vmm_modules_take_builtin (VmmModules *modules, const char *text)
{
    g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

    for (char **line = lines; *line != NULL; line++) {
        char *name = vmm_modules_name_of (*line);
        if (name != NULL)
            g_hash_table_add (modules->builtin, name);
    }
}

/**
 * vmm_modules_open:
 * @path: /lib/modules/VERSION, a folder with lib/modules or usr/lib/modules in it, or a package or archive of
 * one
 * @version: (nullable): of the kernel, where there may be several; NULL: there must be one
 * @error: %VMM_ERROR_USAGE; %VMM_ERROR_HOST: what reads packages is not installed
 *
 * Any one thread at a time.
 *
 * Returns: (transfer full): a kernel's modules; NULL on failure
 */
VmmModules *
vmm_modules_open (const char *path, const char *version, GError **error)
{
    g_autoptr (VmmModules) modules = vmm_modules_new (path);
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    bool ok;

    if (fd < 0 || fstat (fd, &st) < 0)
        ok = vmm_modules_fail (modules, g_strerror (errno), error);
    else if (S_ISDIR (st.st_mode))
        ok = vmm_modules_read_folder (modules, fd, version, error);
    else if (S_ISREG (st.st_mode))
        ok = vmm_modules_read_archive (modules, fd, version, error);
    else
        ok = vmm_modules_fail (modules, "neither a folder nor a package", error);
    if (fd >= 0)
        close (fd);
    return ok ? g_steal_pointer (&modules) : NULL;
}

/**
 * vmm_modules_version:
 * @modules: modules
 *
 * Returns: (transfer none): of the kernel that they are for, by the name of their folder
 */
const char *
vmm_modules_version (const VmmModules *modules)
{
    return modules->version;
}

static char *
plain_name (const char *name)
{
    return g_strdelimit (g_strdup (name), "-", '_');
}

/**
 * vmm_modules_find:
 * @modules: modules
 * @name: of one; "-" and "_" are the same
 *
 * Returns: where it is
 */
VmmModuleKind
vmm_modules_find (const VmmModules *modules, const char *name)
{
    g_autofree char *plain = plain_name (name);

    if (g_hash_table_contains (modules->files, plain))
        return VMM_MODULE_FILE;
    return g_hash_table_contains (modules->builtin, plain) ? VMM_MODULE_BUILTIN : VMM_MODULE_MISSING;
}

static bool
fail_file (const VmmModules *modules, const VmmModule *module, const char *what, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "modules \"%s\": \"%s\": %s", modules->path, module->path,
                 what);
    return false;
}

/* Where a module's bytes are: a descriptor of ours, to be closed, and a range. */
static int
open_file (const VmmModules *modules, const VmmModuleFile *file, off_t *ret_at, size_t *ret_size)
{
    struct stat st;

    *ret_at = file->at;
    *ret_size = file->size;
    if (modules->from_archive)
        return fcntl (modules->fd, F_DUPFD_CLOEXEC, 0);
    int fd = openat (modules->fd, file->module.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    errno = EINVAL;
    if (fstat (fd, &st) < 0 || !S_ISREG (st.st_mode) || (uint64_t)st.st_size > VMM_MODULES_FILE_MAX) {
        int errnum = errno;
        close (fd);
        errno = errnum;
        return -1;
    }
    *ret_size = (size_t)st.st_size;
    return fd;
}

static bool
read_packed (const VmmModules *modules, const VmmModuleFile *file, GByteArray *bytes, GError **error)
{
    off_t at;
    size_t size, done = 0;
    int fd = open_file (modules, file, &at, &size);
    ssize_t n = 1;

    if (fd < 0)
        return fail_file (modules, &file->module, g_strerror (errno), error);
    g_byte_array_set_size (bytes, (guint)size);
    while (done < size && n != 0) {
        n = pread (fd, bytes->data + done, size - done, at + (off_t)done);
        if (n < 0 && errno != EINTR)
            break;
        done += n > 0 ? (size_t)n : 0;
    }
    int errnum = errno;
    close (fd);
    return done == size ||
           fail_file (modules, &file->module,
                      n < 0 ? g_strerror (errnum) : "became shorter while it was read", error);
}

/* What it unpacks to is not known: there is address space for the largest, and memory for what comes. */
static GBytes *
unpack (const VmmModules *modules, const VmmModuleFile *file, GByteArray *packed, GError **error)
{
    VmmSpan in = {packed->data, packed->len};
    VmmCompression kind = vmm_compression_detect (in);
    g_autoptr (GError) tail = NULL;
    GBytes *bytes = NULL;
    size_t len;

    if (kind == VMM_COMPRESSION_NONE)
        return g_byte_array_free_to_bytes (g_byte_array_ref (packed));
    void *map = mmap (NULL, VMM_MODULES_FILE_MAX, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        fail_file (modules, &file->module, g_strerror (errno), error);
        return NULL;
    }
    if (vmm_decompress (kind, in, map, VMM_MODULES_FILE_MAX, &len, &tail))
        bytes = g_bytes_new (map, len);
    else
        fail_file (modules, &file->module, tail->message, error);
    munmap (map, VMM_MODULES_FILE_MAX);
    return bytes;
}

/**
 * vmm_modules_read:
 * @modules: modules
 * @module: one of theirs
 * @error: %VMM_ERROR_USAGE: the file cannot be read, or is damaged
 *
 * Returns: (transfer full): its bytes, not compressed; NULL on failure
 */
GBytes *
vmm_modules_read (VmmModules *modules, const VmmModule *module, GError **error)
{
    VmmModuleFile *file = g_hash_table_lookup (modules->files, module->name);
    g_autoptr (GByteArray) packed = g_byte_array_new ();

    if (file == NULL) {
        fail_file (modules, module, "is not one of these", error);
        return NULL;
    }
    if (file->content == NULL && read_packed (modules, file, packed, error))
        file->content = unpack (modules, file, packed, error);
    return file->content != NULL ? g_bytes_ref (file->content) : NULL;
}

typedef struct {
    VmmModules *modules;
    GPtrArray *list;
    GHashTable *seen; /* names */
} Resolving;

static bool add_named (Resolving *r, const char *name, const char *wanted_by, unsigned depth, GError **error);

/* modules.dep has all that a module needs, what is needed most at the end. */
static bool
add_listed (Resolving *r, const VmmModuleFile *file, unsigned depth, GError **error)
{
    g_auto (GStrv) paths = g_strsplit_set (file->deps, " \t", -1);

    for (guint i = g_strv_length (paths); i-- > 0;) {
        g_autofree char *name = vmm_modules_name_of (paths[i]);
        if (name != NULL && !add_named (r, name, file->module.name, depth + 1, error))
            return false;
    }
    return true;
}

static bool
add_asked (Resolving *r, const VmmModuleFile *file, unsigned depth, GError **error)
{
    g_autoptr (GBytes) bytes = vmm_modules_read (r->modules, &file->module, error);
    VmmSpan span, info, value;

    if (bytes == NULL)
        return false;
    span.data = g_bytes_get_data (bytes, &span.len);
    if (!vmm_modinfo_find (span, &info))
        return fail_file (r->modules, &file->module, "this is not a kernel module; get the file again",
                          error);
    while (vmm_modinfo_next (&info, "depends", &value)) {
        g_autofree char *text = g_strndup ((const char *)value.data, value.len);
        g_auto (GStrv) names = g_strsplit (text, ",", -1);
        for (char **name = names; *name != NULL; name++)
            if (**name != '\0' && !add_named (r, *name, file->module.name, depth + 1, error))
                return false;
    }
    return true;
}

static bool
fail_missing (const Resolving *r, const char *name, const char *wanted_by, GError **error)
{
    g_autofree char *what = g_strdup_printf (
        "there is no module %s for %s, and it is not known to be in the kernel%s%s", name,
        r->modules->version, wanted_by != NULL ? "; needed by " : "", wanted_by != NULL ? wanted_by : "");

    return vmm_modules_fail (r->modules, what, error);
}

/* What a module needs comes before it. One that needs itself, by way of others, comes once. */
static bool
add_named (Resolving *r, const char *name, const char *wanted_by, unsigned depth, GError **error)
{
    g_autofree char *plain = plain_name (name);

    if (g_hash_table_contains (r->seen, plain))
        return true;
    VmmModuleFile *file = g_hash_table_lookup (r->modules->files, plain);
    if (file == NULL)
        return g_hash_table_contains (r->modules->builtin, plain) || fail_missing (r, name, wanted_by, error);
    if (depth > DEPTH_MAX)
        return vmm_modules_fail (r->modules, "modules need one another in too long a row", error);
    g_hash_table_add (r->seen, g_steal_pointer (&plain));
    if (!(file->deps != NULL ? add_listed (r, file, depth, error) : add_asked (r, file, depth, error)))
        return false;
    g_ptr_array_add (r->list, &file->module);
    return true;
}

/**
 * vmm_modules_resolve:
 * @modules: modules
 * @names: wanted ones
 * @n: how many
 * @ret_list: (element-type VmmModule) (transfer container): they and all that they need, in the order to load
 *   them; without what is in the kernel
 * @error: %VMM_ERROR_USAGE: one is missing, or cannot be read
 *
 * Returns: false on failure
 */
bool
vmm_modules_resolve (VmmModules *modules, const char *const *names, size_t n, GPtrArray **ret_list,
                     GError **error)
{
    g_autoptr (GPtrArray) list = g_ptr_array_new ();
    g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    Resolving r = {modules, list, seen};

    for (size_t i = 0; i < n; i++)
        if (!add_named (&r, names[i], NULL, 0, error))
            return false;
    *ret_list = g_steal_pointer (&list);
    return true;
}
