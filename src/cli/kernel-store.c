/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: the user's kernels.
 *
 *   objects/ab/HASH        files, named by the SHA-256 of what is in them: each content is there once
 *   entries/NAME/index     a kernel, and where it came from; see kernel-entry.c
 *   entries/NAME/files     its files
 *   entries/NAME/boot/...  links to the objects, laid out as a package that was unpacked
 *   tmp/                   what is being made
 *   objects.lock, entries.lock
 *
 * Whoever adds a kernel makes its objects, and its folder in tmp/, has all of it written to disk, and moves
 * the folder to its place: that one step makes it a kernel, or puts it in another's place. So nobody sees
 * half of one, and who is killed half way leaves nothing but waste: objects that no index names, and files in
 * tmp/. The next one who finds the lock of the objects free sweeps it up. Adding takes that lock shared, so
 * that any number can add at a time, and the other one for the last step only: who wants to boot a kernel
 * never waits for a package to be unpacked.
 *
 *   kernel-object.c  objects: storing and checking them
 *   kernel-entry.c   an entry and its index
 *   kernel-store.c   the store: places, locks
 *   kernel-names.c   what a kernel can be called
 *   kernel-add.c     from a package into the store
 *   kernel-check.c   what was damaged, and its repair
 *   kernel-use.c     --kernel NAME
 */
#include "kernel-store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

struct _KernelStore {
    char *root;
};

static bool
fail (const char *path, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "kernel store: \"%s\": %s", path, g_strerror (errno));
    return false;
}

/* XDG Base Directory Specification 0.8: a relative path is to be ignored. */
static char *
find_root (void)
{
    const char *data = g_getenv ("XDG_DATA_HOME");

    return data != NULL && g_path_is_absolute (data)
               ? g_build_filename (data, "vmm", "kernels", NULL)
               : g_build_filename (g_get_home_dir (), ".local", "share", "vmm", "kernels", NULL);
}

/**
 * kernel_store_open:
 * @create: make it where there is none
 * @error: %VMM_ERROR_HOST
 *
 * Returns: (transfer full): the user's store; NULL on failure
 */
KernelStore *
kernel_store_open (bool create, GError **error)
{
    static const char *const folders[] = {"objects", "entries", "tmp"};
    g_autoptr (KernelStore) store = g_new0 (KernelStore, 1);

    store->root = find_root ();
    for (size_t i = 0; create && i < G_N_ELEMENTS (folders); i++) {
        g_autofree char *path = g_build_filename (store->root, folders[i], NULL);

        if (g_mkdir_with_parents (path, 0777) < 0) {
            fail (path, error);
            return NULL;
        }
    }
    return g_steal_pointer (&store);
}

/**
 * kernel_store_free:
 * @store: (nullable): a store
 */
void
kernel_store_free (KernelStore *store)
{
    if (store == NULL)
        return;
    g_free (store->root);
    g_free (store);
}

/**
 * kernel_store_root:
 *
 * Returns: (transfer none): its folder
 */
const char *
kernel_store_root (const KernelStore *store)
{
    return store->root;
}

/**
 * kernel_store_folder:
 * @name: of an entry
 *
 * Returns: (transfer full): where that is, or would be
 */
char *
kernel_store_folder (const KernelStore *store, const char *name)
{
    return g_build_filename (store->root, "entries", name, NULL);
}

/**
 * kernel_store_kernel_path:
 *
 * Returns: (transfer full) (nullable): the path of the entry's kernel
 */
char *
kernel_store_kernel_path (const KernelStore *store, const KernelEntry *entry)
{
    const KernelEntryFile *kernel = kernel_entry_kernel (entry);

    return kernel != NULL ? g_build_filename (store->root, "entries", entry->name, kernel->path, NULL) : NULL;
}

/**
 * kernel_store_lock:
 * @operation: as flock(2) has it
 * @error: (nullable): %VMM_ERROR_HOST
 *
 * Returns: a descriptor that holds the lock until it is closed; -1 on failure
 */
