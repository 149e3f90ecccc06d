/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pattern, its end a newline, another one, and a stream: what is found in one piece must be found in small
 * ones. The first byte tells how the pieces are cut, and what else is set.
 */
#include <glib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/expect.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define EVENTS_MAX 200u

/* Each event on a line of its own; NULL where a pattern was given up, which depends on how often it was
 * tried. */
static char *
find (char *const *patterns, unsigned mode, const uint8_t *stream, size_t len, size_t piece)
{
    g_autoptr (VmmExpect) expect = vmm_expect_new (VMM_EXPECT_WINDOW_MIN, mode & 1);
    g_autoptr (GString) found = g_string_new (NULL);
    unsigned n = 0;

    for (unsigned i = 0; patterns[i] != NULL; i++)
        vmm_expect_add_pattern (expect, i, patterns[i], (mode >> (1 + 3 * i)) & 7, NULL);
    for (size_t at = 0; at <= len;) {
        VmmExpectEvent event;

        if (at < len)
            at += vmm_expect_feed (expect, stream + at, MIN (piece, len - at));
        if (at == len) {
            vmm_expect_settle (expect);
            at++;
        }
        while (n < EVENTS_MAX && vmm_expect_next (expect, &event)) {
            if (event.error != NULL)
                return NULL;
            if (event.offset > event.end || event.end > len || event.line == 0 ||
                event.text.len > event.end - event.offset || event.n_captures > VMM_EXPECT_CAPTURES_MAX)
                abort ();
            g_string_append_printf (found, "%u %zu %zu %zu %zu\n", event.id, (size_t)event.offset,
                                    (size_t)event.end, (size_t)event.line, event.text.len);
            n++;
        }
    }
    return g_string_free (g_steal_pointer (&found), FALSE);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    g_auto (GStrv) patterns = NULL;
    g_autofree char *text = NULL, *whole = NULL, *pieces = NULL;
    const uint8_t *stream;
    size_t before;

    if (size < 3)
        return 0;
    text = g_strndup ((const char *)data + 2, MIN (size - 2, 512));
    patterns = g_strsplit (text, "\n", 3);
    if (g_strv_length (patterns) < 3)
        return 0;
    before = 2 + strlen (patterns[0]) + 1 + strlen (patterns[1]) + 1;
    g_clear_pointer (&patterns[2], g_free);
    stream = data + before;
    whole = find (patterns, data[0], stream, size - before, SIZE_MAX);
    pieces = find (patterns, data[0], stream, size - before, 1 + data[1] % 61);
    if (whole != NULL && pieces != NULL && strcmp (whole, pieces) != 0)
        abort ();
    return 0;
}
