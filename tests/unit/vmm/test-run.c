/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../loader/images.h"
#include "vmm/error.h"
#include "vmm/run-internal.h"

static VmmRun *run;
static VmmConfig *config;
static const char *const command[] = {"make", "check", NULL};

static void
enter (void)
{
    run = vmm_run_new ();
    config = vmm_config_new ();
}

static void
leave (void)
{
    vmm_run_free (run);
    vmm_config_free (config);
}

TestSuite (run, .init = enter, .fini = leave);

static void
check_error (const GError *error, VmmError code, const char *part)
{
    cr_assert_not_null (error);
    cr_expect (g_error_matches (error, VMM_ERROR, code), "%s", error->message);
    cr_expect_not_null (strstr (error->message, part), "%s", error->message);
}

static void
expect_no_machine (VmmError code, const char *part)
{
    g_autoptr (GError) error = NULL;

    cr_expect_null (vmm_run_make_machine (run, config, &error));
    check_error (error, code, part);
}

Test (run, no_command)
{
    static const char *const none[] = {NULL};

    expect_no_machine (VMM_ERROR_USAGE, "there is no command");
    vmm_run_set_command (run, none);
    expect_no_machine (VMM_ERROR_USAGE, "there is no command");
}

Test (run, no_kernel)
{
    vmm_run_set_command (run, command);
    expect_no_machine (VMM_ERROR_USAGE, "--kernel");
}

Test (run, kernel_that_is_not_there)
{
    vmm_run_set_command (run, command);
    cr_assert (vmm_config_set (config, "kernel", "/no/such/kernel", NULL));
    vmm_run_set_root (run, "/no/such/root");
    expect_no_machine (VMM_ERROR_USAGE, "/no/such/");
}

Test (run, kernel_that_is_no_linux)
{
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = NULL;
    g_autofree char *folder = g_dir_make_tmp ("vmm-run-XXXXXX", NULL);
    g_autofree char *path = g_build_filename (folder, "kernel", NULL);

    spec.linux_note = false;
    elf = image_elf (&spec);
    cr_assert (g_file_set_contents (path, (const char *)elf->data, elf->len, NULL));
    vmm_run_set_command (run, command);
    vmm_run_set_root (run, folder);
    cr_assert (vmm_config_set (config, "kernel", path, NULL));
    expect_no_machine (VMM_ERROR_NOT_BOOTABLE, "only Linux can run a command");
    unlink (path);
    rmdir (folder);
}

Test (run, argument_that_is_too_long)
{
    g_autofree char *word = g_strnfill (100000, 'x');
    const char *const argv[] = {"echo", word, NULL};

    vmm_run_set_command (run, argv);
    cr_assert (vmm_config_set (config, "kernel", "/no/such/kernel", NULL));
    expect_no_machine (VMM_ERROR_USAGE, "100000 bytes");
}

Test (run, variables)
{
    static const char *const wrong[] = {"", "NAME", "=value"};

    for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++) {
        g_autoptr (GError) error = NULL;

        cr_expect_not (vmm_run_add_env (run, wrong[i], &error));
        check_error (error, VMM_ERROR_USAGE, "say NAME=value");
    }
    cr_expect_eq (run->job.env->len, 0);
    cr_expect (vmm_run_add_env (run, "A=1", NULL));
    cr_expect (vmm_run_add_env (run, "AB=2", NULL));
    cr_expect (vmm_run_add_env (run, "A==", NULL));
    cr_assert_eq (run->job.env->len, 2);
    cr_expect_str_eq (run->job.env->pdata[0], "AB=2");
    cr_expect_str_eq (run->job.env->pdata[1], "A==");
}

Test (run, paths_in_the_guest_are_absolute)
{
    static const char *const wrong[] = {"", "opt", "./opt", "../opt"};

    for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++) {
        g_autoptr (GError) copy = NULL;
        g_autoptr (GError) out = NULL;

        cr_expect_not (vmm_run_add_copy (run, "file", wrong[i], &copy));
        check_error (copy, VMM_ERROR_USAGE, "copy \"");
        cr_expect_not (vmm_run_add_output (run, wrong[i], "file", &out));
        check_error (out, VMM_ERROR_USAGE, "begins with a slash");
    }
    cr_expect (vmm_run_add_copy (run, "file", "/opt", NULL));
    cr_expect (vmm_run_add_output (run, "/opt", "file", NULL));
}

Test (run, outputs_without_a_place)
{
    vmm_run_set_command (run, command);
    cr_assert (vmm_config_set (config, "kernel", "/no/such/kernel", NULL));
    cr_assert (vmm_run_add_output (run, "/w", "/no/such/folder/w", NULL));
    expect_no_machine (VMM_ERROR_USAGE, "output \"/no/such/folder\"");
}

Test (run, settings_are_copied_and_replaced)
{
    char text[] = "one";
    const char *const argv[] = {text, NULL};

    vmm_run_set_command (run, argv);
    vmm_run_set_folder (run, text);
    vmm_run_set_user (run, "somebody");
    vmm_run_set_user (run, NULL);
    vmm_run_set_terminal (run, 80, 24, text);
    text[0] = 'X';
    cr_expect_str_eq (run->job.argv[0], "one");
    cr_expect_str_eq (run->job.folder, "one");
    cr_expect_null (run->job.user);
    cr_expect_str_eq (run->job.term, "one");
}

Test (run, without_a_machine_nothing_happens)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *console = vmm_run_get_console (run);

    vmm_run_resize_terminal (run, 80, 24);
    vmm_run_stop (run, "by a test");
    cr_expect_not (vmm_run_send_signal (run, 15));
    cr_expect_str_eq (console, "");
    cr_expect_null (vmm_run_wait (run, &error));
    check_error (error, VMM_ERROR_USAGE, "no machine");
}

Test (run, a_failure_leaves_nothing_open)
{
    int before = open ("/", O_RDONLY | O_CLOEXEC);
    int after;

    vmm_run_set_command (run, command);
    cr_assert (vmm_config_set (config, "kernel", "/no/such/kernel", NULL));
    for (unsigned i = 0; i < 3; i++)
        expect_no_machine (VMM_ERROR_USAGE, "/no/such/kernel");
    vmm_run_free (g_steal_pointer (&run));
    after = open ("/", O_RDONLY | O_CLOEXEC);
    cr_expect_leq (after, before + 1);
    close (after);
    close (before);
}

Test (run, names_of_ends)
{
    cr_expect_str_eq (vmm_command_end_to_string (VMM_COMMAND_EXITED), "exited");
    cr_expect_str_eq (vmm_command_end_to_string (VMM_COMMAND_SIGNALLED), "signalled");
    cr_expect_str_eq (vmm_command_end_to_string (VMM_COMMAND_NOT_STARTED), "not-started");
    cr_expect_str_eq (vmm_command_end_to_string ((VmmCommandEnd)99), "unknown");
    vmm_run_free (NULL);
}
