/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../loader/cpio-list.h"
#include "remove-tree.h"
#include "vmm/error.h"
#include "vmm/run-initrd.h"

static char *home;

static void
enter (void)
{
    home = g_dir_make_tmp ("vmm-root-XXXXXX", NULL);
    cr_assert_eq (chdir (home), 0);
}

static void
leave (void)
{
    remove_tree (home);
    g_free (home);
}

TestSuite (run_root, .init = enter, .fini = leave);

static const struct {
    const char *what;
    size_t at;
    const char *magic;
    size_t len;
    VmmRunRootKind kind;
    const char *module;
    bool qcow2;
} files[] = {
    {"ext4", 1080, "\x53\xef", 2, VMM_RUN_ROOT_IMAGE, "ext4", false},
    {"xfs", 0, "XFSB", 4, VMM_RUN_ROOT_IMAGE, "xfs", false},
    {"squashfs", 0, "hsqs", 4, VMM_RUN_ROOT_IMAGE, "squashfs", false},
    {"btrfs", 0x10040, "_BHRfS_M", 8, VMM_RUN_ROOT_IMAGE, "btrfs", false},
    {"erofs", 1024, "\xe2\xe1\xf5\xe0", 4, VMM_RUN_ROOT_IMAGE, "erofs", false},
    {"qcow2", 0, "QFI\xfb", 4, VMM_RUN_ROOT_IMAGE, NULL, true},
    {"cpio", 0, "070701", 6, VMM_RUN_ROOT_CPIO, NULL, false},
    {"anything else", 0, "\x1f\x8b", 2, VMM_RUN_ROOT_ARCHIVE, NULL, false},
    {"nothing", 0, "", 0, VMM_RUN_ROOT_ARCHIVE, NULL, false},
};

Test (run_root, kinds_of_files)
{
    for (size_t i = 0; i < G_N_ELEMENTS (files); i++) {
        g_autofree char *content = g_malloc0 (70000);
        VmmRunRootKind kind;
        const char *module;
        bool qcow2;

        memcpy (content + files[i].at, files[i].magic, files[i].len);
        cr_assert (g_file_set_contents ("file", content, files[i].len > 0 ? 70000 : 0, NULL));
        int fd = open ("file", O_RDONLY | O_CLOEXEC);
        cr_assert (vmm_run_root_look (fd, "file", &kind, &module, &qcow2, NULL));
        cr_expect_eq (kind, files[i].kind, "%s", files[i].what);
        cr_expect_eq (qcow2, files[i].qcow2, "%s", files[i].what);
        cr_expect_eq (g_strcmp0 (module, files[i].module), 0, "%s: %s", files[i].what, module);
        close (fd);
    }
}

Test (run_root, folder_and_what_is_none)
{
    g_autoptr (GError) error = NULL;
    VmmRunRootKind kind;
    const char *module;
    bool qcow2;
    int fd = open (".", O_RDONLY | O_CLOEXEC);

    cr_expect (vmm_run_root_look (fd, ".", &kind, &module, &qcow2, NULL) && kind == VMM_RUN_ROOT_FOLDER);
    close (fd);
    fd = open ("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_expect_not (vmm_run_root_look (fd, "/dev/null", &kind, &module, &qcow2, &error));
    cr_expect (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    close (fd);
}

Test (run_root, busybox_under_all_its_names)
{
    g_autoptr (VmmCpio) cpio = vmm_cpio_new (64 << 20, NULL);
    g_autoptr (GError) error = NULL;

    if (!vmm_run_root_add_busybox (cpio, &error)) {
        cr_expect_not_null (strstr (error->message, "busybox-static"), "%s", error->message);
        cr_skip_test ("no static busybox here");
    }
    int fd = vmm_cpio_finish (cpio, NULL);
    g_autofree char *list = cpio_list_fd (fd);
    cr_expect_not_null (strstr (list, "bin/busybox 100755 0:0 0 =\177ELF"));
    cr_expect_not_null (strstr (list, "\nbin/sh 120777 0:0 0 >/bin/busybox"));
    cr_expect_not_null (strstr (list, "\netc/passwd 100644 0:0 0 =root:x:0:0:"));
    cr_expect_not_null (strstr (list, "\ntmp 40755 "));
    close (fd);
}
