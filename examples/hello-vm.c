/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest program on libvmm: boots a kernel on the terminal and says what became of it.
 *
 *     hello-vm [KERNEL [KEY=VALUE...]]
 *
 * KERNEL is a bzImage, a vmlinux or another kernel with a PVH entry; without one libvmm boots a tiny guest
 * that it carries in itself. KEY=VALUE are those of vmm-config(5), such as mem=256M or initrd=initrd.img.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vmm/vmm.h>

/* "mem=256M" */
static bool
set_pair (VmmConfig *config, const char *pair, GError **error)
{
    const char *equals = strchr (pair, '=');
    g_autofree char *key = NULL;

    if (equals == NULL) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "\"%s\" is not of the form KEY=VALUE", pair);
        return false;
    }
    key = g_strndup (pair, (gsize)(equals - pair));
    return vmm_config_set (config, key, equals + 1, error);
}

/* What the machine is to be. Its console is this program's input and output. */
static VmmConfig *
make_config (int argc, char **argv, GError **error)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();

    vmm_config_set_serial_fds (config, STDIN_FILENO, STDOUT_FILENO);
    if (!vmm_config_set (config, "mem", "256M", error))
        return NULL;
    if (argc > 1 && !vmm_config_set (config, "kernel", argv[1], error))
        return NULL;
    for (int i = 2; i < argc; i++) {
        if (!set_pair (config, argv[i], error))
            return NULL;
    }
    return (VmmConfig *)g_steal_pointer (&config);
}

static void
on_notice (VmmMachine *machine, const char *message, void *user)
{
    (void)machine;
    (void)user;
    fprintf (stderr, "hello-vm: note: %s\n", message);
}

int
main (int argc, char **argv)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (VmmConfig) config = make_config (argc, argv, &error);
    g_autoptr (VmmMachine) machine = config != NULL ? vmm_machine_new (config, &error) : NULL;
    const VmmVerdict *verdict = NULL;

    if (machine != NULL) {
        vmm_machine_set_notice (machine, on_notice, NULL);
        verdict = vmm_machine_run (machine, &error);
    }
    if (verdict == NULL) {
        fprintf (stderr, "hello-vm: %s\n", error->message);
        return vmm_exit_code_for_error (error);
    }
    fprintf (stderr, "hello-vm: %s: %s (%.0f ms)\n", vmm_verdict_kind_to_string (verdict->kind),
             verdict->reason, (double)(verdict->end_ns - verdict->start_ns) / 1e6);
    return verdict->exit_code;
}
