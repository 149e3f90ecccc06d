/* SPDX-License-Identifier: Apache-2.0 */
/* The input is modules.dep, and modules.builtin too; then every module is wanted. */
#include <stdlib.h>
#include <string.h>

#include "loader/modules-internal.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
resolve (VmmModules *modules, const char *name)
{
    g_autoptr (GPtrArray) list = NULL;

    if (!vmm_modules_resolve (modules, &name, 1, &list, NULL))
        return;
    for (guint i = 0; i < list->len; i++) {
        const VmmModule *module = list->pdata[i];
        if (module->path[0] == '/' || strstr (module->path, "/../") != NULL ||
            vmm_modules_find (modules, module->name) != VMM_MODULE_FILE)
            abort ();
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    g_autoptr (VmmModules) modules = vmm_modules_new ("fuzz");
    g_autofree char *text = g_strndup ((const char *)data, MIN (size, 8192));
    GHashTableIter iter;
    gpointer name;

    modules->version = g_strdup ("1");
    vmm_modules_take_dep (modules, text);
    vmm_modules_take_builtin (modules, text);
    g_hash_table_iter_init (&iter, modules->files);
    while (g_hash_table_iter_next (&iter, &name, NULL))
        resolve (modules, name);
    return 0;
}
