/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../loader/cpio-list.h"
#include "../loader/images.h"
#include "../loader/ko.h"
#include "remove-tree.h"
#include "vmm/error.h"
#include "vmm/run-initrd.h"

#define MODULES "lib/modules/6.1.0-test/"

static char *home;
static VmmConfig *config;
static VmmRunTree tree;
static VmmRunInitrds initrds;
static GPtrArray *copies;

static void
put (const char *path, const void *bytes, gssize len)
{
    g_autofree char *folder = g_path_get_dirname (path);

    cr_assert_eq (g_mkdir_with_parents (folder, 0755), 0);
    cr_assert (g_file_set_contents (path, bytes, len, NULL));
}

/* A Linux that says its version, as a vmlinux. */
static void
put_kernel (const char *path, bool is_linux)
{
    static const char banner[] = "Linux version %s\0Linux version 6.1.0-test (me@here) #7\n";
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = NULL;

    spec.linux_note = is_linux;
    elf = image_elf (&spec);
    if (is_linux)
        memcpy (elf->data + 0x2000, banner, sizeof banner);
    put (path, elf->data, elf->len);
}

static void
put_module (const char *name, const char *depends)
{
    g_autofree char *info = g_strconcat ("depends=", depends, NULL);
    g_autofree char *path = g_strconcat (MODULES "kernel/", name, ".ko", NULL);
    g_autoptr (GByteArray) ko = ko_make (info, strlen (info) + 1);

    put (path, ko->data, ko->len);
}

static void
set (const char *key, const char *value)
{
    g_autoptr (GError) error = NULL;

    cr_assert (vmm_config_set (config, key, value, &error), "%s", error != NULL ? error->message : "");
}

static void
enter (void)
{
    home = g_dir_make_tmp ("vmm-initrd-XXXXXX", NULL);
    cr_assert_eq (chdir (home), 0);
    umask (022);
    config = vmm_config_new ();
    copies = g_ptr_array_new ();
    put_kernel ("kernel", true);
    put ("root/etc/name", "a guest\n", -1);
    set ("kernel", "kernel");
    set ("mem", "128M");
    tree = (VmmRunTree){.root = "root", .copies = copies};
    initrds = (VmmRunInitrds){.fds = {-1, -1}};
}

static void
leave (void)
{
    vmm_run_initrds_clear (&initrds);
    vmm_config_free (config);
    g_ptr_array_unref (copies);
    remove_tree (home);
    g_free (home);
}

TestSuite (run_initrd, .init = enter, .fini = leave);

static char *
make (void)
{
    g_autoptr (GError) error = NULL;
    char *list;

    vmm_run_initrds_clear (&initrds);
    cr_assert (vmm_run_initrds_make (&initrds, &tree, config, &error), "%s",
               error != NULL ? error->message : "");
    list = cpio_list_fd (initrds.fds[1]);
    cr_assert_not_null (list);
    return list;
}

static void
expect_failure (const char *part)
{
    g_autoptr (GError) error = NULL;

    cr_assert_not (vmm_run_initrds_make (&initrds, &tree, config, &error));
    cr_expect_not_null (strstr (error->message, part), "%s", error->message);
    vmm_run_initrds_clear (&initrds);
}

static bool
has_line (const char *list, const char *line)
{
    g_autofree char *begin = g_strconcat ("\n", line, NULL);

    return g_str_has_prefix (list, line) || strstr (list, begin) != NULL;
}

/* The content of vmm-init's boot file. */
static char *
boot_of (const char *list)
{
    const char *at = strstr (list, "\n.vmm/boot 100644 0:0 0 =");

    cr_assert_not_null (at, "%s", list);
    at = strchr (at, '=') + 1;
    const char *end = strstr (at, "\nTRAILER");
    return g_strndup (at, end != NULL ? (gsize)(end - at) : strlen (at) - 1);
}

static void
expect_boot (const char *expected)
{
    g_autofree char *list = make ();
    g_autofree char *boot = boot_of (list);

    cr_expect_str_eq (boot, expected);
}

