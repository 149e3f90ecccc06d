/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A variable's value may name others, so it is worked out when it is asked for, once, and one that needs
 * itself is refused. What that makes of a small file is bounded: by the length of a value, by how deep they
 * are nested, and by a budget for all the runs of a scenario.
 */
#include "scenario-vars.h"

#include <string.h>

#include <vmm/vmm.h>

#include "scenario-file.h"
#include "scenario-values.h"
#include "scenario.h"

#define DEPTH_MAX 64u
#define KNOWN_MAX 20u /* in a message */
#define ENV "env."

/* What a value costs besides its bytes, roughly. */
#define OVERHEAD 256u

typedef struct {
    char *value;
    char *folder; /* NULL: the value is worked out */
    bool busy;    /* it is being worked out */
} Variable;

struct _TestVars {
    GHashTable *variables; /* name to Variable */
    size_t *budget;        /* borrowed; NULL: no limit */
    unsigned depth;
};

static void
free_variable (Variable *variable)
{
    g_free (variable->value);
    g_free (variable->folder);
    g_free (variable);
}

/**
 * test_vars_new:
 * @budget: (nullable): bytes that values may take in all; it gets less, and never below 0. Borrowed
 *
 * Returns: (transfer full): no variables but ${dir}, ${tmp} and ${env.NAME}
 */
TestVars *
test_vars_new (size_t *budget)
{
    TestVars *vars = g_new0 (TestVars, 1);

    vars->variables = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)free_variable);
    vars->budget = budget;
    return vars;
}

/**
 * test_vars_free:
 * @vars: (nullable)
 */
void
test_vars_free (TestVars *vars)
{
    if (vars == NULL)
        return;
    g_hash_table_unref (vars->variables);
    g_free (vars);
}

static bool
pay (TestVars *vars, size_t len, GError **error)
{
    size_t cost = len + OVERHEAD;

    if (vars->budget == NULL)
        return true;
    if (*vars->budget >= cost) {
        *vars->budget -= cost;
        return true;
    }
    *vars->budget = 0;
    g_set_error_literal (error, VMM_ERROR, VMM_ERROR_USAGE,
                         "the values of all runs are too much together: make the matrix smaller");
    return false;
}

static void
set_variable (TestVars *vars, const char *name, const char *value, const char *folder)
{
    Variable *variable = g_new0 (Variable, 1);

    variable->value = g_strdup (value);
    variable->folder = g_strdup (folder);
    g_hash_table_replace (vars->variables, g_strdup (name), variable);
}

/**
 * test_vars_set:
 * @value: what it is, as written
 * @folder: what ${dir} means in it
 */
void
test_vars_set (TestVars *vars, const char *name, const char *value, const char *folder)
{
    set_variable (vars, name, value, folder);
}

/**
 * test_vars_set_result:
 * @value: what it is; nothing in it is replaced any more
 */
void
test_vars_set_result (TestVars *vars, const char *name, const char *value)
{
    set_variable (vars, name, value, NULL);
}

/**
 * test_vars_is_reserved:
 *
 * Returns: whether a variable of this name could not be reached
 */
bool
test_vars_is_reserved (const char *name)
{
    return strcmp (name, "dir") == 0 || strcmp (name, "tmp") == 0 || g_str_has_prefix (name, ENV);
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
    return strcmp (*(const char *const *)a, *(const char *const *)b);
}

static void
refuse_unknown (TestVars *vars, const char *name, GError **error)
{
    g_autofree gpointer *names = g_hash_table_get_keys_as_array (vars->variables, NULL);
    g_autoptr (GPtrArray) known = g_ptr_array_new ();
    g_autofree char *list = NULL;
    const char *meant;

    for (gpointer *n = names; *n != NULL && known->len < KNOWN_MAX; n++)
        g_ptr_array_add (known, *n);
    g_ptr_array_sort (known, compare_names);
    for (const char *const *own = (const char *const[]){"dir", "tmp", "env.NAME", NULL}; *own != NULL; own++)
        g_ptr_array_add (known, (char *)*own);
    g_ptr_array_add (known, NULL);
    list = g_strjoinv (", ", (char **)known->pdata);
    meant = test_suggest (name, (const char *const *)known->pdata);
    if (meant != NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "there is no variable ${%s}: did you mean ${%s}? (for the text itself write $${%s})",
                     name, meant, name);
    else
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "there is no variable ${%s}: there are %s; for the text itself write $${%s}", name, list,
                     name);
}

