/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels in folders: what a package becomes when it is unpacked, /boot, and the tree of a build. */
#include "vmm/kernel-package-internal.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/modules.h"
#include "vmm/error.h"
#include "vmm/image.h"

#define DEPTH_MAX 16u
#define ORDER_MAX ((gsize)16 << 20)

static void
item_free (void *data)
{
    VmmKernelItem *item = data;

    g_free (item->kernel);
    g_free (item->path);
    g_free (item->source);
    g_free (item);
}

static void
add (GPtrArray *items, VmmKernelFileKind kind, const char *kernel, const char *path, const char *source)
{
    VmmKernelItem *item = g_new0 (VmmKernelItem, 1);

    item->kind = kind;
    item->kernel = g_strdup (kernel);
    item->path = g_strdup (path);
    item->source = g_strdup (source);
    g_ptr_array_add (items, item);
}

static bool
add_if_there (GPtrArray *items, VmmKernelFileKind kind, const char *kernel, const char *source)
{
    g_autofree char *name = g_path_get_basename (source);

    if (!g_file_test (source, G_FILE_TEST_IS_REGULAR))
        return false;
    add (items, kind, kernel, name, source);
    return true;
}

static bool
is_kernels_own (const char *name)
{
    return strcmp (name, "vmlinuz") == 0 || strcmp (name, "vmlinux") == 0;
}

/* Files may be links, folders not: build and source lead into the kernel's sources. */
static void
walk (GPtrArray *items, const char *kernel, const char *folder, const char *below, unsigned depth)
{
    DIR *dir = opendir (folder);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir (dir)) != NULL && items->len < VMM_KERNEL_FILES_MAX) {
        g_autofree char *source = g_build_filename (folder, entry->d_name, NULL);
        g_autofree char *path =
            *below != '\0' ? g_strconcat (below, "/", entry->d_name, NULL) : g_strdup (entry->d_name);
        struct stat st;

        if (entry->d_name[0] == '.' || lstat (source, &st) < 0)
            continue;
        if (S_ISDIR (st.st_mode) && depth < DEPTH_MAX)
            walk (items, kernel, source, path, depth + 1);
        else if ((S_ISREG (st.st_mode) ||
                  (S_ISLNK (st.st_mode) && stat (source, &st) == 0 && S_ISREG (st.st_mode))) &&
                 !(depth == 0 && is_kernels_own (entry->d_name)))
            add (items, VMM_KERNEL_FILE_MODULES, kernel, path, source);
    }
    if (dir != NULL)
        closedir (dir);
}

/* As `vmm run` looks for them, and around a kernel that lies in lib/modules/VERSION itself. */
static char *
find_modules (const char *image, const char *release)
{
    g_autofree char *folder = g_path_get_dirname (image);
    g_autofree char *parent = g_path_get_basename (folder);
    char *beside = vmm_modules_beside (image, release);

    if (beside != NULL)
        return beside;
    return strcmp (parent, release) == 0 ? g_steal_pointer (&folder) : vmm_modules_installed (release);
}

static bool
has_kernel (GPtrArray *items, const char *kernel)
{
    for (guint i = 0; i < items->len; i++)
        if (strcmp (((VmmKernelItem *)items->pdata[i])->kernel, kernel) == 0)
            return true;
    return false;
}

static void
add_system_map (GPtrArray *items, const char *kernel, const char *image)
{
    g_autofree char *folder = g_path_get_dirname (image);
    g_autofree char *name = g_path_get_basename (image);
    const char *dash = strchr (name, '-');
    g_autofree char *map = g_strconcat (folder, "/System.map", dash != NULL ? dash : "", NULL);
    g_autofree char *of_release = g_strconcat (folder, "/System.map-", kernel, NULL);

    if (!add_if_there (items, VMM_KERNEL_FILE_SYSTEM_MAP, kernel, map))
        add_if_there (items, VMM_KERNEL_FILE_SYSTEM_MAP, kernel, of_release);
}

