/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images.h"
#include "ko.h"
#include "loader/cpio.h"
#include "loader/modules.h"
#include "remove-tree.h"
#include "vmm/error.h"

#define KERNEL "lib/modules/6.1.0-test/"

static char *home;

static void
enter (void)
{
    home = g_dir_make_tmp ("vmm-modules-XXXXXX", NULL);
    cr_assert_eq (chdir (home), 0);
}

static void
leave (void)
{
    remove_tree (home);
    g_free (home);
}

TestSuite (modules, .init = enter, .fini = leave);

static void
put (const char *path, const void *bytes, gssize len)
{
    g_autofree char *folder = g_path_get_dirname (path);

    cr_assert_eq (g_mkdir_with_parents (folder, 0755), 0);
    cr_assert (g_file_set_contents (path, bytes, len, NULL));
}

static GByteArray *
module (const char *depends)
{
    g_autofree char *info = g_strconcat ("depends=", depends, NULL);

    return ko_make (info, strlen (info) + 1);
}

static void
put_module (const char *path, const char *depends, VmmCompression kind)
{
    g_autoptr (GByteArray) ko = module (depends);
    g_autoptr (GByteArray) packed =
        kind == VMM_COMPRESSION_NONE ? g_byte_array_ref (ko) : image_compress (kind, image_span (ko));

    put (path, packed->data, packed->len);
}

/* As a package has it. */
static void
put_tree (void)
{
    put_module (KERNEL "kernel/drivers/virtio/virtio.ko", "", VMM_COMPRESSION_NONE);
    put_module (KERNEL "kernel/drivers/virtio/virtio_ring.ko.xz", "virtio", VMM_COMPRESSION_XZ);
    put_module (KERNEL "kernel/drivers/block/virtio-blk.ko.zst", "virtio_ring,virtio,crc32",
                VMM_COMPRESSION_ZSTD);
    put_module (KERNEL "kernel/net/a.ko.gz", "b", VMM_COMPRESSION_GZIP);
    put_module (KERNEL "kernel/net/b.ko", "a", VMM_COMPRESSION_NONE);
    put_module (KERNEL "kernel/net/lost.ko", "nowhere", VMM_COMPRESSION_NONE);
    put (KERNEL "modules.builtin", "kernel/lib/crc32.ko\nnonsense\n", -1);
    put (KERNEL "modules.order", "", 0);
}

static VmmModules *
open_modules (const char *path, const char *version)
{
    g_autoptr (GError) error = NULL;
    VmmModules *modules = vmm_modules_open (path, version, &error);

    cr_assert_not_null (modules, "%s", error != NULL ? error->message : "");
    return modules;
}

static char *
order (VmmModules *modules, const char *wanted, GError **error)
{
    g_auto (GStrv) names = g_strsplit (wanted, " ", -1);
    g_autoptr (GPtrArray) list = NULL;

    if (!vmm_modules_resolve (modules, (const char *const *)names, g_strv_length (names), &list, error))
        return NULL;
    GString *text = g_string_new ("");
    for (guint i = 0; i < list->len; i++) {
        VmmModule *m = list->pdata[i];
        g_autoptr (GBytes) bytes = vmm_modules_read (modules, m, NULL);
        cr_assert_not_null (bytes);
        cr_assert_eq (memcmp (g_bytes_get_data (bytes, NULL), "\177ELF", 4), 0, "%s", m->name);
        g_string_append_printf (text, "%s%s", i > 0 ? " " : "", m->name);
    }
    return g_string_free (text, FALSE);
}

static void
check_order (VmmModules *modules, const char *wanted, const char *expected)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *got = order (modules, wanted, &error);

    cr_assert_not_null (got, "%s", error != NULL ? error->message : "");
    cr_assert_str_eq (got, expected);
}

