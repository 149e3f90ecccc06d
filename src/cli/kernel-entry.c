/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entry's folder is laid out as a package that was unpacked, with links to the objects, so that all that
 * takes a kernel's path finds its configuration and its modules beside it. Two files say the same once more:
 * the index, small, which is read whenever a kernel is looked for, and the list of all files. The index has a
 * hash of the list, and its first line one of itself: it is the one file that no other vouches for.
 */
#include "kernel-entry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#define INDEX "index"
#define LIST "files"
#define FORMAT 1
#define GROUP "kernel"
#define SEAL "# sha256 "

static const char *const kinds[] = {
    [VMM_KERNEL_FILE_KERNEL] = "kernel",
    [VMM_KERNEL_FILE_CONFIG] = "config",
    [VMM_KERNEL_FILE_SYSTEM_MAP] = "system-map",
    [VMM_KERNEL_FILE_MODULES] = "module",
};

static void
file_free (void *data)
{
    KernelEntryFile *file = data;

    g_free (file->path);
    g_free (file);
}

/**
 * kernel_entry_new:
 * @name: its name
 *
 * Returns: (transfer full): an entry without files
 */
KernelEntry *
kernel_entry_new (const char *name)
{
    KernelEntry *entry = g_new0 (KernelEntry, 1);

    entry->name = g_strdup (name);
    entry->files = g_ptr_array_new_with_free_func (file_free);
    return entry;
}

/**
 * kernel_entry_free:
 * @entry: (nullable): an entry
 */
void
kernel_entry_free (KernelEntry *entry)
{
    if (entry == NULL)
        return;
    g_free (entry->name);
    g_free (entry->alias);
    g_free (entry->release);
    g_free (entry->version);
    g_free (entry->label);
    g_free (entry->source);
    g_ptr_array_unref (entry->files);
    g_free (entry);
}

/* Whose kernel it is, by the line that its build left in it. */
static const char *
distribution (const char *version)
{
    static const struct {
        const char *said;
        const char *name;
    } marks[] = {
        {"Debian", "debian"},        {"debian", "debian"},    {"Ubuntu", "ubuntu"},
        {"fedoraproject", "fedora"}, {"archlinux", "arch"},   {"geeko", "suse"},
        {"redhat.com", "rhel"},      {"rockylinux", "rocky"}, {"alpine", "alpine"},
    };

    for (size_t i = 0; version != NULL && i < G_N_ELEMENTS (marks); i++)
        if (strstr (version, marks[i].said) != NULL)
            return marks[i].name;
    return "linux";
}

/* What is fit for a name of a file, and for a command line. */
static char *
clean_name (char *name)
{
    for (char *c = name; *c != '\0'; c++)
        if (!g_ascii_isalnum (*c) && strchr ("._+~-", *c) == NULL)
            *c = '_';
    if (*name == '.' || *name == '-')
        *name = '_';
    return name;
}

/* "debian-6.1" of 6.1.0-56-amd64; NULL when that is no version. */
static char *
short_name (const char *from, const char *release)
{
    const char *end = release;
    unsigned dots = 0;

    for (; g_ascii_isdigit (*end) || (*end == '.' && dots == 0); end++)
        dots += *end == '.';
    return dots == 1 && end > release && g_ascii_isdigit (end[-1])
               ? g_strdup_printf ("%s-%.*s", from, (int)(end - release), release)
               : NULL;
}

/**
 * kernel_entry_describe:
 * @entry: its release, version, alias and, where it has none, name are set
 * @facts: of its kernel
 */
void
kernel_entry_describe (KernelEntry *entry, const VmmImageFacts *facts)
{
    const char *from = distribution (facts->version);

    g_free (entry->release);
    g_free (entry->version);
    g_free (entry->alias);
    entry->release = g_strdup (facts->release);
    entry->version = g_strdup (facts->version);
    entry->alias = facts->release != NULL ? short_name (from, facts->release) : NULL;
    if (entry->name == NULL)
        entry->name = clean_name (facts->release != NULL ? g_strdup_printf ("%s-%s", from, facts->release)
                                                         : g_strdup (entry->label));
}

