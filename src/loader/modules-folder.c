/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel's modules in a folder: finding it, and its lists or, without them, its files. */
#include "loader/modules-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEPTH_MAX 16u

static int
open_folder (int at, const char *path)
{
    return openat (at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool
has_modules (int fd)
{
    return faccessat (fd, "modules.dep", R_OK, 0) == 0 || faccessat (fd, "modules.order", R_OK, 0) == 0 ||
           faccessat (fd, "kernel", R_OK, 0) == 0;
}

/* A text of the folder's, or NULL. */
static char *
read_list (int folder, const char *name)
{
    int fd = openat (folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    GString *text = g_string_new ("");
    char piece[16384];
    ssize_t n = 0;

    while (fd >= 0 && text->len < VMM_MODULES_TEXT_MAX && (n = read (fd, piece, sizeof piece)) > 0)
        g_string_append_len (text, piece, n);
    bool ok = fd >= 0 && n == 0;
    if (fd >= 0)
        close (fd);
    return g_string_free (text, !ok);
}

/* @fd: taken. Links are not followed: build and source lead into the kernel's sources. */
static void
walk (VmmModules *modules, int fd, const char *path, unsigned depth)
{
    DIR *dir = fdopendir (fd);
    const struct dirent *entry;

    if (dir == NULL) {
        close (fd);
        return;
    }
    while ((entry = readdir (dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        g_autofree char *below =
            *path != '\0' ? g_strconcat (path, "/", entry->d_name, NULL) : g_strdup (entry->d_name);
        g_autofree char *name = vmm_modules_name_of (entry->d_name);
        int sub = -1;
        if (name != NULL)
            vmm_modules_add (modules, below);
        else if (depth < DEPTH_MAX)
            sub = openat (fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (sub >= 0)
            walk (modules, sub, below, depth + 1);
    }
    closedir (dir);
}

static bool
take_folder (VmmModules *modules, int fd, GError **error)
{
    g_autofree char *dep = read_list (fd, "modules.dep");
    g_autofree char *builtin = read_list (fd, "modules.builtin");

    modules->fd = fd;
    if (dep != NULL)
        vmm_modules_take_dep (modules, dep);
    else
        walk (modules, open_folder (fd, "."), "", 0);
    if (builtin != NULL)
        vmm_modules_take_builtin (modules, builtin);
    return true;
}

/* The versions that there are below lib/modules, or the like. */
static GPtrArray *
list_versions (int base)
{
    GPtrArray *versions = g_ptr_array_new_with_free_func (g_free);
    int again = open_folder (base, ".");
    DIR *dir = again >= 0 ? fdopendir (again) : NULL;
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir (dir)) != NULL) {
        int fd = entry->d_name[0] != '.' ? open_folder (base, entry->d_name) : -1;
        if (fd >= 0 && has_modules (fd))
            g_ptr_array_add (versions, g_strdup (entry->d_name));
        if (fd >= 0)
            close (fd);
    }
    if (dir != NULL)
        closedir (dir);
    return versions;
}

static bool
fail_versions (const VmmModules *modules, GPtrArray *versions, const char *wanted, GError **error)
{
    g_ptr_array_add (versions, NULL);
    g_autofree char *names = g_strjoinv (", ", (char **)versions->pdata);
    g_autofree char *what = wanted != NULL
                                ? g_strdup_printf ("none for kernel %s, but for %s", wanted, names)
                                : g_strdup_printf ("for several kernels: %s; say for which", names);

    return vmm_modules_fail (modules, what, error);
}

static bool
take_version (VmmModules *modules, int base, GPtrArray *versions, const char *wanted, GError **error)
{
    const char *chosen = wanted == NULL && versions->len == 1 ? versions->pdata[0] : NULL;

    for (guint i = 0; wanted != NULL && i < versions->len; i++)
        if (strcmp (versions->pdata[i], wanted) == 0)
            chosen = wanted;
    if (chosen == NULL)
        return fail_versions (modules, versions, wanted, error);
    int fd = open_folder (base, chosen);
    if (fd < 0)
        return vmm_modules_fail (modules, g_strerror (errno), error);
    modules->version = g_strdup (chosen);
    return take_folder (modules, fd, error);
}

/**
 * vmm_modules_read_folder:
 * @modules: gets them
 * @fd: a folder with modules, or with folders of them
 * @version: (nullable): the kernel's
 * @error: %VMM_ERROR_USAGE
 *
 * Returns: false when there are none, or of several kernels
 */
bool
vmm_modules_read_folder (VmmModules *modules, int fd, const char *version, GError **error)
{
    static const char *const places[] = {"lib/modules", "usr/lib/modules", "."};

    if (has_modules (fd)) {
        char real[PATH_MAX];
        modules->version =
            g_path_get_basename (realpath (modules->path, real) != NULL ? real : modules->path);
        return take_folder (modules, open_folder (fd, "."), error);
    }
    for (size_t i = 0; i < G_N_ELEMENTS (places); i++) {
        int base = open_folder (fd, places[i]);
        if (base < 0)
            continue;
        g_autoptr (GPtrArray) versions = list_versions (base);
        bool ok = versions->len > 0 && take_version (modules, base, versions, version, error);
        close (base);
        if (versions->len > 0)
            return ok;
    }
    return vmm_modules_fail (modules,
                             "no kernel modules in it; give /lib/modules/VERSION, a folder with that in it, "
                             "or a kernel's package",
                             error);
}

/**
 * vmm_modules_beside:
 * @kernel: a kernel's file
 * @release: its version, as `uname -r` says it
 *
 * Looks where packages that were unpacked and `make modules_install` put modules.
 *
 * Returns: (transfer full) (nullable): the folder of that version's modules beside the kernel
 */
char *
vmm_modules_beside (const char *kernel, const char *release)
{
    static const char *const places[] = {"../lib/modules", "lib/modules", "../usr/lib/modules", "modules"};
    g_autofree char *folder = g_path_get_dirname (kernel);

    for (size_t i = 0; i < G_N_ELEMENTS (places) && strchr (release, '/') == NULL; i++) {
        g_autofree char *path = g_build_filename (folder, places[i], release, NULL);

        if (g_file_test (path, G_FILE_TEST_IS_DIR))
            return g_steal_pointer (&path);
    }
    return NULL;
}

/**
 * vmm_modules_installed:
 * @release: a kernel's version, as `uname -r` says it
 *
 * Returns: (transfer full) (nullable): the folder of its modules on this host
 */
char *
vmm_modules_installed (const char *release)
{
    g_autofree char *path = g_build_filename ("/lib/modules", release, NULL);

    if (strchr (release, '/') != NULL || !g_file_test (path, G_FILE_TEST_IS_DIR))
        return NULL;
    return g_steal_pointer (&path);
}
