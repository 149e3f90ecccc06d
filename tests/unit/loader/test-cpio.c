/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cpio-list.h"
#include "images.h"
#include "loader/cpio.h"
#include "loader/initrd.h"
#include "vmm/error.h"

#define MIB ((uint64_t)1 << 20)

static VmmSpan
text (const char *s)
{
    return (VmmSpan){(const uint8_t *)s, strlen (s)};
}

static VmmCpio *
new_archive (void)
{
    VmmCpio *cpio = vmm_cpio_new (64 * MIB, NULL);

    cr_assert_not_null (cpio);
    return cpio;
}

/* Finishes it, and says what a reader finds. */
static char *
list (VmmCpio *cpio)
{
    g_autoptr (GError) error = NULL;
    int fd = vmm_cpio_finish (cpio, &error);

    cr_assert_geq (fd, 0, "%s", error != NULL ? error->message : "");
    char *found = cpio_list_fd (fd);
    close (fd);
    return found;
}

static int
file_of (const char *content)
{
    int fd = memfd_create ("test", MFD_CLOEXEC);

    cr_assert_eq (write (fd, content, strlen (content)), (ssize_t)strlen (content));
    return fd;
}

Test (cpio, entries_come_back_in_order)
{
    g_autoptr (VmmCpio) cpio = new_archive ();
    VmmCpioAttr attr = {.mode = 04755, .uid = 1000, .gid = 70000, .mtime = 1234567890};

    cr_assert (vmm_cpio_add_folder (cpio, "etc", NULL, NULL));
    cr_assert (vmm_cpio_add_file (cpio, "etc/motd", NULL, text ("hello"), NULL));
    cr_assert (vmm_cpio_add_file (cpio, "su", &attr, text (""), NULL));
    cr_assert (vmm_cpio_add_symlink (cpio, "sh", NULL, "bin/busybox", NULL));
    cr_assert (vmm_cpio_add_device (cpio, "console", NULL, S_IFCHR, 5, 1, NULL));
    cr_assert (vmm_cpio_add_device (cpio, "pipe", NULL, S_IFIFO, 0, 0, NULL));
    g_autofree char *found = list (cpio);
    cr_assert_str_eq (found, "etc 40755 0:0 0\n"
                             "etc/motd 100644 0:0 0 =hello\n"
                             "su 104755 1000:70000 1234567890 =\n"
                             "sh 120777 0:0 0 >bin/busybox\n"
                             "console 20600 0:0 0 5,1\n"
                             "pipe 10600 0:0 0 0,0\n");
}

Test (cpio, missing_parents_are_made_once)
{
    g_autoptr (VmmCpio) cpio = new_archive ();

    cr_assert (vmm_cpio_add_file (cpio, "/a/b/c", NULL, text ("1"), NULL));
    cr_assert (vmm_cpio_add_file (cpio, "a/b/d", NULL, text ("2"), NULL));
    cr_assert (vmm_cpio_has (cpio, "a//b/"));
    cr_assert_not (vmm_cpio_has (cpio, "a/x"));
    g_autofree char *found = list (cpio);
    cr_assert_str_eq (found,
                      "a 40755 0:0 0\na/b 40755 0:0 0\na/b/c 100644 0:0 0 =1\na/b/d 100644 0:0 0 =2\n");
}

Test (cpio, a_link_is_a_parent_too)
{
    g_autoptr (VmmCpio) cpio = new_archive ();
    g_autoptr (GError) error = NULL;

    cr_assert (vmm_cpio_add_symlink (cpio, "lib", NULL, "usr/lib", NULL));
    cr_assert (vmm_cpio_add_file (cpio, "lib/x", NULL, text ("1"), NULL));
    cr_assert_not (vmm_cpio_add_file (cpio, "lib/x/y", NULL, text ("1"), &error));
    cr_assert (image_error_has (error, "\"lib/x\" is in the way: it is not a folder"), "%s", error->message);
    g_autofree char *found = list (cpio);
    cr_assert_str_eq (found, "lib 120777 0:0 0 >usr/lib\nlib/x 100644 0:0 0 =1\n");
}