/* The kernel at @path and what belongs to it; nothing when one of that version is there. */
static bool
add_kernel (GPtrArray *items, const char *path, GError **error)
{
    g_autoptr (VmmImage) image = vmm_image_open (path, error);
    g_autofree char *name = g_path_get_basename (path);
    g_autofree char *modules = NULL;

    if (image == NULL)
        return false;
    const VmmImageFacts *facts = vmm_image_get_facts (image);
    const char *kernel = facts->release != NULL ? facts->release : name;
    if (has_kernel (items, kernel))
        return true;
    add (items, VMM_KERNEL_FILE_KERNEL, kernel, name, path);
    if (facts->config_path != NULL)
        add_if_there (items, VMM_KERNEL_FILE_CONFIG, kernel, facts->config_path);
    add_system_map (items, kernel, path);
    modules = facts->release != NULL ? find_modules (path, facts->release) : NULL;
    if (modules != NULL)
        walk (items, kernel, modules, "", 0);
    return true;
}

/**
 * vmm_kernel_items_of_file:
 * @path: a kernel
 * @error: as vmm_image_open() sets it
 *
 * Returns: (transfer full) (element-type VmmKernelItem): it and what belongs to it; NULL on failure
 */
GPtrArray *
vmm_kernel_items_of_file (const char *path, GError **error)
{
    g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (item_free);

    return add_kernel (items, path, error) ? g_steal_pointer (&items) : NULL;
}

/* A line of modules.order: "kernel/drivers/net/dummy.ko", or "drivers/net/dummy.o" since Linux 6.3. */
static void
add_built_module (GPtrArray *items, const char *kernel, const char *tree, const char *line)
{
    g_autofree char *module = NULL;
    g_autofree char *source = NULL;
    g_autofree char *path = NULL;

    line += g_str_has_prefix (line, "kernel/") && g_str_has_suffix (line, ".ko") ? strlen ("kernel/") : 0;
    if (*line == '\0' || *line == '/' || g_str_has_prefix (line, "../") || strstr (line, "/../") != NULL)
        return;
    module = g_str_has_suffix (line, ".o") ? g_strdup_printf ("%.*s.ko", (int)strlen (line) - 2, line)
                                           : g_strdup (line);
    source = g_build_filename (tree, module, NULL);
    path = g_strconcat ("kernel/", module, NULL);
    /* A module of kernel/ itself lost its first folder above. */
    if (!g_file_test (source, G_FILE_TEST_IS_REGULAR)) {
        g_free (source);
        source = g_build_filename (tree, path, NULL);
    }
    if (g_file_test (source, G_FILE_TEST_IS_REGULAR) && items->len < VMM_KERNEL_FILES_MAX)
        add (items, VMM_KERNEL_FILE_MODULES, kernel, path, source);
}

