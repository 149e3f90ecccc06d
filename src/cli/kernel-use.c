/* SPDX-License-Identifier: Apache-2.0 */
/* --kernel NAME. See kernel-store.c. */
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "kernel-store.h"

/* A kernel that was damaged is told, and comes anew where it can. */
static bool
repair (const KernelStore *store, const KernelEntry *entry, KernelObjectState state, char **ret_note,
        GError **error)
{
    g_autoptr (GPtrArray) files = g_ptr_array_new ();
    g_autoptr (GError) wrong = NULL;
    const char *what = state == KERNEL_OBJECT_MISSING ? "missing" : "damaged";
    int fd = kernel_store_lock (store, KERNEL_STORE_OBJECTS, LOCK_SH, &wrong);
    bool ok;

    g_ptr_array_add (files, (gpointer)kernel_entry_kernel (entry));
    ok = fd >= 0 && kernel_store_fetch (store, entry, files, &wrong);
    if (fd >= 0)
        close (fd);
    if (ok)
        *ret_note = g_strdup_printf ("note: kernel \"%s\" was %s in the store, and is repaired from \"%s\"",
                                     entry->name, what, entry->source);
    else
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "kernel \"%s\": %s in the store, and not to be repaired: %s; add it again with \"vmm "
                     "kernel add\"",
                     entry->name, what, wrong->message);
    return ok;
}

static bool
fail_link (const KernelEntry *entry, const char *why, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                 "kernel \"%s\": its link in the store is damaged, and not to be repaired: %s; add it again "
                 "with \"vmm kernel add\"",
                 entry->name, why);
    return false;
}

/* The path that is booted is a link: without it there is no kernel, and it may lead to another one. */
static bool
repair_link (const KernelStore *store, const KernelEntry *entry, char **ret_note, GError **error)
{
    g_autofree char *folder = kernel_store_folder (store, entry->name);
    g_autoptr (GError) wrong = NULL;
    int fd = kernel_store_lock (store, KERNEL_STORE_ENTRIES, LOCK_EX, &wrong);

    if (fd < 0)
        return fail_link (entry, wrong->message, error);
    /* Others may have put another kernel in its place, whose link is good. */
    g_autoptr (KernelEntry) now = kernel_entry_load (folder, false);
    const KernelEntryFile *kernel = kernel_entry_kernel (now);
    bool is_good = kernel != NULL && kernel_entry_is_linked (kernel, folder);
    bool ok = is_good || (kernel != NULL && kernel_entry_link (kernel, folder, &wrong));
    close (fd);
    if (!ok)
        return fail_link (entry, wrong != NULL ? wrong->message : "its index is gone", error);
    if (!is_good && *ret_note == NULL)
        *ret_note = g_strdup_printf ("note: kernel \"%s\" had a damaged link in the store, which is repaired",
                                     entry->name);
    return true;
}

/* Who has no kernels in the store means a file, and is told about that. */
static bool
is_empty (const KernelStore *store)
{
    g_autoptr (GPtrArray) entries = kernel_store_list (store, false, NULL);

    return entries != NULL && entries->len == 0;
}

/**
 * kernel_store_use:
 * @ret_path: (transfer full): the path of the entry's kernel, which is as it was added
 * @ret_note: (transfer full) (nullable): a line for the user
 * @error: %VMM_ERROR_USAGE: it is damaged
 *
 * Returns: false on failure
 */
bool
kernel_store_use (const KernelStore *store, const KernelEntry *entry, char **ret_path, char **ret_note,
                  GError **error)
{
    g_autofree char *folder = kernel_store_folder (store, entry->name);
    KernelObjectState state;

    *ret_note = NULL;
    if (entry->is_broken) {
        g_set_error (
            error, VMM_ERROR, VMM_ERROR_USAGE,
            "kernel \"%s\": its index in the store is damaged; \"vmm kernel check --repair\" makes it "
            "anew",
            entry->name);
        return false;
    }
    state = kernel_object_check_quickly (kernel_store_root (store), &kernel_entry_kernel (entry)->object);
    if (state != KERNEL_OBJECT_GOOD && !repair (store, entry, state, ret_note, error))
        return false;
    if (!kernel_entry_is_linked (kernel_entry_kernel (entry), folder) &&
        !repair_link (store, entry, ret_note, error))
        return false;
    *ret_path = kernel_store_kernel_path (store, entry);
    return true;
}

/* A folder is never a kernel, so who has one of that name does not mean it. */
static bool
is_path (const char *value)
{
    return *value == '\0' || strchr (value, '/') != NULL ||
           (g_file_test (value, G_FILE_TEST_EXISTS) && !g_file_test (value, G_FILE_TEST_IS_DIR));
}

/**
 * kernel_use:
 * @value: what the user calls a kernel
 * @ret_path: (transfer full) (nullable): the path of the store's kernel of that name; NULL: @value is a file,
 * or meant as one
 * @ret_note: (transfer full) (nullable): a line for the user
 * @error: %VMM_ERROR_USAGE: no such kernel, or several, or it is damaged; %VMM_ERROR_HOST
 *
 * Returns: false on failure
 */
bool
kernel_use (const char *value, char **ret_path, char **ret_note, GError **error)
{
    g_autoptr (KernelStore) store = NULL;
    g_autoptr (KernelEntry) entry = NULL;

    *ret_path = NULL;
    *ret_note = NULL;
    if (is_path (value))
        return true;
    store = kernel_store_open (false, error);
    if (store == NULL)
        return false;
    if (is_empty (store))
        return true;
    entry = kernel_store_find (store, value, error);
    return entry != NULL && kernel_store_use (store, entry, ret_path, ret_note, error);
}
