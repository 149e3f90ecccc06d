/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine costs nothing while its guest wants nothing: no thread of it is scheduled, whatever devices it
 * has. With micro-guests on /dev/kvm.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "machine-kit.h"

/* How often the threads of this process have been scheduled, but the main one and those called @but. */
static uint64_t
count_switches (const char *but)
{
    g_autoptr (GDir) tasks = g_dir_open ("/proc/self/task", 0, NULL);
    const char *tid;
    uint64_t total = 0;

    while ((tid = g_dir_read_name (tasks)) != NULL) {
        g_autofree char *path = g_strdup_printf ("/proc/self/task/%s/status", tid);
        g_autofree char *name = g_strdup_printf ("Name:\t%s", but != NULL ? but : "");
        g_autofree char *text = NULL;
        const char *line;

        if (!g_file_get_contents (path, &text, NULL, NULL) ||
            (line = strstr (text, "\nvoluntary_ctxt_switches:")) == NULL || atoi (tid) == getpid () ||
            (but != NULL && g_str_has_prefix (text, name)))
            continue;
        total += g_ascii_strtoull (strchr (line, ':') + 1, NULL, 10);
    }
    return total;
}

/* A folder for what add_all_devices() makes, and its end. */
static char *
make_folder (void)
{
    char *folder = g_dir_make_tmp ("machine-XXXXXX", NULL);

    cr_assert_not_null (folder);
    return folder;
}

static void
remove_folder (const char *folder)
{
    g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *path = g_build_filename (folder, name, NULL);

        unlink (path);
    }
    rmdir (folder);
}

static void
set_in (VmmConfig *config, const char *key, const char *folder, const char *format)
{
    g_autofree char *value = g_strdup_printf (format, folder);

    set (config, key, value);
}

/* One of each, with each of its backends that any host has. */
static void
add_all_devices (VmmConfig *config, const char *folder)
{
    g_autofree char *raw = g_build_filename (folder, "raw", NULL);
    g_autofree char *qcow2 = g_build_filename (folder, "qcow2", NULL);

    cr_assert (vmm_disk_create (raw, VMM_DISK_RAW, 16 << 20, 0, NULL, VMM_DISK_RAW, false, NULL));
    cr_assert (vmm_disk_create (qcow2, VMM_DISK_QCOW2, 16 << 20, 0, NULL, VMM_DISK_RAW, false, NULL));
    set_in (config, "disk", folder, "%s/raw");
    set_in (config, "disk", folder, "%s/qcow2,format=qcow2,iops=1000,bps=1G");
    set (config, "net", "user");
    set_in (config, "net", folder, "socket,listen=%s/wire");
    set (config, "console", "pty");
    set_in (config, "console", folder, "socket=%s/agent,name=agent");
    set_in (config, "vsock", folder, "cid=3,path=%s/vsock");
    set (config, "balloon", "on");
    set (config, "rng", "on");
    set_in (config, "control", folder, "%s/control");
}

Test (machine_idle, an_idle_guest_causes_no_wake_up_whatever_its_devices, .timeout = 60)
{
    need_kvm ();
    g_autofree char *folder = make_folder ();
    g_autoptr (VmmConfig) config = make_config ("idle", -1, -1);
    set (config, "cpus", "2");
    add_all_devices (config, folder);
    VmmMachine *machine = make_machine (config);
    uint64_t before;
    unsigned dispatched = 0;

    cr_assert (vmm_machine_start (machine, NULL));
    /* The first looks at a guest, and the check for a slow host. */
    run_loop (4000);
    before = count_switches (NULL);
    for (unsigned i = 0; i < 40; i++) {
        dispatched += g_main_context_iteration (NULL, FALSE) ? 1 : 0;
        g_usleep (50000);
    }
    cr_assert_eq (dispatched, 0, "%u dispatches", dispatched);
    cr_assert_eq (count_switches (NULL), before);
    vmm_machine_stop (machine, "by the test");
    run (machine);
    vmm_machine_free (machine);
    remove_folder (folder);
}

/* The guest has used the first disk, and then only spins. */
Test (machine_idle, devices_rest_when_nothing_is_asked_of_them, .timeout = 60)
{
    need_kvm ();
    g_autofree char *folder = make_folder ();
    int out = temporary_file ();
    g_autoptr (VmmConfig) config = make_config ("bench-disk", -1, out);
    set (config, "mem", "128M");
    set (config, "cmdline", "depth=32 requests=300");
    add_all_devices (config, folder);
    VmmMachine *machine = make_machine (config);
    const VmmMachineInfo *info;
    uint64_t before;

    cr_assert (vmm_machine_start (machine, NULL));
    for (unsigned i = 0; i < 200; i++) {
        g_autofree char *text = contents (out);

        if (strstr (text, "done 300") != NULL)
            break;
        run_loop (100);
    }
    run_loop (500);
    info = vmm_machine_get_info (machine);
    cr_assert_eq (info->n_devices, 9);
    cr_assert_str_eq (info->devices[0].name, "disk0");
    cr_assert_eq (info->devices[0].requests, 300);
    /* Who has been asked looks whether there is something to do. */
    run_loop (200);
    before = count_switches ("vcpu");
    run_loop (2000);
    cr_assert_eq (count_switches ("vcpu"), before);
    vmm_machine_stop (machine, "by the test");
    cr_assert_eq (run (machine)->devices[0].requests, 300);
    vmm_machine_free (machine);
    remove_folder (folder);
}