Test (run_initrd, folder_and_init)
{
    g_autofree char *list = make ();

    cr_expect (has_line (list, "etc/name 100644 "));
    cr_expect_not_null (strstr (list, "=a guest\n"));
    cr_expect (has_line (list, ".vmm/init 100755 0:0 0 =\177ELF"));
    cr_expect_not (initrds.has_modules);
    cr_expect_eq (initrds.fds[0], -1);
    cr_expect_null (initrds.disk);
    expect_boot ("");
}

Test (run_initrd, modules_beside_the_kernel_that_the_devices_need)
{
    g_autofree char *list = NULL;

    put_module ("virtio_console", "virtio");
    put_module ("virtio_pci", "virtio");
    put_module ("virtio_mmio", "virtio");
    put_module ("virtio_net", "virtio");
    put_module ("virtio", "");
    put_module ("unneeded", "");
    list = make ();
    cr_expect (initrds.has_modules);
    cr_expect (has_line (list, ".vmm/modules/virtio_console.ko 100644 0:0 0 =\177ELF"));
    cr_expect_null (strstr (list, "unneeded"));
    expect_boot ("module /.vmm/modules/virtio.ko\nmodule /.vmm/modules/virtio_pci.ko\n"
                 "module /.vmm/modules/virtio_console.ko\n");
    set ("transport", "mmio");
    set ("net", "user");
    expect_boot ("module /.vmm/modules/virtio.ko\nmodule /.vmm/modules/virtio_mmio.ko\n"
                 "module /.vmm/modules/virtio_console.ko\nmodule /.vmm/modules/virtio_net.ko\n"
                 "net eth0 10.0.2.15/24 10.0.2.2 10.0.2.3\n");
}

Test (run_initrd, network_of_the_second_card)
{
    set ("net", "socket,path=wire");
    set ("net", "user");
    expect_boot ("net eth1 10.0.2.15/24 10.0.2.2 10.0.2.3\n");
}

Test (run_initrd, modules_that_are_named_and_not_there)
{
    tree.modules = "nowhere";
    expect_failure ("nowhere");
}

Test (run_initrd, module_that_is_damaged)
{
    put_module ("virtio_pci", "");
    put (MODULES "kernel/virtio_console.ko", "not a module", -1);
    expect_failure ("virtio_console");
}

static void
add_copy (VmmRunCopy *copy, const char *from, const char *to)
{
    *copy = (VmmRunCopy){(char *)from, (char *)to};
    g_ptr_array_add (copies, copy);
}

Test (run_initrd, copies_come_last)
{
    VmmRunCopy copy[3];
    g_autofree char *list = NULL;

    put ("tools/bin/x", "tool", -1);
    put ("name", "mine\n", -1);
    add_copy (&copy[0], "tools", "/opt");
    add_copy (&copy[1], "tools/bin/x", "/sbin/");
    add_copy (&copy[2], "name", "/etc/name");
    list = make ();
    cr_expect (has_line (list, "opt/bin/x 100644 0:0 "));
    cr_expect (has_line (list, "sbin/x 100644 0:0 "));
    cr_expect_not_null (g_strrstr (list, "=mine\n"));
    cr_expect (strstr (list, "=a guest\n") == NULL ||
                   g_strrstr (list, "=mine\n") > strstr (list, "=a guest\n"),
               "the later one holds");
}

Test (run_initrd, copies_into_a_system_whose_folders_are_links)
{
    VmmRunCopy copy[3];
    g_autofree char *list = NULL;

    put ("root/usr/bin/sh", "shell", -1);
    cr_assert_eq (symlink ("usr/bin", "root/bin"), 0);
    put ("tools/bin/x", "tool", -1);
    add_copy (&copy[0], "tools", "/");
    add_copy (&copy[1], "tools/bin", "/bin");
    list = make ();
    cr_expect (has_line (list, "bin 120777 ") && !has_line (list, "bin 4"), "%s", list);
    cr_expect (has_line (list, "bin/x 100644 0:0 "));
    add_copy (&copy[2], "kernel", "/etc");
    expect_failure ("copy \"kernel\": initrd: \"etc\": this is a folder in the guest");
}

