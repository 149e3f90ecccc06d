/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's reports of trouble, as Linux 5.15 to 6.18 print them: the logs are the seeds of
 * fuzz-kernel-log. */
#include "vmm/kernel-log.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/resource.h>

/* All of the reports, a line each: "ID<PARENT kind LINE OFFSET: summary"; and the texts, one behind the
 * other. */
typedef struct {
    GString *told;
    GString *texts;
    uint64_t offset;
    bool cut;
} Found;

static void
on_report (void *user, const VmmKernelReport *report)
{
    Found *found = user;

    g_string_append_printf (found->told, "%u<%u %s %u: %s\n", (unsigned)report->id, (unsigned)report->parent,
                            vmm_kernel_trouble_to_string (report->kind), (unsigned)report->line,
                            report->summary);
    g_string_append (found->texts, report->text);
    g_string_append (found->texts, "--\n");
    cr_assert_eq (report->text_len, strlen (report->text));
    cr_assert_leq (report->text_len, VMM_KERNEL_REPORT_MAX);
    cr_assert (g_utf8_validate (report->text, -1, NULL) && g_utf8_validate (report->summary, -1, NULL));
    found->cut = found->cut || report->cut;
    found->offset = report->offset;
}

static void
find (const char *log, size_t len, size_t piece, Found *ret_found)
{
    g_autoptr (VmmKernelLog) kernel_log = vmm_kernel_log_new (on_report, ret_found);

    *ret_found = (Found){g_string_new (NULL), g_string_new (NULL), 0, false};
    for (size_t at = 0; at < len; at += piece)
        vmm_kernel_log_feed (kernel_log, (const uint8_t *)log + at, MIN (piece, len - at));
    vmm_kernel_log_finish (kernel_log);
}

static void
found_clear (Found *found)
{
    if (found->told != NULL)
        g_string_free (found->told, TRUE);
    if (found->texts != NULL)
        g_string_free (found->texts, TRUE);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Found, found_clear)

static void
check_bytes (const char *log, size_t len, const char *expected)
{
    for (size_t piece = 1; piece <= len; piece = piece < 4 ? piece + 1 : piece * 5) {
        g_auto (Found) found = {0};

        find (log, len, piece, &found);
        cr_assert_str_eq (found.told->str, expected, "in pieces of %zu:\n%snot\n%s", piece, found.told->str,
                          expected);
    }
}

static void
check (const char *log, const char *expected)
{
    check_bytes (log, strlen (log), expected);
}

static char *
load (const char *name, size_t *ret_len)
{
    g_autofree char *path = g_build_filename (KERNEL_LOGS, name, NULL);
    char *log = NULL;

    cr_assert (g_file_get_contents (path, &log, ret_len, NULL), "%s", path);
    return log;
}

static void
check_file (const char *name, const char *expected)
{
    size_t len;
    g_autofree char *log = load (name, &len);

    check_bytes (log, len, expected);
}

/* The text of all reports of a log. */
static char *
texts_of (const char *name)
{
    size_t len;
    g_autofree char *log = load (name, &len);
    g_auto (Found) found = {0};

    find (log, len, 100, &found);
    return g_string_free (g_steal_pointer (&found.texts), FALSE);
}

Test (kernel_log, faults)
{
    check_file ("oops-x86",
                "1<0 bug 2: kernel BUG: kernel NULL pointer dereference, address: 0000000000000008 in "
                "demo_write\n"
                "2<1 panic 30: kernel panic: Fatal exception\n");
    check_file ("oops-arm64",
                "1<0 oops 1: kernel oops: Unable to handle kernel NULL pointer dereference at virtual "
                "address 0000000000000010 in probe_device\n");
    check_file ("gpf-new",
                "1<0 oops 1: kernel oops: general protection fault, probably for non-canonical address "
                "0xdffffc0000000003: 0000 [#1] PREEMPT SMP KASAN NOPTI in sock_queue_add\n"
                "2<0 oops 10: kernel oops: general protection fault: 0000 [#2] SMP in second_fault\n");
    check_file ("bug-at", "1<0 bug 2: kernel BUG: at mm/slub.c:305 in kfree\n");
    check_file ("atomic", "1<0 bug 1: kernel BUG: sleeping function called from invalid context at "
                          "kernel/locking/mutex.c:580 in bad_sleep\n"
                          "2<0 bug 12: kernel BUG: scheduling while atomic: modprobe/77/0x00000002 in "
                          "bad_schedule\n");
}

