/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A kernel in trouble says so on its console: a line that names the trouble, registers, a call trace, and,
 * for some kinds, a mark at the end. Each such report is found, cut out as a whole, and told about in one
 * line, for whoever tests a kernel.
 *
 * The console is a mixture. Programs write to it, in colours, over unfinished lines, and their text may look
 * like the kernel's. printk can put a time stamp before each of its lines, and does so on most kernels: from
 * the first stamp on the log is strict, and lines without one are a program's, neither begin a report nor are
 * part of one. A program that fakes stamps deceives its own user only. In a log without stamps all lines
 * count, so the titles must be told by more than a word: kernel-log-titles.c has them.
 *
 * A report ends with its mark. Many have none, and a dying kernel may not get there: so it also ends where
 * another begins, at an empty line or at several that are no part of a report, behind the call trace; when
 * the stamps leap; and when the console is quiet, which vmm_kernel_log_settle() says. What comes after the
 * last line that surely belongs to it is then left out.
 *
 * Memory is constant: one line, one report of bounded length, and nothing that a guest could make grow.
 */
#include "vmm/kernel-log-internal.h"

#include <string.h>

#include "vmm/printk-line.h"

/* No line that is shorter says anything: a wall of empty lines costs little. */
#define TITLE_MIN (sizeof "BUG: " - 1)
/* Lines that are no part of a report, as far as one can see, and end it. Before the trace much may be told.
 */
#define IDLE_BEFORE_TRACE 40u
#define IDLE_AFTER_TRACE 4u
#define IDLE_OOM 200u
/* A report is written at once, but for a serial line being slow. */
#define LEAP_SECONDS 10.0
/* The kernel's lines between a report and the panic that follows from it. */
#define CONSEQUENCE_LINES 60u

/**
 * vmm_kernel_log_new:
 * @func: told of each report when it has ended, on the thread that feeds
 * @user: what it gets
 *
 * One thread at a time.
 *
 * Since: 0.1
 */
VmmKernelLog *
vmm_kernel_log_new (VmmKernelReportFunc func, void *user)
{
    VmmKernelLog *log = g_new0 (VmmKernelLog, 1);

    log->func = func;
    log->user = user;
    log->line = 1;
    log->report.text = g_string_new (NULL);
    return log;
}

/**
 * vmm_kernel_log_free:
 * @log: (nullable)
 *
 * Since: 0.1
 */
void
vmm_kernel_log_free (VmmKernelLog *log)
{
    if (log == NULL)
        return;
    g_string_free (log->report.text, TRUE);
    g_free (log);
}

static void
tell (VmmKernelLog *log)
{
    const VmmOpenReport *open = &log->report;
    g_autofree char *summary = vmm_kernel_trace_summarize (
        &open->trace, open->kind, *open->killed != '\0' ? open->killed : open->title);
    g_autofree char *summary_utf8 = g_utf8_make_valid (summary, -1);
    g_autofree char *title = g_utf8_make_valid (open->title, -1);
    g_autofree char *text = g_utf8_make_valid (open->text->str, (gssize)open->text->len);
    VmmKernelReport report = {
        .id = open->id,
        .parent = open->parent,
        .kind = open->kind,
        .summary = summary_utf8,
        .title = title,
        .function = *open->trace.name != '\0' ? open->trace.name : NULL,
        .text = text,
        .text_len = strlen (text),
        .cut = open->cut,
        .offset = open->offset,
        .line = open->line,
    };

    log->func (log->user, &report);
}

/* @whole: all of its lines are part of it. */
static void
end_report (VmmKernelLog *log, bool whole)
{
    VmmOpenReport *open = &log->report;

    if (!open->open)
        return;
    if (!whole)
        g_string_truncate (open->text, open->useful);
    tell (log);
    open->open = false;
    g_string_truncate (open->text, 0);
    log->last_id = open->id;
    log->lines_since = 0;
}

static void
append_line (VmmKernelLog *log, bool useful)
{
    VmmOpenReport *open = &log->report;

    open->cut = open->cut || open->text->len + log->len + 1 > VMM_KERNEL_REPORT_MAX;
    if (!open->cut) {
        g_string_append_len (open->text, log->text, (gssize)log->len);
        g_string_append_c (open->text, '\n');
    }
    open->lines++;
    open->idle = useful ? 0 : open->idle + 1;
    if (useful)
        open->useful = open->text->len;
}

