/* SPDX-License-Identifier: Apache-2.0 */
/* From a package into the store. See kernel-store.c. */
#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "kernel-store.h"

typedef struct {
    const KernelStore *store;
    const char *source;
    const char *name; /* or NULL */
    KernelProgress progress;
    void *user;
    GPtrArray *drafts;   /* KernelEntry, with the paths of the package */
    GHashTable *modules; /* of them: "LABEL/PATH" to KernelEntryFile */
    GHashTable *links;   /* other names of modules: "LABEL/PATH" to Link */
} Adding;

#define HOPS_MAX 40u /* as Linux has it: from link to link */

/* It may come before what it leads to. */
typedef struct {
    char *label;
    char *path;
    char *target; /* "LABEL/PATH" */
} Link;

static void
link_free (void *data)
{
    Link *link = data;

    g_free (link->label);
    g_free (link->path);
    g_free (link->target);
    g_free (link);
}

static KernelEntry *
draft_of (GPtrArray *drafts, const char *label)
{
    for (guint i = 0; i < drafts->len; i++)
        if (strcmp (((KernelEntry *)drafts->pdata[i])->label, label) == 0)
            return drafts->pdata[i];
    KernelEntry *draft = kernel_entry_new (NULL);
    draft->label = g_strdup (label);
    g_ptr_array_add (drafts, draft);
    return draft;
}

static bool
has_kind (const KernelEntry *draft, VmmKernelFileKind kind)
{
    for (guint i = 0; i < draft->files->len; i++)
        if (((KernelEntryFile *)draft->files->pdata[i])->kind == kind)
            return true;
    return false;
}

/*
 * Paths and labels that are no UTF-8, or have a control character in them, are nothing that a kernel's build
 * makes. They would end a line of the list, or tell a terminal what to do.
 */
static bool
is_text (const char *text)
{
    if (!g_utf8_validate (text, -1, NULL))
        return false;
    for (; *text != '\0'; text = g_utf8_next_char (text))
        if (g_unichar_iscntrl (g_utf8_get_char (text)))
            return false;
    return true;
}

/* In an archive the later one of two counts, as it does for who unpacks it. */
static void
add_module (const Adding *adding, KernelEntry *draft, const char *path, const KernelObject *object)
{
    g_autofree char *key = g_strconcat (draft->label, "/", path, NULL);
    KernelEntryFile *file = g_hash_table_lookup (adding->modules, key);

    if (file != NULL) {
        file->object = *object;
        return;
    }
    file = kernel_entry_add_file (draft, VMM_KERNEL_FILE_MODULES, path, object);
    g_hash_table_insert (adding->modules, g_steal_pointer (&key), file);
}

static void
keep_link (const Adding *adding, const VmmKernelFile *file)
{
    Link *link = g_new0 (Link, 1);

    link->label = g_strdup (file->kernel);
    link->path = g_strdup (file->path);
    link->target = g_strconcat (file->kernel, "/", file->link, NULL);
    g_hash_table_replace (adding->links, g_strconcat (file->kernel, "/", file->path, NULL), link);
}

/* The module at the end of @link; NULL: there is none in the package. */
static const KernelEntryFile *
follow (const Adding *adding, const Link *link)
{
    const char *target = NULL;

    for (unsigned hops = 0; link != NULL; hops++) {
        if (hops == HOPS_MAX)
            return NULL;
        target = link->target;
        link = g_hash_table_lookup (adding->links, target);
    }
    return g_hash_table_lookup (adding->modules, target);
}

/* When all files are known. */
static void
add_links (const Adding *adding)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init (&iter, adding->links);
    while (g_hash_table_iter_next (&iter, NULL, &value)) {
        const Link *link = value;
        const KernelEntryFile *module = follow (adding, link);

        if (module != NULL)
            add_module (adding, draft_of (adding->drafts, link->label), link->path, &module->object);
    }
}

/* @other: (nullable): its first name; of several, a cpio archive has the content with the last one. */
static void
take_module (const Adding *adding, KernelEntry *draft, const char *path, const KernelObject *object,
             const char *other)
{
    g_autofree char *key = g_strconcat (draft->label, "/", path, NULL);
    KernelEntryFile *first = other != NULL ? g_hash_table_lookup (adding->modules, other) : NULL;

    g_hash_table_remove (adding->links, key);
    add_module (adding, draft, path, object);
    if (first != NULL && first->object.size == 0)
        first->object = *object;
}

static bool
take_files (Adding *adding, VmmKernelPackage *package, GError **error)
{
    const VmmKernelFile *file;
    KernelObject object;

    for (;;) {
        if (!vmm_kernel_package_next (package, &file, error))
            return false;
        if (file == NULL) {
            add_links (adding);
            return true;
        }
        if (!is_text (file->path) || !is_text (file->kernel))
            continue;
        if (file->link != NULL && file->size == 0) {
            keep_link (adding, file);
            continue;
        }
        KernelEntry *draft = draft_of (adding->drafts, file->kernel);
        VmmKernelFileKind kind = file->kind;
        g_autofree char *path = g_strdup (file->path);
        g_autofree char *other =
            file->link != NULL ? g_strconcat (file->kernel, "/", file->link, NULL) : NULL;
        if (kind != VMM_KERNEL_FILE_MODULES && has_kind (draft, kind))
            continue;
        if (!kernel_object_add (kernel_store_root (adding->store), package, adding->progress, adding->user,
                                &object, error))
            return false;
        if (kind == VMM_KERNEL_FILE_MODULES)
            take_module (adding, draft, path, &object, other);
        else
            kernel_entry_add_file (draft, kind, path, &object);
    }
}

