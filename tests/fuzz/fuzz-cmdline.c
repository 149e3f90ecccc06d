/* SPDX-License-Identifier: Apache-2.0 */
/* A command line and, behind its first newline, the parameter to look for. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "loader/cmdline.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    g_autofree char *line = g_strndup ((const char *)data, size);
    char *newline = strchr (line, '\n');
    const char *name = newline != NULL ? newline + 1 : "nokaslr";
    g_autofree char *value = NULL;

    if (newline != NULL)
        *newline = 0;
    if (vmm_cmdline_find (line, name, &value) != (value != NULL))
        abort ();
    const char *const append[] = {line, name, NULL};
    g_autofree char *built = vmm_cmdline_build (name, NULL, append);
    if (vmm_cmdline_check (built, strlen (built), NULL) != true ||
        (*built != 0 && vmm_cmdline_check (built, strlen (built) - 1, NULL)))
        abort ();
    return 0;
}
