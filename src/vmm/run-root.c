/* SPDX-License-Identifier: Apache-2.0 */
/* What the root of a guest that runs a command is made of. See run-initrd.c. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/run-initrd.h"

/* How file systems are known, and the modules that they are in. */
static const struct {
    off_t at;
    const char *magic;
    size_t len;
    const char *module;
} file_systems[] = {
    {1080, "\x53\xef", 2, "ext4"},
    {0, "XFSB", 4, "xfs"},
    {0, "hsqs", 4, "squashfs"},
    {0x10040, "_BHRfS_M", 8, "btrfs"},
    {1024, "\xe2\xe1\xf5\xe0", 4, "erofs"},
};

/* Static ones only: there is no library in the guest. */
static const char *const busybox_places[] = {"/bin/busybox", "/usr/bin/busybox", "/usr/local/bin/busybox",
                                             "/bin/busybox.static", "/usr/bin/busybox.static"};

static bool
has_at (int fd, off_t at, const char *magic, size_t len)
{
    char bytes[16];

    return pread (fd, bytes, len, at) == (ssize_t)len && memcmp (bytes, magic, len) == 0;
}

/**
 * vmm_run_root_look:
 * @fd: open for reading
 * @path: its name
 * @ret_kind: (out): what it is, by its content
 * @ret_module: (out) (nullable): of an image: the module of its file system, where that is known
 * @ret_qcow2: (out): of an image: it is in that format
 *
 * Returns: false with %VMM_ERROR_USAGE for what can be no root
 */
bool
vmm_run_root_look (int fd, const char *path, VmmRunRootKind *ret_kind, const char **ret_module,
                   bool *ret_qcow2, GError **error)
{
    struct stat st;

    *ret_module = NULL;
    *ret_qcow2 = false;
    if (fstat (fd, &st) < 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "root \"%s\": %s", path, g_strerror (errno));
        return false;
    }
    if (S_ISDIR (st.st_mode)) {
        *ret_kind = VMM_RUN_ROOT_FOLDER;
        return true;
    }
    *ret_kind = VMM_RUN_ROOT_IMAGE;
    if (S_ISBLK (st.st_mode))
        return true;
    if (!S_ISREG (st.st_mode)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "root \"%s\": name a folder, an archive (tar or cpio) or a disk's image", path);
        return false;
    }
    *ret_qcow2 = has_at (fd, 0, "QFI\xfb", 4);
    for (size_t i = 0; i < G_N_ELEMENTS (file_systems); i++) {
        if (has_at (fd, file_systems[i].at, file_systems[i].magic, file_systems[i].len)) {
            *ret_module = file_systems[i].module;
            return true;
        }
    }
    if (!*ret_qcow2)
        *ret_kind = has_at (fd, 0, VMM_CPIO_MAGIC, strlen (VMM_CPIO_MAGIC)) ? VMM_RUN_ROOT_CPIO
                                                                            : VMM_RUN_ROOT_ARCHIVE;
    return true;
}

/* Each line of the list is the path of an applet, relative to the root. */
static bool
add_applets (VmmCpio *cpio, const char *list, GError **error)
{
    g_auto (GStrv) lines = g_strsplit (list, "\n", -1);

    for (char **line = lines; *line != NULL; line++) {
        if (**line == '\0' || vmm_cpio_has (cpio, *line))
            continue;
        if (!vmm_cpio_add_symlink (cpio, *line, NULL, "/bin/busybox", error))
            return false;
    }
    return true;
}

static int
open_busybox (const char **ret_path, char **ret_applets)
{
    for (size_t i = 0; i < G_N_ELEMENTS (busybox_places); i++) {
        char *argv[] = {(char *)busybox_places[i], (char *)"--list-full", NULL};
        int fd = open (busybox_places[i], O_RDONLY | O_CLOEXEC);
        int status;

        if (fd < 0)
            continue;
        if (g_spawn_sync (NULL, argv, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, ret_applets, NULL,
                          &status, NULL) &&
            g_spawn_check_wait_status (status, NULL)) {
            *ret_path = busybox_places[i];
            return fd;
        }
        g_clear_pointer (ret_applets, g_free);
        close (fd);
    }
    return -1;
}

/* Whether a program wants a loader, as one with shared libraries does. */
static bool
is_dynamic (int fd)
{
    uint8_t head[4096];
    ssize_t n = pread (fd, head, sizeof head, 0);

    return n > 0 && memmem (head, (size_t)n, "/ld-", 4) != NULL;
}

/**
 * vmm_run_root_add_busybox:
 *
 * A root that has busybox, under all the names that it answers to.
 *
 * Returns: false with %VMM_ERROR_HOST where there is none
 */
bool
vmm_run_root_add_busybox (VmmCpio *cpio, GError **error)
{
    static const char *const folders[] = {"dev", "etc", "proc", "root",    "run",
                                          "sys", "tmp", "var",  "usr/bin", "usr/sbin"};
    static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
    static const char group[] = "root:x:0:\nnogroup:x:65534:\n";
    const VmmCpioAttr program = {.mode = 0755};
    g_autofree char *applets = NULL;
    const char *path;
    int fd = open_busybox (&path, &applets);
    bool ok;

    if (fd < 0 || is_dynamic (fd)) {
        if (fd >= 0)
            close (fd);
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "root: there is no static busybox on this host: install one (on Debian "
                     "busybox-static), or name a root");
        return false;
    }
    ok = vmm_cpio_add_fd (cpio, "bin/busybox", &program, fd, error);
    close (fd);
    for (size_t i = 0; ok && i < G_N_ELEMENTS (folders); i++)
        ok = vmm_cpio_add_folder (cpio, folders[i], NULL, error);
    return ok &&
           vmm_cpio_add_file (cpio, "etc/passwd", NULL, (VmmSpan){(const uint8_t *)passwd, strlen (passwd)},
                              error) &&
           vmm_cpio_add_file (cpio, "etc/group", NULL, (VmmSpan){(const uint8_t *)group, strlen (group)},
                              error) &&
           add_applets (cpio, applets, error);
}
