/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/options.h"

#include <errno.h>
#include <string.h>

#include "vmm/error.h"

/* The text up to the next single comma, with pairs of them made one; moves @text behind it. */
static char *
next_word (const char **text)
{
    GString *word = g_string_new (NULL);
    const char *p = *text;

    for (; *p != '\0'; p++) {
        if (*p == ',' && p[1] != ',')
            break;
        if (*p == ',')
            p++;
        g_string_append_c (word, *p);
    }
    *text = *p == ',' ? p + 1 : NULL;
    return g_string_free (word, FALSE);
}

/**
 * vmm_options_init:
 * @options: to be cleared by vmm_options_clear()
 * @key: whose value it is; borrowed
 * @value: the text
 */
void
vmm_options_init (VmmOptions *options, const char *key, const char *value)
{
    const char *rest = value;

    options->key = key;
    options->text = g_strdup (value);
    options->words = g_ptr_array_new_with_free_func (g_free);
    while (rest != NULL && *value != '\0')
        g_ptr_array_add (options->words, next_word (&rest));
}

/**
 * vmm_options_clear:
 * @options: initialized, or all zeroes
 */
void
vmm_options_clear (VmmOptions *options)
{
    g_clear_pointer (&options->text, g_free);
    g_clear_pointer (&options->words, g_ptr_array_unref);
}

/**
 * vmm_options_refuse:
 *
 * Sets an error that names the key and its whole value.
 *
 * Returns: false
 */
bool
vmm_options_refuse (const VmmOptions *options, GError **error, const char *format, ...)
{
    g_autofree char *why = NULL;
    va_list args;

    va_start (args, format);
    why = g_strdup_vprintf (format, args);
    va_end (args);
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s \"%s\": %s", options->key, options->text, why);
    return false;
}

/**
 * vmm_options_take_first:
 *
 * Returns: (transfer full) (nullable): the first word, whatever it is; NULL when there is none left
 */
char *
vmm_options_take_first (VmmOptions *options)
{
    return options->words->len > 0 ? g_ptr_array_steal_index (options->words, 0) : NULL;
}

/**
 * vmm_options_take_each:
 *
 * Returns: (transfer full) (element-type utf8): all values of @name, in order; "" for a bare flag
 */
GPtrArray *
vmm_options_take_each (VmmOptions *options, const char *name)
{
    GPtrArray *values = g_ptr_array_new_with_free_func (g_free);
    size_t len = strlen (name);

    for (guint i = 0; i < options->words->len;) {
        const char *word = options->words->pdata[i];

        if (strncmp (word, name, len) != 0 || (word[len] != '=' && word[len] != '\0')) {
            i++;
            continue;
        }
        g_ptr_array_add (values, g_strdup (word[len] == '=' ? word + len + 1 : ""));
        g_ptr_array_remove_index (options->words, i);
    }
    return values;
}

/**
 * vmm_options_take:
 *
 * Returns: (transfer full) (nullable): the value of @name; "" for a bare flag; NULL when it is not there.
 * Given twice, the last one counts
 */
char *
vmm_options_take (VmmOptions *options, const char *name)
{
    g_autoptr (GPtrArray) values = vmm_options_take_each (options, name);

    return values->len > 0 ? g_ptr_array_steal_index (values, values->len - 1) : NULL;
}

/**
 * vmm_options_take_flag:
 * @ret_value: (out): set when @name is there: a bare name, on and off are known
 *
 * Returns: false with %VMM_ERROR_USAGE for another value
 */
bool
vmm_options_take_flag (VmmOptions *options, const char *name, bool *ret_value, GError **error)
{
    g_autofree char *value = vmm_options_take (options, name);

    if (value == NULL)
        return true;
    if (*value != '\0' && strcmp (value, "on") != 0 && strcmp (value, "off") != 0)
        return vmm_options_refuse (options, error, "%s=%s: say %s, %s=on or %s=off", name, value, name, name,
                                   name);
    *ret_value = strcmp (value, "off") != 0;
    return true;
}

/**
 * vmm_options_take_unsigned:
 * @ret_value: (out): set when @name is there
 *
 * Returns: false with %VMM_ERROR_USAGE for what is no number from @min to @max
 */
bool
vmm_options_take_unsigned (VmmOptions *options, const char *name, uint64_t min, uint64_t max,
                           uint64_t *ret_value, GError **error)
{
    g_autofree char *value = vmm_options_take (options, name);
    guint64 number;

    if (value == NULL)
        return true;
    if (!g_ascii_string_to_unsigned (value, 10, min, max, &number, NULL))
        return vmm_options_refuse (options, error,
                                   "%s=%s: give a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
                                   name, value, min, max);
    *ret_value = number;
    return true;
}

/**
 * vmm_options_take_size:
 * @ret_value: (out): bytes; set when @name is there. A bare number is bytes; K, M, G, T, P are powers of 1024
 *
 * Returns: false with %VMM_ERROR_USAGE for what is no size
 */
bool
vmm_options_take_size (VmmOptions *options, const char *name, uint64_t *ret_value, GError **error)
{
    static const char suffixes[] = "KMGTP";
    g_autofree char *value = vmm_options_take (options, name);
    const char *suffix = NULL;
    char *end = NULL;
    guint64 number;
    unsigned shift = 0;

    if (value == NULL)
        return true;
    errno = 0;
    number = g_ascii_strtoull (value, &end, 10);
    if (*end != '\0')
        suffix = strchr (suffixes, g_ascii_toupper (*end));
    if (suffix != NULL)
        shift = 10 * (unsigned)(suffix - suffixes + 1);
    if (!g_ascii_isdigit (value[0]) || errno == ERANGE ||
        (*end != '\0' && (suffix == NULL || end[1] != '\0')) || number > UINT64_MAX >> shift)
        return vmm_options_refuse (options, error, "%s=%s: give a number with K, M, G or T, such as 64M",
                                   name, value);
    *ret_value = number << shift;
    return true;
}

/**
 * vmm_options_take_choice:
 * @choices: (array zero-terminated): what may be said
 * @ret_index: (out): which one was; set when @name is there
 *
 * Returns: false with %VMM_ERROR_USAGE for anything else
 */
bool
vmm_options_take_choice (VmmOptions *options, const char *name, const char *const *choices,
                         unsigned *ret_index, GError **error)
{
    g_autofree char *value = vmm_options_take (options, name);
    g_autofree char *all = NULL;

    if (value == NULL)
        return true;
    for (unsigned i = 0; choices[i] != NULL; i++) {
        if (strcmp (value, choices[i]) == 0) {
            *ret_index = i;
            return true;
        }
    }
    all = g_strjoinv (", ", (char **)choices);
    return vmm_options_refuse (options, error, "%s=%s: say one of %s", name, value, all);
}

/**
 * vmm_options_finish:
 * @known: what could have been said, for the message
 *
 * Returns: false with %VMM_ERROR_USAGE when a word is left
 */
bool
vmm_options_finish (VmmOptions *options, const char *known, GError **error)
{
    if (options->words->len == 0)
        return true;
    return vmm_options_refuse (options, error, "\"%s\" is not known: there are %s",
                               (const char *)options->words->pdata[0], known);
}
