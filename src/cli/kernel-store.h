/* SPDX-License-Identifier: Apache-2.0 */
/* The user's kernels, by name. See kernel-store.c. */
#ifndef CLI_KERNEL_STORE_H
#define CLI_KERNEL_STORE_H

#include <stdbool.h>

#include <vmm/vmm.h>

#include "kernel-entry.h"

typedef struct _KernelStore KernelStore;

/* The store's locks. Where both are held, that of the objects was taken first. */
typedef enum {
    KERNEL_STORE_OBJECTS, /* shared: who adds objects, or needs them to stay; exclusive: who removes some */
    KERNEL_STORE_ENTRIES, /* shared: who looks for one; exclusive: who publishes or removes one */
} KernelStoreLock;

/* kernel-store.c */
KernelStore *kernel_store_open (bool create, GError **error);
void kernel_store_free (KernelStore *store);
const char *kernel_store_root (const KernelStore *store);
char *kernel_store_folder (const KernelStore *store, const char *name);
char *kernel_store_kernel_path (const KernelStore *store, const KernelEntry *entry);
int kernel_store_lock (const KernelStore *store, KernelStoreLock which, int operation, GError **error);
GPtrArray *kernel_store_list (const KernelStore *store, bool with_files, GError **error);
bool kernel_store_publish (const KernelStore *store, const KernelEntry *entry, const char *folder,
                           bool *ret_replaced, GError **error);
bool kernel_store_remove (const KernelStore *store, const KernelEntry *entry, GError **error);
bool kernel_store_sync (const KernelStore *store, GError **error);
void kernel_store_sweep (const KernelStore *store);

/* kernel-names.c */
KernelEntry *kernel_store_find (const KernelStore *store, const char *name, GError **error);
const char *kernel_store_call (const GPtrArray *entries, const KernelEntry *entry);
bool kernel_store_check_name (const char *name, GError **error);

/* kernel-add.c: @name is NULL, or what to call the only kernel there is */
GPtrArray *kernel_store_add (const KernelStore *store, const char *source, const char *name,
                             KernelProgress progress, void *user, GError **error);
bool kernel_store_fetch (const KernelStore *store, const KernelEntry *entry, GPtrArray *files,
                         GError **error);

/* kernel-check.c */
typedef enum {
    KERNEL_DAMAGE_FILE,    /* it has something else in it */
    KERNEL_DAMAGE_MISSING, /* it is gone */
    KERNEL_DAMAGE_LINK,    /* it is not where it should be */
    KERNEL_DAMAGE_INDEX,   /* of the kernel: what is known of it, or the list of its files */
} KernelDamageKind;

/**
 * KernelDamage:
 * @kind: what it is
 * @kernel: the entry's name
 * @file: (nullable): its path below the entry's folder; NULL of an index
 * @repaired: it was, just now
 * @note: (nullable): why it was not, or what is lost all the same
 */
typedef struct {
    KernelDamageKind kind;
    const char *kernel;
    const char *file;
    bool repaired;
    const char *note;
} KernelDamage;

typedef void (*KernelTell) (void *user, const KernelDamage *damage);
bool kernel_store_check (const KernelStore *store, bool repair, KernelTell tell, void *user,
                         unsigned *ret_damaged, GError **error);

/* kernel-use.c */
bool kernel_store_use (const KernelStore *store, const KernelEntry *entry, char **ret_path, char **ret_note,
                       GError **error);
bool kernel_use (const char *value, char **ret_path, char **ret_note, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (KernelStore, kernel_store_free)

#endif
