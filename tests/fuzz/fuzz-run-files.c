/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's archive, in pieces as long as the first byte says. Nothing appears beside the folder it goes to.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remove-tree.h"
#include "vmm/run-files.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define BYTES_MAX (64u << 10)

static void
make_or_abort (int rc)
{
    if (rc != 0)
        abort ();
}

static unsigned
count_names (const char *path)
{
    g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
    unsigned n = 0;

    while (dir != NULL && g_dir_read_name (dir) != NULL)
        n++;
    return n;
}

static void
receive (const char *out, const uint8_t *data, size_t size)
{
    g_autoptr (VmmRunFiles) files = vmm_run_files_new ("/a", out, BYTES_MAX, NULL);
    size_t step = (size_t)data[0] + 1;

    if (files == NULL)
        abort ();
    for (size_t at = 1; at < size; at += step)
        if (!vmm_run_files_feed (files, (VmmSpan){data + at, MIN (step, size - at)}, NULL))
            break;
    if (vmm_run_files_bytes (files) > BYTES_MAX)
        abort ();
    vmm_run_files_finish (files, NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    g_autofree char *home = size > 0 ? g_dir_make_tmp ("vmm-fuzz-XXXXXX", NULL) : NULL;
    g_autofree char *out = g_build_filename (home, "out", NULL), *a = g_build_filename (out, "a", NULL);
    g_autofree char *outside = g_build_filename (home, "outside", NULL),
                    *link = g_build_filename (a, "d", NULL);

    if (home == NULL)
        return 0;
    make_or_abort (mkdir (out, 0755));
    make_or_abort (mkdir (a, 0755));
    make_or_abort (mkdir (outside, 0755));
    make_or_abort (symlink ("../../outside", link));
    receive (out, data, size);
    if (count_names (home) != 2 || count_names (outside) != 0 || count_names (out) != 1)
        abort ();
    remove_tree (home);
    return 0;
}
