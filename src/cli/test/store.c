/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results that nobody needs for now. They are text in a file that is memory: a process that forks for each
 * run has its memory shared anew each time, and with thousands of results in it that takes longer than the
 * run. What cannot be put there is kept as it is.
 */
#include "store.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct {
    json_t *value; /* NULL: it is in the file, or there is none */
    off_t at;
    size_t len;
} Item;

struct _TestStore {
    int fd;
    off_t end;
    GArray *items; /* of Item */
};

static void
clear_item (gpointer item)
{
    json_decref (((Item *)item)->value);
}

/**
 * test_store_new:
 */
TestStore *
test_store_new (void)
{
    TestStore *store = g_new0 (TestStore, 1);

    store->fd = memfd_create ("results", MFD_CLOEXEC);
    store->items = g_array_new (FALSE, TRUE, sizeof (Item));
    g_array_set_clear_func (store->items, clear_item);
    return store;
}

/**
 * test_store_close_fd:
 *
 * In a child that has no use for it.
 */
void
test_store_close_fd (TestStore *store)
{
    if (store->fd >= 0)
        close (store->fd);
    store->fd = -1;
}

/**
 * test_store_free:
 * @store: (nullable)
 */
void
test_store_free (TestStore *store)
{
    if (store == NULL)
        return;
    test_store_close_fd (store);
    g_array_unref (store->items);
    g_free (store);
}

/* Returns: false when the file does not take all of it; what is at its end then is written over. */
static bool
append (const TestStore *store, const char *text, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite (store->fd, text + done, len - done, store->end + (off_t)done);

        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/**
 * test_store_set:
 * @index: where nothing is yet
 * @value: (transfer full): an object
 */
void
test_store_set (TestStore *store, guint index, json_t *value)
{
    char *text = store->fd >= 0 ? json_dumps (value, JSON_COMPACT) : NULL;
    size_t len = text != NULL ? strlen (text) : 0;
    Item *item;

    if (store->items->len <= index)
        g_array_set_size (store->items, index + 1);
    item = &g_array_index (store->items, Item, index);
    if (text != NULL && append (store, text, len)) {
        item->at = store->end;
        item->len = len;
        store->end += (off_t)len;
        json_decref (value);
    } else {
        item->value = value;
    }
    free (text);
}

/**
 * test_store_get:
 *
 * Returns: (transfer full) (nullable): what was put there; NULL: nothing
 */
json_t *
test_store_get (const TestStore *store, guint index)
{
    const Item *item = index < store->items->len ? &g_array_index (store->items, Item, index) : NULL;
    g_autofree char *text = NULL;

    if (item == NULL || item->value != NULL || item->len == 0)
        return item != NULL ? json_incref (item->value) : NULL;
    text = g_malloc (item->len);
    for (size_t done = 0; done < item->len;) {
        ssize_t n = pread (store->fd, text + done, item->len - done, item->at + (off_t)done);

        if (n <= 0)
            return NULL;
        done += (size_t)n;
    }
    return json_loadb (text, item->len, 0, NULL);
}
