/* SPDX-License-Identifier: Apache-2.0 */
/* Which lines of the kernel begin a report, go on with one, and end it. */
#include "vmm/kernel-log-internal.h"

#include <string.h>

/* In this order: the first that fits. The places in the kernel are those of Linux 5.10 to 6.12. */
static const struct {
    const char *start;
    const char *within; /* further on in the line; NULL when the start says all */
    VmmKernelTrouble kind;
} titles[] = {
    /* kernel/panic.c; init/do_mounts.c; kernel/exit.c */
    {"Kernel panic - not syncing: VFS: Unable to mount root fs", NULL, VMM_KERNEL_NO_ROOT},
    {"Kernel panic - not syncing: Attempted to kill init!", NULL, VMM_KERNEL_INIT_KILLED},
    {"Kernel panic - not syncing: ", NULL, VMM_KERNEL_PANIC},
    /* mm/kasan/report.c, mm/kfence/report.c, mm/kmsan/report.c, kernel/kcsan/report.c, lib/ubsan.c */
    {"BUG: KASAN: ", NULL, VMM_KERNEL_KASAN},
    {"BUG: KFENCE: ", NULL, VMM_KERNEL_KFENCE},
    {"BUG: KMSAN: ", NULL, VMM_KERNEL_KMSAN},
    {"BUG: KCSAN: ", NULL, VMM_KERNEL_KCSAN},
    {"UBSAN: ", " in ", VMM_KERNEL_UBSAN},
    {"kmemleak: ", " new suspected memory leaks", VMM_KERNEL_KMEMLEAK},
    /* kernel/watchdog.c, kernel/watchdog_hld.c, kernel/watchdog_perf.c */
    {"watchdog: BUG: soft lockup - ", NULL, VMM_KERNEL_SOFT_LOCKUP},
    {"NMI watchdog: BUG: soft lockup - ", NULL, VMM_KERNEL_SOFT_LOCKUP},
    {"BUG: soft lockup - ", NULL, VMM_KERNEL_SOFT_LOCKUP},
    {"watchdog: ", "Watchdog detected hard LOCKUP on cpu ", VMM_KERNEL_HARD_LOCKUP},
    {"NMI watchdog: ", "Watchdog detected hard LOCKUP on cpu ", VMM_KERNEL_HARD_LOCKUP},
    /* kernel/rcu/tree_stall.h, kernel/rcu/tree_exp.h */
    {"rcu: INFO: ", " detected stalls on ", VMM_KERNEL_RCU_STALL},
    {"rcu: INFO: ", " detected expedited stalls on ", VMM_KERNEL_RCU_STALL},
    {"rcu: INFO: ", " self-detected stall on ", VMM_KERNEL_RCU_STALL},
    {"INFO: rcu_", " detected stalls on ", VMM_KERNEL_RCU_STALL},
    {"INFO: rcu_", " detected expedited stalls on ", VMM_KERNEL_RCU_STALL},
    {"INFO: rcu_", " self-detected stall on ", VMM_KERNEL_RCU_STALL},
    /* kernel/hung_task.c */
    {"INFO: task ", " blocked for more than ", VMM_KERNEL_HUNG_TASK},
    /* kernel/locking/lockdep.c; some were INFO before 5.x */
    {"WARNING: possible circular locking dependency detected", NULL, VMM_KERNEL_LOCKDEP},
    {"WARNING: possible recursive locking detected", NULL, VMM_KERNEL_LOCKDEP},
    {"WARNING: possible irq lock inversion dependency detected", NULL, VMM_KERNEL_LOCKDEP},
    {"WARNING: ", " lock order detected", VMM_KERNEL_LOCKDEP},
    {"WARNING: inconsistent lock state", NULL, VMM_KERNEL_LOCKDEP},
    {"WARNING: bad unlock balance detected!", NULL, VMM_KERNEL_LOCKDEP},
    {"WARNING: bad contention detected!", NULL, VMM_KERNEL_LOCKDEP},
    {"WARNING: held lock freed!", NULL, VMM_KERNEL_LOCKDEP},
    {"WARNING: lock held when returning to user space!", NULL, VMM_KERNEL_LOCKDEP},
    {"WARNING: Nested lock was not taken", NULL, VMM_KERNEL_LOCKDEP},
    {"WARNING: suspicious RCU usage", NULL, VMM_KERNEL_LOCKDEP},
    {"INFO: possible circular locking dependency detected", NULL, VMM_KERNEL_LOCKDEP},
    {"INFO: possible recursive locking detected", NULL, VMM_KERNEL_LOCKDEP},
    {"INFO: possible irq lock inversion dependency detected", NULL, VMM_KERNEL_LOCKDEP},
    {"INFO: inconsistent lock state", NULL, VMM_KERNEL_LOCKDEP},
    {"[ BUG: Invalid wait context ]", NULL, VMM_KERNEL_LOCKDEP},
    /* mm/oom_kill.c */
    {"Out of memory: Kill", " process ", VMM_KERNEL_OOM},
    {"Out of memory (oom_kill_allocating_task): Kill", " process ", VMM_KERNEL_OOM},
    {"Memory cgroup out of memory: Kill", " process ", VMM_KERNEL_OOM},
    /* kernel/panic.c; the second from 6.18 on */
    {"WARNING: CPU: ", " PID: ", VMM_KERNEL_WARNING},
    {"WARNING: ", ", CPU#", VMM_KERNEL_WARNING},
    /* lib/bug.c, arch/x86/mm/fault.c, kernel/sched/core.c, mm/page_alloc.c and others */
    {"kernel BUG at ", ":", VMM_KERNEL_BUG},
    {"BUG: unable to handle ", NULL, VMM_KERNEL_BUG},
    {"BUG: kernel NULL pointer dereference", NULL, VMM_KERNEL_BUG},
    {"BUG: scheduling while atomic: ", NULL, VMM_KERNEL_BUG},
    {"BUG: sleeping function called from invalid context at ", NULL, VMM_KERNEL_BUG},
    {"BUG: using ", " in preemptible ", VMM_KERNEL_BUG},
    {"BUG: Bad page ", NULL, VMM_KERNEL_BUG},
    {"BUG: Bad rss-counter state ", NULL, VMM_KERNEL_BUG},
    {"BUG: spinlock ", NULL, VMM_KERNEL_BUG},
    {"BUG: workqueue lockup - ", NULL, VMM_KERNEL_BUG},
    {"BUG: workqueue leaked ", NULL, VMM_KERNEL_BUG},
    {"BUG: ", "stack guard page was hit", VMM_KERNEL_BUG},
    {"BUG: non-zero pgtables_bytes ", NULL, VMM_KERNEL_BUG},
    {"BUG: Dentry ", NULL, VMM_KERNEL_BUG},
    /* arch/x86/kernel/dumpstack.c, arch/x86/kernel/traps.c, arch/arm64/mm/fault.c, arch/arm64/kernel/traps.c
     */
    {"Oops: ", " [#", VMM_KERNEL_OOPS},
    {"general protection fault", " [#", VMM_KERNEL_OOPS},
    {"Internal error: ", " [#", VMM_KERNEL_OOPS},
    {"Unable to handle kernel ", " at virtual address ", VMM_KERNEL_OOPS},
    {"PANIC: double fault, error_code: ", NULL, VMM_KERNEL_OOPS},
    {"traps: PANIC: double fault, error_code: ", NULL, VMM_KERNEL_OOPS},
};

