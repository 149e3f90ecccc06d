/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations in text. */
#include <string.h>

#include "vmm/config.h"
#include "vmm/error.h"

static bool
parse_line (VmmConfig *config, char *line, const char *name, unsigned number, GError **error)
{
    char *text = g_strstrip (line);
    char *equals;

    if (*text == '\0' || *text == '#')
        return true;
    equals = strchr (text, '=');
    if (equals == NULL) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s:%u: \"%s\" is not of the form key = value", name,
                     number, text);
        return false;
    }
    *equals = '\0';
    if (vmm_config_set (config, g_strchomp (text), g_strchug (equals + 1), error))
        return true;
    g_prefix_error (error, "%s:%u: ", name, number);
    return false;
}

/**
 * vmm_config_parse:
 * @config: a configuration
 * @text: lines of the form "key = value"; empty lines and those that start with # say nothing
 * @name: what to call the text in messages, such as its file's name
 *
 * Sets one key after another, as vmm_config_set() does.
 *
 * Returns: false with %VMM_ERROR_USAGE at the first line that is wrong; those before it have been set
 * Since: 0.1
 */
bool
vmm_config_parse (VmmConfig *config, const char *text, const char *name, GError **error)
{
    g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

    for (unsigned i = 0; lines[i] != NULL; i++) {
        if (!parse_line (config, lines[i], name, i + 1, error))
            return false;
    }
    return true;
}
