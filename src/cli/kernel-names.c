/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel in the store can be called. See kernel-store.c. */
#include <string.h>

#include "kernel-store.h"

#define NAME_MAX_LEN 128u

typedef bool (*Match) (const char *known, const char *wanted);

static bool
is_same (const char *known, const char *wanted)
{
    return strcmp (known, wanted) == 0;
}

/* "6.1" is a start of "6.1.0" as a version, and one of "6.12" as letters only. */
static bool
starts_words (const char *known, const char *wanted)
{
    size_t len = strlen (wanted);

    return strncmp (known, wanted, len) == 0 && !g_ascii_isalnum (known[len]);
}

static bool
starts_letters (const char *known, const char *wanted)
{
    return g_str_has_prefix (known, wanted);
}

static GPtrArray *
matching (const GPtrArray *entries, const char *wanted, Match match, bool names_only)
{
    GPtrArray *found = g_ptr_array_new ();

    for (guint i = 0; i < entries->len; i++) {
        KernelEntry *entry = entries->pdata[i];

        if (match (entry->name, wanted) ||
            (!names_only && ((entry->alias != NULL && match (entry->alias, wanted)) ||
                             (entry->release != NULL && match (entry->release, wanted)))))
            g_ptr_array_add (found, entry);
    }
    return found;
}

static char *
join_names (const GPtrArray *all, const GPtrArray *entries)
{
    GString *names = g_string_new (NULL);

    for (guint i = 0; i < entries->len; i++)
        g_string_append_printf (names, "%s%s", i > 0 ? ", " : "",
                                all == entries ? kernel_store_call (all, entries->pdata[i])
                                               : ((KernelEntry *)entries->pdata[i])->name);
    return g_string_free (names, FALSE);
}

/* Those that @wanted means, in the best way that it means any. */
static GPtrArray *
look_up (const GPtrArray *entries, const char *wanted)
{
    static const struct {
        Match match;
        bool names_only;
    } ways[] = {{is_same, true}, {is_same, false}, {starts_words, false}, {starts_letters, false}};
    GPtrArray *found = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS (ways); i++) {
        g_clear_pointer (&found, g_ptr_array_unref);
        found = matching (entries, wanted, ways[i].match, ways[i].names_only);
        if (found->len > 0)
            break;
    }
    return found;
}

/**
 * kernel_store_call:
 * @entries: all
 * @entry: one of them
 *
 * Returns: (transfer none): the shortest name that means @entry and no other
 */
const char *
kernel_store_call (const GPtrArray *entries, const KernelEntry *entry)
{
    if (entry->alias == NULL || strlen (entry->alias) >= strlen (entry->name))
        return entry->name;
    g_autoptr (GPtrArray) found = look_up (entries, entry->alias);
    return found->len == 1 && found->pdata[0] == entry ? entry->alias : entry->name;
}

/**
 * kernel_store_find:
 * @name: an entry's name, alias or release; or what only one of those begins with
 * @error: %VMM_ERROR_USAGE: there is none, or more than one; %VMM_ERROR_HOST
 *
 * Returns: (transfer full): the entry; NULL on failure
 */
KernelEntry *
kernel_store_find (const KernelStore *store, const char *name, GError **error)
{
    g_autoptr (GPtrArray) entries = kernel_store_list (store, false, error);
    g_autoptr (GPtrArray) found = NULL;
    g_autofree char *names = NULL;
    guint index;

    if (entries == NULL)
        return NULL;
    found = *name != '\0' ? look_up (entries, name) : g_ptr_array_new ();
    if (found->len == 1 && g_ptr_array_find (entries, found->pdata[0], &index))
        return g_ptr_array_steal_index (entries, index);
    names = found->len > 1 ? join_names (NULL, found) : join_names (entries, entries);
    if (found->len > 1)
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "kernel \"%s\": several in the store: %s; say which",
                     name, names);
    else if (entries->len > 0)
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "kernel \"%s\": no such file, nor in the store, which has %s", name, names);
    else
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "kernel \"%s\": the store is empty; \"vmm kernel add FILE\" puts one in", name);
    return NULL;
}

/**
 * kernel_store_check_name:
 * @name: that the user wants to give
 * @error: %VMM_ERROR_USAGE
 *
 * Returns: whether a kernel can have it
 */
bool
kernel_store_check_name (const char *name, GError **error)
{
    size_t len = strlen (name);
    bool ok = len > 0 && len <= NAME_MAX_LEN && g_ascii_isalnum (*name);

    for (const char *c = name; *c != '\0'; c++)
        ok = ok && (g_ascii_isalnum (*c) || strchr ("._+~-", *c) != NULL);
    if (!ok)
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "name \"%s\": say one of letters, digits and any of . _ + ~ - that begins with a letter "
                     "or a digit, of at most %u characters",
                     name, NAME_MAX_LEN);
    return ok;
}
