/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of machines as an embedding program sees it, with micro-guests on /dev/kvm. A library may leave no
 * thread, descriptor or signal setting behind, and its machines may not know of each other.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "machine-kit.h"

static VmmMachine *
make_guest (const char *guest, int in_fd, int out_fd)
{
    g_autoptr (VmmConfig) config = make_config (guest, in_fd, out_fd);

    return make_machine (config);
}

static void
check_kind (const VmmVerdict *verdict, VmmVerdictKind kind)
{
    cr_assert_eq (verdict->kind, kind, "%s: %s", vmm_verdict_kind_to_string (verdict->kind), verdict->reason);
}

/* Entries of a folder of /proc/self. */
static unsigned
count (const char *path)
{
    DIR *dir = opendir (path);
    unsigned n = 0;

    cr_assert_not_null (dir);
    while (readdir (dir) != NULL)
        n++;
    closedir (dir);
    return n;
}

/* A thread that was joined is in /proc a moment longer. */
static void
check_nothing_left (unsigned fds, unsigned threads)
{
    for (unsigned i = 0; i < 200 && count ("/proc/self/task") > threads; i++)
        g_usleep (5000);
    cr_assert_eq (count ("/proc/self/task"), threads, "threads are left");
    cr_assert_eq (count ("/proc/self/fd"), fds, "descriptors are left");
}

/* What the flood guest sends. */
static void
check_flood (const char *text, unsigned lines)
{
    const char *p = text;

    for (unsigned i = 0; i < lines; i++) {
        g_autofree char *number = g_strdup_printf ("%08x", i);

        cr_assert_eq (strncmp (p, number, 8), 0, "line %u is \"%.62s\"", i, p);
        cr_assert_eq (strncmp (p + 62, "\r\n", 2), 0, "line %u", i);
        p += 64;
    }
    cr_assert_eq (*p, '\0');
}

Test (machine, machines_of_one_process_do_not_know_of_each_other, .timeout = 60)
{
    need_kvm ();
    static const struct {
        const char *guest;
        VmmVerdictKind kind;
        int exit_code;
    } rows[] = {
        {"flood", VMM_VERDICT_POWEROFF, 0},
        {"debug-exit", VMM_VERDICT_GUEST_EXIT, 33},
        {"triple-fault", VMM_VERDICT_TRIPLE_FAULT, 14},
        {"reset-acpi", VMM_VERDICT_REBOOT, 8},
        {"halt", VMM_VERDICT_HALT, 10},
        {"flood", VMM_VERDICT_POWEROFF, 0},
    };
    VmmMachine *machines[G_N_ELEMENTS (rows)];
    int outputs[G_N_ELEMENTS (rows)];

    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++) {
        outputs[i] = temporary_file ();
        g_autoptr (VmmConfig) config = make_config (rows[i].guest, -1, outputs[i]);
        set (config, "cmdline", i == 0 ? "how=byte bytes=16384" : "how=string bytes=32768");
        machines[i] = make_machine (config);
    }
    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++)
        cr_assert (vmm_machine_start (machines[i], NULL));
    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++) {
        while (vmm_machine_get_verdict (machines[i]) == NULL)
            g_main_context_iteration (NULL, TRUE);
    }
    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++) {
        const VmmVerdict *verdict = vmm_machine_get_verdict (machines[i]);
        g_autofree char *text = contents (outputs[i]);

        check_kind (verdict, rows[i].kind);
        cr_assert_eq (verdict->exit_code, rows[i].exit_code);
        cr_assert_eq (verdict->output_bytes, strlen (text));
        if (strcmp (rows[i].guest, "flood") == 0)
            check_flood (text, i == 0 ? 256 : 512);
        else
            cr_assert_str_eq (text, "");
        vmm_machine_free (machines[i]);
        close (outputs[i]);
    }
}