/* As a user copies files into a system whose /bin and /lib are links. */
Test (cpio, what_is_laid_over)
{
    g_autoptr (VmmCpio) cpio = new_archive ();
    g_autoptr (GError) error = NULL;

    cr_assert (vmm_cpio_add_folder (cpio, "usr/lib", NULL, NULL));
    cr_assert (vmm_cpio_add_symlink (cpio, "lib", NULL, "usr/lib", NULL));
    cr_assert (vmm_cpio_know (cpio, "./bin", 0120777));
    cr_assert (vmm_cpio_know (cpio, "tmp", 041777));
    cr_assert (vmm_cpio_know (cpio, ".", 040755));
    vmm_cpio_lay_over (cpio);
    cr_assert (vmm_cpio_add_folder (cpio, "lib", NULL, NULL));
    cr_assert (vmm_cpio_add_folder (cpio, "bin", NULL, NULL));
    cr_assert (vmm_cpio_add_file (cpio, "bin/x", NULL, text ("1"), NULL));
    cr_assert (vmm_cpio_add_file (cpio, "tmp/y", NULL, text ("2"), NULL));
    cr_assert_not (vmm_cpio_add_file (cpio, "tmp", NULL, text ("3"), &error));
    cr_assert (image_error_has (error, "\"tmp\": this is a folder in the guest"), "%s", error->message);
    cr_assert_not (vmm_cpio_add_symlink (cpio, "usr", NULL, "x", NULL));
    g_autofree char *found = list (cpio);
    cr_assert_str_eq (found, "usr 40755 0:0 0\nusr/lib 40755 0:0 0\nlib 120777 0:0 0 >usr/lib\n"
                             "bin/x 100644 0:0 0 =1\ntmp/y 100644 0:0 0 =2\n");
}