/* Who invokes it comes first, so that any line may be one. */
static bool
is_oom_killer (const char *text)
{
    return strstr (text, " invoked oom-killer: gfp_mask=") != NULL;
}

/* "divide error: 0000 [#1] PREEMPT SMP", and any other trap of x86. */
static bool
is_oops_of_a_trap (const char *text)
{
    const char *p = strstr (text, " [#");

    if (p == NULL || !g_ascii_isdigit (p[3]) || !g_ascii_islower (*text) || p - text < 7)
        return false;
    for (unsigned i = 1; i <= 4; i++) {
        if (!g_ascii_isxdigit (p[-(int)i]))
            return false;
    }
    return p[-5] == ' ' && p[-6] == ':';
}

/**
 * vmm_kernel_title_find:
 * @text: a line, behind what printk puts before it
 * @stamped: a time stamp was before it: so it is the kernel's, and any "BUG:" counts
 *
 * Returns: whether a report begins with it
 */
bool
vmm_kernel_title_find (const char *text, bool stamped, VmmKernelTrouble *ret_kind)
{
    /* Nearly all lines of a console differ from all titles in their first two bytes. */
    for (size_t i = 0; *text != '\0' && i < G_N_ELEMENTS (titles); i++) {
        const char *start = titles[i].start;

        if (start[0] == text[0] && start[1] == text[1] && g_str_has_prefix (text, start) &&
            (titles[i].within == NULL || strstr (text, titles[i].within) != NULL)) {
            *ret_kind = titles[i].kind;
            return true;
        }
    }
    if (is_oom_killer (text)) {
        *ret_kind = VMM_KERNEL_OOM;
        return true;
    }
    if (stamped && g_str_has_prefix (text, "BUG: ")) {
        *ret_kind = VMM_KERNEL_BUG;
        return true;
    }
    if (is_oops_of_a_trap (text)) {
        *ret_kind = VMM_KERNEL_OOPS;
        return true;
    }
    return false;
}

