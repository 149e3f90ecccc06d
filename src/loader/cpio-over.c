/* SPDX-License-Identifier: Apache-2.0 */
/* What an archive is laid over: entries that are there already, in it or in one before it. */
#include "loader/cpio-internal.h"

#include <sys/stat.h>

/**
 * vmm_cpio_know:
 * @cpio: an archive
 * @path: of an entry in an archive that is unpacked before this one
 * @mode: its type and permissions
 *
 * Such an entry is there, and is not made again as the parent of another one: Linux would change a folder's
 * mode, and replace a link to one.
 *
 * Returns: false when there are more than can be remembered
 */
bool
vmm_cpio_know (VmmCpio *cpio, const char *path, uint32_t mode)
{
    g_autofree char *clean = vmm_cpio_clean_path (path);

    if (g_hash_table_size (cpio->entries) >= VMM_CPIO_ENTRIES_MAX)
        return false;
    if (*clean != '\0')
        g_hash_table_replace (cpio->entries, g_steal_pointer (&clean),
                              g_memdup2 (&(VmmCpioEntryPlace){.mode = mode}, sizeof (VmmCpioEntryPlace)));
    return true;
}

/**
 * vmm_cpio_lay_over:
 * @cpio: an archive
 *
 * From now on entries go over those that are there, as a user copies files into a tree: a folder goes through
 * a symbolic link of its name, and does not replace it; and nothing else takes the place of a folder, for
 * which Linux passes it over without a word, if there is something in the folder.
 */
void
vmm_cpio_lay_over (VmmCpio *cpio)
{
    cpio->over = true;
}

/* Whether something of that type is there, over which something else would go. */
bool
vmm_cpio_is_over (const VmmCpio *cpio, const char *path, uint32_t type)
{
    const VmmCpioEntryPlace *place = cpio->over ? g_hash_table_lookup (cpio->entries, path) : NULL;

    return place != NULL && (place->mode & S_IFMT) == type;
}
