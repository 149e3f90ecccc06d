/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../loader/images.h"
#include "remove-tree.h"
#include "vmm/error.h"
#include "vmm/kernel-package.h"

/* What image_bzimage() makes says this. */
#define RELEASE "6.1.0-test"
#define CONFIG "# Linux/x86 6.1.0 Kernel Configuration\nCONFIG_X86_64=y\n"

static char *folder;

static void
make_folder (void)
{
    folder = g_dir_make_tmp ("vmm-package-XXXXXX", NULL);
}

static void
drop_folder (void)
{
    remove_tree (folder);
    g_free (folder);
}

TestSuite (kernel_package, .init = make_folder, .fini = drop_folder);

static void
put (const char *name, const void *data, size_t len)
{
    g_autofree char *path = g_build_filename (folder, name, NULL);
    g_autofree char *parent = g_path_get_dirname (path);

    g_mkdir_with_parents (parent, 0777);
    cr_assert (g_file_set_contents (path, data, (gssize)len, NULL));
}

static void
put_text (const char *name, const char *text)
{
    put (name, text, strlen (text));
}

static void
put_kernel (const char *name)
{
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = image_elf (&spec);
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_GZIP, elf);

    put (name, bz->data, bz->len);
}

typedef struct {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100], magic[8];
    char rest[121];  /* owner, group, device, times, offset, names */
    char sparse[48]; /* where in the file, how many: twelve digits each */
    char sparse_more[48];
    char is_more;
    char real_size[12];
    char pad[17];
} Tar;

static void
put_number (char *field, size_t value)
{
    snprintf (field, 12, "%011o", (unsigned)value);
}

/* GNU's tar, with 'S' for a file with holes: @size is that of the file, @content what is at @at. */
static void
put_entry (GByteArray *tar, char type, const char *name, const char *content, size_t at, size_t size)
{
    Tar t = {.type = type, .magic = "ustar ", .mode = "0000644", .uid = "0000000", .gid = "0000000"};
    size_t len = strlen (content);
    unsigned sum = 0;

    G_STATIC_ASSERT (sizeof t == 512);
    snprintf (t.name, sizeof t.name, "%s", name);
    put_number (t.size, len);
    memcpy (t.mtime, "00000000003", 11);
    t.magic[7] = '\0';
    t.magic[6] = ' ';
    if (type == 'S') {
        put_number (t.sparse, at);
        put_number (t.sparse + 12, len);
        put_number (t.real_size, size);
    }
    memset (t.sum, ' ', 8);
    for (size_t i = 0; i < sizeof t; i++)
        sum += ((const uint8_t *)&t)[i];
    snprintf (t.sum, sizeof t.sum, "%06o", sum);
    g_byte_array_append (tar, (const guint8 *)&t, sizeof t);
    g_byte_array_append (tar, (const guint8 *)content, (guint)len);
    guint end = (tar->len + 511) & ~511u, from = tar->len;
    g_byte_array_set_size (tar, end);
    memset (tar->data + from, 0, end - from);
}

static void
put_archive (const char *name, GByteArray *tar)
{
    guint from = tar->len;

    g_byte_array_set_size (tar, from + 1024);
    memset (tar->data + from, 0, 1024);
    put (name, tar->data, tar->len);
}

static VmmKernelPackage *
open_package (const char *name, GError **error)
{
    g_autofree char *path = g_build_filename (folder, name, NULL);

    return vmm_kernel_package_open (path, error);
}

static GByteArray *
read_all (VmmKernelPackage *package)
{
    GByteArray *bytes = g_byte_array_new ();
    g_autoptr (GError) error = NULL;
    const void *piece;
    size_t len;

    do {
        cr_assert (vmm_kernel_package_read (package, &piece, &len, &error), "%s",
                   error != NULL ? error->message : "");
        g_byte_array_append (bytes, piece, (guint)len);
    } while (len > 0);
    return bytes;
}

static int
compare_lines (const void *a, const void *b)
{
    return strcmp (*(char *const *)a, *(char *const *)b);
}

/* "KIND KERNEL PATH SIZE" for each file, sorted; their sizes are those that they have. */
static char *
list (const char *name)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (VmmKernelPackage) package = open_package (name, &error);
    g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);
    const VmmKernelFile *file;

    cr_assert_not_null (package, "%s", error != NULL ? error->message : "");
    while (vmm_kernel_package_next (package, &file, &error) && file != NULL) {
        char *line = g_strdup_printf ("%d %s %s", file->kind, file->kernel, file->path);
        uint64_t size = file->size;
        g_autoptr (GByteArray) bytes = read_all (package);

        cr_assert_eq (bytes->len, size);
        g_ptr_array_add (lines, line);
    }
    cr_assert_null (error, "%s", error != NULL ? error->message : "");
    if (lines->len > 0)
        qsort (lines->pdata, lines->len, sizeof *lines->pdata, compare_lines);
    g_ptr_array_add (lines, NULL);
    return g_strjoinv ("\n", (char **)lines->pdata);
}