Test (kernel_log, a_log_without_stamps)
{
    check_file ("unstamped",
                "1<0 bug 2: kernel BUG: kernel NULL pointer dereference, address: 0000000000000008 in "
                "demo_write\n"
                "2<1 panic 29: kernel panic: Fatal exception\n");
}

Test (kernel_log, warnings)
{
    check_file ("warnings", "1<0 warning 3: kernel warning: at lib/refcount.c:28 in kobject_put\n"
                            "2<0 warning 13: kernel warning: kernel/sched/core.c:1234 in sched_thing\n");
}

Test (kernel_log, sanitizers)
{
    check_file ("kasan",
                "1<0 kasan 2: KASAN: slab-out-of-bounds in kmalloc_oob_right\n"
                "2<0 kfence 23: KFENCE: use-after-free read in test_uaf\n"
                "3<0 kcsan 29: KCSAN: data-race in tick_sched_do_timer / tick_sched_do_timer\n"
                "4<0 kmsan 35: KMSAN: uninit-value in demo_read\n"
                "5<0 ubsan 39: UBSAN: array-index-out-of-bounds in drivers/demo/demo.c:42:7 in demo_index\n"
                "6<0 kmemleak 50: memory leak: 3 new suspected memory leaks (see "
                "/sys/kernel/debug/kmemleak)\n");
}

Test (kernel_log, lockups_and_stalls)
{
    check_file ("lockups", "1<0 soft-lockup 1: soft lockup: CPU#1 stuck for 22s! [spin:345] in spin_forever\n"
                           "2<0 hard-lockup 14: hard lockup: cpu 0 in irqs_off_forever\n"
                           "3<2 panic 21: kernel panic: Hard LOCKUP\n");
    check_file ("stalls",
                "1<0 rcu-stall 1: RCU stall: rcu_preempt self-detected stall on CPU in delay_tsc\n"
                "2<0 rcu-stall 13: RCU stall: rcu_sched detected stalls on CPUs/tasks: in hold_cpu\n"
                "3<0 hung-task 19: hung task: mount:512 blocked for more than 120 seconds in "
                "wait_for_super\n"
                "4<0 hung-task 30: hung task: sync:513 blocked for more than 120 seconds in "
                "iterate_supers\n");
    check_file ("lockdep",
                "1<0 lockdep 2: lockdep: possible circular locking dependency detected in demo_show\n");
}

Test (kernel_log, memory)
{
    check_file ("oom",
                "1<0 oom 1: out of memory: Killed process 88 (hog) total-vm:204000kB, anon-rss:196000kB, "
                "file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:432kB oom_score_adj:0\n"
                "2<0 oom 18: out of memory: Killed process 99 (tiny) total-vm:1kB, anon-rss:1kB, "
                "file-rss:0kB\n");
}

Test (kernel_log, panics)
{
    check_file ("panics",
                "1<0 no-root 2: kernel panic: VFS: Unable to mount root fs on unknown-block(0,0) in "
                "mount_block_root\n"
                "2<0 init-killed 13: kernel panic: Attempted to kill init! exitcode=0x0000000b in "
                "do_exit.cold\n");
    cr_assert (vmm_kernel_trouble_is_panic (VMM_KERNEL_NO_ROOT));
    cr_assert (!vmm_kernel_trouble_is_panic (VMM_KERNEL_OOPS));
}

/* A prompt, colours, NUL bytes, bytes that are no UTF-8; and a line that has no stamp where others have one.
 */
