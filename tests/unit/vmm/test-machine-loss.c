/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a machine whose host stores nothing any more: on /dev/kvm, with a guest that writes and never
 * flushes.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "machine-kit.h"

static bool fail_syncs;

int __real_fdatasync (int fd);
int __wrap_fdatasync (int fd);
int
__wrap_fdatasync (int fd)
{
    if (!fail_syncs)
        return __real_fdatasync (fd);
    errno = EIO;
    return -1;
}

static void
check_kind (const VmmVerdict *verdict, VmmVerdictKind kind)
{
    cr_assert_eq (verdict->kind, kind, "%s: %s", vmm_verdict_kind_to_string (verdict->kind), verdict->reason);
}

/* The guest says "begin" and "done". */
static unsigned
count_lines (int fd)
{
    char text[4096];
    ssize_t n = pread (fd, text, sizeof text, 0);
    unsigned lines = 0;

    for (ssize_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    return lines;
}

static void
on_loss (VmmMachine *machine, const char *message, void *user)
{
    if (strstr (message, "is lost") != NULL)
        g_string_append (user, message);
}

/* A guest that writes and powers off, or is ended: what it did not flush cannot be stored. */
static const VmmVerdict *
run_writer (VmmMachine **ret_machine, bool ends, GString *told)
{
    g_autofree char *folder = g_dir_make_tmp ("machine-XXXXXX", NULL);
    g_autofree char *image = g_build_filename (folder, "a.qcow2", NULL);
    g_autofree char *disk = g_strconcat (image, ",format=qcow2", NULL);
    g_autoptr (VmmConfig) config = vmm_config_new ();
    g_autofree char *output = g_build_filename (folder, "out", NULL);
    int out_fd = open (output, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    gint64 end = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
    g_autoptr (GError) error = NULL;
    const VmmVerdict *verdict = NULL;

    cr_assert (vmm_disk_create (image, VMM_DISK_QCOW2, 64 << 20, 0, NULL, VMM_DISK_RAW, false, NULL));
    set (config, "kernel", GUESTS "/bench-disk.elf");
    set (config, "disk", disk);
    set (config, "cmdline", ends ? "write=1 requests=20 off=1" : "write=1 requests=20");
    set (config, "mem", "64M");
    vmm_config_set_serial_fds (config, -1, out_fd);
    *ret_machine = vmm_machine_new (config, &error);
    cr_assert_not_null (*ret_machine, "%s", error->message);
    vmm_machine_set_notice (*ret_machine, on_loss, told);
    if (ends) {
        verdict = vmm_machine_run (*ret_machine, NULL);
        cr_assert_not_null (verdict);
    } else {
        cr_assert (vmm_machine_start (*ret_machine, NULL));
        while (count_lines (out_fd) < 2 && g_get_monotonic_time () < end) {
            g_main_context_iteration (NULL, FALSE);
            g_usleep (500);
        }
    }
    g_unlink (image);
    g_unlink (output);
    g_rmdir (folder);
    /* The output is the machine's as long as it is there. */
    return verdict;
}

Test (machine_loss, a_run_is_no_success_when_something_is_lost, .timeout = 60)
{
    g_autoptr (GString) told = g_string_new (NULL);
    VmmMachine *machine;
    const VmmVerdict *verdict;

    need_kvm ();
    check_kind (run_writer (&machine, true, told), VMM_VERDICT_POWEROFF);
    vmm_machine_free (machine);
    cr_assert_str_eq (told->str, "");
    fail_syncs = true;
    verdict = run_writer (&machine, true, told);
    check_kind (verdict, VMM_VERDICT_HOST_ERROR);
    cr_assert_eq (verdict->exit_code, 4);
    cr_assert_not_null (strstr (verdict->reason, "powered off"), "%s", verdict->reason);
    cr_assert_not_null (strstr (told->str, "a.qcow2"), "%s", told->str);
    g_string_truncate (told, 0);
    vmm_machine_free (machine);
    cr_assert_str_eq (told->str, "", "it is told twice");
}

Test (machine_loss, what_is_lost_is_told_without_a_verdict_too, .timeout = 60)
{
    g_autoptr (GString) told = g_string_new (NULL);
    VmmMachine *machine;

    need_kvm ();
    fail_syncs = true;
    run_writer (&machine, false, told);
    vmm_machine_free (machine);
    cr_assert_not_null (strstr (told->str, "a.qcow2"), "%s", told->str);
}

/* Output to a disk without room, and to a reader that has had enough. */
Test (machine_loss, output_that_cannot_be_stored_is_told, .timeout = 60)
{
    static const struct {
        const char *serial, *console, *who;
    } rows[] = {
        {"file=/dev/full", NULL, "the serial console"},
        {NULL, NULL, NULL},
        {NULL, "file=/dev/full", NULL}, /* the guest says nothing there */
    };

    need_kvm ();
    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++) {
        g_autoptr (GString) told = g_string_new (NULL);
        g_autoptr (VmmConfig) config = vmm_config_new ();
        int fds[2];
        VmmMachine *machine;

        cr_assert_eq (pipe2 (fds, O_CLOEXEC), 0);
        close (fds[0]);
        set (config, "mem", "32M");
        vmm_config_set_serial_fds (config, -1, fds[1]);
        if (rows[i].serial != NULL)
            set (config, "serial", rows[i].serial);
        if (rows[i].console != NULL)
            set (config, "console", rows[i].console);
        machine = vmm_machine_new (config, NULL);
        cr_assert_not_null (machine);
        vmm_machine_set_notice (machine, on_loss, told);
        check_kind (vmm_machine_run (machine, NULL),
                    rows[i].who != NULL ? VMM_VERDICT_HOST_ERROR : VMM_VERDICT_POWEROFF);
        if (rows[i].who != NULL)
            cr_assert_not_null (strstr (told->str, rows[i].who), "%s", told->str);
        else
            cr_assert_str_eq (told->str, "");
        vmm_machine_free (machine);
        close (fds[1]);
    }
}
