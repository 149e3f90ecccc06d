/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/disk.h"
#include "vmm/error.h"

static char *folder;

static void
set_up (void)
{
    folder = g_dir_make_tmp ("vmm-disk-XXXXXX", NULL);
}

static void
tear_down (void)
{
    g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *path = g_build_filename (folder, name, NULL);

        g_unlink (path);
    }
    g_rmdir (folder);
    g_free (folder);
}

TestSuite (disk, .init = set_up, .fini = tear_down);

static char *
in_folder (const char *name)
{
    return g_build_filename (folder, name, NULL);
}

static unsigned
count_files (void)
{
    g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name (dir) != NULL)
        n++;
    return n;
}

static void
expect_error (bool ok, GError **error, const char *text)
{
    cr_assert_not (ok);
    cr_assert (g_error_matches (*error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_not_null (strstr ((*error)->message, text), "\"%s\" is not in \"%s\"", text, (*error)->message);
    g_clear_error (error);
}

Test (disk, what_was_made_is_told_with_all_that_is_behind_it)
{
    g_autofree char *base = in_folder ("base.img"), *top = in_folder ("top.qcow2");
    g_autoptr (VmmDiskInfo) info = NULL;
    VmmDiskCheck check;

    cr_assert (vmm_disk_create (base, VMM_DISK_RAW, 1000, 0, NULL, 0, false, NULL));
    cr_assert (vmm_disk_create (top, VMM_DISK_QCOW2, 0, 4096, "base.img", VMM_DISK_RAW, false, NULL));
    info = vmm_disk_get_info (top, NULL);
    cr_assert_not_null (info);
    cr_assert_eq (vmm_disk_info_get_n_layers (info), 2);
    cr_expect_eq (vmm_disk_info_get_layer (info, 0)->format, VMM_DISK_QCOW2);
    cr_expect_eq (vmm_disk_info_get_layer (info, 0)->virtual_size, 1024);
    cr_expect_eq (vmm_disk_info_get_layer (info, 0)->cluster_size, 4096);
    cr_expect_eq (vmm_disk_info_get_layer (info, 1)->format, VMM_DISK_RAW);
    cr_expect_str_eq (vmm_disk_info_get_layer (info, 1)->path, base);
    cr_expect_null (vmm_disk_info_get_layer (info, 2));
    cr_assert (vmm_disk_check (top, &check, NULL));
    cr_expect_eq (check.damage + check.errors + check.leaks + check.allocated, 0);
}

Test (disk, a_file_that_exists_is_kept_unless_told)
{
    g_autofree char *path = in_folder ("disk"), *text = NULL;
    GError *error = NULL;

    cr_assert (g_file_set_contents (path, "precious", -1, NULL));
    expect_error (vmm_disk_create (path, VMM_DISK_QCOW2, 1 << 20, 0, NULL, 0, false, &error), &error,
                  "exists");
    cr_assert (g_file_get_contents (path, &text, NULL, NULL));
    cr_expect_str_eq (text, "precious");
    cr_assert (vmm_disk_create (path, VMM_DISK_QCOW2, 1 << 20, 0, NULL, 0, true, NULL));
    cr_expect_eq (count_files (), 1);
}

Test (disk, what_cannot_be_made_leaves_no_file)
{
    g_autofree char *path = in_folder ("disk");
    GError *error = NULL;

    expect_error (vmm_disk_create (path, VMM_DISK_QCOW2, 1 << 20, 1000, NULL, 0, false, &error), &error,
                  "power of two");
    expect_error (vmm_disk_create (path, VMM_DISK_QCOW2, UINT64_C (1) << 60, 512, NULL, 0, false, &error),
                  &error, "larger clusters");
    expect_error (vmm_disk_create (path, VMM_DISK_QCOW2, 0, 0, "absent", VMM_DISK_RAW, false, &error), &error,
                  "No such file");
    expect_error (vmm_disk_create (path, VMM_DISK_QCOW2, 0, 0, "/dev/zero", VMM_DISK_RAW, false, &error),
                  &error, "neither a regular file");
    expect_error (vmm_disk_create (path, VMM_DISK_RAW, 1024, 0, "x", VMM_DISK_RAW, false, &error), &error,
                  "no backing file");
    expect_error (vmm_disk_create (path, VMM_DISK_QCOW2, 0, 0, NULL, 0, false, &error), &error, "how large");
    cr_expect_eq (count_files (), 0);
}

Test (disk, a_circle_of_backing_files_is_refused)
{
    g_autofree char *one = in_folder ("one"), *two = in_folder ("two");
    GError *error = NULL;

    cr_assert (vmm_disk_create (one, VMM_DISK_QCOW2, 1 << 20, 0, NULL, 0, false, NULL));
    cr_assert (vmm_disk_create (two, VMM_DISK_QCOW2, 0, 0, "one", VMM_DISK_QCOW2, false, NULL));
    cr_assert (vmm_disk_create (one, VMM_DISK_QCOW2, 1 << 20, 0, "two", VMM_DISK_QCOW2, true, NULL));
    expect_error (vmm_disk_get_info (one, &error) != NULL, &error, "circle");
}

Test (disk, a_long_chain_is_refused)
{
    GError *error = NULL;
    bool ok = true;
    unsigned n = 0;

    for (; ok && n < 40; n++) {
        g_autofree char *name = g_strdup_printf ("%u", n), *below = g_strdup_printf ("%u", n - 1);
        g_autofree char *path = in_folder (name);

        ok = vmm_disk_create (path, VMM_DISK_QCOW2, 1 << 20, 0, n > 0 ? below : NULL, VMM_DISK_QCOW2, false,
                              &error);
    }
    cr_expect_gt (n, 30);
    expect_error (ok, &error, "behind each other");
}