int
kernel_store_lock (const KernelStore *store, KernelStoreLock which, int operation, GError **error)
{
    g_autofree char *path =
        g_build_filename (store->root, which == KERNEL_STORE_OBJECTS ? "objects.lock" : "entries.lock", NULL);
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    int rc;

    /* Somebody else's store can be read. Where it has no file to lock, nobody changes it: who does makes one.
     */
    if (fd < 0 && (errno == EACCES || errno == EROFS) && (operation & LOCK_SH) != 0) {
        fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT)
            fd = open (store->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0) {
        fail (path, error);
        return -1;
    }
    do
        rc = flock (fd, operation);
    while (rc < 0 && errno == EINTR);
    if (rc == 0)
        return fd;
    fail (path, error);
    close (fd);
    return -1;
}

static int
compare_entries (const void *a, const void *b)
{
    const KernelEntry *one = *(KernelEntry *const *)a, *other = *(KernelEntry *const *)b;
    g_autofree char *key = g_utf8_collate_key_for_filename (one->name, -1);
    g_autofree char *other_key = g_utf8_collate_key_for_filename (other->name, -1);

    return strcmp (key, other_key);
}

/* What cannot be looked at may be a kernel. */
static bool
is_no_entry (const char *name, const char *path)
{
    struct stat st;

    return *name == '.' || (stat (path, &st) == 0 ? !S_ISDIR (st.st_mode) : errno == ENOENT);
}

/* The caller holds a lock, or nobody minds. A folder that cannot be read is not one without kernels. */
static GPtrArray *
list_entries (const KernelStore *store, bool with_files, GError **error)
{
    g_autofree char *folder = kernel_store_folder (store, "");
    g_autoptr (GPtrArray) entries = g_ptr_array_new_with_free_func ((GDestroyNotify)kernel_entry_free);
    DIR *dir = opendir (folder);
    const struct dirent *each;

    if (dir == NULL && errno != ENOENT) {
        fail (folder, error);
        return NULL;
    }
    while (dir != NULL && (each = readdir (dir)) != NULL) {
        g_autofree char *path = kernel_store_folder (store, each->d_name);

        if (!is_no_entry (each->d_name, path))
            g_ptr_array_add (entries, kernel_entry_load (path, with_files));
    }
    if (dir != NULL)
        closedir (dir);
    if (entries->len > 0)
        qsort (entries->pdata, entries->len, sizeof *entries->pdata, compare_entries);
    return g_steal_pointer (&entries);
}

/**
 * kernel_store_list:
 * @with_files: with all files of each, and not the kernel alone
 * @error: %VMM_ERROR_HOST
 *
 * Returns: (transfer full) (element-type KernelEntry): all kernels, older versions first; NULL on failure
 */
GPtrArray *
kernel_store_list (const KernelStore *store, bool with_files, GError **error)
{
    GPtrArray *entries;
    int fd = -1;

    if (g_file_test (store->root, G_FILE_TEST_IS_DIR)) {
        fd = kernel_store_lock (store, KERNEL_STORE_ENTRIES, LOCK_SH, error);
        if (fd < 0)
            return NULL;
    }
    entries = list_entries (store, with_files, error);
    if (fd >= 0)
        close (fd);
    return entries;
}

static void
empty_folder (const char *path)
{
    GDir *dir = g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *below = g_build_filename (path, name, NULL);

        if (g_unlink (below) == 0)
            continue;
        empty_folder (below);
        g_rmdir (below);
    }
    if (dir != NULL)
        g_dir_close (dir);
}

static void
remove_tree (const char *path)
{
    empty_folder (path);
    g_rmdir (path);
}

static bool
sync_folder (const char *path, GError **error)
{
    int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync (fd) == 0;

    if (!ok)
        fail (path, error);
    if (fd >= 0)
        close (fd);
    return ok;
}

/**
 * kernel_store_sync:
 *
 * Has all that was written so far on disk: thousands of files are faster written at once than one by one.
 *
 * Returns: false on failure
 */
