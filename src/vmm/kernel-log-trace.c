/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where it happened: the first function of a report that is not part of how the kernel reports, and one line
 * that says what and where.
 */
#include "vmm/kernel-log-internal.h"

#include <string.h>

#define FUNCTION_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.$"
#define SUMMARY_MAX 300u

/* Those that a trace passes through on the way to its report; most are families, told by how they begin. */
static const char *const generic[] = {
    "__asan_",
    "__bad_area",
    "__dump_stack",
    "__hrtimer",
    "__kasan_",
    "__kcsan",
    "__kfence",
    "__list_add_valid",
    "__list_del_entry_valid",
    "__lock_",
    "__might_",
    "___might_",
    "__mutex_lock",
    "__do_kernel_fault",
    "__msan_",
    "__rcu",
    "__schedule",
    "__switch_to",
    "__sysvec",
    "__ubsan_",
    "__wait_for_common",
    "__warn",
    "_raw_",
    "apei_",
    "apic_timer",
    "arch_trigger",
    "asm_",
    "atomic_notifier",
    "bad_area",
    "brk_handler",
    "bug_handler",
    "call_break_hook",
    "check_",
    "die",
    "do_debug_exception",
    "do_error_trap",
    "do_invalid_op",
    "do_kern_addr_fault",
    "do_mem_abort",
    "do_page_fault",
    "do_translation_fault",
    "do_trap",
    "do_undefinstr",
    "do_user_addr_fault",
    "do_sea",
    "down_",
    "dump_",
    "el1",
    "error_entry",
    "exc_",
    "fixup_bug",
    "general_protection",
    "handle_bug",
    "hrtimer_",
    "invalid_op",
    "io_schedule",
    "kasan_",
    "kcsan_",
    "kernelmode_fixup",
    "kfence_",
    "kmsan_",
    "lock_acquire",
    "lockdep_",
    "mark_lock",
    "mutex_lock",
    "native_queued_spin",
    "nmi_",
    "no_context",
    "notify_die",
    "oom_kill_process",
    "oops_",
    "out_of_memory",
    "page_fault",
    "panic",
    "print_",
    "queued_spin_",
    "rcu_",
    "refcount_warn",
    "report_",
    "reserve_",
    "rwsem_",
    "schedule",
    "show_",
    "smp_apic",
    "sysvec_",
    "tick_",
    "trigger_",
    "ubsan_",
    "update_process_times",
    "validate_chain",
    "wait_for_completion",
    "warn_slowpath",
    "watchdog_",
    "handle_overflow",
    "do_kernel_power_off",
    "check_memory_region",
    "bug_get_file_line",
    "early_",
    "default_do_nmi",
    "do_nmi",
    "end_repeat_nmi",
    "smp_call_function_",
    "val_to_string",
    "start_thread",
    "default_idle",
    "native_safe_halt",
    "cpu_idle",
};

static bool
is_generic (const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS (generic); i++) {
        if (g_str_has_prefix (name, generic[i]))
            return true;
    }
    return false;
}

/* The length of the "func" of "func+0x12/0x34" at @text; 0 when there is none. */
static size_t
function_at (const char *text)
{
    size_t n = strspn (text, FUNCTION_CHARACTERS);

    if (n == 0 || n >= VMM_KERNEL_FUNCTION_MAX || g_ascii_isdigit (*text))
        return 0;
    return g_str_has_prefix (text + n, "+0x") ? n : 0;
}

static void
take (VmmKernelTrace *trace, const char *text, bool certain)
{
    size_t n = function_at (text);

    if (n == 0 || trace->certain)
        return;
    /* A generic one is better than none. */
    if (*trace->name == '\0' || certain) {
        memcpy (trace->name, text, n);
        trace->name[n] = '\0';
    }
}

static void
consider (VmmKernelTrace *trace, const char *text)
{
    char name[VMM_KERNEL_FUNCTION_MAX];
    size_t n = function_at (text);
    bool good;

    memcpy (name, text, n);
    name[n] = '\0';
    good = n > 0 && !is_generic (name);
    take (trace, text, good);
    trace->certain = trace->certain || good;
}

/**
 * vmm_kernel_trace_read_title:
 * @title: the first line of a report, which some kinds name the function in
 */
void
vmm_kernel_trace_read_title (VmmKernelTrace *trace, const char *title)
{
    static const char *const before[] = {" in ", " at ", " "};

    if (g_str_has_prefix (title, "BUG: KCSAN: ")) {
        const char *name = strstr (title, " in ");
        size_t n = name != NULL ? strspn (name + 4, FUNCTION_CHARACTERS) : 0;

        if (n > 0 && n < sizeof trace->name) {
            memcpy (trace->name, name + 4, n);
            trace->name[n] = '\0';
            trace->certain = true;
        }
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS (before) && !trace->certain; i++) {
        for (const char *p = strstr (title, before[i]); p != NULL && !trace->certain;
             p = strstr (p + 1, before[i]))
            consider (trace, p + strlen (before[i]));
    }
}

/* "func+0x..", "? func+0x..", "[<ffffffff81000000>] func+0x..": behind what may be before the function. */
static const char *
skip_to_frame (const char *text)
{
    text += strspn (text, " \t");
    if (g_str_has_prefix (text, "[<") && strstr (text, ">] ") != NULL)
        text = strstr (text, ">] ") + 3;
    return text;
}

/**
 * vmm_kernel_trace_read:
 * @text: a later line of a report
 *
 * Follows its call trace.
 */