Test (run_initrd, copies_to_where_something_is_mounted)
{
    static const char *const wrong[] = {"/dev", "/dev/x", "//proc/../sys/x", "/proc/"};
    VmmRunCopy copy;

    for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++) {
        g_ptr_array_set_size (copies, 0);
        add_copy (&copy, "kernel", wrong[i]);
        expect_failure ("is a file system of the kernel: choose another place");
    }
    g_ptr_array_set_size (copies, 0);
    add_copy (&copy, "kernel", "/run/kernel");
    expect_boot ("keep /run\n");
    g_ptr_array_set_size (copies, 0);
    add_copy (&copy, "kernel", "/device");
    expect_boot ("");
}

Test (run_initrd, copy_that_is_not_there)
{
    VmmRunCopy copy;

    add_copy (&copy, "nothing", "/opt");
    expect_failure ("copy \"nothing\": ");
}

Test (run_initrd, root_that_is_a_cpio_archive_stays_as_it_is)
{
    g_autoptr (VmmCpio) cpio = vmm_cpio_new (1 << 20, NULL);
    g_autofree char *list = NULL;
    VmmRunCopy copy;
    char *content;
    size_t len;
    int fd;

    cr_assert (vmm_cpio_add_file (cpio, "hello", NULL, (VmmSpan){(const uint8_t *)"x", 1}, NULL));
    cr_assert (vmm_cpio_add_symlink (cpio, "bin", NULL, "usr/bin", NULL));
    fd = vmm_cpio_finish (cpio, NULL);
    g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
    cr_assert (g_file_get_contents (path, &content, &len, NULL));
    put ("root.cpio", content, (gssize)len);
    g_free (content);
    close (fd);
    tree.root = "root.cpio";
    list = make ();
    cr_expect_null (strstr (list, "hello"));
    cr_expect (has_line (list, ".vmm/init 100755 "));
    g_autofree char *root = cpio_list_fd (initrds.fds[0]);
    cr_expect (has_line (root, "hello 100644 0:0 0 =x"));
    add_copy (&copy, "kernel", "/bin/");
    g_autofree char *over = make ();
    cr_expect (has_line (over, "bin/kernel 100644 ") && !has_line (over, "bin 4"), "%s", over);
}

Test (run_initrd, root_that_is_an_image_is_a_disk)
{
    g_autofree char *image = g_malloc0 (65536);
    VmmRunCopy copy;

    memcpy (image + 1080, "\x53\xef", 2);
    put ("an,image", image, 65536);
    put_module ("virtio_blk", "");
    put_module ("ext4", "jbd2");
    put_module ("jbd2", "");
    put_module ("crc32c_generic", "");
    tree.root = "an,image";
    expect_boot ("root /dev/vda\nmodule /.vmm/modules/virtio_blk.ko\nmodule /.vmm/modules/crc32c_generic.ko\n"
                 "module /.vmm/modules/jbd2.ko\nmodule /.vmm/modules/ext4.ko\n");
    cr_expect_str_eq (initrds.disk, "an,,image,ephemeral");
    vmm_run_initrds_clear (&initrds);
    add_copy (&copy, "kernel", "/opt");
    expect_failure ("is an image, into which nothing can be copied");
}

Test (run_initrd, root_that_is_none)
{
    tree.root = "nothing";
    expect_failure ("root \"nothing\": No such file");
    put ("text", "a text\n", -1);
    tree.root = "text";
    expect_failure ("root");
    cr_assert_eq (mkfifo ("pipe", 0600), 0);
    tree.root = "pipe";
    expect_failure ("name a folder, an archive (tar or cpio) or a disk's image");
}

Test (run_initrd, kernel_that_is_no_linux)
{
    put_kernel ("other", false);
    set ("kernel", "other");
    expect_failure ("other");
}

Test (run_initrd, more_than_memory_holds)
{
    set ("mem", "8M");
    put ("root/large", "", 0);
    cr_assert_eq (truncate ("root/large", 64 << 20), 0);
    expect_failure ("");
}

Test (run_initrd, nothing_is_left_open)
{
    g_autofree char *list = make ();
    int before = open ("/", O_RDONLY | O_CLOEXEC);

    close (before);
    tree.root = "nothing";
    expect_failure ("root");
    tree.root = "root";
    for (unsigned i = 0; i < 3; i++)
        g_free (make ());
    vmm_run_initrds_clear (&initrds);
    int after = open ("/", O_RDONLY | O_CLOEXEC);
    cr_expect_leq (after, before);
    close (after);
}
