/* SPDX-License-Identifier: Apache-2.0 */
/* Who may use an image at the same time. Time does not pass here: pauses are counted. */
#include "devices/block/lock.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/error.h"

static unsigned n_pauses;
static unsigned close_at; /* the pause at which somebody lets go; 0: never */
static int close_fd;
static int fail_with; /* an errno: the file system has no locks */

void __wrap_g_usleep (gulong us);
void
__wrap_g_usleep (gulong us)
{
    if (++n_pauses == close_at)
        close (close_fd);
}

int __real_fcntl64 (int fd, int cmd, void *arg);
int __wrap_fcntl64 (int fd, int cmd, void *arg);
int
__wrap_fcntl64 (int fd, int cmd, void *arg)
{
    if (fail_with == 0)
        return __real_fcntl64 (fd, cmd, arg);
    errno = fail_with;
    return -1;
}

typedef struct {
    char *folder;
    char *path;
} File;

static void
set_up (File *file)
{
    n_pauses = close_at = 0;
    fail_with = 0;
    file->folder = g_dir_make_tmp ("lock-XXXXXX", NULL);
    file->path = g_build_filename (file->folder, "a.img", NULL);
    cr_assert (g_file_set_contents (file->path, "x", 1, NULL));
}

static void
tear_down (File *file)
{
    g_unlink (file->path);
    g_rmdir (file->folder);
    g_free (file->path);
    g_free (file->folder);
}

/* Opens the file as a machine does; -1 when it is refused, with an error that names the file. */
static int
use (const File *file, bool writes)
{
    g_autoptr (GError) error = NULL;
    int fd = open (file->path, O_CLOEXEC | (writes ? O_RDWR : O_RDONLY));

    cr_assert_geq (fd, 0);
    if (vmm_block_lock (fd, file->path, writes, &error)) {
        cr_assert_null (error);
        return fd;
    }
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_not_null (strstr (error->message, file->path), "%s", error->message);
    cr_assert_not_null (strstr (error->message, writes ? "uses it" : "writes to it"), "%s", error->message);
    close (fd);
    return -1;
}

Test (block_lock, many_read_or_one_writes)
{
    static const struct {
        bool first, second, both;
    } rows[] = {{false, false, true}, {false, true, false}, {true, false, false}, {true, true, false}};
    File file;

    set_up (&file);
    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++) {
        int first = use (&file, rows[i].first);
        int second = use (&file, rows[i].second);

        cr_assert_geq (first, 0, "row %zu: the end of the one before did not end its lock", i);
        cr_assert_eq (second >= 0, rows[i].both, "row %zu", i);
        close (first);
        if (second >= 0)
            close (second);
    }
    tear_down (&file);
}

/* A kernel that still ends a killed machine's I/O is waited for, two seconds in all. */
Test (block_lock, it_is_tried_again_for_a_moment)
{
    File file;
    int fd;

    set_up (&file);
    close_fd = use (&file, true);
    cr_assert_geq (close_fd, 0);
    cr_assert_eq (n_pauses, 0);
    cr_assert_eq (use (&file, true), -1);
    cr_assert_geq (n_pauses, 10);
    cr_assert_leq (n_pauses, 1000);
    n_pauses = 0;
    close_at = 5;
    fd = use (&file, true);
    cr_assert_geq (fd, 0);
    cr_assert_eq (n_pauses, 5);
    close (fd);
    tear_down (&file);
}

/* In the child: says whether it has the lock, and stays, but not longer than the test. */
static void
be_another_machine (const File *file, bool writes, int tell_fd)
{
    int fd = open (file->path, O_CLOEXEC | (writes ? O_RDWR : O_RDONLY));
    uint8_t has = vmm_block_lock (fd, file->path, writes, NULL);

    prctl (PR_SET_PDEATHSIG, SIGKILL);
    (void)!write (tell_fd, &has, 1);
    for (;;)
        pause ();
}

