/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_WORKER_SEARCH_H
#define CLI_TEST_WORKER_SEARCH_H

#include <vmm/vmm.h>

/**
 * TestSearch:
 * @found: there was a match
 * @wrong: (nullable): the pattern had to be given up
 *
 * Whether a text of any length has a match. Zeroes are one without a pattern.
 */
typedef struct {
    VmmExpect *expect;
    bool found;
    char *wrong;
} TestSearch;

bool test_search_init (TestSearch *search, const char *pattern, bool strip_escapes, GError **error);
void test_search_feed (TestSearch *search, const void *data, size_t len);
bool test_search_finish (TestSearch *search);
void test_search_clear (TestSearch *search);

#endif
