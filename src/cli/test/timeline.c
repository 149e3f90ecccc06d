/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A boot has stages, and a Linux kernel tells on its console when it is in which: its lines have time stamps,
 * one says that the first program is run, and with initcall_debug there is one for each initcall. Nothing is
 * guessed: where a line is missing (a quiet kernel) a stage is, too.
 *
 * Where the log has stamps, a line without one is a program's. So the first of those proves that there are
 * programs, if nothing has said so before.
 *
 * A new boot begins where a restart was announced: by the kernel, which does so at a high level, or by the
 * machine. "Linux version" alone is not enough, since dmesg shows it, too. What follows then is the new
 * kernel's if its clock began behind the announcement; the old one may have lines left.
 */
#include "timeline.h"

#include <math.h>
#include <string.h>

#include <vmm/vmm.h>

#define LINE_MAX_LEN 512u
#define NAME_MAX_LEN 63u
/* Bytes wait in vmm for a while before they get a time. */
#define CLOCK_TOLERANCE 0.1

typedef struct {
    double begin;
    double seconds;
    char name[NAME_MAX_LEN + 1];
} Initcall;

/* Times are in seconds since the worker's start; NAN: not seen. */
typedef struct {
    double begin;   /* the kernel's first line */
    double run;     /* it runs the first program */
    double freed;   /* it gives back what only a boot needs, which is just before that */
    double program; /* the first sign of a program */
    double offset;  /* when its clock was at 0, at the latest */
    bool stamped;
    GArray *initcalls;
} Boot;

struct _TestTimeline {
    bool output;
    bool linux_first; /* nobody has written anything before the kernel */
    Boot *boot;
    bool restarted; /* there were others before */
    double restart; /* when one was announced that has not begun; NAN: none */
    double line_t;
    size_t len;
    char line[LINE_MAX_LEN + 1];
};

static Boot *
boot_new (double t, bool stamped)
{
    Boot *boot = g_new0 (Boot, 1);

    boot->begin = t;
    boot->run = boot->freed = boot->program = boot->offset = (double)NAN;
    boot->stamped = stamped;
    boot->initcalls = g_array_new (FALSE, FALSE, sizeof (Initcall));
    return boot;
}

static void
boot_free (Boot *boot)
{
    if (boot == NULL)
        return;
    g_array_unref (boot->initcalls);
    g_free (boot);
}

/**
 * test_timeline_new:
 *
 * One thread at a time. Its memory does not grow with what it is fed.
 */
TestTimeline *
test_timeline_new (void)
{
    TestTimeline *timeline = g_new0 (TestTimeline, 1);

    timeline->restart = (double)NAN;
    return timeline;
}

/**
 * test_timeline_free:
 * @timeline: (nullable)
 */
void
test_timeline_free (TestTimeline *timeline)
{
    if (timeline == NULL)
        return;
    boot_free (timeline->boot);
    g_free (timeline);
}

/* Of two times that may not have been seen, the first. */
static void
note_first (double *time, double t)
{
    if (isnan (*time) || t < *time)
        *time = t;
}

/* Keeps the longest ones. */
static void
add_initcall (GArray *initcalls, const Initcall *initcall)
{
    guint shortest = 0;

    if (initcalls->len < TEST_TIMELINE_INITCALLS_MAX) {
        g_array_append_val (initcalls, *initcall);
        return;
    }
    for (guint i = 1; i < initcalls->len; i++) {
        if (g_array_index (initcalls, Initcall, i).seconds <
            g_array_index (initcalls, Initcall, shortest).seconds)
            shortest = i;
    }
    if (initcall->seconds > g_array_index (initcalls, Initcall, shortest).seconds)
        g_array_index (initcalls, Initcall, shortest) = *initcall;
}

