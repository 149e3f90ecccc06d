/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <dirent.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remove-tree.h"
#include "vmm/error.h"
#include "vmm/run-files.h"

#define MIB ((uint64_t)1 << 20)

static char *home;

static void
enter (void)
{
    home = g_dir_make_tmp ("vmm-files-XXXXXX", NULL);
    cr_assert_eq (chdir (home), 0);
    cr_assert_eq (mkdir ("out", 0755), 0);
    cr_assert_eq (mkdir ("outside", 0755), 0);
    umask (022);
}

static void
leave (void)
{
    remove_tree (home);
    g_free (home);
}

TestSuite (run_files, .init = enter, .fini = leave);

/* Whatever a guest may say, so by hand. */
static void
put (GString *archive, const char *name, unsigned mode, const char *content)
{
    g_string_append_printf (archive, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 7u, mode,
                            1u, 2u, 1u, 3u, (unsigned)strlen (content), 0u, 0u, 8u, 9u,
                            (unsigned)strlen (name) + 1, 0u);
    g_string_append_len (archive, name, (gssize)strlen (name) + 1);
    while (archive->len % 4 != 0)
        g_string_append_c (archive, '\0');
    g_string_append (archive, content);
    while (archive->len % 4 != 0)
        g_string_append_c (archive, '\0');
}

static void
put_end (GString *archive)
{
    put (archive, "TRAILER!!!", 0, "");
}

static VmmRunFiles *
receiver (const char *guest, const char *host)
{
    g_autoptr (GError) error = NULL;
    VmmRunFiles *files = vmm_run_files_new (guest, host, MIB, &error);

    cr_assert_not_null (files, "%s", error != NULL ? error->message : "");
    return files;
}

static bool
take_pieces (VmmRunFiles *files, const GString *archive, size_t step, GError **error)
{
    for (size_t at = 0; at < archive->len; at += step)
        if (!vmm_run_files_feed (
                files, (VmmSpan){(const uint8_t *)archive->str + at, MIN (step, archive->len - at)}, error))
            return false;
    return vmm_run_files_finish (files, error);
}

static void
take (VmmRunFiles *files, const GString *archive)
{
    g_autoptr (GError) error = NULL;

    cr_assert (take_pieces (files, archive, 7, &error), "%s", error != NULL ? error->message : "");
}

static void
check_content (const char *path, const char *expected)
{
    g_autofree char *content = NULL;

    cr_assert (g_file_get_contents (path, &content, NULL, NULL), "%s", path);
    cr_assert_str_eq (content, expected);
}

static unsigned
count_names (const char *path)
{
    g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name (dir) != NULL)
        n++;
    return n;
}

static mode_t
mode_of (const char *path)
{
    struct stat st;

    cr_assert_eq (lstat (path, &st), 0, "%s", path);
    return st.st_mode & 07777;
}