static void
assert_list (const char *name, const char *expected)
{
    g_autofree char *is = list (name);

    cr_assert_str_eq (is, expected);
}

static void
assert_fails (const char *name, int code, const char *text)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (VmmKernelPackage) package = open_package (name, &error);
    const VmmKernelFile *file;
    const void *bytes;
    size_t len;

    while (package != NULL && vmm_kernel_package_next (package, &file, &error) && file != NULL) {
        while (vmm_kernel_package_read (package, &bytes, &len, &error) && len > 0)
            ;
        if (error != NULL)
            break;
    }
    cr_assert (g_error_matches (error, VMM_ERROR, code), "%s", error != NULL ? error->message : "no error");
    cr_assert_not_null (strstr (error->message, text), "%s", error->message);
}

#define UNPACKED                                                                                             \
    "0 " RELEASE " vmlinuz-" RELEASE "\n1 " RELEASE " config-" RELEASE "\n2 " RELEASE " System.map-" RELEASE \
    "\n3 " RELEASE " kernel/a.ko\n3 " RELEASE " kernel/b/linked.ko"

static void
put_unpacked (void)
{
    g_autofree char *link = g_build_filename (folder, "p/lib/modules/" RELEASE "/kernel/b/linked.ko", NULL);
    g_autofree char *source = g_build_filename (folder, "p/lib/modules/" RELEASE "/build", NULL);

    put_kernel ("p/boot/vmlinuz-" RELEASE);
    put_text ("p/boot/config-" RELEASE, CONFIG);
    put_text ("p/boot/System.map-" RELEASE, "map");
    put_text ("p/lib/modules/" RELEASE "/kernel/a.ko", "a");
    put_text ("p/lib/modules/" RELEASE "/kernel/b/.hidden", "x");
    put_text ("p/lib/modules/other/kernel/x.ko", "x");
    cr_assert_eq (symlink ("../a.ko", link), 0);
    cr_assert_eq (symlink (folder, source), 0); /* which is not followed: it leads to itself */
}

Test (kernel_package, unpacked)
{
    put_unpacked ();
    assert_list ("p", UNPACKED);
    assert_list ("p/boot", UNPACKED);
    assert_list ("p/boot/vmlinuz-" RELEASE, UNPACKED);
}

/* The same kernel under names without its version: once. */
Test (kernel_package, one_of_each_release)
{
    g_autofree char *link = NULL;

    put_unpacked ();
    put_kernel ("p/boot/vmlinuz-0-rescue");
    link = g_build_filename (folder, "p/boot/vmlinuz", NULL);
    cr_assert_eq (symlink ("vmlinuz-" RELEASE, link), 0);
    assert_list ("p", UNPACKED);
}

Test (kernel_package, modules_folder_with_its_kernel)
{
    put_kernel ("p/usr/lib/modules/" RELEASE "/vmlinuz");
    put_text ("p/usr/lib/modules/" RELEASE "/config", CONFIG);
    put_text ("p/usr/lib/modules/" RELEASE "/kernel/a.ko.xz", "a");
    g_autofree char *is = list ("p");
    cr_assert (g_str_has_prefix (is, "0 " RELEASE " vmlinuz\n1 " RELEASE " config\n"), "%s", is);
    cr_assert_not_null (strstr (is, "\n3 " RELEASE " kernel/a.ko.xz"), "%s", is);
    cr_assert_null (strstr (is, "3 " RELEASE " vmlinuz"), "%s", is);
}

Test (kernel_package, tree_of_a_build)
{
    put_kernel ("t/arch/x86/boot/bzImage");
    put_text ("t/.config", CONFIG);
    put_text ("t/System.map", "map");
    put_text ("t/modules.builtin", "kernel/x.ko\n");
    put_text ("t/modules.order", "drivers/net/dummy.o\nkernel/fs/fat.ko\nkernel/trace/t.o\n/etc/passwd\n"
                                 "../x.o\nfs/../../x.o\nmissing.o\n");
    put_text ("t/drivers/net/dummy.ko", "dummy");
    put_text ("t/fs/fat.ko", "fat");
    put_text ("t/kernel/trace/t.ko", "t");
    put_text ("x.ko", "outside");
    assert_list ("t", "0 " RELEASE " bzImage\n1 " RELEASE " .config\n2 " RELEASE " System.map\n"
                      "3 " RELEASE " kernel/drivers/net/dummy.ko\n3 " RELEASE " kernel/fs/fat.ko\n"
                      "3 " RELEASE " kernel/kernel/trace/t.ko\n3 " RELEASE " modules.builtin");
}

