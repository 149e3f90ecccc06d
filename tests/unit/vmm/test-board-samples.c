/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine says of where its guest is, with micro-guests on /dev/kvm. */
#include <criterion/criterion.h>
#include <string.h>

#include "machine-kit.h"

#define HANG                                                                                                 \
    "^vCPU 0: at 0000000000[0-9a-f]{6} \\(pvh_entry\\+0x[01]/0x[0-9a-f]+\\), running the kernel, "           \
    "interrupts off\n"

/* The text, which may come later than the first try, @matches. */
static void
check (VmmMachine *machine, const char *regex)
{
    g_autofree char *text = NULL;

    for (unsigned i = 0; i < 100; i++) {
        g_free (text);
        text = vmm_machine_describe_vcpus (machine);
        cr_assert_not_null (text);
        if (g_regex_match_simple (regex, text, G_REGEX_DOLLAR_ENDONLY, 0))
            return;
        run_loop (50);
    }
    cr_assert_fail ("\"%s\" does not match %s", text, regex);
}

static void
end (VmmMachine *machine)
{
    vmm_machine_stop (machine, "by the test");
    run (machine);
    cr_assert_null (vmm_machine_describe_vcpus (machine), "it tells where a guest is that has ended");
    vmm_machine_free (machine);
}

Test (board_samples, they_are_taken_while_it_runs_and_while_it_is_paused, .timeout = 60)
{
    need_kvm ();
    g_autoptr (VmmConfig) config = make_config ("hang", -1, -1);
    set (config, "watchdog", "off");
    VmmMachine *machine = make_machine (config);

    cr_assert_null (vmm_machine_describe_vcpus (machine), "it tells where a guest is that has not begun");
    cr_assert (vmm_machine_start (machine, NULL));
    check (machine, HANG "$");
    cr_assert (vmm_machine_pause (machine, NULL));
    check (machine, HANG "$");
    check (machine, HANG "$");
    cr_assert_eq (vmm_machine_get_state (machine), VMM_MACHINE_PAUSED);
    cr_assert (vmm_machine_resume (machine, NULL));
    check (machine, HANG "$");
    cr_assert_eq (vmm_machine_get_state (machine), VMM_MACHINE_RUNNING);
    end (machine);
}

Test (board_samples, a_line_for_each_cpu_says_what_it_does, .timeout = 60)
{
    need_kvm ();
    g_autoptr (VmmConfig) config = make_config ("spin", -1, -1);
    set (config, "cpus", "3");
    VmmMachine *machine = make_machine (config);

    cr_assert (vmm_machine_start (machine, NULL));
    check (machine,
           "^vCPU 0: at [^,]*, running the kernel, interrupts on\nvCPU 1: at [^,]*, off, interrupts off\n"
           "vCPU 2: at [^,]*, off, interrupts off\n$");
    end (machine);
    g_autoptr (VmmConfig) idle = make_config ("idle", -1, -1);
    machine = make_machine (idle);
    cr_assert (vmm_machine_start (machine, NULL));
    check (machine, "^vCPU 0: at [^,]* \\(pvh_entry\\+[^,]*, waiting for an interrupt, interrupts on\n$");
    end (machine);
}

/* The guest has used its disk, and then spins in user mode. */
Test (board_samples, a_program_is_no_kernel, .timeout = 60)
{
    need_kvm ();
    char path[] = "/tmp/board-samples-XXXXXX";
    int fd = g_mkstemp (path);
    cr_assert_geq (fd, 0);
    cr_assert_eq (ftruncate (fd, 16 << 20), 0);
    g_autoptr (VmmConfig) config = make_config ("bench-disk", -1, -1);
    set (config, "mem", "128M");
    set (config, "cmdline", "depth=1 requests=10");
    set (config, "disk", path);
    VmmMachine *machine = make_machine (config);

    cr_assert (vmm_machine_start (machine, NULL));
    check (machine, "^vCPU 0: at [^,]*, running a program, interrupts o");
    end (machine);
    unlink (path);
    close (fd);
}

Test (board_samples, functions_are_called_as_the_given_symbols_say, .timeout = 60)
{
    need_kvm ();
    char path[] = "/tmp/board-samples-XXXXXX";
    int fd = g_mkstemp (path);
    static const char map[] = "0000000000000fff T before\n0000000000100000 T the_guest\n";
    cr_assert_eq (write (fd, map, sizeof map - 1), sizeof map - 1);
    g_autoptr (VmmConfig) config = make_config ("hang", -1, -1);
    set (config, "symbols", path);
    VmmMachine *machine = make_machine (config);

    cr_assert (vmm_machine_start (machine, NULL));
    check (machine, "^vCPU 0: at [^,]* \\(the_guest\\+0x[0-9a-f]+/0x1000\\), running the kernel");
    end (machine);
    unlink (path);
    close (fd);
}

Test (board_samples, looking_often_changes_nothing_for_the_guest, .timeout = 60)
{
    need_kvm ();
    int out = temporary_file ();
    g_autoptr (VmmConfig) config = make_config ("flood", -1, out);
    set (config, "cmdline", "how=byte bytes=16384");
    VmmMachine *machine = make_machine (config);
    unsigned looks = 0;

    cr_assert (vmm_machine_start (machine, NULL));
    while (vmm_machine_get_verdict (machine) == NULL) {
        g_autofree char *text = vmm_machine_describe_vcpus (machine);

        looks++;
        while (g_main_context_iteration (NULL, FALSE))
            ;
    }
    cr_assert_eq (vmm_machine_get_verdict (machine)->kind, VMM_VERDICT_POWEROFF);
    cr_assert_gt (looks, 2);
    g_autofree char *text = contents (out);
    cr_assert_eq (strlen (text), 16384);
    for (unsigned i = 0; i < 256; i++) {
        g_autofree char *number = g_strdup_printf ("%08x", i);

        cr_assert_eq (strncmp (text + i * 64, number, 8), 0, "line %u is \"%.62s\"", i, text + i * 64);
    }
    vmm_machine_free (machine);
    close (out);
}

/* A CPU that waits for the host answers late, or not: nobody waits for it for long. */
Test (board_samples, a_guest_that_is_held_back_holds_nobody_up, .timeout = 60)
{
    need_kvm ();
    int fds[2];
    cr_assert_eq (pipe (fds), 0);
    g_autoptr (VmmConfig) config = make_config ("flood", -1, fds[1]);
    set (config, "cmdline", "how=string bytes=1048576");
    VmmMachine *machine = make_machine (config);
    int64_t before;

    cr_assert (vmm_machine_start (machine, NULL));
    run_loop (1000);
    before = g_get_monotonic_time ();
    check (machine, "^vCPU 0: ");
    cr_assert_lt (g_get_monotonic_time () - before, 4 * G_USEC_PER_SEC);
    end (machine);
    close (fds[0]);
    close (fds[1]);
}