/* Whether more of it must follow. */
static bool
is_in_the_middle (const VmmOpenReport *open)
{
    return open->trace.inside || (!open->trace.seen && open->lines > 1 && open->idle == 0);
}

static void
begin_report (VmmKernelLog *log, VmmKernelTrouble kind, const VmmPrintkLine *line)
{
    VmmOpenReport *open = &log->report;
    bool was_open = open->open, was_inside = was_open && is_in_the_middle (open);
    uint64_t parent = 0;

    if (vmm_kernel_trouble_is_panic (kind) && kind != VMM_KERNEL_NO_ROOT &&
        (was_open || (log->last_id != 0 && log->lines_since < CONSEQUENCE_LINES)) &&
        vmm_kernel_title_is_consequence (line->text))
        parent = was_open ? open->id : log->last_id;
    if (was_inside)
        parent = open->id;
    end_report (log, false);
    *open = (VmmOpenReport){
        .open = true,
        .id = ++log->n_reports,
        .parent = parent,
        .kind = kind,
        .text = open->text,
        .offset = log->line_offset,
        .line = log->line,
        .seconds = line->seconds,
    };
    g_strlcpy (open->title, line->text, sizeof open->title);
    append_line (log, true);
    vmm_kernel_trace_read_title (&open->trace, line->text);
    /* An OOM kill begins with another line where there is a report of it. */
    if ((kind == VMM_KERNEL_OOM || kind == VMM_KERNEL_KMEMLEAK) && vmm_kernel_line_is_end (line->text, kind))
        end_report (log, true);
}

/* Whether a title of @kind is a further line of the open report: "Oops: 0002 [#1]" behind "BUG: unable to …".
 */
static bool
goes_on (const VmmOpenReport *open, VmmKernelTrouble kind, const char *text)
{
    if (open->kind == VMM_KERNEL_OOM && kind == VMM_KERNEL_OOM)
        return vmm_kernel_line_is_end (text, kind);
    return kind == VMM_KERNEL_OOPS && !open->trace.seen &&
           (open->kind == VMM_KERNEL_BUG || open->kind == VMM_KERNEL_OOPS);
}

static unsigned
idle_limit (const VmmOpenReport *open)
{
    if (open->kind == VMM_KERNEL_OOM)
        return IDLE_OOM;
    return open->trace.seen ? IDLE_AFTER_TRACE : IDLE_BEFORE_TRACE;
}

static void
go_on (VmmKernelLog *log, const VmmPrintkLine *line)
{
    VmmOpenReport *open = &log->report;
    bool blank = line->text[strspn (line->text, " \t")] == '\0', useful;

    if (blank && open->trace.seen && !open->trace.inside &&
        !vmm_kernel_line_is_end ("==========", open->kind)) {
        end_report (log, false);
        return;
    }
    vmm_kernel_trace_read (&open->trace, line->text);
    /* Who asks for memory has not done wrong. */
    if (open->kind == VMM_KERNEL_OOM)
        *open->trace.name = '\0';
    useful = !blank && (open->trace.inside || vmm_kernel_line_is_detail (line->text));
    if (vmm_kernel_line_is_end (line->text, open->kind)) {
        /* Which process was killed tells more than which one asked for memory. */
        if (open->kind == VMM_KERNEL_OOM)
            g_strlcpy (open->killed, line->text, sizeof open->killed);
        append_line (log, true);
        end_report (log, true);
        return;
    }
    append_line (log, useful);
    open->seconds = line->seconds;
    if (open->idle > idle_limit (open))
        end_report (log, false);
}

static bool
has_leapt (double from, double to)
{
    return to > from + LEAP_SECONDS || to < from - LEAP_SECONDS;
}

static void
end_line (VmmKernelLog *log)
{
    VmmOpenReport *open = &log->report;
    VmmKernelTrouble kind;
    VmmPrintkLine line;

    if (log->len < TITLE_MIN && !open->open) {
        log->lines_since += !log->strict && log->lines_since < CONSEQUENCE_LINES;
        return;
    }
    log->text[log->len] = '\0';
    line = vmm_printk_parse (log->text);
    /* Behind a prompt it counts, and proves less. */
    log->strict = log->strict || (line.stamped && (log->text[0] == '[' || log->text[0] == '<'));
    if (log->strict && !line.stamped)
        return;
    if (g_str_has_prefix (line.text, "Linux version ")) {
        /* A new kernel, whose troubles are its own. */
        end_report (log, false);
        log->last_id = 0;
    }
    log->lines_since += log->lines_since < CONSEQUENCE_LINES;
    if (open->open && line.stamped && has_leapt (open->seconds, line.seconds))
        end_report (log, false);
    if (vmm_kernel_title_find (line.text, line.stamped, &kind) &&
        !(open->open && goes_on (open, kind, line.text)))
        begin_report (log, kind, &line);
    else if (open->open)
        go_on (log, &line);
}

