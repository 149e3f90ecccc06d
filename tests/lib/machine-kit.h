/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of whole machines, with micro-guests on /dev/kvm, have in common. GUESTS is the guests' folder.
 */
#ifndef TESTS_MACHINE_KIT_H
#define TESTS_MACHINE_KIT_H

#include <vmm/vmm.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>

static inline void
need_kvm (void)
{
    int fd = open ("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        cr_skip_test ("cannot open /dev/kvm: %s", g_strerror (errno));
    close (fd);
}

/* @guest as in tests/guests, NULL for the built-in one; output goes to @out_fd, which may be -1. */
static inline VmmConfig *
make_config (const char *guest, int in_fd, int out_fd)
{
    VmmConfig *config = vmm_config_new ();
    g_autofree char *path = g_strdup_printf ("%s/%s.elf", GUESTS, guest);

    if (guest != NULL)
        cr_assert (vmm_config_set (config, "kernel", path, NULL));
    cr_assert (vmm_config_set (config, "mem", "32M", NULL));
    vmm_config_set_serial_fds (config, in_fd, out_fd);
    return config;
}

static inline void
set (VmmConfig *config, const char *key, const char *value)
{
    cr_assert (vmm_config_set (config, key, value, NULL), "%s %s", key, value);
}

static inline VmmMachine *
make_machine (const VmmConfig *config)
{
    g_autoptr (GError) error = NULL;
    VmmMachine *machine = vmm_machine_new (config, &error);

    cr_assert_not_null (machine, "%s", error != NULL ? error->message : "");
    return machine;
}

static inline const VmmVerdict *
run (VmmMachine *machine)
{
    g_autoptr (GError) error = NULL;
    const VmmVerdict *verdict = vmm_machine_run (machine, &error);

    cr_assert_not_null (verdict, "%s", error != NULL ? error->message : "");
    return verdict;
}

static inline void
run_loop (int ms)
{
    gint64 end = g_get_monotonic_time () + ms * 1000;

    while (g_get_monotonic_time () < end) {
        while (g_main_context_iteration (NULL, FALSE))
            ;
        g_usleep (500);
    }
}

static inline int
temporary_file (void)
{
    char path[] = "/tmp/test-machine-XXXXXX";
    int fd = g_mkstemp (path);

    cr_assert_geq (fd, 0);
    unlink (path);
    return fd;
}

static inline char *
contents (int fd)
{
    off_t size = lseek (fd, 0, SEEK_END);
    char *text = g_malloc0 ((gsize)size + 1);

    cr_assert_eq (pread (fd, text, (size_t)size, 0), size);
    return text;
}

#endif