Test (kernel_log, a_console_is_a_mixture)
{
    size_t len;
    g_autofree char *log = load ("mixed", &len);
    g_autofree char *texts = texts_of ("mixed");

    check_bytes (log, len, "1<0 panic 1: kernel panic: sysrq triggered crash\n");
    cr_assert_str_eq (texts,
                      "login: [   12.345678] Kernel panic - not syncing: sysrq triggered crash\n"
                      "[   12.345679] <4>junk \xef\xbf\xbd\xef\xbf\xbd\n"
                      "[   12.345680] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---\n--\n");
}

Test (kernel_log, a_text_is_the_whole_report_and_nothing_else)
{
    g_autofree char *oops = texts_of ("oops-x86");
    g_autofree char *lockups = texts_of ("lockups");
    g_autofree char *kasan = texts_of ("kasan");

    cr_assert (g_str_has_prefix (oops, "[    1.301223] BUG: kernel NULL"));
    cr_assert_not_null (strstr (oops, "CR2: 0000000000000008"));
    cr_assert_null (strstr (oops, "hello from user space"));
    cr_assert_not_null (
        strstr (oops, "---[ end trace 0000000000000000 ]---\n--\n[    1.313520] Kernel panic"));
    cr_assert_not_null (strstr (lockups, " </TASK>\n--\n"));
    cr_assert_null (strstr (lockups, "eth0"));
    cr_assert_not_null (strstr (kasan, "^\n[    7.001901] ======"));
    cr_assert_null (strstr (kasan, "Disabling lock debugging"));
}

Test (kernel_log, where_a_report_begins)
{
    static const char log[] = "one\r\ntwo\r\n[    1.000000] BUG: Bad page state in process x\r\n";
    g_auto (Found) found = {0};

    find (log, strlen (log), 1, &found);
    cr_assert_str_eq (found.told->str, "1<0 bug 3: kernel BUG: Bad page state in process x\n");
    cr_assert_eq (found.offset, 10u);
}

/* Once the log has had a time stamp. */
Test (kernel_log, what_programs_write_does_not_count_among_stamps)
{
    check ("[    1.000000] Run /init\nKernel panic - not syncing: no\nBUG: unable to handle page fault\n"
           "WARNING: CPU: 1 PID: 2 at a.c:1 f+0x1/0x2\nOops: 0002 [#1]\n",
           "");
    check ("BUG: unable to handle page fault for address: 0\n[    1.000000] Run /init\n",
           "1<0 bug 1: kernel BUG: unable to handle page fault for address: 0\n");
    /* Some programs have stamps of their own. */
    check ("[    12.345] (II) X.Org\nhost login: [    1.000000] a\nBUG: unable to handle page fault\n",
           "1<0 bug 3: kernel BUG: unable to handle page fault\n");
}

Test (kernel_log, what_only_looks_alike)
{
    check ("BUG: in my program\nWARNING: deprecated\nINFO: task done\nOops: sorry\nUBSAN: on\npanic: no\n"
           "the BUG: unable to handle page fault\nUnable to handle kernel\ngeneral protection fault\n"
           "NMI watchdog: Enabled. Permanently consumes one hw-PMU counter.\nkmemleak: Kernel memory leak "
           "detector "
           "initialized\nInternal error: 5\nrcu: INFO: fine\n",
           "");
    check (
        "[    1.000000] traps: a[12] general protection fault ip:40 sp:7f error:0 in a[400000+1000]\n"
        "[    1.000000] a[13]: segfault at 0 ip 0000 sp 0000 error 4 in a[1]\n[    1.000000] debug: 0000\n",
        "");
    check ("[    1.000000] BUG: something new\n", "1<0 bug 1: kernel BUG: something new\n");
}

Test (kernel_log, a_report_ends_when_it_is_quiet)
{
    static const char log[] =
        "[    1.000000] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [a:1]\n[    1.100000] CPU: 0\n";
    Found found = {g_string_new (NULL), g_string_new (NULL), 0, false};
    g_autoptr (VmmKernelLog) kernel_log = vmm_kernel_log_new (on_report, &found);

    vmm_kernel_log_feed (kernel_log, (const uint8_t *)log, strlen (log));
    cr_assert_str_eq (found.told->str, "");
    cr_assert (vmm_kernel_log_is_in_report (kernel_log));
    vmm_kernel_log_settle (kernel_log);
    cr_assert_str_eq (found.told->str, "1<0 soft-lockup 1: soft lockup: CPU#0 stuck for 22s! [a:1]\n");
    cr_assert (!vmm_kernel_log_is_in_report (kernel_log));
    found_clear (&found);
}

