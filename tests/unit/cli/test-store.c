/* SPDX-License-Identifier: Apache-2.0 */
/* Where results are until they are wanted. */
#include "store.h"

#include <criterion/criterion.h>

#include <malloc.h>
#ifdef __SANITIZE_ADDRESS__
/* gcc comes without the header of it. */
size_t __sanitizer_get_current_allocated_bytes (void);
#endif

TestSuite (store, .timeout = 60);

static json_t *
make (int i)
{
    return json_pack ("{s:i, s:f, s:[s, n, b]}", "i", i, "t", 0.1 * i, "list", "ü\n\"", true);
}

static void
check (bool in_file)
{
    g_autoptr (TestStore) store = test_store_new ();

    if (!in_file)
        test_store_close_fd (store);
    for (int i = 0; i < 100; i += 3)
        test_store_set (store, (guint)(99 - i), make (i));
    for (int i = 0; i < 105; i++) {
        json_t *found = test_store_get (store, (guint)i);
        json_t *wanted = i < 100 && i % 3 == 0 ? make (99 - i) : NULL;

        cr_expect (wanted != NULL ? json_equal (found, wanted) : found == NULL, "%d", i);
        json_decref (found);
        json_decref (wanted);
    }
}

Test (store, what_was_put_there_is_found)
{
    check (true);
}

Test (store, without_a_file_too)
{
    check (false);
}

/* A sanitizer keeps what was freed for a while, and only it can tell. */
static size_t
allocated (void)
{
#ifdef __SANITIZE_ADDRESS__
    return __sanitizer_get_current_allocated_bytes ();
#else
    struct mallinfo2 info = mallinfo2 ();

    return info.uordblks + info.hblkhd;
#endif
}

/* What each fork would have to share. */
Test (store, the_process_does_not_grow)
{
    g_autoptr (TestStore) store = test_store_new ();
    g_autofree char *text = g_strnfill (50000, 'x');
    size_t before = allocated (), after;
    json_t *last;

    for (guint i = 0; i < 2000; i++)
        test_store_set (store, i, json_pack ("{s:s}", "text", text));
    after = allocated ();
    cr_expect_lt (after, before + (30u << 20), "%zu and %zu bytes", before, after);
    last = test_store_get (store, 1999);
    cr_expect_str_eq (json_string_value (json_object_get (last, "text")), text);
    json_decref (last);
}