Test (machine, a_pause_in_the_middle_of_output_loses_nothing, .timeout = 60)
{
    need_kvm ();
    int out = temporary_file ();
    g_autoptr (VmmConfig) config = make_config ("flood", -1, out);
    set (config, "cmdline", "how=byte bytes=16384");
    VmmMachine *machine = make_machine (config);
    unsigned pauses = 0;

    cr_assert (vmm_machine_start (machine, NULL));
    while (vmm_machine_get_verdict (machine) == NULL) {
        off_t before;

        run_loop (20);
        if (!vmm_machine_pause (machine, NULL))
            break;
        /* What the guest had sent leaves. */
        run_loop (10);
        before = lseek (out, 0, SEEK_END);
        run_loop (10);
        if (vmm_machine_get_verdict (machine) == NULL) {
            cr_assert_eq (lseek (out, 0, SEEK_END), before, "a paused guest runs");
            pauses += before > 0 && before < 16384;
            cr_assert (vmm_machine_resume (machine, NULL));
        }
    }
    check_kind (run (machine), VMM_VERDICT_POWEROFF);
    g_autofree char *text = contents (out);
    check_flood (text, 256);
    cr_assert_gt (pauses, 0, "the guest was done before it could be paused");
    vmm_machine_free (machine);
}

Test (machine, calls_at_the_wrong_time_are_refused, .timeout = 60)
{
    need_kvm ();
    VmmMachine *machine = make_guest ("spin", -1, -1);
    g_autoptr (GError) error = NULL;

    cr_assert_null (vmm_machine_get_verdict (machine));
    cr_assert_not (vmm_machine_pause (machine, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_BUSY));
    cr_assert_not (vmm_machine_resume (machine, NULL));
    cr_assert (vmm_machine_start (machine, NULL));
    cr_assert_not (vmm_machine_start (machine, NULL));
    cr_assert_not (vmm_machine_resume (machine, NULL));
    cr_assert (vmm_machine_pause (machine, NULL));
    cr_assert_not (vmm_machine_pause (machine, NULL));
    cr_assert (vmm_machine_resume (machine, NULL));
    vmm_machine_stop (machine, NULL);
    check_kind (run (machine), VMM_VERDICT_STOPPED);
    cr_assert_str_eq (vmm_machine_get_verdict (machine)->reason, "stopped");
    cr_assert_not (vmm_machine_pause (machine, NULL));
    cr_assert_not (vmm_machine_resume (machine, NULL));
    cr_assert_not (vmm_machine_start (machine, NULL));
    /* The end of a run stays as it is. */
    vmm_machine_stop (machine, "too late");
    run_loop (10);
    cr_assert_str_eq (vmm_machine_get_verdict (machine)->reason, "stopped");
    vmm_machine_free (machine);
}

Test (machine, a_paused_machine_can_be_stopped_and_its_time_goes_on, .timeout = 60)
{
    need_kvm ();
    VmmMachine *machine = make_guest ("spin", -1, -1);
    g_autoptr (VmmConfig) config = make_config ("spin", -1, -1);

    cr_assert (vmm_machine_start (machine, NULL));
    run_loop (10);
    cr_assert (vmm_machine_pause (machine, NULL));
    vmm_machine_stop (machine, "while paused");
    check_kind (run (machine), VMM_VERDICT_STOPPED);
    cr_assert_str_eq (vmm_machine_get_verdict (machine)->reason, "stopped: while paused");
    vmm_machine_free (machine);

    set (config, "timeout", "0.2");
    machine = make_machine (config);
    cr_assert (vmm_machine_start (machine, NULL));
    cr_assert (vmm_machine_pause (machine, NULL));
    check_kind (run (machine), VMM_VERDICT_TIMEOUT);
    vmm_machine_free (machine);
}

Test (machine, pauses_and_samples_at_all_moments, .timeout = 60)
{
    need_kvm ();
    g_autoptr (VmmConfig) config = make_config ("hammer", -1, -1);
    set (config, "cpus", "2");
    set (config, "watchdog", "0.5");
    VmmMachine *machine = make_machine (config);

    cr_assert (vmm_machine_start (machine, NULL));
    for (unsigned i = 0; i < 500; i++) {
        cr_assert (vmm_machine_pause (machine, NULL), "round %u", i);
        g_main_context_iteration (NULL, FALSE);
        cr_assert (vmm_machine_resume (machine, NULL), "round %u", i);
        g_main_context_iteration (NULL, FALSE);
        /* Now and then it gets to run, and the watchdog to look. */
        if (i % 50 == 0)
            run_loop (30);
    }
    vmm_machine_stop (machine, "by the test");
    check_kind (run (machine), VMM_VERDICT_STOPPED);
    vmm_machine_free (machine);
}