/**
 * vmm_kernel_log_feed:
 * @log: whose console this is
 * @data: @len bytes of console output, as they come
 *
 * Lines end with a line feed. Carriage returns, NUL bytes, other control characters but tabs, and escape
 * sequences are left out; of a line that is longer than 2047 bytes the rest is.
 *
 * Since: 0.1
 */
void
vmm_kernel_log_feed (VmmKernelLog *log, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        /* Of nearly all bytes it is plain. */
        if ((log->filter.state != VMM_TERMINAL_TEXT || data[i] == VMM_TERMINAL_ESCAPE) &&
            !vmm_terminal_filter_pass (&log->filter, data[i]))
            continue;
        if (data[i] == '\n') {
            end_line (log);
            log->len = 0;
            log->line++;
            log->line_offset = log->offset + i + 1;
        } else if ((data[i] >= ' ' || data[i] == '\t') && data[i] != 0x7f &&
                   log->len < sizeof log->text - 1) {
            log->text[log->len++] = (char)data[i];
        }
    }
    log->offset += len;
}

/**
 * vmm_kernel_log_settle:
 * @log: whose console has been quiet
 *
 * The console has been quiet for some seconds: a report that has not ended will not go on.
 *
 * Since: 0.1
 */
void
vmm_kernel_log_settle (VmmKernelLog *log)
{
    end_report (log, false);
}

/**
 * vmm_kernel_log_finish:
 * @log: whose console has ended
 *
 * The console has ended: an unfinished line counts, and so does an unfinished report. Nothing may be fed any
 * more.
 *
 * Since: 0.1
 */
void
vmm_kernel_log_finish (VmmKernelLog *log)
{
    if (log->len > 0)
        end_line (log);
    log->len = 0;
    end_report (log, false);
}

/**
 * vmm_kernel_log_is_in_report:
 * @log: what to ask
 *
 * Returns: whether a report has begun and not ended: whether vmm_kernel_log_settle() makes a difference
 * Since: 0.1
 */
bool
vmm_kernel_log_is_in_report (const VmmKernelLog *log)
{
    return log->report.open;
}

/**
 * vmm_kernel_trouble_to_string:
 * @kind: what was reported
 *
 * Returns: a stable name for programs, such as "hung-task"
 * Since: 0.1
 */
const char *
vmm_kernel_trouble_to_string (VmmKernelTrouble kind)
{
    static const char *const names[] = {
        [VMM_KERNEL_PANIC] = "panic",
        [VMM_KERNEL_NO_ROOT] = "no-root",
        [VMM_KERNEL_INIT_KILLED] = "init-killed",
        [VMM_KERNEL_BUG] = "bug",
        [VMM_KERNEL_OOPS] = "oops",
        [VMM_KERNEL_WARNING] = "warning",
        [VMM_KERNEL_SOFT_LOCKUP] = "soft-lockup",
        [VMM_KERNEL_HARD_LOCKUP] = "hard-lockup",
        [VMM_KERNEL_RCU_STALL] = "rcu-stall",
        [VMM_KERNEL_HUNG_TASK] = "hung-task",
        [VMM_KERNEL_KASAN] = "kasan",
        [VMM_KERNEL_KFENCE] = "kfence",
        [VMM_KERNEL_KMSAN] = "kmsan",
        [VMM_KERNEL_KCSAN] = "kcsan",
        [VMM_KERNEL_UBSAN] = "ubsan",
        [VMM_KERNEL_KMEMLEAK] = "kmemleak",
        [VMM_KERNEL_LOCKDEP] = "lockdep",
        [VMM_KERNEL_OOM] = "oom",
    };

    return (unsigned)kind < G_N_ELEMENTS (names) ? names[kind] : "unknown";
}

/**
 * vmm_kernel_trouble_is_panic:
 * @kind: what was reported
 *
 * Returns: whether the kernel stops for good
 * Since: 0.1
 */
bool
vmm_kernel_trouble_is_panic (VmmKernelTrouble kind)
{
    return kind == VMM_KERNEL_PANIC || kind == VMM_KERNEL_NO_ROOT || kind == VMM_KERNEL_INIT_KILLED;
}