/**
 * kernel_entry_tree_path:
 * @kind: of a file
 * @path: as #VmmKernelFile has it
 * @is_elf: the kernel is a vmlinux
 *
 * Returns: (transfer full): where it is in the entry's folder
 */
char *
kernel_entry_tree_path (const KernelEntry *entry, VmmKernelFileKind kind, const char *path, bool is_elf)
{
    g_autofree char *release = clean_name (g_strdup (entry->release != NULL ? entry->release : entry->label));

    switch (kind) {
    case VMM_KERNEL_FILE_KERNEL:
        return g_strdup_printf ("boot/%s-%s", is_elf ? "vmlinux" : "vmlinuz", release);
    case VMM_KERNEL_FILE_CONFIG:
        return g_strdup_printf ("boot/config-%s", release);
    case VMM_KERNEL_FILE_SYSTEM_MAP:
        return g_strdup_printf ("boot/System.map-%s", release);
    case VMM_KERNEL_FILE_MODULES:
    default:
        return g_strdup_printf ("lib/modules/%s/%s", release, path);
    }
}

/**
 * kernel_entry_add_file:
 * @path: below the entry's folder
 *
 * Returns: (transfer none): the file
 */
KernelEntryFile *
kernel_entry_add_file (KernelEntry *entry, VmmKernelFileKind kind, const char *path,
                       const KernelObject *object)
{
    KernelEntryFile *file = g_new0 (KernelEntryFile, 1);

    file->kind = kind;
    file->path = g_strdup (path);
    file->object = *object;
    g_ptr_array_insert (entry->files, kind == VMM_KERNEL_FILE_KERNEL ? 0 : -1, file);
    return file;
}

/**
 * kernel_entry_kernel:
 *
 * Returns: (transfer none) (nullable): the file of the kernel itself
 */
const KernelEntryFile *
kernel_entry_kernel (const KernelEntry *entry)
{
    const KernelEntryFile *first = entry->files->len > 0 ? entry->files->pdata[0] : NULL;

    return first != NULL && first->kind == VMM_KERNEL_FILE_KERNEL ? first : NULL;
}

static void
count (KernelEntry *entry)
{
    entry->n_files = entry->files->len;
    entry->n_modules = 0;
    entry->bytes = 0;
    for (guint i = 0; i < entry->files->len; i++) {
        const KernelEntryFile *file = entry->files->pdata[i];
        g_autofree char *name = g_path_get_basename (file->path);

        entry->n_modules += file->kind == VMM_KERNEL_FILE_MODULES && strstr (name, ".ko") != NULL;
        entry->bytes += file->object.size;
    }
}

/* A path that stays below the entry's folder, whoever wrote the index. */
static bool
is_below (const char *path)
{
    return (g_str_has_prefix (path, "boot/") || g_str_has_prefix (path, "lib/modules/")) &&
           strstr (path, "/../") == NULL && !g_str_has_suffix (path, "/..");
}

/* "KIND HASH SIZE SUM PATH" */
static bool
parse_file (KernelEntry *entry, const char *text)
{
    g_auto (GStrv) words = g_strsplit (text, " ", 5);
    KernelObject object = {{0}, 0, 0};
    guint kind = 0;

    if (g_strv_length (words) != 5 || !kernel_object_is_hash (words[1]) || !is_below (words[4]) ||
        !g_ascii_string_to_unsigned (words[2], 10, 0, G_MAXINT64, &object.size, NULL) ||
        !g_ascii_string_to_unsigned (words[3], 16, 0, G_MAXUINT64, &object.sum, NULL))
        return false;
    while (kind < G_N_ELEMENTS (kinds) && strcmp (kinds[kind], words[0]) != 0)
        kind++;
    if (kind == G_N_ELEMENTS (kinds))
        return false;
    g_strlcpy (object.hash, words[1], sizeof object.hash);
    kernel_entry_add_file (entry, (VmmKernelFileKind)kind, words[4], &object);
    return true;
}

