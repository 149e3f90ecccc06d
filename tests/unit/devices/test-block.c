/* SPDX-License-Identifier: Apache-2.0 */
/* Opening disks: what is refused, in which words, and with which rights the rest is opened. */
#include "devices/block/block.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/error.h"

#define SIZE 65536u

void __wrap_g_usleep (gulong us);
void
__wrap_g_usleep (gulong us)
{
}

typedef struct {
    char *folder;
    char *raw;
    char *qcow2; /* only its first bytes */
} Files;

static char *
make_file (const Files *files, const char *name, const void *data, size_t len, off_t size)
{
    char *path = g_build_filename (files->folder, name, NULL);

    cr_assert (g_file_set_contents (path, data, (gssize)len, NULL));
    cr_assert_eq (truncate (path, size), 0);
    return path;
}

static void
set_up (Files *files)
{
    files->folder = g_dir_make_tmp ("block-XXXXXX", NULL);
    files->raw = make_file (files, "raw.img", "hello", 5, SIZE);
    files->qcow2 = make_file (files, "qcow2.img", "QFI\xfb\0\0\0\3", 8, SIZE);
}

static void
tear_down (Files *files)
{
    DIR *folder = opendir (files->folder);
    const struct dirent *entry;

    while ((entry = readdir (folder)) != NULL) {
        g_autofree char *path = g_build_filename (files->folder, entry->d_name, NULL);

        (void)g_remove (path);
    }
    closedir (folder);
    g_rmdir (files->folder);
    g_free (files->folder);
    g_free (files->raw);
    g_free (files->qcow2);
}

static unsigned
count_descriptors (void)
{
    DIR *folder = opendir ("/proc/self/fd");
    unsigned n = 0;

    while (readdir (folder) != NULL)
        n++;
    closedir (folder);
    return n;
}

/* The error names the file and says @why; nothing stays open. */
static void
check_refused (const VmmBlockConfig *config, const char *why)
{
    unsigned before = count_descriptors ();
    g_autoptr (GError) error = NULL;
    VmmBlock *block = vmm_block_open (config, &error);

    cr_assert_null (block, "%s was opened: it should be: %s", config->path, why);
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert (g_str_has_prefix (error->message, "disk \""), "%s", error->message);
    cr_assert_not_null (strstr (error->message, config->path), "%s", error->message);
    cr_assert_not_null (strstr (error->message, why), "%s", error->message);
    cr_assert_eq (count_descriptors (), before, "\"%s\" left a descriptor open", why);
}

static VmmBlock *
check_opened (const VmmBlockConfig *config)
{
    g_autoptr (GError) error = NULL;
    VmmBlock *block = vmm_block_open (config, &error);

    cr_assert_not_null (block, "%s", error->message);
    return block;
}

Test (block, what_is_no_disk_is_refused)
{
    Files files;
    g_autofree char *fifo = NULL;
    g_autofree char *empty = NULL;
    g_autofree char *odd = NULL;
    g_autofree char *missing = NULL;
    g_autofree char *below = NULL;

    set_up (&files);
    fifo = g_build_filename (files.folder, "fifo", NULL);
    cr_assert_eq (mkfifo (fifo, 0600), 0);
    empty = make_file (&files, "empty", "", 0, 0);
    odd = make_file (&files, "odd", "", 0, 1000);
    missing = g_build_filename (files.folder, "missing", NULL);
    below = g_build_filename (files.raw, "below", NULL);
    check_refused (&(VmmBlockConfig){.path = missing}, g_strerror (ENOENT));
    check_refused (&(VmmBlockConfig){.path = below}, g_strerror (ENOTDIR));
    check_refused (&(VmmBlockConfig){.path = files.folder, .read_only = true}, "a directory");
    /* Nobody writes into it, and it is not waited for. */
    check_refused (&(VmmBlockConfig){.path = fifo, .read_only = true}, "neither a file nor a block device");
    check_refused (&(VmmBlockConfig){.path = (char *)"/dev/null"}, "neither a file nor a block device");
    check_refused (&(VmmBlockConfig){.path = empty}, "it is empty");
    check_refused (&(VmmBlockConfig){.path = odd}, "not a multiple of 512");
    check_refused (&(VmmBlockConfig){.path = files.raw, .format = VMM_BLOCK_FORMAT_QCOW2}, "qcow2");
    tear_down (&files);
}

/* What the guest writes into a raw disk must never make it another format. */
Test (block, a_format_is_never_guessed)
{
    Files files;

    set_up (&files);
    check_refused (&(VmmBlockConfig){.path = files.qcow2}, "looks like a qcow2 image");
    check_refused (&(VmmBlockConfig){.path = files.qcow2, .read_only = true}, "looks like a qcow2 image");
    check_refused (&(VmmBlockConfig){.path = files.qcow2, .ephemeral = true}, "looks like a qcow2 image");
    vmm_block_free (check_opened (&(VmmBlockConfig){.path = files.qcow2, .probe_raw = true}));
    tear_down (&files);
}

Test (block, a_disk_is_what_was_asked_for)
{
    Files files;
    VmmBlock *block;

    set_up (&files);
    block = check_opened (&(VmmBlockConfig){.path = files.raw, .discard = true});
    cr_assert_eq (block->limits.size, SIZE);
    cr_assert_eq (block->limits.block_size, 512);
    cr_assert_neq (block->limits.discard_alignment, 0);
    cr_assert_not (block->limits.read_only);
    cr_assert_str_eq (block->ops->name, "raw");
    vmm_block_free (block);
    block = check_opened (&(VmmBlockConfig){.path = files.raw, .read_only = true});
    cr_assert (block->limits.read_only);
    cr_assert_eq (block->limits.discard_alignment, 0);
    vmm_block_free (block);
    block = check_opened (&(VmmBlockConfig){.path = files.raw, .ephemeral = true});
    cr_assert_not (block->limits.read_only);
    cr_assert_eq (block->limits.size, SIZE);
    vmm_block_free (block);
    vmm_block_free (NULL);
    tear_down (&files);
}

/* Which of two machines with the same image is refused. */
Test (block, who_writes_is_alone)
{
    static const struct {
        bool read_only, ephemeral;
    } ways[] = {{false, false}, {true, false}, {false, true}};
    Files files;

    set_up (&files);
    for (size_t i = 0; i < G_N_ELEMENTS (ways); i++) {
        for (size_t j = 0; j < G_N_ELEMENTS (ways); j++) {
            VmmBlockConfig first = {
                .path = files.raw, .read_only = ways[i].read_only, .ephemeral = ways[i].ephemeral};
            VmmBlockConfig second = {
                .path = files.raw, .read_only = ways[j].read_only, .ephemeral = ways[j].ephemeral};
            VmmBlock *block = check_opened (&first);

            if (i == 0 || j == 0)
                check_refused (&second, "another program");
            else
                vmm_block_free (check_opened (&second));
            vmm_block_free (block);
        }
    }
    tear_down (&files);
}

Test (block, a_read_only_file_is_for_readers)
{
    Files files;
    VmmBlockConfig config = {0};

    set_up (&files);
    config.path = files.raw;
    cr_assert_eq (g_chmod (files.raw, 0400), 0);
    if (geteuid () != 0)
        check_refused (&config, "say readonly or ephemeral");
    config.read_only = true;
    vmm_block_free (check_opened (&config));
    config.read_only = false;
    config.ephemeral = true;
    vmm_block_free (check_opened (&config));
    tear_down (&files);
}
