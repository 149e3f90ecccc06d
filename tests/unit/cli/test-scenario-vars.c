/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include <vmm/vmm.h>

#include "scenario-file.h"
#include "scenario-vars.h"

static void
expect_text (TestVars *vars, const char *text, const char *is)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *value = test_vars_expand (vars, text, "/folder", &error);

    cr_assert_not_null (value, "%s", error != NULL ? error->message : "");
    cr_assert_str_eq (value, is);
}

static void
expect_error (TestVars *vars, const char *text, const char *said)
{
    g_autoptr (GError) error = NULL;

    cr_assert_null (test_vars_expand (vars, text, "/folder", &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_not_null (strstr (error->message, said), "\"%s\" does not say \"%s\"", error->message, said);
}

Test (scenario_vars, are_replaced)
{
    g_autoptr (TestVars) vars = test_vars_new (NULL);

    g_setenv ("VMM_TEST_VARS", "from ${outside}", TRUE);
    test_vars_set (vars, "a", "<${b}>", "/a");
    test_vars_set (vars, "b", "${dir}", "/b");
    test_vars_set_result (vars, "c", "${a}");
    expect_text (vars, "", "");
    expect_text (vars, "x$ $HOME ^a$", "x$ $HOME ^a$");
    expect_text (vars, "${a}${a} ${dir}", "</b></b> /folder");
    expect_text (vars, "${c}", "${a}");
    test_vars_set (vars, "d", "$${a}", "/");
    expect_text (vars, "${d}${d}", "${a}${a}");
    expect_text (vars, "$$ $${a} $$$${a}", "$ ${a} $${a}");
    expect_text (vars, "${tmp}/x", "${tmp}/x");
    expect_text (vars, "${env.VMM_TEST_VARS}", "from ${outside}");
    expect_text (vars, "a{2}$", "a{2}$");
}

Test (scenario_vars, that_are_not_there_are_mistakes)
{
    g_autoptr (TestVars) vars = test_vars_new (NULL);

    test_vars_set (vars, "kernel", "x", "/");
    test_vars_set (vars, "wrong", "${nowhere}", "/");
    g_unsetenv ("VMM_TEST_UNSET");
    expect_error (vars, "${nothing}",
                  "there is no variable ${nothing}: there are kernel, wrong, dir, tmp, env.NAME; for "
                  "the text itself write $${nothing}");
    expect_error (vars, "${kernal}", "there is no variable ${kernal}: did you mean ${kernel}?");
    expect_error (vars, "${wrong}", "${wrong}: there is no variable ${nowhere}");
    expect_error (vars, "${env.VMM_TEST_UNSET}",
                  "${env.VMM_TEST_UNSET}: the environment has no such variable");
    expect_error (vars, "${a", "\"${\" without a \"}\"");
    expect_error (vars, "${}", "there is no variable ${}");
    expect_error (vars, "$${tmp}", "write $tmp");
}

Test (scenario_vars, that_need_themselves_are_mistakes)
{
    g_autoptr (TestVars) vars = test_vars_new (NULL);

    test_vars_set (vars, "a", "${b}", "/");
    test_vars_set (vars, "b", "${c}", "/");
    test_vars_set (vars, "c", "${a}", "/");
    expect_error (vars, "${a}", "${a}: ${b}: ${c}: ${a}: its value needs itself");
    /* And again, since nothing was kept of it. */
    expect_error (vars, "${a}", "its value needs itself");
}

Test (scenario_vars, that_grow_have_an_end)
{
    size_t budget = 100000;
    g_autoptr (TestVars) vars = test_vars_new (NULL);
    g_autoptr (TestVars) bounded = test_vars_new (&budget);
    g_autoptr (GError) error = NULL;

    for (unsigned i = 0; i < 40; i++) {
        g_autofree char *name = g_strdup_printf ("v%u", i);
        g_autofree char *value = g_strdup_printf ("${v%u}${v%u}", i + 1, i + 1);

        test_vars_set (vars, name, value, "/");
    }
    test_vars_set (vars, "v40", "ha", "/");
    expect_error (vars, "${v0}", "the value gets too long when its variables are replaced");
    for (unsigned i = 0; i < 100; i++) {
        g_autofree char *name = g_strdup_printf ("w%u", i);
        g_autofree char *value = g_strdup_printf ("${w%u}", i + 1);

        test_vars_set (vars, name, value, "/");
    }
    test_vars_set (vars, "w100", "x", "/");
    expect_error (vars, "${w0}", "variables are nested too deep");
    for (unsigned i = 0; i < 100000 && error == NULL; i++)
        g_free (test_vars_expand (bounded, "x", "/", &error));
    cr_assert_not_null (error);
    cr_assert_eq (budget, 0);
}
