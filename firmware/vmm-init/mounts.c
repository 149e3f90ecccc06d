/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <dirent.h>
#include <time.h>
#include <unistd.h>

#include "say.h"

#define NEW_ROOT "/.vmm/root"
#define DEVICE_PATIENCE_MS 10000

typedef struct {
    const char *type, *target, *options;
    unsigned long flags;
} Mount;

/* Mounting there again would only hide what somebody has put there. */
static bool
is_mount_point (const char *path)
{
    char above[64];
    struct stat there, here;

    snprintf (above, sizeof (above), "%s/..", path);
    return stat (path, &here) == 0 && stat (above, &there) == 0 && here.st_dev != there.st_dev;
}

static void
mount_one (const Mount *one)
{
    mkdir (one->target, 0755);
    if (is_mount_point (one->target))
        return;
    if (mount (one->type, one->target, one->type, one->flags, one->options) == 0)
        return;
    /* The group of terminals may be unknown in a container. */
    if (errno == EINVAL && mount (one->type, one->target, one->type, one->flags, NULL) == 0)
        return;
    say ("mount %s: %s", one->target, strerror (errno));
}

void
mounts_early (void)
{
    static const Mount basics[] = {
        {"devtmpfs", "/dev", "mode=0755", MS_NOSUID},
        {"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
        {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    };

    for (size_t i = 0; i < sizeof (basics) / sizeof (basics[0]); i++)
        mount_one (&basics[i]);
}

static bool
is_empty (const char *path)
{
    DIR *dir = opendir (path);
    struct dirent *entry;
    bool empty = true;

    while (dir != NULL && empty && (entry = readdir (dir)) != NULL)
        empty = strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0;
    if (dir != NULL)
        closedir (dir);
    return empty;
}

void
mounts_late (bool keep_run)
{
    static const Mount pts = {"devpts", "/dev/pts", "gid=5,mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC};
    static const Mount shm = {"tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV};
    static const Mount run = {"tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV};
    static const Mount tmp = {"tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV};
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"fd/0", "/dev/stdin"},
                                           {"fd/1", "/dev/stdout"},
                                           {"fd/2", "/dev/stderr"},
                                           {"pts/ptmx", "/dev/ptmx"}};

    mount_one (&pts);
    mount_one (&shm);
    if (!keep_run)
        mount_one (&run);
    if (is_empty ("/tmp"))
        mount_one (&tmp);
    for (size_t i = 0; i < sizeof (links) / sizeof (links[0]); i++) {
        if (symlink (links[i][0], links[i][1]) < 0 && errno != EEXIST)
            say ("%s: %s", links[i][1], strerror (errno));
    }
}

/* Devices appear a moment after their driver. */
static bool
wait_for (const char *path)
{
    static const struct timespec moment = {.tv_nsec = 10000000};

    for (int left = DEVICE_PATIENCE_MS; left > 0; left -= 10) {
        if (access (path, F_OK) == 0)
            return true;
        nanosleep (&moment, NULL);
    }
    return false;
}

/* As mount(8) does without -t: each type that is for block devices and known to this kernel is tried. */
static bool
mount_any (const char *device, const char *target, unsigned long flags)
{
    FILE *types = fopen ("/proc/filesystems", "re");
    int reason = types != NULL ? EINVAL : errno;
    char line[128];
    bool done = false;

    while (!done && types != NULL && fgets (line, sizeof (line), types) != NULL) {
        char *type = line + strspn (line, "\t ");

        type[strcspn (type, "\n")] = '\0';
        if (type == line) /* nodev */
            continue;
        done = mount (device, target, type, flags, NULL) == 0;
        if (!done && (errno == EROFS || errno == EACCES)) /* the device cannot be written to */
            done = mount (device, target, type, flags | MS_RDONLY, NULL) == 0;
        if (!done && errno != EINVAL)
            reason = errno;
    }
    if (types != NULL)
        fclose (types);
    errno = reason;
    return done;
}

bool
mounts_root (const char *device, bool readonly, char *ret_text, size_t size)
{
    mkdir ("/.vmm", 0755);
    mkdir (NEW_ROOT, 0755);
    if (!wait_for (device)) {
        snprintf (ret_text, size, "%s: the device of the root does not appear", device);
        errno = ENODEV;
        return false;
    }
    if (!mount_any (device, NEW_ROOT, readonly ? MS_RDONLY : 0)) {
        snprintf (ret_text, size, "%s: cannot be mounted as root: %s", device, strerror (errno));
        return false;
    }
    /* The new root gets its own; these would be out of reach, and busy. */
    umount2 ("/sys", MNT_DETACH);
    umount2 ("/proc", MNT_DETACH);
    umount2 ("/dev", MNT_DETACH);
    if (chdir (NEW_ROOT) < 0 || mount (".", "/", NULL, MS_MOVE, NULL) < 0 || chroot (".") < 0 ||
        chdir ("/") < 0) {
        snprintf (ret_text, size, "%s: cannot become the root: %s", device, strerror (errno));
        return false;
    }
    mounts_early ();
    return true;
}

void
mounts_make_parents (const char *path)
{
    char part[PATH_MAX];

    if (strlen (path) >= sizeof (part))
        return;
    memcpy (part, path, strlen (path) + 1);
    for (char *slash = strchr (part + 1, '/'); slash != NULL; slash = strchr (slash + 1, '/')) {
        *slash = '\0';
        mkdir (part, 0755);
        *slash = '/';
    }
}

/* The kernel writes spaces and the like in names as \040. */
static void
unescape (char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] != '\0' && from[3] != '\0') {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* Ends the mounts of the table from its last line to its first: what is mounted later may lie within. */
static void
end_lines (char *table)
{
    char *line = strrchr (table, '\n');

    while (line != NULL) {
        char *end = line;
        char *device, *target;

        *end = '\0';
        line = strrchr (table, '\n');
        device = line != NULL ? line + 1 : table;
        target = strchr (device, ' ');
        if (target == NULL)
            continue;
        *target++ = '\0';
        target[strcspn (target, " ")] = '\0';
        unescape (target);
        if (umount2 (target, 0) < 0 && device[0] == '/' &&
            mount (NULL, target, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
            say ("%s: cannot be made read-only: %s", target, strerror (errno));
    }
}

void
mounts_end (void)
{
    FILE *file = fopen ("/proc/self/mounts", "re");
    char *table = NULL;
    size_t size = 0;

    sync ();
    /* Read whole: taking mounts away changes the file. */
    if (file != NULL && getdelim (&table, &size, '\0', file) > 0)
        end_lines (table);
    if (file != NULL)
        fclose (file);
    free (table);
    sync ();
}
