/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cpio-list.h"
#include "images.h"
#include "loader/tree.h"
#include "remove-tree.h"
#include "vmm/error.h"

#define MIB ((uint64_t)1 << 20)

static int top;

static void
enter (void)
{
    g_autofree char *path = g_dir_make_tmp ("vmm-tree-XXXXXX", NULL);

    cr_assert_eq (chdir (path), 0);
    cr_assert_eq (chmod (".", 0755), 0);
    cr_assert_eq (mkdir ("t", 0755), 0);
    top = open (".", O_PATH | O_CLOEXEC);
}

static void
leave (void)
{
    g_autofree char *path = g_get_current_dir ();
    close (top);
    remove_tree (path);
}

TestSuite (tree, .init = enter, .fini = leave);

static void
put (const char *path, const char *content, mode_t mode)
{
    cr_assert (g_file_set_contents (path, content, -1, NULL));
    cr_assert_eq (chmod (path, mode), 0);
}

/* What is packed, with the times left out. */
static char *
pack (const char *path, const char *under)
{
    g_autoptr (VmmCpio) cpio = vmm_cpio_new (64 * MIB, NULL);
    g_autoptr (GError) error = NULL;

    cr_assert (vmm_tree_pack (cpio, path, under, VMM_TREE_OWNERS_ROOT, &error), "%s",
               error != NULL ? error->message : "");
    int fd = vmm_cpio_finish (cpio, NULL);
    g_autofree char *list = cpio_list_fd (fd);
    close (fd);
    g_autoptr (GRegex) time = g_regex_new ("^(\\S+ \\d+ 0:0) \\d+", G_REGEX_MULTILINE, 0, NULL);
    return g_regex_replace (time, list, -1, 0, "\\1", 0, NULL);
}

Test (tree, a_folder_goes_in_by_name)
{
    cr_assert_eq (mkdir ("t/d", 0750), 0);
    cr_assert_eq (chmod ("t/d", 0750), 0);
    put ("t/d/z", "last", 0644);
    put ("t/d/a", "first", 04755);
    put ("t/f", "", 0600);
    cr_assert_eq (symlink ("/etc/passwd", "t/l"), 0);
    cr_assert_eq (symlink ("nothing", "t/dangling"), 0);
    cr_assert_eq (mkfifo ("t/p", 0600), 0);
    g_autofree char *root = pack ("t", "");
    cr_assert_str_eq (root, "d 40750 0:0\nd/a 104755 0:0 =first\nd/z 100644 0:0 =last\n"
                            "dangling 120777 0:0 >nothing\nf 100600 0:0 =\nl 120777 0:0 >/etc/passwd\n"
                            "p 10600 0:0 0,0\n");
    g_autofree char *below = pack ("t/d/", "x/y");
    cr_assert_str_eq (below, "x 40755 0:0\nx/y 40750 0:0\nx/y/a 104755 0:0 =first\nx/y/z 100644 0:0 =last\n");
}

Test (tree, a_file_and_a_link_to_one)
{
    put ("t/f", "content", 0640);
    cr_assert_eq (symlink ("f", "t/l"), 0);
    g_autofree char *file = pack ("t/l", "etc/f");
    cr_assert_str_eq (file, "etc 40755 0:0\netc/f 100640 0:0 =content\n");
}

Test (tree, a_link_in_it_is_not_followed)
{
    put ("secret", "secret", 0644);
    cr_assert_eq (mkdir ("outside", 0755), 0);
    put ("outside/secret", "secret", 0644);
    cr_assert_eq (symlink ("../secret", "t/f"), 0);
    cr_assert_eq (symlink ("../outside", "t/d"), 0);
    g_autofree char *list = pack ("t", "");
    cr_assert_str_eq (list, "d 120777 0:0 >../outside\nf 120777 0:0 >../secret\n");
}

Test (tree, hard_links_are_kept)
{
    put ("t/a", "once", 0644);
    put ("t/other", "1", 0644);
    cr_assert_eq (link ("t/a", "t/b"), 0);
    cr_assert_eq (link ("t/a", "t/c"), 0);
    cr_assert_eq (link ("t/other", "elsewhere"), 0);
    g_autofree char *list = pack ("t", "r");
    cr_assert_str_eq (list, "r 40755 0:0\nr/a 100644 0:0 #2*3 =once\nr/b 100644 0:0 #2*2 =\n"
                            "r/c 100644 0:0 #2*2 =\nr/other 100644 0:0 =1\n");
}