/* "initcall NAME+0x0/0x10 [MODULE] returned 0 after 12 usecs" (init/main.c, trace_initcall_finish_cb). */
static void
look_for_initcall (Boot *boot, const VmmPrintkLine *line)
{
    Initcall initcall = {0};
    const char *name = line->text + strlen ("initcall ");
    const char *after;
    size_t n;
    guint64 usecs;

    if (!line->stamped || !g_str_has_prefix (line->text, "initcall "))
        return;
    n = strspn (name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_.$");
    after = strstr (name, " after ");
    if (n == 0 || n > NAME_MAX_LEN || name[n] != '+' || after == NULL || strstr (name, " returned ") == NULL)
        return;
    usecs = g_ascii_strtoull (after + strlen (" after "), NULL, 10);
    memcpy (initcall.name, name, n);
    initcall.seconds = MIN ((double)usecs / 1e6, line->seconds);
    initcall.begin = line->seconds - initcall.seconds;
    add_initcall (boot->initcalls, &initcall);
}

static bool
is_sign_of_program (const Boot *boot, const VmmPrintkLine *line)
{
    if (line->stamped || !boot->stamped)
        return strstr (line->text, "systemd[1]: ") != NULL || g_str_has_prefix (line->text, "Welcome to ");
    /* Half a stamp may be on its way. */
    return g_ascii_isgraph (line->text[0]) && line->text[0] != '[' && line->text[0] != '<';
}

static void
look_for_stage (Boot *boot, const VmmPrintkLine *line, double t)
{
    if (g_str_has_prefix (line->text, "Run ") && g_str_has_suffix (line->text, " as init process"))
        note_first (&boot->run, t);
    else if (g_str_has_prefix (line->text, "Freeing unused kernel ") && isnan (boot->program))
        boot->freed = t;
    else if (is_sign_of_program (boot, line))
        note_first (&boot->program, t);
}

static bool
is_linux_version (const VmmPrintkLine *line)
{
    return g_str_has_prefix (line->text, "Linux version ");
}

/* Whether @line is the first one of another kernel than the one so far. */
static bool
begins_boot (const TestTimeline *timeline, const VmmPrintkLine *line, double t)
{
    if (timeline->boot == NULL)
        return line->stamped || is_linux_version (line);
    if (isnan (timeline->restart))
        return false;
    if (line->stamped)
        return t - line->seconds >= timeline->restart - CLOCK_TOLERANCE;
    return !timeline->boot->stamped && is_linux_version (line);
}

static void
begin_boot (TestTimeline *timeline, double t, bool stamped)
{
    timeline->restarted = timeline->boot != NULL;
    timeline->restart = (double)NAN;
    boot_free (timeline->boot);
    timeline->boot = boot_new (t, stamped);
}

/* kernel/reboot.c, kernel/kexec_core.c, kernel/panic.c, drivers/tty/sysrq.c */
static bool
announces_restart (const Boot *boot, const VmmPrintkLine *line)
{
    const char *const beginnings[] = {"reboot: Restarting system",
                                      "kexec_core: Starting new kernel",
                                      "Starting crashdump kernel...",
                                      "kexec: Starting new kernel",
                                      "Rebooting in ",
                                      "sysrq: Resetting"};

    if (line->stamped != boot->stamped)
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS (beginnings); i++) {
        if (g_str_has_prefix (line->text, beginnings[i]))
            return true;
    }
    return false;
}

/* What is written before a kernel's first line, and by none but a kernel. */
static bool
is_unpacking (const char *text)
{
    const char *const beginnings[] = {
        "Decompressing Linux", "early console in ", "KASLR ",    "Physical KASLR ",
        "Virtual KASLR ",      "input_data: ",      "EFI stub: "};

    for (size_t i = 0; i < G_N_ELEMENTS (beginnings); i++) {
        if (g_str_has_prefix (text, beginnings[i]))
            return true;
    }
    return false;
}