Test (block_lock, it_holds_between_processes_and_ends_with_them, .timeout = 60)
{
    File file;

    set_up (&file);
    for (unsigned writes = 0; writes < 2; writes++) {
        int tell[2];
        uint8_t has = 0;
        int reader;
        pid_t pid;

        cr_assert_eq (pipe2 (tell, O_CLOEXEC), 0);
        pid = fork ();
        cr_assert_geq (pid, 0);
        if (pid == 0)
            be_another_machine (&file, writes != 0, tell[1]);
        cr_assert_eq (read (tell[0], &has, 1), 1);
        cr_assert_eq (has, 1);
        cr_assert_eq (use (&file, true), -1);
        reader = use (&file, false);
        cr_assert_eq (reader >= 0, writes == 0);
        if (reader >= 0)
            close (reader);
        kill (pid, SIGKILL);
        cr_assert_eq (waitpid (pid, NULL, 0), pid);
        reader = use (&file, true);
        cr_assert_geq (reader, 0, "its end did not end its lock");
        close (reader);
        close (tell[0]);
        close (tell[1]);
    }
    tear_down (&file);
}

/* A descriptor that was copied is the same user; its lock ends with the last copy. */
Test (block_lock, a_copy_is_the_same_user)
{
    File file;
    int fd, copy;

    set_up (&file);
    fd = use (&file, true);
    copy = dup (fd);
    cr_assert (vmm_block_lock (copy, file.path, true, NULL));
    close (fd);
    cr_assert_eq (use (&file, false), -1);
    close (copy);
    fd = use (&file, false);
    cr_assert_geq (fd, 0);
    close (fd);
    tear_down (&file);
}

Test (block_lock, a_file_system_without_locks_is_no_obstacle)
{
    static const int errors[] = {ENOLCK, EINVAL, EOPNOTSUPP};
    File file;

    set_up (&file);
    for (size_t i = 0; i < G_N_ELEMENTS (errors); i++) {
        int fd;

        fail_with = errors[i];
        fd = use (&file, true);
        cr_assert_geq (fd, 0);
        close (fd);
    }
    cr_assert_eq (n_pauses, 0);
    tear_down (&file);
}

static void
lock_byte (int fd, int byte)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    cr_assert_eq (fcntl (fd, F_OFD_SETLK, &lock), 0);
}

static bool
is_locked (int fd, int byte)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    cr_assert_eq (fcntl (fd, F_OFD_GETLK, &lock), 0);
    return lock.l_type != F_UNLCK;
}

/* Bytes 100 and on: what QEMU does; 200 and on: what nobody else may do. 0: read, 1: write, 3: resize. */
Test (block_lock, it_is_one_with_the_locks_of_qemu)
{
    static const struct {
        const char *who;
        int bytes[6];
        bool may_read;
    } rows[] = {
        {"qemu-img info", {100, 201, 203}, true},
        {"a machine that reads a backing file", {100, 201, 203}, true},
        {"a machine that writes", {100, 101, 103, 201, 203}, false},
        {"one that shares its writes", {100, 101}, false},
        {"one that is alone", {100, 200, 201, 203}, false},
    };
    File file;

    set_up (&file);
    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++) {
        int theirs = open (file.path, O_RDONLY | O_CLOEXEC), ours;

        for (size_t k = 0; rows[i].bytes[k] != 0; k++)
            lock_byte (theirs, rows[i].bytes[k]);
        cr_assert_eq (use (&file, true), -1, "%s", rows[i].who);
        ours = use (&file, false);
        cr_assert_eq (ours >= 0, rows[i].may_read, "%s", rows[i].who);
        if (ours >= 0) {
            /* Theirs look for these: they may read, and not write. */
            cr_assert (!is_locked (theirs, 200) && !is_locked (theirs, 101) && !is_locked (theirs, 103));
            cr_assert (is_locked (theirs, 201) && is_locked (theirs, 203));
            close (ours);
        }
        close (theirs);
        ours = use (&file, true);
        cr_assert_geq (ours, 0, "%s: a lock is left", rows[i].who);
        close (ours);
    }
    tear_down (&file);
}
