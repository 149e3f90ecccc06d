/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for libFuzzer where there is none: feeds every file of the given directories, and every file
 * given by name, to the target once; then, with --mutants=N, N inputs that are made of them, always the same.
 */
#include <glib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define MUTANT_MAX 8192u

static void
feed (const uint8_t *data, size_t len)
{
    /* Exactly as long as the input, so that a sanitizer sees a read beyond it. */
    g_autofree uint8_t *copy = g_malloc (len > 0 ? len : 1);

    if (len > 0)
        memcpy (copy, data, len);
    LLVMFuzzerTestOneInput (copy, len);
}

static void
replay_file (const char *path, GPtrArray *inputs)
{
    char *contents;
    gsize len;

    if (!g_file_get_contents (path, &contents, &len, NULL)) {
        fprintf (stderr, "%s: cannot be read\n", path);
        exit (EXIT_FAILURE);
    }
    g_ptr_array_add (inputs, g_bytes_new_take (contents, len));
    feed ((const uint8_t *)contents, len);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
    return strcmp (*(char *const *)a, *(char *const *)b);
}

/* In an order that is the same everywhere, since the mutants depend on it. */
static void
replay (const char *path, GPtrArray *inputs)
{
    g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
    g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
    const char *name;

    if (dir == NULL) {
        replay_file (path, inputs);
        return;
    }
    while ((name = g_dir_read_name (dir)) != NULL)
        g_ptr_array_add (names, g_build_filename (path, name, NULL));
    g_ptr_array_sort (names, compare_names);
    for (guint i = 0; i < names->len; i++)
        replay (names->pdata[i], inputs);
}

static uint32_t
next_random (uint64_t *state)
{
    *state = *state * UINT64_C (6364136223846793005) + UINT64_C (1442695040888963407);
    return (uint32_t)(*state >> 32);
}

/* The beginning of one input and the end of another, with some bytes changed. */
static void
feed_mutant (const GPtrArray *inputs, uint64_t *random)
{
    GBytes *parents[2];
    const uint8_t *bytes[2];
    uint8_t mutant[MUTANT_MAX];
    gsize lens[2], cut, len;

    for (unsigned i = 0; i < 2; i++) {
        parents[i] = inputs->pdata[next_random (random) % inputs->len];
        bytes[i] = g_bytes_get_data (parents[i], &lens[i]);
        lens[i] = MIN (lens[i], MUTANT_MAX);
    }
    if (lens[0] == 0)
        return;
    memcpy (mutant, bytes[0], lens[0]);
    len = lens[0];
    if (next_random (random) % 2 == 0 && lens[1] > 0) {
        cut = next_random (random) % MIN (lens[0], lens[1]);
        memcpy (mutant + cut, bytes[1] + cut, lens[1] - cut);
        len = lens[1];
    }
    for (uint32_t n = next_random (random) % 24; n > 0; n--)
        mutant[next_random (random) % len] = (uint8_t)next_random (random);
    if (next_random (random) % 8 == 0)
        len = next_random (random) % len;
    feed (mutant, len);
}

int
main (int argc, char **argv)
{
    g_autoptr (GPtrArray) inputs = g_ptr_array_new_with_free_func ((GDestroyNotify)g_bytes_unref);
    unsigned long n_mutants = 0;
    uint64_t random = 1;

    for (int i = 1; i < argc; i++) {
        if (g_str_has_prefix (argv[i], "--mutants="))
            n_mutants = strtoul (argv[i] + strlen ("--mutants="), NULL, 10);
        else
            replay (argv[i], inputs);
    }
    for (unsigned long i = 0; inputs->len > 0 && i < n_mutants; i++)
        feed_mutant (inputs, &random);
    printf ("%u inputs, %lu mutants\n", inputs->len, n_mutants);
    return inputs->len > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
