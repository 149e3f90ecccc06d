/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_CMDLINE_H
#define VMM_LOADER_CMDLINE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

char *vmm_cmdline_build (const char *default_line, const char *replace, const char *const *append);
char *vmm_cmdline_insert (const char *line, const char *params);
bool vmm_cmdline_check (const char *line, size_t max, GError **error);
bool vmm_cmdline_find (const char *line, const char *name, char **ret_value);

#endif