static gpointer
stop_soon (gpointer machine)
{
    g_usleep (50000);
    vmm_machine_stop (machine, "from another thread");
    return NULL;
}

Test (machine, any_thread_may_stop_it, .timeout = 60)
{
    need_kvm ();
    static const char *const guests[] = {"spin", "hang", "halt", "echo"};

    for (size_t i = 0; i < G_N_ELEMENTS (guests); i++) {
        VmmMachine *machine = make_guest (guests[i], -1, -1);
        GThread *thread = g_thread_new ("stopper", stop_soon, machine);
        gint64 start = g_get_monotonic_time ();

        check_kind (run (machine), VMM_VERDICT_STOPPED);
        cr_assert_str_eq (vmm_machine_get_verdict (machine)->reason, "stopped: from another thread");
        cr_assert_lt (g_get_monotonic_time () - start, 2 * G_USEC_PER_SEC, "%s", guests[i]);
        g_thread_join (thread);
        vmm_machine_free (machine);
    }
}

static gpointer
stop_often (gpointer machine)
{
    for (unsigned i = 0; i < 20; i++)
        vmm_machine_press_power_button (machine);
    g_usleep (g_random_int_range (0, 40000));
    vmm_machine_stop (machine, "while it reboots");
    return NULL;
}

/* The board is replaced all the time; a stop from elsewhere may come at any moment of it. */
Test (machine, a_machine_that_reboots_all_the_time_can_be_stopped, .timeout = 120)
{
    need_kvm ();
    g_autoptr (VmmConfig) config = make_config ("reset-acpi", -1, -1);
    unsigned most = 0;
    set (config, "on-reboot", "reboot");

    for (unsigned i = 0; i < 30; i++) {
        VmmMachine *machine = make_machine (config);
        GThread *thread = g_thread_new ("stopper", stop_often, machine);
        const VmmVerdict *verdict = run (machine);

        check_kind (verdict, VMM_VERDICT_STOPPED);
        most = MAX (most, verdict->boots);
        g_thread_join (thread);
        vmm_machine_free (machine);
    }
    cr_assert_gt (most, 1, "no machine was started twice");
}

/* A guest that asks for a reboot just before a pause gets it after the pause. */
Test (machine, a_paused_machine_does_not_reboot, .timeout = 60)
{
    need_kvm ();
    g_autoptr (VmmConfig) config = make_config ("reset-acpi", -1, -1);
    set (config, "on-reboot", "reboot");
    VmmMachine *machine = make_machine (config);

    cr_assert (vmm_machine_start (machine, NULL));
    /* It has asked by now, and the loop has not looked yet. */
    g_usleep (100000);
    cr_assert (vmm_machine_pause (machine, NULL));
    run_loop (50);
    cr_assert (vmm_machine_resume (machine, NULL));
    g_usleep (100000);
    cr_assert (vmm_machine_pause (machine, NULL));
    run_loop (50);
    vmm_machine_stop (machine, NULL);
    const VmmVerdict *verdict = run (machine);
    check_kind (verdict, VMM_VERDICT_STOPPED);
    cr_assert_leq (verdict->boots, 2, "it was started %u times", verdict->boots);
    vmm_machine_free (machine);
}

/* Each boot has a new board, and what was asked of the guest is asked again. */
Test (machine, the_balloon_keeps_its_size_over_reboots, .timeout = 60)
{
    need_kvm ();
    g_autoptr (VmmConfig) config = make_config ("reset-acpi", -1, -1);
    g_autoptr (GError) error = NULL;
    const VmmBalloonInfo *info;
    gint64 end = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;

    set (config, "on-reboot", "reboot");
    set (config, "balloon", "on,size=4M");
    VmmMachine *machine = make_machine (config);

    cr_assert (vmm_machine_start (machine, NULL));
    cr_assert (vmm_machine_set_balloon (machine, NULL, 8 << 20, &error));
    while (vmm_machine_get_info (machine)->boots < 3 && g_get_monotonic_time () < end)
        run_loop (5);
    cr_assert_geq (vmm_machine_get_info (machine)->boots, 3);
    info = vmm_machine_get_balloon (machine, NULL, &error);
    cr_assert_not_null (info);
    cr_assert_eq (info->target_bytes, 8 << 20);
    vmm_machine_stop (machine, NULL);
    check_kind (run (machine), VMM_VERDICT_STOPPED);
    vmm_machine_free (machine);
}

