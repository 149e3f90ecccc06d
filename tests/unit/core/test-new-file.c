/* SPDX-License-Identifier: Apache-2.0 */
/* A file that gets its name when it is whole, on hosts that have such files and on others. */
#include "vmm/core/new-file.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int __real_access (const char *path, int mode);
int __wrap_access (const char *path, int mode);

static bool host_has_proc;

int
__wrap_access (const char *path, int mode)
{
    return host_has_proc ? __real_access (path, mode) : -1;
}

/* A folder, which is the current one. */
typedef struct {
    char path[32];
    int fd;
} Rig;

static Rig
rig_make (bool has_proc)
{
    Rig rig = {.path = "/tmp/vmm-new-file-XXXXXX"};

    host_has_proc = has_proc;
    cr_assert (mkdtemp (rig.path) != NULL && chdir (rig.path) == 0);
    umask (022);
    rig.fd = open (".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return rig;
}

/* How many names are in the folder. */
static unsigned
count_names (void)
{
    DIR *dir = opendir (".");
    unsigned n = 0;

    for (struct dirent *entry = readdir (dir); entry != NULL; entry = readdir (dir))
        n += strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0;
    closedir (dir);
    return n;
}

static void
rig_clear (Rig *rig)
{
    unlink ("a");
    unlink ("link");
    cr_assert_eq (count_names (), 0);
    close (rig->fd);
    cr_assert_eq (rmdir (rig->path), 0);
}

static bool
write_new (const Rig *rig, const char *name, const char *text, mode_t mode, bool replace)
{
    VmmNewFile file;

    cr_assert (vmm_new_file_open (&file, rig->fd, mode));
    cr_assert_eq (write (file.fd, text, strlen (text)), (ssize_t)strlen (text));
    return vmm_new_file_publish (&file, name, replace);
}

static void
check (const char *name, const char *expected, mode_t mode)
{
    char text[16] = "";
    int fd = open (name, O_RDONLY);
    struct stat st;

    cr_assert (fd >= 0 && fstat (fd, &st) == 0 && read (fd, text, sizeof text - 1) >= 0);
    cr_assert_str_eq (text, expected);
    cr_assert_eq (st.st_mode & 07777, mode, "mode %o", st.st_mode);
    close (fd);
}

static void
check_all (bool has_proc)
{
    Rig rig = rig_make (has_proc);

    cr_assert (write_new (&rig, "a", "one", 0666, false));
    check ("a", "one", 0644);
    cr_assert_not (write_new (&rig, "a", "two", 0666, false));
    cr_assert_eq (errno, EEXIST);
    check ("a", "one", 0644);
    cr_assert (write_new (&rig, "a", "three", 0444, true));
    check ("a", "three", 0444);
    cr_assert (symlink ("a", "link") == 0);
    cr_assert (write_new (&rig, "link", "four", 0600, true));
    check ("link", "four", 0600);
    check ("a", "three", 0444);
    cr_assert_not (write_new (&rig, ".", "five", 0600, true));
    cr_assert_not (write_new (&rig, "none/a", "six", 0600, true));
    cr_assert_eq (errno, ENOENT);
    cr_assert_eq (count_names (), 2);
    rig_clear (&rig);
}

Test (new_file, here)
{
    check_all (true);
}

Test (new_file, without_proc)
{
    check_all (false);
}

/* As SIGKILL would leave the folder. */
Test (new_file, has_no_name_until_it_is_whole)
{
    Rig rig = rig_make (true);
    VmmNewFile file;

    cr_assert (vmm_new_file_open (&file, rig.fd, 0666));
    if (file.name[0] != '\0') {
        vmm_new_file_clear (&file);
        rig_clear (&rig);
        cr_skip_test ("this file system has no files without a name");
    }
    cr_assert_eq (write (file.fd, "one", 3), 3);
    cr_assert_eq (count_names (), 0);
    vmm_new_file_clear (&file);
    vmm_new_file_clear (&file);
    rig_clear (&rig);
}

Test (new_file, what_is_not_published_is_gone)
{
    Rig rig = rig_make (false);
    VmmNewFile file;

    cr_assert (vmm_new_file_open (&file, rig.fd, 0666));
    cr_assert_eq (count_names (), 1);
    vmm_new_file_clear (&file);
    cr_assert_eq (count_names (), 0);
    rig_clear (&rig);
    file.folder_fd = open ("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    cr_assert_not (vmm_new_file_open (&file, file.folder_fd, 0666));
    cr_assert_eq (file.fd, -1);
}
