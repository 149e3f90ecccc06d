/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of a qcow2 file that are in memory: a bounded number of clean ones, and those that wait for a
 * commit. */
#include "devices/block/qcow2-image.h"

static void
free_table (void *data)
{
    VmmQcow2Table *table = data;

    g_free (table->held);
    g_free (table);
}

/**
 * vmm_qcow2_cache_init:
 * @cache: a zeroed cache
 * @limit: clean tables that it keeps
 */
void
vmm_qcow2_cache_init (VmmQcow2Cache *cache, unsigned limit)
{
    cache->tables = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, free_table);
    g_queue_init (&cache->lru);
    cache->dirty = g_ptr_array_new ();
    cache->limit = limit;
}

/**
 * vmm_qcow2_cache_clear:
 * @cache: a cache, or a zeroed one
 *
 * Forgets all tables, changed ones too.
 */
void
vmm_qcow2_cache_clear (VmmQcow2Cache *cache)
{
    g_clear_pointer (&cache->tables, g_hash_table_unref);
    if (cache->dirty != NULL)
        g_ptr_array_free (cache->dirty, TRUE);
    cache->dirty = NULL;
}

/**
 * vmm_qcow2_cache_find:
 * @cache: a cache
 * @index: of a table
 *
 * Returns: (nullable): the table, as the most recently used one
 */
VmmQcow2Table *
vmm_qcow2_cache_find (VmmQcow2Cache *cache, uint64_t index)
{
    VmmQcow2Table *table = g_hash_table_lookup (cache->tables, &index);

    if (table != NULL && cache->lru.head != &table->link) {
        g_queue_unlink (&cache->lru, &table->link);
        g_queue_push_head_link (&cache->lru, &table->link);
    }
    return table;
}

/**
 * vmm_qcow2_cache_add:
 * @cache: a cache
 * @index: of a table that it does not have
 * @size: bytes of the table
 *
 * Returns: (nullable): the table, zeroed; %NULL when there is no memory
 */
VmmQcow2Table *
vmm_qcow2_cache_add (VmmQcow2Cache *cache, uint64_t index, size_t size)
{
    VmmQcow2Table *table = g_try_malloc0 (sizeof *table + size);

    if (table == NULL)
        return NULL;
    table->index = index;
    table->link.data = table;
    g_hash_table_insert (cache->tables, &table->index, table);
    g_queue_push_head_link (&cache->lru, &table->link);
    return table;
}

/**
 * vmm_qcow2_cache_drop:
 * @cache: a cache
 * @table: a clean table of it
 */
void
vmm_qcow2_cache_drop (VmmQcow2Cache *cache, VmmQcow2Table *table)
{
    g_queue_unlink (&cache->lru, &table->link);
    g_hash_table_remove (cache->tables, &table->index);
}

/**
 * vmm_qcow2_cache_set_dirty:
 * @cache: a cache
 * @table: a table of it, that is about to change
 */
void
vmm_qcow2_cache_set_dirty (VmmQcow2Cache *cache, VmmQcow2Table *table)
{
    if (table->dirty)
        return;
    table->dirty = true;
    g_ptr_array_add (cache->dirty, table);
}

/**
 * vmm_qcow2_cache_trim:
 * @cache: a cache
 *
 * Drops what was not used for longest, while there is more than the limit. No table but the most recently
 * used one may be in use.
 */
void
vmm_qcow2_cache_trim (VmmQcow2Cache *cache)
{
    GList *link = cache->lru.tail;

    while (link != NULL && link != cache->lru.head && cache->lru.length > cache->limit + cache->dirty->len) {
        VmmQcow2Table *table = link->data;

        link = link->prev;
        if (!table->dirty)
            vmm_qcow2_cache_drop (cache, table);
    }
}