void
vmm_kernel_trace_read (VmmKernelTrace *trace, const char *text)
{
    if (g_ascii_strncasecmp (text, "call trace:", 11) == 0 || g_str_has_prefix (text, "Backtrace:")) {
        trace->inside = trace->seen = true;
        return;
    }
    if (g_str_has_prefix (text, "RIP: 0010:"))
        consider (trace, text + strlen ("RIP: 0010:"));
    else if (g_str_has_prefix (text, "pc : "))
        consider (trace, text + strlen ("pc : "));
    if (!trace->inside)
        return;
    if (*text != ' ' && *text != '\t' && *text != '<' && *text != '[' && function_at (text) == 0) {
        trace->inside = false;
        return;
    }
    text = skip_to_frame (text);
    /* On x86 the task's stack is the last one. */
    trace->inside = !g_str_has_prefix (text, "</TASK>");
    /* The unwinder is not sure of those with a question mark. */
    if (*text != '?')
        consider (trace, text);
}

/* What kind it is, as the beginning of a summary, and how the title may begin that says the same. */
static const struct {
    const char *label;
    const char *redundant[3];
} kinds[] = {
    [VMM_KERNEL_PANIC] = {"kernel panic", {"Kernel panic - not syncing: "}},
    [VMM_KERNEL_NO_ROOT] = {"kernel panic", {"Kernel panic - not syncing: "}},
    [VMM_KERNEL_INIT_KILLED] = {"kernel panic", {"Kernel panic - not syncing: "}},
    [VMM_KERNEL_BUG] = {"kernel BUG", {"BUG: ", "kernel BUG "}},
    [VMM_KERNEL_OOPS] = {"kernel oops", {"Oops: ", "Internal error: Oops: ", "Internal error: "}},
    [VMM_KERNEL_WARNING] = {"kernel warning", {"WARNING: "}},
    [VMM_KERNEL_SOFT_LOCKUP] = {"soft lockup", {"BUG: soft lockup - "}},
    [VMM_KERNEL_HARD_LOCKUP] = {"hard lockup", {"Watchdog detected hard LOCKUP on "}},
    [VMM_KERNEL_RCU_STALL] = {"RCU stall", {"INFO: "}},
    [VMM_KERNEL_HUNG_TASK] = {"hung task", {"INFO: task "}},
    [VMM_KERNEL_KASAN] = {"KASAN", {"BUG: KASAN: "}},
    [VMM_KERNEL_KFENCE] = {"KFENCE", {"BUG: KFENCE: "}},
    [VMM_KERNEL_KMSAN] = {"KMSAN", {"BUG: KMSAN: "}},
    [VMM_KERNEL_KCSAN] = {"KCSAN", {"BUG: KCSAN: "}},
    [VMM_KERNEL_UBSAN] = {"UBSAN", {"UBSAN: "}},
    [VMM_KERNEL_KMEMLEAK] = {"memory leak", {"kmemleak: "}},
    [VMM_KERNEL_LOCKDEP] = {"lockdep", {"WARNING: ", "INFO: ", "[ BUG: "}},
    [VMM_KERNEL_OOM] = {"out of memory", {"Out of memory: ", "Memory cgroup out of memory: "}},
};

/* Behind what the label of @kind has said already. */
static const char *
skip_redundant (VmmKernelTrouble kind, const char *title)
{
    for (size_t i = 0; i < G_N_ELEMENTS (kinds[kind].redundant) && kinds[kind].redundant[i] != NULL; i++) {
        const char *p = strstr (title, kinds[kind].redundant[i]);

        /* "watchdog: ", "rcu: " and their like may be before it. */
        if (p != NULL && p - title < 32)
            return p + strlen (kinds[kind].redundant[i]);
    }
    return title;
}

/* "CPU: 1 PID: 23 " tells nothing about what happened. */
static const char *
skip_cpu_and_pid (const char *text)
{
    const char *at = g_str_has_prefix (text, "CPU: ") ? strstr (text, " at ") : NULL;

    return at != NULL ? at + 1 : text;
}

static void
strip_end (GString *text, const char *ends)
{
    while (text->len > 0 && strchr (ends, text->str[text->len - 1]) != NULL)
        g_string_truncate (text, text->len - 1);
}

/* Cuts " in func+0x12/0x34 …": the function is named without its offset. */
static void
cut_frame (GString *text)
{
    const char *frame = strstr (text->str, "+0x");

    if (frame == NULL)
        return;
    while (frame > text->str && strchr (FUNCTION_CHARACTERS, frame[-1]) != NULL)
        frame--;
    g_string_truncate (text, frame - text->str);
    strip_end (text, " ");
    if (g_str_has_suffix (text->str, " in") || g_str_has_suffix (text->str, " at"))
        g_string_truncate (text, text->len - 3);
}

static bool
names (const char *text, const char *function)
{
    size_t n = strlen (function);

    for (const char *p = strstr (text, function); p != NULL; p = strstr (p + 1, function)) {
        if ((p == text || p[-1] == ' ') && (p[n] == '\0' || strchr (FUNCTION_CHARACTERS, p[n]) == NULL))
            return true;
    }
    return false;
}

/**
 * vmm_kernel_trace_summarize:
 * @title: the line of the report that tells most, mostly its first one
 *
 * Returns: (transfer full): such as "kernel BUG: at mm/slub.c:305 in kfree"; it may be no UTF-8
 */
char *
vmm_kernel_trace_summarize (const VmmKernelTrace *trace, VmmKernelTrouble kind, const char *title)
{
    g_autoptr (GString) text = g_string_new (skip_cpu_and_pid (skip_redundant (kind, title)));

    if (*trace->name != '\0')
        cut_frame (text);
    strip_end (text, "!. ");
    g_string_truncate (text, MIN (text->len, SUMMARY_MAX));
    if (*trace->name != '\0' && !names (text->str, trace->name))
        g_string_append_printf (text, " in %s", trace->name);
    return g_strdup_printf ("%s: %s", kinds[kind].label, text->str);
}