Test (tree, owners_are_kept_where_wanted)
{
    g_autoptr (VmmCpio) cpio = vmm_cpio_new (64 * MIB, NULL);
    struct timespec times[2] = {{1000000000, 5}, {1000000000, 5}};

    put ("t/f", "1", 0644);
    bool chowned = chown ("t/f", 12, 34) == 0;
    cr_assert_eq (utimensat (AT_FDCWD, "t/f", times, 0), 0);
    cr_assert (vmm_tree_pack (cpio, "t/f", "f", VMM_TREE_OWNERS_KEPT, NULL));
    int fd = vmm_cpio_finish (cpio, NULL);
    g_autofree char *list = cpio_list_fd (fd);
    g_autofree char *expected = g_strdup_printf ("f 100644 %u:%u 1000000000 =1\n", chowned ? 12 : getuid (),
                                                 chowned ? 34 : getgid ());
    cr_assert_str_eq (list, expected);
    close (fd);
}

Test (tree, sockets_are_left_out)
{
    struct sockaddr_un address = {AF_UNIX, "t/s"};
    int fd = socket (AF_UNIX, SOCK_STREAM, 0);

    cr_assert_eq (bind (fd, (struct sockaddr *)&address, sizeof address), 0);
    g_autofree char *list = pack ("t", "r");
    cr_assert_str_eq (list, "r 40755 0:0\n");
    close (fd);
}

Test (tree, device_nodes_need_no_opening)
{
    if (mknod ("t/null", S_IFCHR | 0666, makedev (1, 3)) < 0)
        cr_skip_test ("only root makes device nodes");
    g_autofree char *list = pack ("t", "");
    cr_assert (g_str_has_prefix (list, "null 20"), "%s", list);
    cr_assert (g_str_has_suffix (list, " 1,3\n"), "%s", list);
}

Test (tree, what_is_mounted_below_stays_out)
{
    g_autoptr (VmmCpio) cpio = vmm_cpio_new (64 * MIB, NULL);

    /* /proc is everywhere, and endless. */
    cr_assert (vmm_tree_pack (cpio, "/dev", "dev", VMM_TREE_OWNERS_ROOT, NULL));
    cr_assert_not (vmm_cpio_has (cpio, "dev/pts/ptmx"));
}

Test (tree, files_without_a_size_have_content)
{
    g_autofree char *list = pack ("/proc/version", "v");

    cr_assert (g_str_has_prefix (list, "v 100444 0:0 =Linux version"), "%s", list);
}

Test (tree, what_cannot_be_read_is_named)
{
    g_autoptr (VmmCpio) cpio = vmm_cpio_new (64 * MIB, NULL);
    g_autoptr (GError) file = NULL, none = NULL, device = NULL;

    cr_assert_not (vmm_tree_pack (cpio, "t/none", "n", VMM_TREE_OWNERS_ROOT, &none));
    cr_assert_str_eq (none->message, "\"t/none\": cannot be read: No such file or directory");
    cr_assert_not (vmm_tree_pack (cpio, "/dev/null", "n", VMM_TREE_OWNERS_ROOT, &device));
    cr_assert (image_error_has (device, "neither a file nor a folder"));
    cr_assert_eq (mkdir ("t/d", 0755), 0);
    put ("t/d/secret", "1", 0);
    if (geteuid () == 0 && seteuid (65534) < 0)
        cr_skip_test ("root reads everything");
    cr_assert_eq (fchdir (top), 0);
    bool ok = vmm_tree_pack (cpio, "t", "", VMM_TREE_OWNERS_ROOT, &file);
    cr_assert_eq (seteuid (getuid ()), 0);
    cr_assert_not (ok);
    cr_assert (g_error_matches (file, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_str_eq (file->message, "\"t/d/secret\": cannot be read: Permission denied");
}

Test (tree, depth_has_an_end)
{
    g_autoptr (VmmCpio) cpio = vmm_cpio_new (64 * MIB, NULL);
    g_autoptr (GError) error = NULL;

    cr_assert_eq (chdir ("t"), 0);
    for (int i = 0; i < 300; i++)
        cr_assert (mkdir ("d", 0755) == 0 && chdir ("d") == 0);
    cr_assert_eq (fchdir (top), 0);
    cr_assert_not (vmm_tree_pack (cpio, "t", "", VMM_TREE_OWNERS_ROOT, &error));
    cr_assert (image_error_has (error, "nested deeper than 256"), "%s", error->message);
}