static char *
file_to_text (const KernelEntryFile *file)
{
    return g_strdup_printf ("%s %s %" G_GUINT64_FORMAT " %" G_GINT64_MODIFIER "x %s", kinds[file->kind],
                            file->object.hash, file->object.size, file->object.sum, file->path);
}

/* Instead of the kernel alone, all files. */
static bool
load_list (KernelEntry *entry, const char *folder, const char *hash)
{
    g_autofree char *path = g_build_filename (folder, LIST, NULL);
    g_autofree char *text = NULL;
    g_autofree char *is = NULL;
    g_auto (GStrv) lines = NULL;

    if (!g_file_get_contents (path, &text, NULL, NULL))
        return false;
    is = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);
    if (strcmp (is, hash) != 0)
        return false;
    g_ptr_array_set_size (entry->files, 0);
    lines = g_strsplit (text, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        if (**line != '\0' && !parse_file (entry, *line))
            return false;
    return true;
}

static bool
load_index (KernelEntry *entry, const char *text, const char *folder, bool with_files)
{
    g_autoptr (GKeyFile) file = g_key_file_new ();
    g_autofree char *kernel = NULL;
    g_autofree char *list = NULL;

    if (!g_key_file_load_from_data (file, text, strlen (text), G_KEY_FILE_NONE, NULL) ||
        g_key_file_get_integer (file, GROUP, "format", NULL) != FORMAT)
        return false;
    entry->alias = g_key_file_get_string (file, GROUP, "alias", NULL);
    entry->release = g_key_file_get_string (file, GROUP, "release", NULL);
    entry->version = g_key_file_get_string (file, GROUP, "version", NULL);
    entry->label = g_key_file_get_string (file, GROUP, "label", NULL);
    entry->source = g_key_file_get_string (file, GROUP, "source", NULL);
    entry->added = g_key_file_get_int64 (file, GROUP, "added", NULL);
    entry->n_files = (unsigned)g_key_file_get_uint64 (file, GROUP, "files", NULL);
    entry->n_modules = (unsigned)g_key_file_get_uint64 (file, GROUP, "modules", NULL);
    entry->bytes = g_key_file_get_uint64 (file, GROUP, "bytes", NULL);
    kernel = g_key_file_get_string (file, GROUP, "kernel", NULL);
    list = g_key_file_get_string (file, GROUP, "list", NULL);
    if (entry->label == NULL || kernel == NULL || list == NULL || !parse_file (entry, kernel))
        return false;
    return (!with_files || load_list (entry, folder, list)) && kernel_entry_kernel (entry) != NULL;
}

/* The text behind the first line, when that line vouches for it. */
static const char *
unseal (const char *text)
{
    const char *line_end = strchr (text, '\n');
    g_autofree char *hash = NULL;

    if (line_end == NULL || !g_str_has_prefix (text, SEAL))
        return NULL;
    hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, line_end + 1, -1);
    text += strlen (SEAL);
    return (size_t)(line_end - text) == strlen (hash) && strncmp (text, hash, strlen (hash)) == 0
               ? line_end + 1
               : NULL;
}

/**
 * kernel_entry_load:
 * @folder: an entry's
 * @with_files: all its files are wanted, and not the kernel alone
 *
 * Returns: (transfer full): it; broken, when it cannot be read
 */
KernelEntry *
kernel_entry_load (const char *folder, bool with_files)
{
    g_autofree char *name = g_path_get_basename (folder);
    g_autofree char *path = g_build_filename (folder, INDEX, NULL);
    g_autofree char *text = NULL;
    KernelEntry *entry = kernel_entry_new (name);
    const char *sealed = g_file_get_contents (path, &text, NULL, NULL) ? unseal (text) : NULL;

    if (sealed != NULL && load_index (entry, sealed, folder, with_files))
        return entry;
    kernel_entry_free (entry);
    entry = kernel_entry_new (name);
    entry->is_broken = true;
    return entry;
}

static void
set_string (GKeyFile *file, const char *key, const char *value)
{
    g_autofree char *valid = value != NULL ? g_utf8_make_valid (value, -1) : NULL;

    if (valid != NULL)
        g_key_file_set_string (file, GROUP, key, valid);
}