static void
take_kernel_line (TestTimeline *timeline, const VmmPrintkLine *line, double t)
{
    Boot *boot = timeline->boot;

    if (line->stamped) {
        boot->stamped = true;
        /* A later zero is a line that had to wait; one before the worker's start is no kernel's. */
        if (t >= line->seconds)
            note_first (&boot->offset, t - line->seconds);
    }
    if (announces_restart (boot, line))
        timeline->restart = t;
    look_for_stage (boot, line, t);
    look_for_initcall (boot, line);
}

static void
take_line (TestTimeline *timeline)
{
    VmmPrintkLine line;
    bool first = !timeline->output;

    if (timeline->len > 0 && timeline->line[timeline->len - 1] == '\r')
        timeline->len--;
    timeline->line[timeline->len] = '\0';
    line = vmm_printk_parse (timeline->line);
    if (line.text[0] == '\0' && !line.stamped)
        return;
    timeline->output = true;
    if (first)
        timeline->linux_first = line.stamped || is_linux_version (&line) || is_unpacking (line.text);
    if (begins_boot (timeline, &line, timeline->line_t))
        begin_boot (timeline, timeline->line_t, line.stamped);
    if (timeline->boot != NULL)
        take_kernel_line (timeline, &line, timeline->line_t);
}

static void
strip_escapes (TestTimeline *timeline)
{
    VmmTerminalFilter filter = {0};
    size_t kept = 0;

    if (memchr (timeline->line, VMM_TERMINAL_ESCAPE, timeline->len) == NULL)
        return;
    for (size_t i = 0; i < timeline->len; i++) {
        if (vmm_terminal_filter_pass (&filter, (uint8_t)timeline->line[i]))
            timeline->line[kept++] = timeline->line[i];
    }
    timeline->len = kept;
}

/**
 * test_timeline_feed:
 * @data: @len bytes of the console that the kernel writes to
 * @t: when they came, in seconds since the worker's start; does not go back
 */
void
test_timeline_feed (TestTimeline *timeline, const uint8_t *data, size_t len, double t)
{
    for (size_t at = 0; at < len;) {
        const uint8_t *line_end = memchr (data + at, '\n', len - at);
        size_t n = line_end != NULL ? (size_t)(line_end - data) - at : len - at;
        size_t kept = MIN (n, LINE_MAX_LEN - timeline->len);

        if (timeline->len == 0)
            timeline->line_t = t;
        memcpy (timeline->line + timeline->len, data + at, kept);
        timeline->len += kept;
        at += n;
        if (line_end != NULL) {
            at++;
            strip_escapes (timeline);
            take_line (timeline);
            timeline->len = 0;
        }
    }
}

/**
 * test_timeline_restarted:
 * @t: when, in seconds since the worker's start
 *
 * The machine says that its guest begins anew, or will: what a guest that crashed cannot announce.
 */
void
test_timeline_restarted (TestTimeline *timeline, double t)
{
    if (timeline->boot != NULL)
        timeline->restart = t;
}

/* When the first program began; NAN: not seen. A prompt is a line that has no end yet. */
static double
get_userspace (const TestTimeline *timeline, const Boot *boot)
{
    TestTimeline now = *timeline;
    VmmPrintkLine line;

    if (!isnan (boot->run))
        return boot->run;
    if (!isnan (boot->freed))
        return boot->freed;
    if (!isnan (boot->program) || now.len == 0)
        return boot->program;
    strip_escapes (&now);
    now.line[now.len] = '\0';
    line = vmm_printk_parse (now.line);
    return is_sign_of_program (boot, &line) ? now.line_t : (double)NAN;
}

/**
 * test_timeline_stage:
 *
 * Returns: (transfer none): in which stage the last boot is: "vmm" (there was no output yet), "guest" (there
 *   was, and not Linux's), "kernel" or "userspace"
 */
const char *
test_timeline_stage (const TestTimeline *timeline)
{
    const Boot *boot = timeline->boot;

    if (boot == NULL)
        return timeline->output || timeline->len > 0 ? "guest" : "vmm";
    return isnan (get_userspace (timeline, boot)) ? "kernel" : "userspace";
}

