/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was damaged, and its repair. An object's name tells what has to be in it. It comes anew from where its
 * kernel was added from, as long as that has the same. A link is made anew from the index, and an index from
 * the links, which name the same objects.
 *
 * Reading all objects takes long, and others may put another kernel in an entry's place meanwhile: what is
 * written to an entry's folder is what its index or links say now, under the lock of the entries.
 */
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "kernel-store.h"

typedef struct {
    const KernelStore *store;
    bool repair;
    KernelTell tell;
    void *user;
    GHashTable *states; /* of objects that were looked at: hash to KernelObjectState */
    unsigned damaged;   /* that are left */
} Checking;

static void
tell (Checking *checking, const KernelDamage *damage)
{
    checking->damaged += !damage->repaired;
    checking->tell (checking->user, damage);
}

static KernelObjectState
state_of (Checking *checking, const KernelObject *object)
{
    gpointer known;
    KernelObject is;
    KernelObjectState state;

    if (g_hash_table_lookup_extended (checking->states, object->hash, NULL, &known))
        return (KernelObjectState)GPOINTER_TO_UINT (known);
    state = kernel_object_measure (kernel_store_root (checking->store), object->hash, &is);
    g_hash_table_insert (checking->states, g_strdup (object->hash), GUINT_TO_POINTER (state));
    return state;
}

static void
check_objects (Checking *checking, const KernelEntry *entry)
{
    g_autoptr (GPtrArray) bad = g_ptr_array_new ();
    g_autoptr (GPtrArray) left = g_ptr_array_new ();
    g_autoptr (GError) error = NULL;

    for (guint i = 0; i < entry->files->len; i++) {
        KernelEntryFile *file = entry->files->pdata[i];

        if (state_of (checking, &file->object) == KERNEL_OBJECT_GOOD)
            continue;
        g_ptr_array_add (bad, file);
        g_ptr_array_add (left, file);
    }
    if (bad->len > 0 && checking->repair)
        kernel_store_fetch (checking->store, entry, left, &error);
    for (guint i = 0; i < bad->len; i++) {
        const KernelEntryFile *file = bad->pdata[i];
        bool is_left = g_ptr_array_find (left, file, NULL);
        bool is_missing = state_of (checking, &file->object) == KERNEL_OBJECT_MISSING;

        tell (checking,
              &(KernelDamage){is_missing ? KERNEL_DAMAGE_MISSING : KERNEL_DAMAGE_FILE, entry->name,
                              file->path, !is_left, is_left && error != NULL ? error->message : NULL});
    }
    /* Others that have it need not fetch it. */
    for (guint i = 0; i < bad->len; i++) {
        const KernelEntryFile *file = bad->pdata[i];

        g_hash_table_remove (checking->states, file->object.hash);
    }
}

static bool
has_damaged_link (const KernelEntry *entry, const char *folder)
{
    for (guint i = 0; i < entry->files->len; i++)
        if (!kernel_entry_is_linked (entry->files->pdata[i], folder))
            return true;
    return false;
}

static void
check_each_link (Checking *checking, const KernelEntry *entry, const char *folder, bool repair)
{
    for (guint i = 0; i < entry->files->len; i++) {
        const KernelEntryFile *file = entry->files->pdata[i];
        g_autoptr (GError) error = NULL;
        bool repaired;

        if (kernel_entry_is_linked (file, folder))
            continue;
        repaired = repair && kernel_entry_link (file, folder, &error);
        tell (checking, &(KernelDamage){KERNEL_DAMAGE_LINK, entry->name, file->path, repaired,
                                        error != NULL ? error->message : NULL});
    }
}

/* A store that cannot be written to is checked all the same, so the exclusive lock is for repairs. */
static void
check_links (Checking *checking, const char *name)
{
    g_autofree char *folder = kernel_store_folder (checking->store, name);
    int fd = kernel_store_lock (checking->store, KERNEL_STORE_ENTRIES, LOCK_SH, NULL);
    g_autoptr (KernelEntry) entry = kernel_entry_load (folder, true);
    bool is_damaged = has_damaged_link (entry, folder), repair = is_damaged && checking->repair;

    if (repair) {
        if (fd >= 0)
            close (fd);
        fd = kernel_store_lock (checking->store, KERNEL_STORE_ENTRIES, LOCK_EX, NULL);
        kernel_entry_free (entry);
        entry = kernel_entry_load (folder, true);
    }
    if (is_damaged)
        check_each_link (checking, entry, folder, repair && fd >= 0);
    if (fd >= 0)
        close (fd);
}

static VmmKernelFileKind
kind_of (const char *path)
{
    return g_str_has_prefix (path, "boot/vmlinu")       ? VMM_KERNEL_FILE_KERNEL
           : g_str_has_prefix (path, "boot/config")     ? VMM_KERNEL_FILE_CONFIG
           : g_str_has_prefix (path, "boot/System.map") ? VMM_KERNEL_FILE_SYSTEM_MAP
                                                        : VMM_KERNEL_FILE_MODULES;
}