static bool
refuse_variable (const char *name, const char *why, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "${%s}: %s", name, why);
    return false;
}

/**
 * test_vars_get:
 *
 * Returns: (transfer none) (nullable): what a variable is; NULL with %VMM_ERROR_USAGE
 */
const char *
test_vars_get (TestVars *vars, const char *name, GError **error)
{
    Variable *variable = g_hash_table_lookup (vars->variables, name);
    char *value;

    if (variable == NULL) {
        refuse_unknown (vars, name, error);
        return NULL;
    }
    if (variable->folder == NULL)
        return variable->value;
    if (variable->busy || vars->depth >= DEPTH_MAX) {
        refuse_variable (name, variable->busy ? "its value needs itself" : "variables are nested too deep",
                         error);
        return NULL;
    }
    variable->busy = true;
    vars->depth++;
    value = test_vars_expand (vars, variable->value, variable->folder, error);
    vars->depth--;
    variable->busy = false;
    if (value == NULL) {
        g_prefix_error (error, "${%s}: ", name);
        return NULL;
    }
    g_clear_pointer (&variable->folder, g_free);
    g_free (variable->value);
    variable->value = value;
    return value;
}

/* What ${@name} becomes; NULL with an error */
static const char *
look_up (TestVars *vars, const char *name, const char *folder, GError **error)
{
    const char *value;

    if (strcmp (name, "dir") == 0)
        return folder;
    if (strcmp (name, "tmp") == 0)
        return TEST_TMP;
    if (!g_str_has_prefix (name, ENV))
        return test_vars_get (vars, name, error);
    value = g_getenv (name + strlen (ENV));
    if (value == NULL)
        refuse_variable (name, "the environment has no such variable", error);
    else if (!g_utf8_validate (value, -1, NULL))
        refuse_variable (name, "what the environment has is not UTF-8", error);
    else
        return value;
    return NULL;
}

/* @text begins with ${; returns what is behind it, or NULL with an error */
static const char *
expand_one (TestVars *vars, GString *into, const char *text, const char *folder, GError **error)
{
    const char *end = strchr (text, '}');
    g_autofree char *name = end != NULL ? g_strndup (text + 2, (size_t)(end - text) - 2) : NULL;
    const char *value;

    if (name == NULL) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_USAGE,
                             "\"${\" without a \"}\"; for the text itself write $${");
        return NULL;
    }
    value = look_up (vars, name, folder, error);
    if (value == NULL)
        return NULL;
    g_string_append (into, value);
    return end + 1;
}

/* @text begins with $$ */
static const char *
expand_dollar (GString *into, const char *text, GError **error)
{
    /* The folder's name is put in when the run begins, in place of just this text. */
    if (g_str_has_prefix (text + 1, TEST_TMP)) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_USAGE,
                             "$${tmp} could not be told from the run's folder: write $tmp");
        return NULL;
    }
    g_string_append_c (into, '$');
    return text + 2;
}

/**
 * test_vars_expand:
 * @text: a value as written
 * @folder: what ${dir} means in it
 *
 * Returns: (transfer full) (nullable): the value, with nothing left to replace but %TEST_TMP; NULL with
 *   %VMM_ERROR_USAGE
 */
char *
test_vars_expand (TestVars *vars, const char *text, const char *folder, GError **error)
{
    g_autoptr (GString) into = g_string_new (NULL);
    const char *p = text;

    while (*p != '\0') {
        size_t plain = strcspn (p, "$");

        g_string_append_len (into, p, (gssize)plain);
        p += plain;
        if (p[0] == '$' && p[1] == '{')
            p = expand_one (vars, into, p, folder, error);
        else if (p[0] == '$' && p[1] == '$')
            p = expand_dollar (into, p, error);
        else if (p[0] == '$')
            g_string_append_c (into, *p++);
        if (p == NULL)
            return NULL;
        if (into->len > TEST_VALUE_MAX) {
            g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                         "the value gets too long when its variables are replaced: %u bytes at most",
                         TEST_VALUE_MAX);
            return NULL;
        }
    }
    return pay (vars, into->len, error) ? g_string_free (g_steal_pointer (&into), FALSE) : NULL;
}