Test (machine, a_machine_can_be_freed_in_any_state, .timeout = 60)
{
    need_kvm ();
    static const char *const guests[] = {"spin", "flood", "hang", "console-lies", "echo"};
    vmm_machine_free (make_guest ("poweroff", -1, -1));
    unsigned fds = count ("/proc/self/fd");
    unsigned threads = count ("/proc/self/task");

    for (size_t i = 0; i < G_N_ELEMENTS (guests); i++) {
        for (int ms = 0; ms <= 30; ms += 10) {
            g_autoptr (VmmConfig) config = make_config (guests[i], -1, -1);
            set (config, "cpus", "2");
            set (config, "watchdog", "0.01");
            VmmMachine *machine = make_machine (config);

            cr_assert (vmm_machine_start (machine, NULL));
            run_loop (ms);
            vmm_machine_free (machine);
        }
    }
    VmmMachine *paused = make_guest ("spin", -1, -1);
    cr_assert (vmm_machine_start (paused, NULL));
    cr_assert (vmm_machine_pause (paused, NULL));
    vmm_machine_free (paused);
    vmm_machine_free (make_guest ("spin", -1, -1));
    vmm_machine_free (NULL);
    check_nothing_left (fds, threads);
    /* No source of a machine that is gone is still in the loop. */
    run_loop (20);
}

Test (machine, fifty_machines_leave_nothing, .timeout = 120)
{
    need_kvm ();
    unsigned fds = 0;
    unsigned threads = 0;

    for (unsigned i = 0; i < 51; i++) {
        int out = temporary_file ();
        g_autoptr (VmmConfig) config = make_config (i % 2 ? "poweroff" : NULL, -1, out);
        VmmMachine *machine;

        set (config, "cpus", i % 3 ? "1" : "3");
        machine = make_machine (config);
        vmm_config_free (g_steal_pointer (&config));
        check_kind (run (machine), VMM_VERDICT_POWEROFF);
        vmm_machine_free (machine);
        close (out);
        if (i == 0) {
            /* What glib makes once for the process. */
            fds = count ("/proc/self/fd");
            threads = count ("/proc/self/task");
        }
    }
    check_nothing_left (fds, threads);
}

Test (machine, a_machine_that_cannot_be_made_leaves_nothing, .timeout = 60)
{
    need_kvm ();
    static const struct {
        const char *key;
        const char *value;
        VmmError error;
        const char *says;
    } rows[] = {
        {"kernel", "/nonexistent/vmlinuz", VMM_ERROR_USAGE, "kernel \"/nonexistent/vmlinuz\": No such file"},
        {"kernel", "/tmp", VMM_ERROR_USAGE, "directory"},
        {"kernel", "/dev/null", VMM_ERROR_USAGE, "regular file"},
        {"kernel", "/etc/passwd", VMM_ERROR_NOT_BOOTABLE, "/etc/passwd"},
        {"kernel", "/proc/self/exe", VMM_ERROR_NOT_BOOTABLE, "/proc/self/exe"},
        {"initrd", "/nonexistent/initrd", VMM_ERROR_USAGE, "initrd \"/nonexistent/initrd\": No such file"},
        {"initrd", "/tmp", VMM_ERROR_USAGE, "/tmp"},
        {"cpus", "4096", VMM_ERROR_USAGE, "cpus \"4096\": KVM on this host allows at most"},
        {"cpus", "6,sockets=1,cores=4,threads=2", VMM_ERROR_USAGE, "6"},
    };
    vmm_machine_free (make_guest ("poweroff", -1, -1));
    unsigned fds = count ("/proc/self/fd");
    unsigned threads = count ("/proc/self/task");

    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++) {
        g_autoptr (VmmConfig) config = make_config ("poweroff", -1, -1);
        g_autoptr (GError) error = NULL;

        set (config, rows[i].key, rows[i].value);
        cr_assert_null (vmm_machine_new (config, &error), "%s %s", rows[i].key, rows[i].value);
        cr_assert (strstr (error->message, rows[i].says) != NULL, "%s", error->message);
        cr_assert (g_error_matches (error, VMM_ERROR, (int)rows[i].error), "%s is of class %d",
                   error->message, error->code);
        cr_assert_null (strchr (error->message, '\n'));
    }
    check_nothing_left (fds, threads);
}