static bool
write_text (const char *folder, const char *name, const char *text, GError **error)
{
    g_autofree char *path = g_build_filename (folder, name, NULL);
    g_autoptr (GError) wrong = NULL;

    if (g_file_set_contents_full (path, text, -1,
                                  G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0666, &wrong))
        return true;
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "kernel store: %s", wrong->message);
    return false;
}

/* Writes the list. Returns: (transfer full): its hash; NULL on failure */
static char *
save_list (const KernelEntry *entry, const char *folder, GError **error)
{
    g_autoptr (GString) text = g_string_new (NULL);

    for (guint i = 0; i < entry->files->len; i++) {
        g_autofree char *line = file_to_text (entry->files->pdata[i]);

        g_string_append_printf (text, "%s\n", line);
    }
    return write_text (folder, LIST, text->str, error)
               ? g_compute_checksum_for_string (G_CHECKSUM_SHA256, text->str, -1)
               : NULL;
}

/**
 * kernel_entry_save:
 * @entry: with all its files, which are counted
 * @folder: the entry's
 *
 * Writes the index and the list: new ones, or over old ones. When that is interrupted, the entry is broken.
 *
 * Returns: false on failure
 */
bool
kernel_entry_save (KernelEntry *entry, const char *folder, GError **error)
{
    g_autoptr (GKeyFile) file = g_key_file_new ();
    g_autofree char *list = save_list (entry, folder, error);
    g_autofree char *kernel = file_to_text (kernel_entry_kernel (entry));
    g_autofree char *text = NULL;
    g_autofree char *hash = NULL;
    g_autofree char *sealed = NULL;

    if (list == NULL)
        return false;
    count (entry);
    g_key_file_set_integer (file, GROUP, "format", FORMAT);
    set_string (file, "alias", entry->alias);
    set_string (file, "release", entry->release);
    set_string (file, "version", entry->version);
    set_string (file, "label", entry->label);
    set_string (file, "source", entry->source);
    g_key_file_set_int64 (file, GROUP, "added", entry->added);
    g_key_file_set_uint64 (file, GROUP, "files", entry->n_files);
    g_key_file_set_uint64 (file, GROUP, "modules", entry->n_modules);
    g_key_file_set_uint64 (file, GROUP, "bytes", entry->bytes);
    set_string (file, "kernel", kernel);
    set_string (file, "list", list);
    text = g_key_file_to_data (file, NULL, NULL);
    hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);
    sealed = g_strconcat (SEAL, hash, "\n", text, NULL);
    return write_text (folder, INDEX, sealed, error);
}

/* From an entry's file to its object, wherever the store is. */
static char *
link_target (const KernelEntryFile *file)
{
    GString *target = g_string_new ("../../");

    for (const char *c = file->path; *c != '\0'; c++)
        if (*c == '/')
            g_string_append (target, "../");
    g_string_append_printf (target, "objects/%.2s/%s", file->object.hash, file->object.hash);
    return g_string_free (target, FALSE);
}

/**
 * kernel_entry_link:
 * @folder: the entry's, which gets @file
 *
 * Returns: false on failure
 */
bool
kernel_entry_link (const KernelEntryFile *file, const char *folder, GError **error)
{
    g_autofree char *path = g_build_filename (folder, file->path, NULL);
    g_autofree char *parent = g_path_get_dirname (path);
    g_autofree char *target = link_target (file);

    if ((symlink (target, path) == 0) ||
        (g_mkdir_with_parents (parent, 0777) == 0 && (g_unlink (path) == 0 || errno == ENOENT) &&
         symlink (target, path) == 0))
        return true;
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "kernel store: \"%s\": %s", path, g_strerror (errno));
    return false;
}

/**
 * kernel_entry_is_linked:
 * @folder: the entry's
 *
 * Returns: whether @file is where it should be
 */
bool
kernel_entry_is_linked (const KernelEntryFile *file, const char *folder)
{
    g_autofree char *path = g_build_filename (folder, file->path, NULL);
    g_autofree char *target = link_target (file);
    g_autofree char *is = g_file_read_link (path, NULL);

    return is != NULL && strcmp (is, target) == 0;
}