/* An archive is told by its names alone; what is nothing of a kernel's, and what would lead out, is not
 * there. */
Test (kernel_package, archive)
{
    g_autoptr (GByteArray) tar = g_byte_array_new ();

    put_entry (tar, '0', "./lib/modules/1/kernel/a.ko", "a", 0, 0);
    put_entry (tar, '0', "boot/vmlinuz-1", "kernel", 0, 0);
    put_entry (tar, '0', "boot/config-1", "config", 0, 0);
    put_entry (tar, '0', "/boot/System.map-1", "map", 0, 0);
    put_entry (tar, '0', "usr/lib/modules/2/vmlinuz", "kernel", 0, 0);
    put_entry (tar, '0', "usr/share/doc/boot/vmlinuz-3", "x", 0, 0);
    put_entry (tar, '0', "boot/vmlinuz-", "x", 0, 0);
    put_entry (tar, '0', "lib/modules/4", "x", 0, 0);
    put_entry (tar, '5', "lib/modules/5/kernel", "", 0, 0);
    put_entry (tar, '2', "lib/modules/5/kernel/link.ko", "", 0, 0);
    put_archive ("a.tar", tar);
    assert_list ("a.tar", "0 1 vmlinuz-1\n0 2 vmlinuz\n1 1 config-1\n2 1 System.map-1\n3 1 kernel/a.ko");
}

Test (kernel_package, archive_paths_stay_below)
{
    g_autoptr (GByteArray) tar = g_byte_array_new ();

    put_entry (tar, '0', "lib/modules/1/../../../../etc/a.ko", "a", 0, 0);
    put_entry (tar, '0', "lib/modules/../modules/1/kernel/../../b.ko", "b", 0, 0);
    put_archive ("a.tar", tar);
    g_autofree char *is = list ("a.tar");
    cr_assert_null (strstr (is, ".."), "%s", is);
}

Test (kernel_package, what_is_left_out_of_a_file_is_zeros)
{
    g_autoptr (GByteArray) tar = g_byte_array_new ();
    g_autoptr (GError) error = NULL;
    const VmmKernelFile *file;

    put_entry (tar, 'S', "boot/vmlinuz-1", "content", 0x51200, 0xa0000);
    put_archive ("a.tar", tar);
    g_autoptr (VmmKernelPackage) package = open_package ("a.tar", &error);
    cr_assert_not_null (package);
    cr_assert (vmm_kernel_package_next (package, &file, &error));
    cr_assert_eq (file->size, 0xa0000);
    g_autoptr (GByteArray) bytes = read_all (package);
    cr_assert_eq (bytes->len, 0xa0000);
    cr_assert_eq (memcmp (bytes->data + 0x51200, "content", 7), 0);
    memset (bytes->data + 0x51200, 0, 7);
    for (guint i = 0; i < bytes->len; i++)
        cr_assert_eq (bytes->data[i], 0, "at %u", i);
}

/* Who reads nothing, or a part, gets the next file all the same. */
Test (kernel_package, skips_what_is_not_read)
{
    put_unpacked ();
    g_autoptr (VmmKernelPackage) package = open_package ("p", NULL);
    const VmmKernelFile *file;
    const void *bytes;
    size_t len;
    unsigned n = 0;

    for (; vmm_kernel_package_next (package, &file, NULL) && file != NULL; n++)
        if (n % 2 == 0)
            cr_assert (vmm_kernel_package_read (package, &bytes, &len, NULL) && len > 0);
    cr_assert_eq (n, 5);
    cr_assert (vmm_kernel_package_next (package, &file, NULL) && file == NULL);
}

Test (kernel_package, failures)
{
    g_autoptr (GByteArray) tar = g_byte_array_new ();

    put_text ("text", "this is not a kernel\n");
    put_text ("empty.deb", "");
    put_text ("cut.deb", "!<arch>\n");
    put_text ("empty/file", "x");
    put_text ("bad/boot/vmlinuz-1", "this is not a kernel\n");
    put_entry (tar, '0', "boot/vmlinuz-1", "kernel", 0, 0);
    put ("cut.tar", tar->data, 515);
    assert_fails ("none", VMM_ERROR_USAGE, "No such file");
    assert_fails ("text", VMM_ERROR_NOT_BOOTABLE, "not a kernel");
    assert_fails ("empty.deb", VMM_ERROR_USAGE, "empty.deb");
    assert_fails ("cut.deb", VMM_ERROR_USAGE, "cut.deb");
    assert_fails ("empty", VMM_ERROR_USAGE, "no kernel in it");
    assert_fails ("bad", VMM_ERROR_NOT_BOOTABLE, "not a kernel");
    assert_fails ("cut.tar", VMM_ERROR_USAGE, "cut.tar");
}