static void
save_signals (struct sigaction *actions, sigset_t *mask)
{
    memset (actions, 0, sizeof *actions * (size_t)(SIGRTMAX + 1));
    for (int i = 1; i <= SIGRTMAX; i++)
        sigaction (i, NULL, &actions[i]);
    pthread_sigmask (SIG_SETMASK, NULL, mask);
}

static void
check_signals (const struct sigaction *actions, const sigset_t *mask, const char *when)
{
    g_autofree struct sigaction *now = g_new0 (struct sigaction, (gsize)SIGRTMAX + 1);
    sigset_t pending;
    sigset_t now_mask;

    save_signals (now, &now_mask);
    sigpending (&pending);
    for (int i = 1; i <= SIGRTMAX; i++) {
        cr_assert_eq (now[i].sa_handler, actions[i].sa_handler, "%s: handler of signal %d", when, i);
        cr_assert_eq (now[i].sa_flags, actions[i].sa_flags, "%s: flags of signal %d", when, i);
        cr_assert_eq (sigismember (&now_mask, i), sigismember (mask, i), "%s: mask of signal %d", when, i);
        cr_assert_not (sigismember (&pending, i), "%s: signal %d is pending", when, i);
    }
}

Test (machine, the_signals_of_the_program_are_its_own, .timeout = 60)
{
    need_kvm ();
    g_autofree struct sigaction *actions = g_new0 (struct sigaction, (gsize)SIGRTMAX + 1);
    sigset_t mask;
    sigset_t own;

    /* A setting of its own that must survive. */
    signal (SIGUSR1, SIG_IGN);
    sigemptyset (&own);
    sigaddset (&own, SIGRTMIN + 3);
    pthread_sigmask (SIG_BLOCK, &own, NULL);
    save_signals (actions, &mask);
    g_autoptr (VmmConfig) config = make_config ("spin", -1, -1);
    set (config, "cpus", "2");
    VmmMachine *machine = make_machine (config);
    check_signals (actions, &mask, "made");
    cr_assert (vmm_machine_start (machine, NULL));
    check_signals (actions, &mask, "started");
    for (unsigned i = 0; i < 50; i++) {
        cr_assert (vmm_machine_pause (machine, NULL));
        cr_assert (vmm_machine_resume (machine, NULL));
    }
    check_signals (actions, &mask, "paused and resumed");
    vmm_machine_stop (machine, NULL);
    run (machine);
    check_signals (actions, &mask, "ended");
    vmm_machine_free (machine);
    check_signals (actions, &mask, "freed");
}

/* A reader that goes away would end a program that has not thought of SIGPIPE. */
Test (machine, a_reader_that_goes_away_ends_nobody, .timeout = 60)
{
    need_kvm ();
    int fds[2];
    cr_assert_eq (pipe2 (fds, O_CLOEXEC), 0);
    signal (SIGPIPE, SIG_DFL);
    VmmMachine *machine = make_guest (NULL, -1, fds[1]);

    cr_assert (vmm_machine_start (machine, NULL));
    close (fds[0]);
    check_kind (run (machine), VMM_VERDICT_POWEROFF);
    vmm_machine_free (machine);
}

/* Nobody reads: the guest is held back, and the machine can still be stopped. */
Test (machine, a_guest_whose_output_nobody_reads_can_be_stopped, .timeout = 60)
{
    need_kvm ();
    int fds[2];
    cr_assert_eq (pipe2 (fds, O_CLOEXEC), 0);
    g_autoptr (VmmConfig) config = make_config ("flood", -1, fds[1]);
    set (config, "cmdline", "how=string bytes=1048576");
    set (config, "timeout", "1");
    VmmMachine *machine = make_machine (config);

    check_kind (run (machine), VMM_VERDICT_TIMEOUT);
    cr_assert_lt (vmm_machine_get_verdict (machine)->output_bytes, 1048576);
    vmm_machine_free (machine);
}

typedef struct {
    unsigned calls;
    GThread *thread;
    VmmVerdictKind kind;
} Ended;