/* The kernels among the drafts; a package of modules alone has none. */
static GPtrArray *
kernels_of (const Adding *adding, GError **error)
{
    g_autoptr (GPtrArray) kernels = g_ptr_array_new ();
    const GPtrArray *drafts = adding->drafts;

    for (guint i = 0; i < drafts->len; i++)
        if (kernel_entry_kernel (drafts->pdata[i]) != NULL)
            g_ptr_array_add (kernels, drafts->pdata[i]);
    if (kernels->len == 0 && drafts->len > 0)
        g_set_error (
            error, VMM_ERROR, VMM_ERROR_USAGE,
            "kernel package \"%s\": no kernel in it, only files that belong to %s; unpack it and the "
            "kernel's package into one folder, and add that",
            adding->source, ((KernelEntry *)drafts->pdata[0])->label);
    else if (kernels->len == 0)
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "kernel package \"%s\": no kernel in it: nothing is called boot/vmlinuz-VERSION",
                     adding->source);
    else if (kernels->len > 1 && adding->name != NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "name \"%s\": \"%s\" has %u kernels; add one of them at a time, or leave the name out",
                     adding->name, adding->source, kernels->len);
    else
        return g_steal_pointer (&kernels);
    return NULL;
}

/* What the loader says of an object is about a file that the user never saw. */
static void
name_kernel (const Adding *adding, const KernelEntry *draft, const char *path, GError *wrong, GError **error)
{
    g_autofree char *start = g_strdup_printf ("kernel \"%s\": ", path);
    const char *what = wrong->message + (g_str_has_prefix (wrong->message, start) ? strlen (start) : 0);

    g_set_error (error, wrong->domain, wrong->code, "kernel package \"%s\": kernel %s: %s", adding->source,
                 draft->label, what);
}

/* An archive may have a file and a folder of one name, which nobody can unpack. */
static bool
check_paths (const Adding *adding, const KernelEntry *entry, GError **error)
{
    g_autoptr (GHashTable) paths = g_hash_table_new (g_str_hash, g_str_equal);

    for (guint i = 0; i < entry->files->len; i++)
        g_hash_table_add (paths, ((KernelEntryFile *)entry->files->pdata[i])->path);
    for (guint i = 0; i < entry->files->len; i++) {
        g_autofree char *folder = g_strdup (((KernelEntryFile *)entry->files->pdata[i])->path);
        char *slash;

        while ((slash = strrchr (folder, '/')) != NULL) {
            *slash = '\0';
            if (!g_hash_table_contains (paths, folder))
                continue;
            g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                         "kernel package \"%s\": \"%s\" is a file and a folder in it", adding->source,
                         folder);
            return false;
        }
    }
    return true;
}

static KernelEntry *
make_entry (const Adding *adding, const KernelEntry *draft, GError **error)
{
    g_autofree char *path =
        kernel_object_path (kernel_store_root (adding->store), kernel_entry_kernel (draft)->object.hash);
    g_autoptr (GError) wrong = NULL;
    g_autoptr (VmmImage) image = vmm_image_open (path, &wrong);
    g_autoptr (KernelEntry) entry = NULL;

    if (image == NULL) {
        name_kernel (adding, draft, path, wrong, error);
        return NULL;
    }
    const VmmImageFacts *facts = vmm_image_get_facts (image);
    entry = kernel_entry_new (adding->name);
    entry->label = g_strdup (draft->label);
    entry->source = g_strdup (adding->source);
    entry->added = g_get_real_time () / G_USEC_PER_SEC;
    kernel_entry_describe (entry, facts);
    for (guint i = 0; i < draft->files->len; i++) {
        const KernelEntryFile *file = draft->files->pdata[i];
        g_autofree char *tree_path =
            kernel_entry_tree_path (entry, file->kind, file->path, facts->format == VMM_IMAGE_ELF);

        kernel_entry_add_file (entry, file->kind, tree_path, &file->object);
    }
    return check_paths (adding, entry, error) ? g_steal_pointer (&entry) : NULL;
}

static bool
publish (const Adding *adding, KernelEntry *entry, GError **error)
{
    g_autofree char *folder = g_strdup_printf ("%s/tmp/entry-XXXXXX", kernel_store_root (adding->store));

    if (g_mkdtemp_full (folder, 0777) == NULL) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "kernel store: \"%s\": %s", folder,
                     g_strerror (errno));
        return false;
    }
    for (guint i = 0; i < entry->files->len; i++)
        if (!kernel_entry_link (entry->files->pdata[i], folder, error))
            return false;
    return kernel_entry_save (entry, folder, error) &&
           kernel_store_publish (adding->store, entry, folder, &entry->replaced, error);
}