/**
 * vmm_kernel_title_is_consequence:
 * @title: that of a panic
 *
 * Returns: whether the panic follows from what was reported before it, and not from something of its own
 */
bool
vmm_kernel_title_is_consequence (const char *title)
{
    static const char *const reasons[] = {
        "Fatal exception", "Attempted to kill ", "panic_on_",     "Oops",       "hung_task: ",
        "softlockup: ",    "RCU Stall",          "Hard LOCKUP",   "kasan",      "panic set",
        "kernel: ",        "out of memory",      "Out of memory", "deadlocked", "KFENCE",
    };

    for (size_t i = 0; i < G_N_ELEMENTS (reasons); i++) {
        if (strstr (title, reasons[i]) != NULL)
            return true;
    }
    return false;
}

/**
 * vmm_kernel_line_is_detail:
 * @text: a line inside of a report
 *
 * Returns: whether it surely belongs to it: what does not is left out at the end of a report that has no mark
 * there
 */
bool
vmm_kernel_line_is_detail (const char *text)
{
    static const char *const starts[] = {
        " ",
        "\t",
        "#PF: ",
        "---[ ",
        "<",
        "CPU: ",
        "CPU#",
        "Call Trace:",
        "Call trace:",
        "Code: ",
        "Comm: ",
        "CR2: ",
        "CS: ",
        "DR0: ",
        "DR3: ",
        "FS: ",
        "GS: ",
        "Hardware name: ",
        "Internal error: ",
        "KASAN: ",
        "Kernel Offset: ",
        "Last potentially related",
        "Mem abort info:",
        "Modules linked in: ",
        "NMI backtrace ",
        "Oops: ",
        "ORIG_RAX: ",
        "PGD ",
        "PKRU: ",
        "RAX: ",
        "RBP: ",
        "RDX: ",
        "RIP: ",
        "RSP: ",
        "R10: ",
        "R13: ",
        "Rebooting in ",
        "SMP: ",
        "Sending NMI ",
        "Showing all locks",
        "Stack:",
        "Tainted: ",
        "Workqueue: ",
        "irq event stamp",
        "lr : ",
        "pc : ",
        "pstate: ",
        "rcu: ",
        "sp : ",
        "stack backtrace:",
        "task:",
        "x0 :",
        "x2",
        "x1",
        "x3",
        "x5",
        "x6",
        "x8",
        "CPU features: ",
        "Memory Limit: ",
        "hardirqs last",
        "softirqs last",
        "preempt_count",
    };

    for (size_t i = 0; i < G_N_ELEMENTS (starts); i++) {
        if (g_str_has_prefix (text, starts[i]))
            return true;
    }
    return false;
}

static bool
has_frame (VmmKernelTrouble kind)
{
    return kind == VMM_KERNEL_KASAN || kind == VMM_KERNEL_KFENCE || kind == VMM_KERNEL_KMSAN ||
           kind == VMM_KERNEL_KCSAN || kind == VMM_KERNEL_UBSAN;
}

/**
 * vmm_kernel_line_is_end:
 * @text: a line inside of a report of @kind, its title or a later one
 *
 * Returns: whether it is its last one
 */
bool
vmm_kernel_line_is_end (const char *text, VmmKernelTrouble kind)
{
    if (g_str_has_prefix (text, "---[ end Kernel panic"))
        return true;
    if (g_str_has_prefix (text, "---[ end trace "))
        return !vmm_kernel_trouble_is_panic (kind);
    if (kind == VMM_KERNEL_OOM)
        return strstr (text, "ut of memory") != NULL && strstr (text, ": Kill") != NULL;
    if (kind == VMM_KERNEL_KMEMLEAK)
        return true;
    return has_frame (kind) && g_str_has_prefix (text, "==========");
}
