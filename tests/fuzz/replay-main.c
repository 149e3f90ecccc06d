/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for libFuzzer where there is none: feeds every file of the given directories, and every file
 * given by name, to the target once.
 */
#include <glib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static unsigned
replay_file (const char *path)
{
    g_autofree char *contents = NULL;
    gsize len;

    if (!g_file_get_contents (path, &contents, &len, NULL)) {
        fprintf (stderr, "%s: cannot be read\n", path);
        exit (EXIT_FAILURE);
    }
    /* Exactly as long as the input, so that a sanitizer sees a read beyond it. */
    g_autofree uint8_t *copy = g_malloc (len > 0 ? len : 1);
    if (len > 0)
        memcpy (copy, contents, len);
    LLVMFuzzerTestOneInput (copy, len);
    return 1;
}

static unsigned
replay (const char *path)
{
    g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
    const char *name;
    unsigned n = 0;

    if (dir == NULL)
        return replay_file (path);
    while ((name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *file = g_build_filename (path, name, NULL);
        n += replay (file);
    }
    return n;
}

int
main (int argc, char **argv)
{
    unsigned n = 0;

    for (int i = 1; i < argc; i++)
        n += replay (argv[i]);
    printf ("%u inputs\n", n);
    return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