static GPtrArray *
make_all (const Adding *adding, GError **error)
{
    g_autoptr (GPtrArray) kernels = kernels_of (adding, error);
    g_autoptr (GPtrArray) entries = g_ptr_array_new_with_free_func ((GDestroyNotify)kernel_entry_free);

    for (guint i = 0; kernels != NULL && i < kernels->len; i++) {
        KernelEntry *entry = make_entry (adding, kernels->pdata[i], error);

        if (entry == NULL)
            return NULL;
        g_ptr_array_add (entries, entry);
    }
    for (guint i = 0; i < entries->len; i++)
        if (!publish (adding, entries->pdata[i], error))
            return NULL;
    return kernels != NULL ? g_steal_pointer (&entries) : NULL;
}

static GPtrArray *
add_locked (Adding *adding, GError **error)
{
    g_autoptr (VmmKernelPackage) package = vmm_kernel_package_open (adding->source, error);

    if (package == NULL || !take_files (adding, package, error))
        return NULL;
    return make_all (adding, error);
}

/**
 * kernel_store_add:
 * @source: what vmm_kernel_package_open() takes
 * @name: (nullable): what to call the kernel, when there is one only; NULL: by its version
 * @progress: (nullable): is told of bytes
 *
 * Adds what kernels there are, in the place of those of the same names. Several threads and processes may do
 * it at a time.
 *
 * Returns: (transfer full) (element-type KernelEntry): the kernels; NULL on failure
 */
GPtrArray *
kernel_store_add (const KernelStore *store, const char *source, const char *name, KernelProgress progress,
                  void *user, GError **error)
{
    g_autofree char *absolute = g_canonicalize_filename (source, NULL);
    g_autoptr (GPtrArray) drafts = g_ptr_array_new_with_free_func ((GDestroyNotify)kernel_entry_free);
    g_autoptr (GHashTable) modules = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr (GHashTable) links = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, link_free);
    Adding adding = {store, absolute, name, progress, user, drafts, modules, links};
    GPtrArray *entries;
    int fd;

    if (name != NULL && !kernel_store_check_name (name, error))
        return NULL;
    kernel_store_sweep (store);
    fd = kernel_store_lock (store, KERNEL_STORE_OBJECTS, LOCK_SH, error);
    if (fd < 0)
        return NULL;
    entries = add_locked (&adding, error);
    close (fd);
    kernel_store_sweep (store); /* what it replaced, or, when it failed, what there is of it */
    return entries;
}

/* Those that are there again with @object: several names may have the same content. */
static void
drop_good (GPtrArray *files, const KernelObject *object)
{
    for (guint i = files->len; i > 0; i--)
        if (strcmp (((KernelEntryFile *)files->pdata[i - 1])->object.hash, object->hash) == 0)
            g_ptr_array_remove_index (files, i - 1);
}

/* Whether the package's present file is one of @files. */
static bool
is_wanted (const KernelEntry *entry, GPtrArray *files, const VmmKernelFile *file)
{
    g_autofree char *path = kernel_entry_tree_path (entry, file->kind, file->path, false);

    if (strcmp (file->kernel, entry->label) != 0)
        return false;
    for (guint i = 0; i < files->len; i++) {
        const KernelEntryFile *wanted = files->pdata[i];

        if (wanted->kind == file->kind &&
            (wanted->object.size == file->size || wanted->object.size == 0) && /* 0 may be: not known */
            (file->kind != VMM_KERNEL_FILE_MODULES || strcmp (wanted->path, path) == 0))
            return true;
    }
    return false;
}

/**
 * kernel_store_fetch:
 * @files: (element-type KernelEntryFile): some of @entry's, of which those are removed that are good again
 * @error: why not all of them are
 *
 * Stores them once more, from where @entry was added from, if they are what they were. The caller holds the
 * lock of the objects shared.
 *
 * Returns: whether all are good again
 */
bool
kernel_store_fetch (const KernelStore *store, const KernelEntry *entry, GPtrArray *files, GError **error)
{
    g_autoptr (VmmKernelPackage) package = NULL;
    const VmmKernelFile *file = NULL;
    KernelObject object;

    if (entry->source == NULL) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "nothing says where it came from");
        return false;
    }
    package = vmm_kernel_package_open (entry->source, error);
    if (package == NULL)
        return false;
    while (files->len > 0) {
        if (!vmm_kernel_package_next (package, &file, error))
            return false;
        if (file == NULL)
            break;
        if ((file->link != NULL && file->size == 0) || !is_wanted (entry, files, file))
            continue;
        if (!kernel_object_add (kernel_store_root (store), package, NULL, NULL, &object, error))
            return false;
        drop_good (files, &object);
    }
    if (files->len > 0)
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "\"%s\" has another file now", entry->source);
    return files->len == 0;
}
