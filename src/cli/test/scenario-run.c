/* SPDX-License-Identifier: Apache-2.0 */
/* What runs are made of, and its end. */
#include "scenario.h"

/**
 * test_pair_new:
 *
 * Returns: (transfer full): copies of both
 */
TestPair *
test_pair_new (const char *name, const char *value)
{
    TestPair *pair = g_new0 (TestPair, 1);

    pair->name = g_strdup (name);
    pair->value = g_strdup (value);
    return pair;
}

/**
 * test_pair_free:
 * @pair: (nullable)
 */
void
test_pair_free (TestPair *pair)
{
    if (pair == NULL)
        return;
    g_free (pair->name);
    g_free (pair->value);
    g_free (pair);
}

/**
 * test_step_free:
 * @step: (nullable)
 */
void
test_step_free (TestStep *step)
{
    if (step == NULL)
        return;
    g_free (step->name);
    g_free (step->expect);
    g_clear_pointer (&step->bytes, g_bytes_unref);
    g_free (step->text);
    g_free (step->output);
    g_free (step->output_not);
    g_free (step->error);
    g_free (step->contains);
    g_free (step);
}

/**
 * test_forbid_free:
 * @forbid: (nullable)
 */
void
test_forbid_free (TestForbid *forbid)
{
    if (forbid == NULL)
        return;
    g_free (forbid->name);
    g_free (forbid->pattern);
    g_free (forbid);
}

/**
 * test_run_new:
 *
 * Returns: (transfer full): one with empty lists and a machine of defaults
 */
TestRun *
test_run_new (void)
{
    TestRun *run = g_new0 (TestRun, 1);

    run->axes = g_ptr_array_new_with_free_func ((GDestroyNotify)test_pair_free);
    run->machine = g_ptr_array_new_with_free_func ((GDestroyNotify)test_pair_free);
    run->steps = g_ptr_array_new_with_free_func ((GDestroyNotify)test_step_free);
    run->forbids = g_ptr_array_new_with_free_func ((GDestroyNotify)test_forbid_free);
    run->config = vmm_config_new ();
    return run;
}

/**
 * test_run_free:
 * @run: (nullable)
 */
void
test_run_free (TestRun *run)
{
    if (run == NULL)
        return;
    char *const strings[] = {run->name,    run->scenario, run->file,          run->description,
                             run->kernel,  run->outcome,  run->reason,        run->root,
                             run->modules, run->cwd,      run->known_failure, run->user};
    char **const lists[] = {run->tags,   run->consoles, run->allow, run->command,
                            run->copies, run->outputs,  run->env};

    for (size_t i = 0; i < G_N_ELEMENTS (strings); i++)
        g_free (strings[i]);
    for (size_t i = 0; i < G_N_ELEMENTS (lists); i++)
        g_strfreev (lists[i]);
    g_ptr_array_unref (run->axes);
    g_ptr_array_unref (run->machine);
    g_ptr_array_unref (run->steps);
    g_ptr_array_unref (run->forbids);
    vmm_config_free (run->config);
    g_free (run);
}