/* Modules of a tree are where their sources are, and modules.order lists them. */
static void
add_built_modules (GPtrArray *items, const char *kernel, const char *tree)
{
    static const char *const lists[] = {"modules.builtin", "modules.builtin.modinfo"};
    g_autofree char *order = g_build_filename (tree, "modules.order", NULL);
    g_autofree char *text = NULL;
    g_auto (GStrv) lines = NULL;
    gsize len;

    for (size_t i = 0; i < G_N_ELEMENTS (lists); i++) {
        g_autofree char *list = g_build_filename (tree, lists[i], NULL);

        add_if_there (items, VMM_KERNEL_FILE_MODULES, kernel, list);
    }
    if (!g_file_test (order, G_FILE_TEST_IS_REGULAR) || !g_file_get_contents (order, &text, &len, NULL) ||
        len > ORDER_MAX)
        return;
    lines = g_strsplit (text, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        add_built_module (items, kernel, tree, *line);
}

static bool
add_tree (GPtrArray *items, const char *tree, const char *path, GError **error)
{
    g_autofree char *map = g_build_filename (tree, "System.map", NULL);
    guint from = items->len;

    if (!add_kernel (items, path, error))
        return false;
    const char *kernel = ((VmmKernelItem *)items->pdata[from])->kernel;
    bool has_map = false, has_modules = false;
    for (guint i = from; i < items->len; i++) {
        const VmmKernelItem *item = items->pdata[i];

        has_map |= item->kind == VMM_KERNEL_FILE_SYSTEM_MAP;
        has_modules |= item->kind == VMM_KERNEL_FILE_MODULES;
    }
    if (!has_map)
        add_if_there (items, VMM_KERNEL_FILE_SYSTEM_MAP, kernel, map);
    if (!has_modules)
        add_built_modules (items, kernel, tree);
    return true;
}

static int
compare_paths (const void *a, const void *b)
{
    return strcmp (*(char *const *)a, *(char *const *)b);
}

/* Whether a file of this name is a kernel, when it is where kernels are. */
static bool
is_kernel_name (const char *name)
{
    static const char *const names[] = {"vmlinuz", "vmlinux", "bzImage"};

    for (size_t i = 0; i < G_N_ELEMENTS (names); i++) {
        size_t len = strlen (names[i]);

        if (strncmp (name, names[i], len) == 0 && (name[len] == '\0' || name[len] == '-' || name[len] == '.'))
            return true;
    }
    return false;
}

static void
list_kernels (GPtrArray *paths, const char *folder)
{
    g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
    guint from = paths->len;
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *path = g_build_filename (folder, name, NULL);

        if (is_kernel_name (name) && g_file_test (path, G_FILE_TEST_IS_REGULAR))
            g_ptr_array_add (paths, g_steal_pointer (&path));
    }
    if (paths->len > from)
        qsort (paths->pdata + from, paths->len - from, sizeof *paths->pdata, compare_paths);
}

static void
list_kernels_of_modules (GPtrArray *paths, const char *folder)
{
    g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *below = g_build_filename (folder, name, NULL);

        list_kernels (paths, below);
    }
}

/* Those whose own version is in their name come first: /boot has rescue copies and links to them, too. */
static bool
add_kernels (GPtrArray *items, GPtrArray *paths, GError **error)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        for (guint i = 0; i < paths->len; i++) {
            g_autofree char *name = g_path_get_basename (paths->pdata[i]);
            bool plain = (g_str_has_prefix (name, "vmlinuz-") || g_str_has_prefix (name, "vmlinux-")) &&
                         g_ascii_isdigit (name[strlen ("vmlinuz-")]) && name[strlen ("vmlinuz-")] != '0';

            if (plain == (pass == 0) && !add_kernel (items, paths->pdata[i], error))
                return false;
        }
    }
    return true;
}

/**
 * vmm_kernel_items_of_folder:
 * @path: a folder
 * @error: %VMM_ERROR_USAGE: there is no kernel in it, or as vmm_image_open() sets it for one
 *
 * Returns: (transfer full) (element-type VmmKernelItem): its kernels and what belongs to them; NULL on
 * failure
 */
GPtrArray *
vmm_kernel_items_of_folder (const char *path, GError **error)
{
    g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (item_free);
    g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
    g_autofree char *built = g_build_filename (path, "arch/x86/boot/bzImage", NULL);
    g_autofree char *boot = g_build_filename (path, "boot", NULL);
    g_autofree char *modules = g_build_filename (path, "lib/modules", NULL);
    g_autofree char *usr_modules = g_build_filename (path, "usr/lib/modules", NULL);

    if (g_file_test (built, G_FILE_TEST_IS_REGULAR))
        return add_tree (items, path, built, error) ? g_steal_pointer (&items) : NULL;
    list_kernels (paths, boot);
    list_kernels (paths, path);
    if (paths->len == 0) {
        list_kernels_of_modules (paths, modules);
        list_kernels_of_modules (paths, usr_modules);
    }
    if (paths->len == 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "kernel package \"%s\": no kernel in it; give a folder with boot/vmlinuz-VERSION or "
                     "arch/x86/boot/bzImage in it",
                     path);
        return NULL;
    }
    return add_kernels (items, paths, error) ? g_steal_pointer (&items) : NULL;
}
