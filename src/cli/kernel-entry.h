/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel in the store: its files and where they came from. See kernel-store.c. */
#ifndef CLI_KERNEL_ENTRY_H
#define CLI_KERNEL_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include <vmm/vmm.h>

#include "kernel-object.h"

/**
 * KernelEntryFile:
 * @kind: what it is
 * @path: below the entry's folder: "boot/vmlinuz-6.1", "lib/modules/6.1/kernel/fs/fat.ko"
 * @object: its content
 */
typedef struct {
    VmmKernelFileKind kind;
    char *path;
    KernelObject object;
} KernelEntryFile;

/**
 * KernelEntry:
 * @name: that nothing else in the store has, and its folder's name
 * @alias: (nullable): a shorter one that others may have, too: "debian-6.1"
 * @release: (nullable): what `uname -r` says
 * @version: (nullable): what the kernel says of itself
 * @label: what its files were said to belong to, see #VmmKernelFile
 * @source: (nullable): absolute path of what it was added from
 * @added: when, in seconds since 1970
 * @files: (element-type KernelEntryFile): the kernel first; where not all were asked for, it alone
 * @n_files: how many there are
 * @n_modules: of them modules, lists of modules not counted
 * @bytes: of all
 * @is_broken: its index cannot be read: only @name is known
 * @replaced: it was added in the place of another
 */
typedef struct {
    char *name;
    char *alias;
    char *release;
    char *version;
    char *label;
    char *source;
    int64_t added;
    GPtrArray *files;
    unsigned n_files;
    unsigned n_modules;
    uint64_t bytes;
    bool is_broken;
    bool replaced;
} KernelEntry;

KernelEntry *kernel_entry_new (const char *name);
void kernel_entry_free (KernelEntry *entry);
void kernel_entry_describe (KernelEntry *entry, const VmmImageFacts *facts);
char *kernel_entry_tree_path (const KernelEntry *entry, VmmKernelFileKind kind, const char *path,
                              bool is_elf);
KernelEntryFile *kernel_entry_add_file (KernelEntry *entry, VmmKernelFileKind kind, const char *path,
                                        const KernelObject *object);
const KernelEntryFile *kernel_entry_kernel (const KernelEntry *entry);
KernelEntry *kernel_entry_load (const char *folder, bool with_files);
bool kernel_entry_save (KernelEntry *entry, const char *folder, GError **error);
bool kernel_entry_link (const KernelEntryFile *file, const char *folder, GError **error);
bool kernel_entry_is_linked (const KernelEntryFile *file, const char *folder);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (KernelEntry, kernel_entry_free)

#endif