Test (run_files, a_file_goes_where_cp_puts_it)
{
    const char *const places[][2] = {
        {"out", "out/report"},     {"out/", "out/report"}, {"out/other", "out/other"},  {"plain", "plain"},
        {"./out/../here", "here"}, {".", "report"},        {"out/slash/", "out/slash"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (places); i++) {
        g_autoptr (VmmRunFiles) files = receiver ("/var/report", places[i][0]);
        g_autoptr (GString) archive = g_string_new ("");
        put (archive, "report", 0100644, "text");
        put_end (archive);
        take (files, archive);
        check_content (places[i][1], "text");
        cr_assert_eq (vmm_run_files_bytes (files), 4);
    }
}

Test (run_files, a_tree_comes_back)
{
    g_autoptr (VmmRunFiles) files = receiver ("/root/build/", "out");
    g_autoptr (GString) archive = g_string_new ("");
    g_autofree char *target = NULL;

    put (archive, "build", 040555, "");
    put (archive, "build/bin", 040755, "");
    put (archive, "build/bin/prog", 0106755, "#!");
    put (archive, "build/bin/l", 0120777, "../../etc/passwd");
    put (archive, "build/top", 0100666, "t");
    put (archive, "build/bin/late", 0100600, "");
    put (archive, "build/null", 020666, "");
    put (archive, "build/fifo", 010666, "");
    put (archive, "build/sock", 0140666, "");
    put_end (archive);
    take (files, archive);
    check_content ("out/build/bin/prog", "#!");
    check_content ("out/build/bin/late", "");
    check_content ("out/build/top", "t");
    cr_assert_eq (mode_of ("out/build/bin/prog"), 0755);
    cr_assert_eq (mode_of ("out/build/top"), 0644);
    cr_assert_eq (mode_of ("out/build"), 0755);
    target = g_file_read_link ("out/build/bin/l", NULL);
    cr_assert_str_eq (target, "../../etc/passwd");
    cr_assert_eq (vmm_run_files_skipped (files), 3);
    cr_assert_eq (count_names ("out/build"), 2);
}

Test (run_files, what_is_there_is_replaced_whole)
{
    g_autoptr (VmmRunFiles) files = receiver ("/a", "out");
    g_autoptr (GString) archive = g_string_new ("");

    cr_assert_eq (mkdir ("out/a", 0755), 0);
    cr_assert (g_file_set_contents ("out/a/f", "old and long", -1, NULL));
    cr_assert (g_file_set_contents ("outside/f", "mine", -1, NULL));
    cr_assert_eq (symlink ("../../outside/f", "out/a/l"), 0);
    cr_assert_eq (link ("out/a/f", "second"), 0);
    put (archive, "a", 040755, "");
    put (archive, "a/f", 0100644, "new");
    put (archive, "a/l", 0100644, "no link");
    put_end (archive);
    take (files, archive);
    check_content ("out/a/f", "new");
    check_content ("out/a/l", "no link");
    check_content ("outside/f", "mine");
    check_content ("second", "old and long");
    cr_assert_eq (count_names ("out/a"), 2);
}

static void
check_refused (const char *name, unsigned mode, const char *content, const char *says)
{
    g_autoptr (VmmRunFiles) files = receiver ("/a", "out");
    g_autoptr (GString) archive = g_string_new ("");
    g_autoptr (GError) error = NULL;

    put (archive, "a", 040755, "");
    put (archive, "a/link", 0120777, "../../outside");
    put (archive, "a/file", 0100644, "");
    put (archive, name, mode, content);
    put_end (archive);
    cr_assert_not (take_pieces (files, archive, 64, &error), "%s", name);
    cr_assert_not_null (strstr (error->message, says), "%s: %s", name, error->message);
    cr_assert_not (vmm_run_files_feed (files, (VmmSpan){(const uint8_t *)"0", 1}, NULL));
    cr_assert_eq (count_names ("outside"), 0, "%s", name);
    cr_assert_eq (count_names ("out"), 1, "%s", name);
    cr_assert_eq (count_names ("out/a"), 2 + (mode == 0), "%s", name);
}

Test (run_files, nothing_gets_out)
{
    static const char *const names[] = {
        "../outside/x",
        "/outside/x",
        "a/../../outside/x",
        "a/..",
        "a/.",
        "a//x",
        "a/x/",
        "..",
        ".",
        "",
        "/",
        "b",
        "ab",
        "a/./x",
        "a/link/../x",
    };

    for (size_t i = 0; i < G_N_ELEMENTS (names); i++)
        if (*names[i] != '\0')
            check_refused (names[i], 0100644, "x", "which is not what it was asked for");
    check_refused ("a/link/x", 0100644, "x", "a symbolic link is in the way");
    check_refused ("a/link/x", 040755, "", "a symbolic link is in the way");
    check_refused ("a/link", 040755, "", "a symbolic link is in the way");
    check_refused ("a/file/x", 0100644, "x", "not a folder is in the way");
    check_refused ("a/file", 040755, "", "not a folder is in the way");
    check_refused ("a/none/x", 0100644, "x", "but not the folder");
    check_refused ("a", 0100644, "x", "a folder is in the way");
    check_refused ("a", 0120777, "x", "a folder is in the way");
}

Test (run_files, links_that_are_there_do_not_lead_out)
{
    g_autoptr (VmmRunFiles) files = receiver ("/a", "out");
    g_autoptr (GString) archive = g_string_new ("");
    g_autoptr (GError) error = NULL;

    cr_assert_eq (mkdir ("out/a", 0755), 0);
    cr_assert_eq (symlink ("../../outside", "out/a/d"), 0);
    put (archive, "a/d/x", 0100644, "x");
    cr_assert_not (take_pieces (files, archive, 64, &error));
    cr_assert_not_null (strstr (error->message, "a symbolic link is in the way"), "%s", error->message);
    cr_assert_eq (count_names ("outside"), 0);
}

/* As cp does, and never a device or what /dev/stdout is. */
Test (run_files, a_link_that_the_user_named_leads_to_the_file)
{
    g_autoptr (VmmRunFiles) files = NULL;
    g_autoptr (GString) archive = g_string_new ("");
    g_autofree char *target = NULL;

    cr_assert (g_file_set_contents ("outside/f", "old", -1, NULL));
    cr_assert_eq (symlink ("../outside/f", "out/l"), 0);
    files = receiver ("/a", "out/l");
    put (archive, "a", 0100644, "new");
    put_end (archive);
    take (files, archive);
    check_content ("outside/f", "new");
    target = g_file_read_link ("out/l", NULL);
    cr_assert_str_eq (target, "../outside/f");
}

Test (run_files, devices_and_pipes_are_not_replaced)
{
    static const char *const wrong[] = {"/dev/null", "fifo", "link", "/dev/stdout", "/proc/self/fd/1"};
    struct stat st;

    cr_assert_eq (mkfifo ("fifo", 0600), 0);
    cr_assert_eq (symlink ("fifo", "link"), 0);
    cr_assert_not_null (freopen ("regular", "w", stdout));
    for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++) {
        g_autoptr (GError) error = NULL;

        cr_expect_null (vmm_run_files_new ("/a", wrong[i], MIB, &error), "%s", wrong[i]);
        cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE), "%s", wrong[i]);
        cr_expect_not_null (strstr (error->message, "is not to be replaced"), "%s", error->message);
    }
    g_autoptr (VmmRunFiles) files = receiver ("/fifo", ".");
    g_autoptr (GString) archive = g_string_new ("");
    g_autoptr (GError) error = NULL;
    put (archive, "fifo", 0100644, "x");
    put_end (archive);
    cr_assert_not (take_pieces (files, archive, 64, &error));
    cr_expect_not_null (strstr (error->message, "a pipe or a socket is in the way"), "%s", error->message);
    cr_assert_eq (lstat ("fifo", &st), 0);
    cr_expect (S_ISFIFO (st.st_mode));
    cr_expect_eq (count_names ("."), 5, "nothing is left");
}