Test (cpio, names_stay_inside)
{
    const char *const names[][2] = {
        {"/etc/passwd", "etc/passwd"},
        {"../../etc", "etc"},
        {"a/../../../b", "b"},
        {"./a/./b//c/", "a/b/c"},
        {"a/b/..", "a"},
        {"...", "..."},
        {"", ""},
        {"/..", ""},
        {"a/b/c/../../d", "a/d"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (names); i++) {
        g_autofree char *clean = vmm_cpio_clean_path (names[i][0]);
        cr_assert_str_eq (clean, names[i][1]);
    }
}

Test (cpio, names_that_cannot_be_are_refused)
{
    g_autoptr (VmmCpio) cpio = new_archive ();
    g_autoptr (GError) root = NULL, trailer = NULL, part = NULL, whole = NULL, target = NULL;
    g_autofree char *long_part = g_strnfill (256, 'x');
    g_autofree char *long_name = g_strnfill (5000, 'x');

    cr_assert (vmm_cpio_add_folder (cpio, "/", NULL, NULL));
    cr_assert_not (vmm_cpio_add_file (cpio, "..", NULL, text (""), &root));
    cr_assert (g_error_matches (root, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_not (vmm_cpio_add_file (cpio, "/TRAILER!!!", NULL, text (""), &trailer));
    cr_assert (image_error_has (trailer, "ends an archive"));
    cr_assert_not (vmm_cpio_add_file (cpio, long_part, NULL, text (""), &part));
    cr_assert (image_error_has (part, "more than 255 bytes"));
    for (size_t i = 1; i < 5000; i += 2)
        long_name[i] = '/';
    cr_assert_not (vmm_cpio_add_file (cpio, long_name, NULL, text (""), &whole));
    cr_assert (image_error_has (whole, "longer than an initrd can have"));
    cr_assert_not (vmm_cpio_add_symlink (cpio, "l", NULL, long_name, &target));
    cr_assert (image_error_has (target, "initrd: \"l\": the target"));
    cr_assert_eq (vmm_cpio_size (cpio), 0);
    long_name[VMM_CPIO_PATH_MAX] = '\0';
    cr_assert (vmm_cpio_add_file (cpio, long_name, NULL, text ("deep"), NULL));
}

Test (cpio, hard_links_share_an_inode)
{
    g_autoptr (VmmCpio) cpio = new_archive ();
    g_autoptr (GError) none = NULL, folder = NULL;

    cr_assert (vmm_cpio_add_file (cpio, "a", NULL, text ("once"), NULL));
    cr_assert (vmm_cpio_add_hard_link (cpio, "d/b", NULL, "/a", NULL));
    cr_assert (vmm_cpio_add_hard_link (cpio, "c", NULL, "d/b", NULL));
    cr_assert_not (vmm_cpio_add_hard_link (cpio, "e", NULL, "nothing", &none));
    cr_assert (image_error_has (none, "\"e\": this is a hard link to \"nothing\", which is not there"));
    cr_assert_not (vmm_cpio_add_hard_link (cpio, "e", NULL, "d", &folder));
    cr_assert (image_error_has (folder, "which is not a file"));
    g_autofree char *found = list (cpio);
    cr_assert_str_eq (found, "a 100644 0:0 0 #1*3 =once\n"
                             "d 40755 0:0 0\n"
                             "d/b 100644 0:0 0 #1*2 =\n"
                             "c 100644 0:0 0 #1*2 =\n");
}

Test (cpio, a_file_may_come_in_pieces)
{
    g_autoptr (VmmCpio) cpio = new_archive ();

    cr_assert (vmm_cpio_begin_file (cpio, "lost", NULL, NULL, NULL));
    cr_assert (vmm_cpio_write (cpio, 0, text ("never ended"), NULL));
    cr_assert (vmm_cpio_begin_file (cpio, "pieces", NULL, NULL, NULL));
    cr_assert (vmm_cpio_write (cpio, 4, text ("5678"), NULL));
    cr_assert (vmm_cpio_write (cpio, 0, text ("1234"), NULL));
    cr_assert (vmm_cpio_end_file (cpio, 8, NULL));
    cr_assert_not (vmm_cpio_write (cpio, 0, text ("x"), NULL));
    cr_assert_not (vmm_cpio_end_file (cpio, 8, NULL));
    cr_assert (vmm_cpio_begin_file (cpio, "again", NULL, "pieces", NULL));
    cr_assert (vmm_cpio_write (cpio, 0, text ("new"), NULL));
    cr_assert (vmm_cpio_end_file (cpio, 3, NULL));
    g_autofree char *found = list (cpio);
    cr_assert_str_eq (found, "pieces 100644 0:0 0 #2*2 =12345678\nagain 100644 0:0 0 #2*2 =new\n");
}

Test (cpio, files_are_copied_from_descriptors)
{
    g_autoptr (VmmCpio) cpio = new_archive ();
    g_autoptr (GError) pipe_error = NULL;
    int fd = file_of ("from a file"), empty = file_of (""), fds[2];

    cr_assert (vmm_cpio_add_fd (cpio, "f", NULL, fd, NULL));
    cr_assert (vmm_cpio_add_fd (cpio, "e", NULL, empty, NULL));
    cr_assert_eq (pipe (fds), 0);
    cr_assert_not (vmm_cpio_add_fd (cpio, "p", NULL, fds[0], &pipe_error));
    cr_assert (image_error_has (pipe_error, "initrd: \"p\": this is not a regular file"));
    cr_assert_not (vmm_cpio_add_fd (cpio, "p", NULL, -1, NULL));
    g_autofree char *found = list (cpio);
    cr_assert_str_eq (found, "f 100644 0:0 0 =from a file\ne 100644 0:0 0 =\n");
}

/* sendfile() reads no file that is open for writing only, and neither does anybody: the error names it. */
Test (cpio, what_cannot_be_read_is_named)
{
    g_autoptr (VmmCpio) cpio = new_archive ();
    g_autoptr (GError) error = NULL;
    char path[] = "cpio-test-XXXXXX";
    int fd = mkstemp (path), blind = open (path, O_WRONLY | O_CLOEXEC);

    cr_assert_eq (write (fd, "1234", 4), 4);
    unlink (path);
    cr_assert_not (vmm_cpio_add_fd (cpio, "blind", NULL, blind, &error));
    cr_assert (image_error_has (error, "initrd: \"blind\": Bad file descriptor"), "%s", error->message);
    cr_assert (vmm_cpio_add_file (cpio, "after", NULL, text ("it"), NULL));
    g_autofree char *found = list (cpio);
    cr_assert_str_eq (found, "after 100644 0:0 0 =it\n");
}

Test (cpio, holes_take_no_memory)
{
    g_autoptr (VmmCpio) cpio = vmm_cpio_new (4096 * MIB, NULL);
    int fd = file_of ("start");
    struct stat st;

    cr_assert_eq (ftruncate (fd, (off_t)(2048 * MIB)), 0);
    cr_assert_eq (pwrite (fd, "middle", 6, (off_t)(1024 * MIB)), 6);
    cr_assert (vmm_cpio_add_fd (cpio, "holes", NULL, fd, NULL));
    cr_assert_gt (vmm_cpio_size (cpio), 2048 * MIB);
    int archive = vmm_cpio_finish (cpio, NULL);
    cr_assert_eq (fstat (archive, &st), 0);
    cr_assert_lt (st.st_blocks, 2048 * 2, "%ld", (long)st.st_blocks);
    char middle[6];
    cr_assert_eq (pread (archive, middle, 6, 116 + (off_t)(1024 * MIB)), 6);
    cr_assert_arr_eq (middle, "middle", 6);
}

Test (cpio, too_large_is_refused_and_leaves_nothing)
{
    g_autoptr (VmmCpio) cpio = vmm_cpio_new (MIB, NULL);
    g_autoptr (GError) error = NULL, format = NULL, huge = NULL;
    g_autofree uint8_t *big = g_malloc0 (MIB);
    int fd = file_of ("x");

    memset (big, 0xee, MIB);
    cr_assert_not (vmm_cpio_add_file (cpio, "big", NULL, (VmmSpan){big, MIB}, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE));
    cr_assert (image_error_has (error, "\"big\": with it the initrd is larger than the 1.0 MiB"), "%s",
               error->message);
    cr_assert (vmm_cpio_begin_file (cpio, "b", NULL, NULL, NULL));
    cr_assert (vmm_cpio_write (cpio, 0, (VmmSpan){big, MIB / 2}, NULL));
    cr_assert_not (vmm_cpio_write (cpio, MIB / 2, (VmmSpan){big, MIB / 2}, NULL));
    cr_assert_eq (ftruncate (fd, (off_t)4096 * (off_t)MIB), 0);
    cr_assert_not (vmm_cpio_add_fd (cpio, "4g", NULL, fd, &format));
    cr_assert (image_error_has (format, "4 GiB or more"), "%s", format->message);
    cr_assert (vmm_cpio_begin_file (cpio, "h", NULL, NULL, NULL));
    cr_assert_not (vmm_cpio_write (cpio, UINT64_MAX, (VmmSpan){big, 2}, &huge));
    cr_assert_eq (vmm_cpio_size (cpio), 0);
    cr_assert (vmm_cpio_add_file (cpio, "s", NULL, text ("s"), NULL));
    cr_assert (vmm_cpio_add_file (cpio, "t", NULL, text ("tt"), NULL));
    int archive = vmm_cpio_finish (cpio, NULL);
    /* The padding is zero, whatever had been there. */
    uint8_t pad[3];
    cr_assert_eq (pread (archive, pad, 3, 113), 3);
    cr_assert_arr_eq (pad, "\0\0\0", 3);
    g_autofree char *found = cpio_list_fd (archive);
    cr_assert_str_eq (found, "s 100644 0:0 0 =s\nt 100644 0:0 0 =tt\n");
}

Test (cpio, what_is_finished_is_sealed_and_an_initrd)
{
    g_autoptr (VmmCpio) cpio = new_archive ();
    g_autoptr (VmmInitrd) initrd = vmm_initrd_new ();

    cr_assert (vmm_cpio_add_file (cpio, "init", NULL, text ("#!"), NULL));
    int fd = vmm_cpio_finish (cpio, NULL);
    cr_assert_lt (write (fd, "x", 1), 0);
    cr_assert_eq (fcntl (fd, F_GETFD), FD_CLOEXEC);
    cr_assert (vmm_initrd_add (initrd, fd, "run", NULL));
    cr_assert_null (vmm_initrd_warning (initrd));
    cr_assert_eq (vmm_initrd_size (initrd) % 4, 0);
    cr_assert_not (vmm_cpio_add_file (cpio, "late", NULL, text (""), NULL));
    cr_assert_eq (vmm_cpio_finish (cpio, NULL), -1);
    close (fd);
    vmm_cpio_free (NULL);
}

Test (cpio, the_same_entries_give_the_same_bytes)
{
    char *bytes[2];

    for (int i = 0; i < 2; i++) {
        g_autoptr (VmmCpio) cpio = new_archive ();
        cr_assert (vmm_cpio_add_file (cpio, "a/b", NULL, text ("c"), NULL));
        int fd = vmm_cpio_finish (cpio, NULL);
        bytes[i] = g_malloc0 (4096);
        cr_assert_gt (pread (fd, bytes[i], 4096, 0), 300);
        close (fd);
    }
    cr_assert_arr_eq (bytes[0], bytes[1], 4096);
    g_free (bytes[0]);
    g_free (bytes[1]);
}
