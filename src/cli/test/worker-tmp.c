/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder of the run's own, for files that a scenario needs while it runs. Where some value names it, the
 * run is copied, with the folder's name in its place.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remove.h"
#include "worker-internal.h"

static char *
put (const TestWorker *worker, const char *value)
{
    g_autoptr (GString) text = value != NULL ? g_string_new (value) : NULL;

    if (text == NULL)
        return NULL;
    g_string_replace (text, TEST_TMP, worker->tmp, 0);
    return g_string_free (g_steal_pointer (&text), FALSE);
}

static char **
put_all (const TestWorker *worker, char **values)
{
    g_autoptr (GPtrArray) all = g_ptr_array_new ();

    if (values == NULL)
        return NULL;
    for (; *values != NULL; values++)
        g_ptr_array_add (all, put (worker, *values));
    g_ptr_array_add (all, NULL);
    return (char **)g_ptr_array_steal (all, NULL);
}

static GBytes *
put_in_bytes (const TestWorker *worker, GBytes *bytes)
{
    gsize len;
    const uint8_t *data = bytes != NULL ? g_bytes_get_data (bytes, &len) : NULL;
    g_autoptr (GByteArray) result = g_byte_array_new ();
    const size_t token = strlen (TEST_TMP);

    if (bytes == NULL)
        return NULL;
    while (len > 0) {
        const uint8_t *found = memmem (data, len, TEST_TMP, token);
        gsize n = found != NULL ? (gsize)(found - data) : len;

        g_byte_array_append (result, data, (guint)n);
        if (found != NULL) {
            g_byte_array_append (result, (const guint8 *)worker->tmp, (guint)strlen (worker->tmp));
            n += token;
        }
        data += n;
        len -= n;
    }
    return g_byte_array_free_to_bytes (g_steal_pointer (&result));
}

static TestStep *
copy_step (const TestWorker *worker, const TestStep *step)
{
    TestStep *copy = g_memdup2 (step, sizeof *step);

    copy->name = g_strdup (step->name);
    copy->expect = put (worker, step->expect);
    copy->bytes = put_in_bytes (worker, step->bytes);
    copy->text = put (worker, step->text);
    copy->output = put (worker, step->output);
    copy->output_not = put (worker, step->output_not);
    copy->error = put (worker, step->error);
    copy->contains = put (worker, step->contains);
    return copy;
}

static bool
set_machine (const TestWorker *worker, TestRun *copy, GError **error)
{
    for (guint i = 0; i < worker->run->machine->len; i++) {
        const TestPair *pair = worker->run->machine->pdata[i];
        g_autofree char *value = put (worker, pair->value);

        if (!vmm_config_set (copy->config, pair->name, value, error))
            return false;
        g_ptr_array_add (copy->machine, test_pair_new (pair->name, value));
    }
    return true;
}

static void
copy_lists (const TestWorker *worker, TestRun *copy)
{
    const TestRun *run = worker->run;

    for (guint i = 0; i < run->axes->len; i++) {
        const TestPair *axis = run->axes->pdata[i];

        g_ptr_array_add (copy->axes, test_pair_new (axis->name, axis->value));
    }
    for (guint i = 0; i < run->steps->len; i++)
        g_ptr_array_add (copy->steps, copy_step (worker, run->steps->pdata[i]));
    for (guint i = 0; i < run->forbids->len; i++) {
        const TestForbid *forbid = run->forbids->pdata[i];
        TestForbid *other = g_memdup2 (forbid, sizeof *forbid);

        other->name = g_strdup (forbid->name);
        other->pattern = put (worker, forbid->pattern);
        g_ptr_array_add (copy->forbids, other);
    }
    copy->tags = g_strdupv (run->tags);
    copy->consoles = g_strdupv (run->consoles);
    copy->allow = g_strdupv (run->allow);
    copy->command = put_all (worker, run->command);
    copy->copies = put_all (worker, run->copies);
    copy->outputs = put_all (worker, run->outputs);
    copy->env = put_all (worker, run->env);
}

/* The run, with the folder's name in it. */
static TestRun *
copy_run (const TestWorker *worker, GError **error)
{
    const TestRun *run = worker->run;
    g_autoptr (TestRun) copy = test_run_new ();

    copy_lists (worker, copy);
    copy->name = g_strdup (run->name);
    copy->scenario = g_strdup (run->scenario);
    copy->file = g_strdup (run->file);
    copy->description = g_strdup (run->description);
    copy->kernel = put (worker, run->kernel);
    copy->outcome = g_strdup (run->outcome);
    copy->reason = g_strdup (run->reason);
    copy->known_failure = g_strdup (run->known_failure);
    copy->root = put (worker, run->root);
    copy->modules = put (worker, run->modules);
    copy->cwd = put (worker, run->cwd);
    copy->user = put (worker, run->user);
    copy->cpus = run->cpus;
    copy->memory = run->memory;
    copy->timeout_us = run->timeout_us;
    copy->retries = run->retries;
    copy->has_guest = run->has_guest;
    copy->command_status = run->command_status;
    copy->needs_tmp = true;
    return set_machine (worker, copy, error) ? g_steal_pointer (&copy) : NULL;
}

/**
 * test_worker_make_tmp:
 *
 * Makes the folder, below TMPDIR, if the run needs one.
 *
 * Returns: false with an error
 */
bool
test_worker_make_tmp (TestWorker *worker, GError **error)
{
    g_autofree char *path = NULL;

    if (!worker->run->needs_tmp)
        return true;
    path = g_build_filename (g_get_tmp_dir (), TEST_TMP_PREFIX "XXXXXX", NULL);
    if (g_mkdtemp (path) == NULL) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, TEST_TMP ": a folder in \"%s\": %s", g_get_tmp_dir (),
                     g_strerror (errno));
        return false;
    }
    worker->tmp = g_steal_pointer (&path);
    test_worker_tell_tmp (worker);
    worker->own_run = copy_run (worker, error);
    if (worker->own_run == NULL)
        return false;
    worker->run = worker->own_run;
    return true;
}

/**
 * test_worker_remove_tmp:
 *
 * Removes the folder with all that is in it.
 */
void
test_worker_remove_tmp (TestWorker *worker)
{
    if (worker->tmp != NULL)
        test_remove_tree (worker->tmp);
    g_clear_pointer (&worker->tmp, g_free);
}