bool
kernel_store_sync (const KernelStore *store, GError **error)
{
    int fd = open (store->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && syncfs (fd) == 0;

    if (!ok)
        fail (store->root, error);
    if (fd >= 0)
        close (fd);
    return ok;
}

/* File systems that cannot exchange have a moment without either; a crash in it loses the entry, no more. */
static bool
put_in_place (const char *from, const char *to, bool *ret_replaced, GError **error)
{
    *ret_replaced = false;
    if (rename (from, to) == 0)
        return true;
    if (errno != EEXIST && errno != ENOTEMPTY)
        return fail (to, error);
    *ret_replaced = true;
    if (renameat2 (AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0)
        return true;
    g_autofree char *old = g_strconcat (from, "-old", NULL);
    return (rename (to, old) == 0 && rename (from, to) == 0) || fail (to, error);
}

/**
 * kernel_store_publish:
 * @folder: in tmp/, complete; what it replaces is there afterwards, if anything
 * @ret_replaced: there was one of that name
 *
 * The caller holds the lock of the objects.
 *
 * Returns: false on failure
 */
bool
kernel_store_publish (const KernelStore *store, const KernelEntry *entry, const char *folder,
                      bool *ret_replaced, GError **error)
{
    g_autofree char *to = kernel_store_folder (store, entry->name);
    g_autofree char *entries = kernel_store_folder (store, "");
    int fd;
    bool ok;

    if (!kernel_store_sync (store, error))
        return false;
    fd = kernel_store_lock (store, KERNEL_STORE_ENTRIES, LOCK_EX, error);
    if (fd < 0)
        return false;
    ok = put_in_place (folder, to, ret_replaced, error) && sync_folder (entries, error);
    close (fd);
    if (ok)
        remove_tree (folder);
    return ok;
}

/**
 * kernel_store_remove:
 * @entry: to be removed; its objects go with the next sweep
 *
 * Returns: false on failure
 */
bool
kernel_store_remove (const KernelStore *store, const KernelEntry *entry, GError **error)
{
    g_autofree char *from = kernel_store_folder (store, entry->name);
    g_autofree char *entries = kernel_store_folder (store, "");
    g_autofree char *to = g_strdup_printf ("%s/tmp/removed-XXXXXX", store->root);
    int objects = kernel_store_lock (store, KERNEL_STORE_OBJECTS, LOCK_SH, error);
    int fd = objects >= 0 ? kernel_store_lock (store, KERNEL_STORE_ENTRIES, LOCK_EX, error) : -1;
    bool ok = fd >= 0;

    /* An empty folder is replaced by rename(). */
    ok = ok && ((g_mkdtemp (to) != NULL && rename (from, to) == 0) || fail (from, error));
    ok = ok && sync_folder (entries, error);
    if (fd >= 0)
        close (fd);
    if (ok)
        remove_tree (to);
    if (objects >= 0)
        close (objects);
    return ok;
}

/* False when an index cannot be read: what its objects are is not known. */
static bool
collect_used (const KernelStore *store, GHashTable *used)
{
    g_autoptr (GPtrArray) entries = kernel_store_list (store, true, NULL);

    for (guint i = 0; entries != NULL && i < entries->len; i++) {
        const KernelEntry *entry = entries->pdata[i];

        if (entry->is_broken)
            return false;
        for (guint k = 0; k < entry->files->len; k++)
            g_hash_table_add (used, g_strdup (((KernelEntryFile *)entry->files->pdata[k])->object.hash));
    }
    return entries != NULL;
}

static void
sweep_folder (const char *folder, GHashTable *used)
{
    g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *path = g_build_filename (folder, name, NULL);

        if (kernel_object_is_hash (name) && !g_hash_table_contains (used, name))
            g_unlink (path);
    }
    g_rmdir (folder); /* when it is empty */
}

/**
 * kernel_store_sweep:
 *
 * Removes what belongs to no entry, unless somebody else is at work: then the next one does. It is never
 * needed, so it has no errors.
 */
void
kernel_store_sweep (const KernelStore *store)
{
    static const char digits[] = "0123456789abcdef";
    g_autoptr (GHashTable) used = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *tmp = g_build_filename (store->root, "tmp", NULL);
    int fd = kernel_store_lock (store, KERNEL_STORE_OBJECTS, LOCK_EX | LOCK_NB, NULL);

    if (fd < 0)
        return;
    empty_folder (tmp); /* which stays: who is killed here leaves a whole store */
    if (collect_used (store, used)) {
        for (unsigned i = 0; i < 256; i++) {
            g_autofree char *folder =
                g_strdup_printf ("%s/objects/%c%c", store->root, digits[i >> 4], digits[i & 15]);

            sweep_folder (folder, used);
        }
    }
    close (fd);
}
