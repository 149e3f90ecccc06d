/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel command line: how it is put together, and the little that vmm wants to know of it. The kernel's
 * own rules for reading it are in Linux: lib/cmdline.c (next_arg()) and kernel/params.c (parse_args()).
 */
#include "loader/cmdline.h"

#include <string.h>

#include "vmm/error.h"

/**
 * vmm_cmdline_build:
 * @default_line: (nullable): what vmm would say by itself
 * @replace: (nullable): `--cmdline`: takes the place of @default_line, also when it is empty
 * @append: (nullable) (array zero-terminated=1): each `--append`, in order
 *
 * Returns: (transfer full): the parts that are not empty, with one space between them
 */
char *
vmm_cmdline_build (const char *default_line, const char *replace, const char *const *append)
{
    const char *base = replace != NULL ? replace : default_line;
    GString *line = g_string_new (base);

    for (; append != NULL && *append != NULL; append++) {
        if (line->len > 0 && **append != 0)
            g_string_append_c (line, ' ');
        g_string_append (line, *append);
    }
    return g_string_free (line, FALSE);
}

/**
 * vmm_cmdline_check:
 * @line: the whole line
 * @max: longest that the kernel takes, without the NUL (VmmLoadedKernel)
 * @error: %VMM_ERROR_USAGE
 *
 * A longer line the kernel would cut without a word.
 *
 * Returns: false when it is too long
 */
bool
vmm_cmdline_check (const char *line, size_t max, GError **error)
{
    size_t len = strlen (line);

    if (len <= max)
        return true;
    g_set_error (
        error, VMM_ERROR, VMM_ERROR_USAGE,
        "the kernel command line is %zu bytes long, and this kernel takes at most %zu; shorten --cmdline "
        "or --append",
        len, max);
    return false;
}

/* Dash and underscore are the same in a parameter's name (Linux: kernel/params.c, dash2underscore()). */
static char
fold (char c)
{
    return c == '-' ? '_' : c;
}

static bool
name_is (const char *param, size_t len, const char *name)
{
    if (len != strlen (name))
        return false;
    for (size_t i = 0; i < len; i++)
        if (fold (param[i]) != fold (name[i]))
            return false;
    return true;
}

/* Length of the parameter at @p: up to a space that is not between quotes. */
static size_t
param_len (const char *p)
{
    bool quoted = false;
    size_t n;

    for (n = 0; p[n] != 0 && (quoted || !g_ascii_isspace (p[n])); n++)
        if (p[n] == '"')
            quoted = !quoted;
    return n;
}

static char *
unquoted (const char *p, size_t len)
{
    if (len > 0 && p[0] == '"') {
        p++;
        len--;
        if (len > 0 && p[len - 1] == '"')
            len--;
    }
    return g_strndup (p, len);
}

/**
 * vmm_cmdline_insert:
 * @line: a command line
 * @params: more for the kernel, in front of what follows `--` and so is for init; "" for none
 *
 * Returns: (transfer full): both
 */
char *
vmm_cmdline_insert (const char *line, const char *params)
{
    const char *p = line;

    for (;;) {
        size_t len;

        while (g_ascii_isspace (*p))
            p++;
        len = param_len (p);
        if (len == 0 || (len == 2 && memcmp (p, "--", 2) == 0))
            break;
        p += len;
    }
    if (*params == 0)
        return g_strdup (line);
    return g_strdup_printf ("%.*s%s%s%s%s", (int)(p - line), line,
                            p == line || g_ascii_isspace (p[-1]) ? "" : " ", params, *p != 0 ? " " : "", p);
}

/**
 * vmm_cmdline_find:
 * @line: a command line
 * @name: a parameter, without `=`
 * @ret_value: (out) (optional) (nullable): (transfer full): its value without quotes, "" when it has none
 *
 * Looks for a parameter the way the kernel does: the last one counts, and what follows `--` is for init.
 *
 * Returns: whether it is there
 */
bool
vmm_cmdline_find (const char *line, const char *name, char **ret_value)
{
    g_autofree char *value = NULL;
    const char *p = line;

    for (;;) {
        while (g_ascii_isspace (*p))
            p++;
        size_t len = param_len (p);
        if (len == 0 || (len == 2 && memcmp (p, "--", 2) == 0))
            break;
        g_autofree char *param = unquoted (p, len);
        char *equals = strchr (param, '=');
        size_t name_len = equals != NULL ? (size_t)(equals - param) : strlen (param);
        if (name_is (param, name_len, name)) {
            g_free (value);
            value = equals != NULL ? unquoted (equals + 1, strlen (equals + 1)) : g_strdup ("");
        }
        p += len;
    }
    if (value == NULL)
        return false;
    if (ret_value != NULL)
        *ret_value = g_steal_pointer (&value);
    return true;
}