/* Adds what the links below @folder lead to; of what is damaged, the size is not known, and 0. */
static void
collect_links (const Checking *checking, KernelEntry *entry, const char *folder, const char *below)
{
    g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *path = g_build_filename (folder, name, NULL);
        g_autofree char *inside = *below != '\0' ? g_strconcat (below, "/", name, NULL) : g_strdup (name);
        g_autofree char *target = g_file_read_link (path, NULL);
        g_autofree char *hash = target != NULL ? g_path_get_basename (target) : NULL;
        KernelObject object = {{0}, 0, 0};

        if (target == NULL) {
            collect_links (checking, entry, path, inside);
        } else if (kernel_object_is_hash (hash)) {
            g_strlcpy (object.hash, hash, sizeof object.hash);
            kernel_object_measure (kernel_store_root (checking->store), hash, &object);
            kernel_entry_add_file (entry, kind_of (inside), inside, &object);
        }
    }
}

/* Where only the list of its files is damaged, the index still has what no link tells. */
static void
keep_origin (KernelEntry *entry, const char *folder)
{
    g_autoptr (KernelEntry) old = kernel_entry_load (folder, false);

    if (old->is_broken)
        return;
    g_free (entry->label);
    entry->label = g_steal_pointer (&old->label);
    entry->source = g_steal_pointer (&old->source);
    entry->added = old->added;
}

/* Where it came from may be lost; the kernel says the rest. */
static KernelEntry *
rebuild (const Checking *checking, const char *name, GError **error)
{
    g_autofree char *folder = kernel_store_folder (checking->store, name);
    g_autoptr (KernelEntry) entry = kernel_entry_new (name);
    g_autofree char *path = NULL;
    g_autoptr (VmmImage) image = NULL;

    collect_links (checking, entry, folder, "");
    path = kernel_store_kernel_path (checking->store, entry);
    if (path == NULL) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_HOST, "its kernel is lost, too");
        return NULL;
    }
    image = vmm_image_open (path, error);
    if (image == NULL)
        return NULL;
    const VmmImageFacts *facts = vmm_image_get_facts (image);
    entry->label = g_strdup (facts->release != NULL ? facts->release : name);
    entry->added = g_get_real_time () / G_USEC_PER_SEC;
    kernel_entry_describe (entry, facts);
    keep_origin (entry, folder);
    return kernel_entry_save (entry, folder, error) ? g_steal_pointer (&entry) : NULL;
}

/* NULL without an error: it is good by now, or gone. */
static KernelEntry *
rebuild_locked (const Checking *checking, const char *name, GError **error)
{
    g_autofree char *folder = kernel_store_folder (checking->store, name);
    int fd = kernel_store_lock (checking->store, KERNEL_STORE_ENTRIES, LOCK_EX, error);
    KernelEntry *entry = NULL;

    if (fd < 0)
        return NULL;
    g_autoptr (KernelEntry) now = kernel_entry_load (folder, true);
    if (now->is_broken && g_file_test (folder, G_FILE_TEST_IS_DIR))
        entry = rebuild (checking, name, error);
    close (fd);
    return entry;
}

static void
check_broken (Checking *checking, const KernelEntry *broken)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (KernelEntry) entry = checking->repair ? rebuild_locked (checking, broken->name, &error) : NULL;
    const char *note = NULL;

    if (checking->repair && entry == NULL && error == NULL)
        return;
    if (error != NULL)
        note = error->message;
    else if (entry != NULL && entry->source == NULL)
        note = "where it came from is lost";
    tell (checking, &(KernelDamage){KERNEL_DAMAGE_INDEX, broken->name, NULL, entry != NULL, note});
    if (entry != NULL)
        check_objects (checking, entry);
}

/**
 * kernel_store_check:
 * @repair: repair what can be
 * @tell_damage: is told of each damage
 * @ret_damaged: how much is left of it
 *
 * Reads all there is. Kernels can be added and used meanwhile.
 *
 * Returns: false when it could not be done
 */
bool
kernel_store_check (const KernelStore *store, bool repair, KernelTell tell_damage, void *user,
                    unsigned *ret_damaged, GError **error)
{
    g_autoptr (GHashTable) states = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    Checking checking = {store, repair, tell_damage, user, states, 0};
    int fd = kernel_store_lock (store, KERNEL_STORE_OBJECTS, LOCK_SH, error);
    g_autoptr (GPtrArray) entries = fd >= 0 ? kernel_store_list (store, true, error) : NULL;

    for (guint i = 0; entries != NULL && i < entries->len; i++) {
        const KernelEntry *entry = entries->pdata[i];

        if (entry->is_broken) {
            check_broken (&checking, entry);
            continue;
        }
        check_objects (&checking, entry);
        check_links (&checking, entry->name);
    }
    bool ok = entries != NULL && (!repair || kernel_store_sync (store, error));
    if (fd >= 0)
        close (fd);
    if (ok)
        *ret_damaged = checking.damaged;
    return ok;
}
