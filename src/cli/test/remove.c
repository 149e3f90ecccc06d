/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a run's own folder. */
#include "remove.h"

#include <fts.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/**
 * test_remove_tree:
 *
 * Removes @path with all that is in it, and follows no link out of it.
 */
void
test_remove_tree (const char *path)
{
    char *const roots[] = {(char *)path, NULL};
    FTS *tree = fts_open (roots, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);
    FTSENT *entry;

    while (tree != NULL && (entry = fts_read (tree)) != NULL) {
        /* A folder that came back from the guest may be one that nobody can enter. */
        if (entry->fts_info == FTS_D && (entry->fts_statp->st_mode & 0700) != 0700)
            chmod (entry->fts_accpath, 0700);
        else if (entry->fts_info == FTS_DP)
            rmdir (entry->fts_accpath);
        else if (entry->fts_info != FTS_D)
            unlink (entry->fts_accpath);
    }
    if (tree != NULL)
        fts_close (tree);
}

/**
 * test_remove_left:
 * @path: what a worker that is dead has called its folder
 *
 * Removes it if it is still there, and is one that a worker makes: a worker may say anything.
 */
void
test_remove_left (const char *path)
{
    g_autofree char *given = g_path_get_dirname (path);
    g_autofree char *name = g_path_get_basename (path);
    /* TMPDIR may end in a slash. */
    g_autofree char *folder = g_canonicalize_filename (given, NULL);
    g_autofree char *ours = g_canonicalize_filename (g_get_tmp_dir (), NULL);
    struct stat st;

    if (strcmp (folder, ours) == 0 && g_str_has_prefix (name, TEST_TMP_PREFIX) && lstat (path, &st) == 0 &&
        S_ISDIR (st.st_mode) && st.st_uid == geteuid ())
        test_remove_tree (path);
}
