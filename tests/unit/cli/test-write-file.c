/* SPDX-License-Identifier: Apache-2.0 */
/* A file is whole or not there, and nobody sees it before. */
#include "write-file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vmm/vmm.h>

int __real_linkat (int from_fd, const char *from, int to_fd, const char *to, int flags);
int __wrap_linkat (int from_fd, const char *from, int to_fd, const char *to, int flags);

static bool host_links = true;

int
__wrap_linkat (int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    if (host_links)
        return __real_linkat (from_fd, from, to_fd, to, flags);
    errno = ENOENT;
    return -1;
}

static char *folder;

static void
enter (void)
{
    folder = g_dir_make_tmp ("vmm-write-file-XXXXXX", NULL);
    cr_assert (folder != NULL && chdir (folder) == 0);
    umask (022);
}

static void
leave (void)
{
    g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name (dir)) != NULL)
        cr_assert (unlink (name) == 0);
    cr_assert (g_rmdir (folder) == 0);
    g_free (folder);
}

TestSuite (write_file, .init = enter, .fini = leave);

static unsigned
count_files (void)
{
    g_autoptr (GDir) dir = g_dir_open (".", 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name (dir) != NULL)
        n++;
    return n;
}

static void
check_text (const char *path, const char *expected)
{
    g_autofree char *text = NULL;

    cr_assert (g_file_get_contents (path, &text, NULL, NULL), "there is no %s", path);
    cr_assert_str_eq (text, expected, "%s has \"%s\"", path, text);
}

static void
check_mode (const char *path, mode_t expected)
{
    struct stat st;

    cr_assert (stat (path, &st) == 0);
    cr_assert_eq (st.st_mode & 07777, expected, "%s has mode %o", path, st.st_mode);
}

Test (write_file, new_and_replaced)
{
    cr_assert (write_file ("a", "one", 0666, false, NULL, NULL));
    check_text ("a", "one");
    check_mode ("a", 0644);
    cr_assert (write_file ("a", "two", 0600, true, NULL, NULL));
    check_text ("a", "two");
    check_mode ("a", 0600);
    cr_assert_eq (count_files (), 1);
}

Test (write_file, one_that_is_there_stays)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *left = NULL;

    cr_assert (write_file ("a", "mine", 0666, false, NULL, NULL));
    cr_assert (!write_file ("a", "new", 0600, false, &left, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_HOST));
    cr_assert_str_eq (error->message, "File exists");
    check_text ("a", "mine");
    cr_assert (left != NULL);
    check_text (left, "new");
    check_mode (left, 0600);
    cr_assert (!write_file ("a", "lost", 0666, false, NULL, NULL));
    cr_assert_eq (count_files (), 2);
}

Test (write_file, where_there_are_no_files_without_a_name)
{
    g_autofree char *left = NULL;

    host_links = false;
    cr_assert (write_file ("a", "one", 0666, false, &left, NULL));
    check_text ("a", "one");
    check_mode ("a", 0644);
    cr_assert (write_file ("a", "two", 0600, true, &left, NULL));
    check_text ("a", "two");
    check_mode ("a", 0600);
    cr_assert (left == NULL);
    cr_assert (!write_file ("a", "three", 0666, false, &left, NULL));
    check_text (left, "three");
    cr_assert (!write_file ("a", "four", 0666, false, NULL, NULL));
    check_text ("a", "two");
    cr_assert_eq (count_files (), 2);
}

Test (write_file, symbolic_links)
{
    cr_assert (write_file ("a", "one", 0666, false, NULL, NULL));
    cr_assert (symlink ("a", "link") == 0);
    cr_assert (!write_file ("link", "two", 0666, false, NULL, NULL));
    cr_assert (write_file ("link", "two", 0666, true, NULL, NULL));
    cr_assert (g_file_test ("link", G_FILE_TEST_IS_SYMLINK));
    check_text ("a", "two");
    cr_assert_eq (count_files (), 2);
}

Test (write_file, no_place)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *left = NULL;

    cr_assert (!write_file ("nowhere/a", "one", 0666, true, &left, &error));
    cr_assert_str_eq (error->message, "No such file or directory");
    cr_assert (left == NULL);
    cr_assert (g_mkdir ("b", 0777) == 0);
    cr_assert (!write_file ("b", "one", 0666, true, NULL, NULL));
    cr_assert (g_rmdir ("b") == 0);
    cr_assert_eq (count_files (), 0);
}

/* SIGKILL leaves what has a name: nothing, before it is whole. */
Test (write_file, no_name_before_it_is_whole)
{
    char events[4096] __attribute__ ((aligned (8)));
    int watch = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
    int probe = open (".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    ssize_t n;

    if (probe < 0)
        cr_skip_test ("this file system has no files without a name");
    close (probe);
    cr_assert (inotify_add_watch (watch, ".", IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM) >= 0);
    cr_assert (write_file ("a", "one", 0666, true, NULL, NULL));
    cr_assert (write_file ("b", "one", 0666, false, NULL, NULL));
    n = read (watch, events, sizeof events);
    for (ssize_t i = 0; i < n;) {
        const struct inotify_event *event = (const struct inotify_event *)(events + i);

        cr_assert (strcmp (event->name, "a") == 0 || strcmp (event->name, "b") == 0, "there was %s",
                   event->name);
        i += (ssize_t)(sizeof *event + event->len);
    }
    cr_assert_gt (n, 0);
    close (watch);
}