Test (kernel_log, a_report_ends_when_the_stamps_leap)
{
    g_auto (Found) found = {0};
    const char *log = "[    1.000000] BUG: Bad page state in process a\n[   20.000000]  indented, and late\n";

    find (log, strlen (log), 10, &found);
    cr_assert_str_eq (found.texts->str, "[    1.000000] BUG: Bad page state in process a\n--\n");
}

Test (kernel_log, a_trouble_inside_of_another_belongs_to_it)
{
    check ("[    1.000000] BUG: unable to handle page fault for address: 1\n[    1.000000] Call Trace:\n[    "
           "1.000000]  "
           "a+0x1/0x2\n"
           "[    1.000000] WARNING: CPU: 0 PID: 1 at a.c:1 b+0x1/0x2\n[    1.000000] ---[ end trace 0 ]---\n",
           "1<0 bug 1: kernel BUG: unable to handle page fault for address: 1 in a\n"
           "2<1 warning 4: kernel warning: at a.c:1 in b\n");
}

Test (kernel_log, a_long_report_is_cut)
{
    g_autoptr (GString) log = g_string_new (
        "[    1.000000] WARNING: CPU: 0 PID: 1 at a.c:1 b+0x1/0x2\n[    1.000000] Call Trace:\n");
    g_auto (Found) found = {0};

    for (unsigned i = 0; i < 20000; i++)
        g_string_append (log, "[    1.000000]  frame_of_a_deep_recursion+0x1/0x2\n");
    g_string_append (log, "[    1.000000] ---[ end trace 0 ]---\n[    1.000000] BUG: Bad page state\n");
    find (log->str, log->len, 1000, &found);
    cr_assert_str_eq (found.told->str, "1<0 warning 1: kernel warning: at a.c:1 in b\n"
                                       "2<0 bug 20004: kernel BUG: Bad page state\n");
    cr_assert (found.cut);
    cr_assert_lt (found.texts->len, VMM_KERNEL_REPORT_MAX + 100);
}

Test (kernel_log, a_line_without_end_is_cut)
{
    g_autofree char *x = g_strnfill (1 << 20, 'x');
    g_autofree char *log =
        g_strdup_printf ("%s\n[    1.000000] BUG: Bad page %s\n[    1.000000] ---[ end trace 0 ]---", x, x);
    g_auto (Found) found = {0};

    find (log, strlen (log), 1000, &found);
    cr_assert (g_str_has_prefix (found.told->str, "1<0 bug 2: kernel BUG: Bad page xxx"));
    cr_assert_lt (found.texts->len, 3000u);
}

static size_t
peak_kib (void)
{
    struct rusage usage;

    getrusage (RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss;
}

/* AddressSanitizer keeps what was freed for a while. */
#ifdef __SANITIZE_ADDRESS__
#define MORE_KIB 500000u
#else
#define MORE_KIB 4096u
#endif

Test (kernel_log, memory_is_constant, .timeout = 60)
{
    Found found = {g_string_new (NULL), g_string_new (NULL), 0, false};
    g_autoptr (VmmKernelLog) kernel_log = vmm_kernel_log_new (on_report, &found);
    size_t len, before = 0;
    g_autofree char *log = load ("oops-x86", &len);

    for (size_t fed = 0; fed < 16 << 20; fed += len) {
        vmm_kernel_log_feed (kernel_log, (const uint8_t *)log, len);
        g_string_truncate (found.told, 0);
        g_string_truncate (found.texts, 0);
        if (fed == 0)
            before = peak_kib ();
    }
    cr_assert_lt (peak_kib () - before, MORE_KIB);
    found_clear (&found);
}