Test (run_files, a_folder_that_cannot_be_written_to)
{
    g_autoptr (GError) error = NULL;

    if (geteuid () == 0 && (setegid (65534) < 0 || seteuid (65534) < 0))
        cr_skip ("root may write anywhere");
    if (geteuid () != 65534)
        cr_assert_eq (chmod (".", 0555), 0);
    cr_expect_null (vmm_run_files_new ("/a", "new", MIB, &error));
    if (geteuid () == 65534)
        cr_assert (seteuid (0) == 0 && setegid (0) == 0);
    cr_assert_eq (chmod (".", 0755), 0);
    cr_assert_not_null (error);
    cr_expect_not_null (strstr (error->message, "Permission denied"), "%s", error->message);
}

Test (run_files, bytes_have_a_limit)
{
    g_autoptr (VmmRunFiles) files = vmm_run_files_new ("/a", "out", 10, NULL);
    g_autoptr (GString) archive = g_string_new ("");
    g_autoptr (GError) error = NULL;

    put (archive, "a", 040755, "");
    put (archive, "a/1", 0100644, "12345");
    put (archive, "a/2", 0100644, "12345");
    put (archive, "a/3", 0100644, "1");
    cr_assert_not (take_pieces (files, archive, archive->len, &error));
    cr_assert_not_null (strstr (error->message, "\"a/3\", with which it is more than 10 bytes"), "%s",
                        error->message);
    cr_assert_eq (count_names ("out/a"), 2);
}

/* Whether the file system has files without a name. */
static bool
has_nameless (const char *folder)
{
    int fd = open (folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

    if (fd >= 0)
        close (fd);
    return fd >= 0;
}

Test (run_files, half_a_file_is_none)
{
    g_autoptr (VmmRunFiles) files = receiver ("/a", "out");
    g_autoptr (GString) archive = g_string_new ("");
    g_autoptr (GError) error = NULL;

    cr_assert (g_file_set_contents ("out/a", "old", -1, NULL));
    put (archive, "a", 0100644, "a new one that stops");
    g_string_truncate (archive, archive->len - 8);
    cr_assert_not (take_pieces (files, archive, 16, &error));
    cr_assert_not_null (strstr (error->message, "output \"out/a\": the guest stopped in the middle of it"),
                        "%s", error->message);
    check_content ("out/a", "old");
    cr_assert_eq (count_names ("out"), 1);

    VmmRunFiles *freed = receiver ("/a", "out");
    cr_assert (vmm_run_files_feed (freed, (VmmSpan){(const uint8_t *)archive->str, archive->len}, NULL));
    /* What has no name is gone by SIGKILL, too. */
    cr_assert_eq (count_names ("out"), has_nameless ("out") ? 1 : 2);
    check_content ("out/a", "old");
    vmm_run_files_free (freed);
    cr_assert_eq (count_names ("out"), 1);
    vmm_run_files_free (NULL);
}

Test (run_files, nothing_and_nonsense_are_noticed)
{
    g_autoptr (VmmRunFiles) nothing = receiver ("/a", "out"), text = receiver ("/a", "out");
    g_autoptr (GString) archive = g_string_new ("");
    g_autoptr (GError) none = NULL, nonsense = NULL;

    put_end (archive);
    cr_assert_not (take_pieces (nothing, archive, 64, &none));
    cr_assert_not_null (strstr (none->message, "the guest sent nothing"), "%s", none->message);
    g_string_overwrite (archive, 0, "no archive");
    cr_assert_not (take_pieces (text, archive, 64, &nonsense));
    cr_assert (g_error_matches (nonsense, VMM_ERROR, VMM_ERROR_STATE));
}

Test (run_files, what_is_no_place_is_refused_at_once)
{
    static const char *const wrong[][3] = {
        {"/", "out", "name a file or a folder of the guest"},
        {"", "out", "name a file or a folder of the guest"},
        {"/a/..", "out", "name a file or a folder of the guest"},
        {"/a", "none/x", "output \"none\": No such file"},
        {"/a", "", "name a file or a folder for it"},
        {"/a", "none/..", "name a file or a folder for it"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++) {
        g_autoptr (GError) error = NULL;
        cr_assert_null (vmm_run_files_new (wrong[i][0], wrong[i][1], MIB, &error), "%zu", i);
        cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
        cr_assert_not_null (strstr (error->message, wrong[i][2]), "%s", error->message);
    }
}