/**
 * test_timeline_kernel_offset:
 * @ret_offset: when the clock of the kernel's stamps was at 0, in seconds since the worker's start; since
 *   bytes come late and never early, at the latest
 *
 * Returns: false when there were no stamps
 */
bool
test_timeline_kernel_offset (const TestTimeline *timeline, double *ret_offset)
{
    const Boot *boot = timeline->boot;

    if (boot == NULL || isnan (boot->offset))
        return false;
    *ret_offset = boot->offset;
    return true;
}

/* Returns where the stage ends: where the next one begins. */
static double
add_stage (json_t *stages, const char *name, double begin, double end)
{
    if (end > begin)
        json_array_append_new (stages,
                               json_pack ("{s:s, s:f, s:f}", "name", name, "begin", begin, "end", end));
    return MAX (begin, end);
}

static void
add_linux_stages (const TestTimeline *timeline, const Boot *boot, json_t *stages, double at,
                  double first_output, double end)
{
    double begin = boot->begin, userspace = get_userspace (timeline, boot);

    if (timeline->restarted) {
        at = add_stage (stages, "earlier boots", at, MIN (begin, end));
    } else if (timeline->linux_first) {
        if (first_output >= 0 && first_output < begin)
            begin = first_output;
        at = add_stage (stages, "early kernel", at, MIN (begin, end));
    } else {
        at = add_stage (stages, "firmware", at, MIN (begin, end));
    }
    if (isnan (userspace)) {
        add_stage (stages, "kernel", at, end);
        return;
    }
    at = add_stage (stages, "kernel", at, MIN (userspace, end));
    add_stage (stages, "userspace", at, end);
}

/**
 * test_timeline_stages:
 * @first_instruction: when the guest began; below 0: it did not
 * @first_output: when its first byte came on any console; below 0: none came
 * @end: when the run was over
 *
 * All are in seconds since the worker's start.
 *
 * Returns: (transfer full): the stages, each with its name, begin and end, without gaps: "vmm"; of Linux
 *   "early kernel", or "firmware" where somebody else wrote first, "kernel" and "userspace"; of another guest
 *   "guest"; "earlier boots" in place of what was before the last restart
 */
json_t *
test_timeline_stages (const TestTimeline *timeline, double first_instruction, double first_output, double end)
{
    json_t *stages = json_array ();
    const Boot *boot = timeline->boot;
    double at;

    if (first_instruction < 0) {
        add_stage (stages, "vmm", 0, end);
        return stages;
    }
    at = add_stage (stages, "vmm", 0, MIN (first_instruction, end));
    if (boot == NULL)
        add_stage (stages, "guest", at, end);
    else
        add_linux_stages (timeline, boot, stages, at, first_output, end);
    return stages;
}

static gint
compare_begins (gconstpointer a, gconstpointer b)
{
    double left = ((const Initcall *)a)->begin, right = ((const Initcall *)b)->begin;

    return (left > right) - (left < right);
}

/**
 * test_timeline_initcalls:
 *
 * Returns: (transfer full): the longest initcalls that a kernel with initcall_debug has told, at most
 *   %TEST_TIMELINE_INITCALLS_MAX, in the order of their begins: name, begin (in the kernel's clock), seconds
 */
json_t *
test_timeline_initcalls (const TestTimeline *timeline)
{
    const Boot *boot = timeline->boot;
    g_autoptr (GArray) sorted = NULL;
    json_t *initcalls = json_array ();

    if (boot == NULL)
        return initcalls;
    sorted = g_array_copy (boot->initcalls);
    g_array_sort (sorted, compare_begins);
    for (guint i = 0; i < sorted->len; i++) {
        const Initcall *initcall = &g_array_index (sorted, Initcall, i);

        json_array_append_new (initcalls, json_pack ("{s:s, s:f, s:f}", "name", initcall->name, "begin",
                                                     initcall->begin, "seconds", initcall->seconds));
    }
    return initcalls;
}