static void
on_ended (VmmMachine *machine, void *user)
{
    Ended *ended = user;
    const VmmVerdict *verdict = vmm_machine_get_verdict (machine);

    ended->calls++;
    ended->thread = g_thread_self ();
    ended->kind = verdict != NULL ? verdict->kind : (VmmVerdictKind)-1;
}

/* A thread with a loop of its own, and nothing to do with the main one. */
static gpointer
own_loop (gpointer guest)
{
    g_autoptr (GMainContext) context = g_main_context_new ();
    g_autoptr (VmmConfig) config = make_config (guest, -1, -1);
    VmmMachine *machine;
    Ended ended = {0};
    int kind;

    g_main_context_push_thread_default (context);
    set (config, "cmdline", "bytes=16384");
    machine = make_machine (config);
    vmm_machine_set_ended (machine, on_ended, &ended);
    cr_assert (vmm_machine_start (machine, NULL));
    while (vmm_machine_get_verdict (machine) == NULL)
        g_main_context_iteration (context, TRUE);
    cr_assert_eq (ended.calls, 1);
    cr_assert_eq (ended.thread, g_thread_self ());
    kind = (int)vmm_machine_get_verdict (machine)->kind;
    cr_assert_eq (kind, (int)ended.kind);
    vmm_machine_free (machine);
    cr_assert_not (g_main_context_pending (context));
    g_main_context_pop_thread_default (context);
    return GINT_TO_POINTER (kind);
}

Test (machine, a_thread_can_drive_its_own, .timeout = 60)
{
    need_kvm ();
    static const struct {
        const char *guest;
        VmmVerdictKind kind;
    } rows[] = {
        {"flood", VMM_VERDICT_POWEROFF},
        {"debug-exit", VMM_VERDICT_GUEST_EXIT},
        {"triple-fault", VMM_VERDICT_TRIPLE_FAULT},
    };
    GThread *threads[G_N_ELEMENTS (rows)];

    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++)
        threads[i] = g_thread_new (rows[i].guest, own_loop, (gpointer)rows[i].guest);
    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++)
        cr_assert_eq (GPOINTER_TO_INT (g_thread_join (threads[i])), (int)rows[i].kind, "%s", rows[i].guest);
    cr_assert_not (g_main_context_pending (NULL), "the main loop, which nobody runs, was used");
}

static size_t
upper (void *user, uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)g_ascii_toupper ((char)data[i]);
    return len;
}

Test (machine, input_goes_through_the_filter_to_the_guest, .timeout = 60)
{
    need_kvm ();
    int in[2];
    int out = temporary_file ();
    cr_assert_eq (pipe2 (in, O_CLOEXEC), 0);
    g_autoptr (VmmConfig) config = make_config ("echo", in[0], out);
    vmm_config_set_input_filter (config, upper, NULL);
    set (config, "timeout", "2");
    VmmMachine *machine = make_machine (config);

    cr_assert_eq (write (in[1], "some words\r", 11), 11);
    check_kind (run (machine), VMM_VERDICT_TIMEOUT);
    g_autofree char *text = contents (out);
    cr_assert (strstr (text, "line: SOME WORDS\r\n") != NULL, "%s", text);
    vmm_machine_free (machine);
}

Test (machine, a_verdict_tells_times_in_order, .timeout = 60)
{
    need_kvm ();
    VmmMachine *machine = make_guest (NULL, -1, -1);
    const VmmVerdict *v = run (machine);
    uint64_t exits = 0;

    cr_assert_gt (v->start_ns, 0);
    cr_assert_geq (v->first_instruction_ns, v->start_ns);
    cr_assert_geq (v->first_output_ns, v->first_instruction_ns);
    cr_assert_geq (v->end_ns, v->first_output_ns);
    cr_assert_eq (v->boots, 1);
    cr_assert_eq (v->guest_memory_bytes, UINT64_C (32) << 20);
    cr_assert_gt (v->guest_memory_used_bytes, 0);
    cr_assert_leq (v->guest_memory_used_bytes, v->guest_memory_bytes);
    cr_assert_gt (v->output_bytes, 0);
    for (size_t i = 0; i < v->n_exits; i++) {
        cr_assert_gt (v->exits[i].count, 0);
        exits += v->exits[i].count;
    }
    cr_assert_gt (exits, 0);
    vmm_machine_free (machine);
}
