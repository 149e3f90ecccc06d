/* SPDX-License-Identifier: Apache-2.0 */
/* Where results are until they are wanted. */
#include "store.h"

#include <criterion/criterion.h>
#include <sys/resource.h>

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

/* What each fork would have to share. */
Test (store, the_process_does_not_grow)
{
    g_autoptr (TestStore) store = test_store_new ();
    g_autofree char *text = g_strnfill (50000, 'x');
    struct rusage before, after;
    json_t *last;

    getrusage (RUSAGE_SELF, &before);
    for (guint i = 0; i < 2000; i++)
        test_store_set (store, i, json_pack ("{s:s}", "text", text));
    getrusage (RUSAGE_SELF, &after);
    cr_expect_lt (after.ru_maxrss - before.ru_maxrss, 30 * 1024, "%ld KiB",
                  after.ru_maxrss - before.ru_maxrss);
    last = test_store_get (store, 1999);
    cr_expect_str_eq (json_string_value (json_object_get (last, "text")), text);
    json_decref (last);
}
