/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_STORE_H
#define CLI_TEST_STORE_H

#include <glib.h>
#include <jansson.h>

typedef struct _TestStore TestStore;

TestStore *test_store_new (void);
void test_store_free (TestStore *store);
void test_store_close_fd (TestStore *store);
void test_store_set (TestStore *store, guint index, json_t *value);
json_t *test_store_get (const TestStore *store, guint index);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestStore, test_store_free)

#endif
