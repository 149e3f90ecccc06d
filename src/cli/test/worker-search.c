/* SPDX-License-Identifier: Apache-2.0 */
#include "worker-search.h"

/**
 * test_search_init:
 * @search: zeroes
 * @pattern: a regular expression
 *
 * Returns: false with an error
 */
bool
test_search_init (TestSearch *search, const char *pattern, bool strip_escapes, GError **error)
{
    search->expect = vmm_expect_new (0, strip_escapes);
    return vmm_expect_add_pattern (search->expect, 0, pattern, VMM_EXPECT_REGEX, error);
}

static void
look (TestSearch *search)
{
    VmmExpectEvent event;

    while (vmm_expect_next (search->expect, &event)) {
        if (event.error != NULL && search->wrong == NULL)
            search->wrong = g_strdup (event.error);
        search->found = search->found || event.error == NULL;
        vmm_expect_remove_pattern (search->expect, 0);
    }
}

/**
 * test_search_feed:
 * @data: @len bytes more of the text
 */
void
test_search_feed (TestSearch *search, const void *data, size_t len)
{
    const uint8_t *from = data;

    while (search->expect != NULL && len > 0 && !search->found && search->wrong == NULL) {
        size_t n = vmm_expect_feed (search->expect, from, len);

        from += n;
        len -= n;
        look (search);
    }
}

/**
 * test_search_finish:
 *
 * Returns: whether there was a match, now that the text has ended
 */
bool
test_search_finish (TestSearch *search)
{
    if (search->expect != NULL) {
        vmm_expect_settle (search->expect);
        look (search);
    }
    return search->found;
}

/**
 * test_search_clear:
 *
 * Makes it zeroes again.
 */
void
test_search_clear (TestSearch *search)
{
    vmm_expect_free (search->expect);
    g_free (search->wrong);
    *search = (TestSearch){0};
}