static void
check_tree (VmmModules *modules)
{
    g_autoptr (GError) lost = NULL, none = NULL;

    cr_assert_str_eq (vmm_modules_version (modules), "6.1.0-test");
    check_order (modules, "virtio-blk", "virtio virtio_ring virtio_blk");
    check_order (modules, "virtio_ring virtio_blk virtio", "virtio virtio_ring virtio_blk");
    check_order (modules, "crc32", "");
    check_order (modules, "a", "b a");
    cr_assert_eq (vmm_modules_find (modules, "virtio_blk"), VMM_MODULE_FILE);
    cr_assert_eq (vmm_modules_find (modules, "crc32"), VMM_MODULE_BUILTIN);
    cr_assert_eq (vmm_modules_find (modules, "e1000"), VMM_MODULE_MISSING);
    cr_assert_null (order (modules, "virtio e1000", &none));
    cr_assert (g_error_matches (none, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert (image_error_has (none, "there is no module e1000 for 6.1.0-test"), "%s", none->message);
    cr_assert_null (order (modules, "lost", &lost));
    cr_assert (image_error_has (lost, "no module nowhere"), "%s", lost->message);
    cr_assert (image_error_has (lost, "needed by lost"), "%s", lost->message);
}

Test (modules, without_lists_the_files_are_asked)
{
    put_tree ();
    const char *const paths[] = {".", "lib/modules", "lib/modules/6.1.0-test", "lib/modules/6.1.0-test/."};
    for (size_t i = 0; i < G_N_ELEMENTS (paths); i++) {
        g_autoptr (VmmModules) modules = open_modules (paths[i], NULL);
        check_tree (modules);
    }
    vmm_modules_free (NULL);
}

Test (modules, an_archive_has_them_too)
{
    put_tree ();
    const char *const argv[] = {"tar", "-czf", "m.tar.gz", "./lib", NULL};
    cr_assert (
        g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
    g_autoptr (VmmModules) modules = open_modules ("m.tar.gz", "6.1.0-test");
    check_tree (modules);
    g_autoptr (GError) version = NULL;
    cr_assert_null (vmm_modules_open ("m.tar.gz", "5.10", &version));
    cr_assert (image_error_has (version, "no kernel modules in it"), "%s", version->message);
}

/* modules.dep knows better than the files, which have other dependencies here. */
Test (modules, lists_are_believed)
{
    put_tree ();
    put (KERNEL "modules.dep",
         "kernel/net/a.ko.gz: kernel/net/b.ko kernel/drivers/virtio/virtio.ko\n"
         "kernel/net/b.ko: kernel/drivers/virtio/virtio.ko\n"
         "kernel/drivers/virtio/virtio.ko:\n"
         "../../../outside.ko:\n/abs.ko:\nno colon\n",
         -1);
    g_autoptr (VmmModules) modules = open_modules (".", NULL);
    check_order (modules, "a", "virtio b a");
    cr_assert_eq (vmm_modules_find (modules, "lost"), VMM_MODULE_MISSING);
    cr_assert_eq (vmm_modules_find (modules, "outside"), VMM_MODULE_MISSING);
    cr_assert_eq (vmm_modules_find (modules, "abs"), VMM_MODULE_MISSING);
}

Test (modules, of_several_kernels_one_is_chosen)
{
    g_autoptr (GError) several = NULL, none = NULL;

    put_module ("usr/lib/modules/1/kernel/m.ko", "", VMM_COMPRESSION_NONE);
    put_module ("usr/lib/modules/2/kernel/m.ko", "", VMM_COMPRESSION_NONE);
    cr_assert_null (vmm_modules_open (".", NULL, &several));
    cr_assert (image_error_has (several, "for several kernels: "), "%s", several->message);
    cr_assert_null (vmm_modules_open (".", "3", &none));
    cr_assert (image_error_has (none, "none for kernel 3, but for "), "%s", none->message);
    g_autoptr (VmmModules) modules = open_modules (".", "2");
    cr_assert_str_eq (vmm_modules_version (modules), "2");
}

Test (modules, updates_win)
{
    put_module (KERNEL "kernel/m.ko", "nowhere", VMM_COMPRESSION_NONE);
    put_module (KERNEL "updates/dkms/m.ko", "", VMM_COMPRESSION_NONE);
    g_autoptr (VmmModules) modules = open_modules (".", NULL);
    check_order (modules, "m", "m");
}

Test (modules, what_is_wrong_is_said)
{
    g_autoptr (GError) none = NULL, empty = NULL, damaged = NULL, text = NULL;

    cr_assert_null (vmm_modules_open ("nothing", NULL, &none));
    cr_assert_str_eq (none->message, "modules \"nothing\": No such file or directory");
    cr_assert_null (vmm_modules_open (".", NULL, &empty));
    cr_assert (image_error_has (empty, "no kernel modules in it; give /lib/modules/VERSION"));
    put (KERNEL "kernel/cut.ko.xz",
         "\xfd"
         "7zXZ\0cut",
         9);
    put (KERNEL "kernel/text.ko", "text", 4);
    g_autoptr (VmmModules) modules = open_modules (".", NULL);
    cr_assert_null (order (modules, "cut", &damaged));
    cr_assert (image_error_has (damaged, "\"kernel/cut.ko.xz\": truncated"), "%s", damaged->message);
    cr_assert_null (order (modules, "text", &text));
    cr_assert (image_error_has (text, "this is not a kernel module"), "%s", text->message);
}
