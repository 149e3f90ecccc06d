/* SPDX-License-Identifier: Apache-2.0 */
/* The machine of a run: its configuration, with the consoles that are listened to; its making and its end. */
#include <string.h>

#include "kernel-store.h"
#include "worker-internal.h"

#define SERIAL "serial"
#define HVC "hvc0"
#define NOTES_MAX 20u

static bool
names (char **list, const char *name)
{
    return list != NULL && g_strv_contains ((const char *const *)list, name);
}

/* Whether the scenario says itself where a console goes. */
static bool
is_set (const TestRun *run, const char *key)
{
    for (guint i = 0; i < run->machine->len; i++) {
        if (strcmp (((const TestPair *)run->machine->pdata[i])->name, key) == 0)
            return true;
    }
    return false;
}

static bool
join_console (TestWorker *worker, const TestConsole *console, GError **error)
{
    bool serial = strcmp (console->name, SERIAL) == 0;
    bool port = !serial && strcmp (console->name, HVC) != 0;
    g_autofree char *value =
        g_strdup_printf ("fd=%d%s%s", console->guest_fd, port ? ",name=" : "", port ? console->name : "");

    return vmm_config_set (worker->config, serial ? "serial" : "console", value, error);
}

static bool
add_console (TestWorker *worker, const char *name, int index, GError **error)
{
    TestConsole *console = test_console_new (worker, name, index, error);

    if (console == NULL)
        return false;
    g_ptr_array_add (worker->consoles, console);
    if (worker->kernel_console == NULL || strcmp (name, SERIAL) == 0)
        worker->kernel_console = console;
    return join_console (worker, console, error);
}

/* What the kernel says is heard, too, where the scenario listens to something else only. */
static bool
add_consoles (TestWorker *worker, GError **error)
{
    char **list = worker->run->consoles;

    for (int i = 0; list != NULL && list[i] != NULL; i++) {
        if (!add_console (worker, list[i], i, error))
            return false;
    }
    return names (list, SERIAL) || is_set (worker->run, SERIAL) || add_console (worker, SERIAL, -1, error);
}

static void
note (TestWorker *worker, const char *text)
{
    if (worker->notes->len < NOTES_MAX)
        g_ptr_array_add (worker->notes, g_strdup (text));
}

static bool
find_kernel (TestWorker *worker, GError **error)
{
    const char *value = worker->run->kernel;
    g_autofree char *text = NULL;

    if (value == NULL)
        return true;
    /* Not by options_find_kernel(), which talks to the user. */
    if (!kernel_use (value, &worker->kernel, &text, error))
        return false;
    if (text != NULL)
        note (worker, text);
    if (worker->kernel == NULL)
        worker->kernel = g_strdup (value);
    return vmm_config_set (worker->config, "kernel", worker->kernel, error);
}

/* A:B, of which both are there; the last colon divides. */
static bool
split (const char *key, const char *value, char **ret_first, char **ret_second, GError **error)
{
    const char *colon = strrchr (value, ':');

    if (colon == NULL || colon == value || colon[1] == '\0') {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s \"%s\": say SOURCE:DESTINATION", key, value);
        return false;
    }
    *ret_first = g_strndup (value, (gsize)(colon - value));
    *ret_second = g_strdup (colon + 1);
    return true;
}

static bool
add_files (VmmRun *guest, const TestRun *run, GError **error)
{
    for (char **copy = run->copies; copy != NULL && *copy != NULL; copy++) {
        g_autofree char *from = NULL;
        g_autofree char *to = NULL;

        if (!split ("copy", *copy, &from, &to, error) || !vmm_run_add_copy (guest, from, to, error))
            return false;
    }
    for (char **output = run->outputs; output != NULL && *output != NULL; output++) {
        g_autofree char *from = NULL;
        g_autofree char *to = NULL;

        if (!split ("out", *output, &from, &to, error) || !vmm_run_add_output (guest, from, to, error))
            return false;
    }
    for (char **env = run->env; env != NULL && *env != NULL; env++) {
        if (!vmm_run_add_env (guest, *env, error))
            return false;
    }
    return true;
}

static bool
make_guest (TestWorker *worker, GError **error)
{
    static const char *const shell[] = {"sh", NULL};
    const TestRun *run = worker->run;
    const char *const *command = run->command != NULL ? (const char *const *)run->command : shell;

    worker->guest = vmm_run_new ();
    vmm_run_set_command (worker->guest, command);
    vmm_run_set_root (worker->guest, run->root);
    vmm_run_set_modules (worker->guest, run->modules);
    vmm_run_set_folder (worker->guest, run->cwd);
    vmm_run_set_user (worker->guest, run->user);
    if (!add_files (worker->guest, run, error) || !test_command_open (worker, error))
        return false;
    worker->machine = vmm_run_make_machine (worker->guest, worker->config, error);
    return worker->machine != NULL;
}

static void
on_notice (VmmMachine *machine, const char *message, void *worker)
{
    note (worker, message);
}

/**
 * test_worker_make_machine:
 *
 * Makes the machine, which does not run yet.
 *
 * Returns: false with an error, as vmm_machine_new() and vmm_run_make_machine() set it
 */
bool
test_worker_make_machine (TestWorker *worker, GError **error)
{
    worker->config = vmm_config_copy (worker->run->config);
    if (!add_consoles (worker, error) || !find_kernel (worker, error))
        return false;
    if (worker->run->has_guest) {
        if (!make_guest (worker, error))
            return false;
    } else {
        worker->machine = vmm_machine_new (worker->config, error);
    }
    if (worker->machine != NULL)
        vmm_machine_set_notice (worker->machine, on_notice, worker);
    return worker->machine != NULL;
}

/**
 * test_worker_name_error:
 *
 * Returns: the verdict of a run whose machine could not be made
 */
const char *
test_worker_name_error (const GError *error)
{
    if (g_error_matches (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE))
        return "cannot-boot";
    return g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE) ? "setup" : "host-error";
}

/**
 * test_worker_stop_machine:
 * @reason: who or what stops it
 *
 * Ends the machine, if it is there and runs, without asking its guest.
 */
void
test_worker_stop_machine (TestWorker *worker, const char *reason)
{
    if (worker->guest != NULL)
        vmm_run_stop (worker->guest, reason);
    else if (worker->machine != NULL)
        vmm_machine_stop (worker->machine, reason);
}

/**
 * test_worker_drop_machine:
 *
 * Frees it, in any state. What it still had to say is then in the consoles' sockets.
 */
void
test_worker_drop_machine (TestWorker *worker)
{
    if (worker->guest != NULL)
        vmm_run_free (worker->guest);
    else
        vmm_machine_free (worker->machine);
    worker->guest = NULL;
    worker->machine = NULL;
    g_clear_pointer (&worker->config, vmm_config_free);
}
