/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: the host probe.
 *
 * A probe asks this host what it can do for virtual machines, and gives back a report. The report says
 * everything twice: as typed facts, for programs that decide by them, and as a list of checks, for people. A
 * check carries its own explanation and advice, so that every program that shows it tells the user the same.
 *
 * The probe reads /proc and /sys, opens /dev/kvm, and asks by cheap system calls. It changes nothing and
 * leaves nothing behind. It needs no rights: what this process may not do is what it reports.
 *
 *   host.c          the report itself
 *   host-explain.c  why /dev/kvm cannot be opened; also for the error of a machine that is built
 *   host-kvm.c      the processor and KVM
 *   host-speed.c    how fast guest code runs, measured
 *   host-system.c   memory, limits, kernel facilities
 */
#include "vmm/host-internal.h"

#include <string.h>

static void
check_free (gpointer data)
{
    VmmHostCheck *check = (VmmHostCheck *)data;

    g_free ((char *)check->value);
    g_free ((char *)check->explanation);
    g_free ((char *)check->advice);
    g_free (check);
}

/*
 * Adds one finding. @id and @title are literals, @value is taken over, the rest is copied; @advice may be
 * NULL.
 */
void
vmm_host_report_add (VmmHostReport *report, const char *id, const char *title, VmmHostLevel level,
                     char *value, const char *explanation, const char *advice)
{
    VmmHostCheck *check = g_new0 (VmmHostCheck, 1);

    check->id = id;
    check->title = title;
    check->level = level;
    check->value = value;
    check->explanation = g_strdup (explanation);
    check->advice = g_strdup (advice);
    g_ptr_array_add (report->checks, check);
}

/* The first line of a small file, without its newline, or NULL. The caller frees it. */
char *
vmm_host_read_line (const char *root, const char *path)
{
    g_autofree char *full = g_strconcat (root, path, NULL);
    char *text = NULL;

    if (!g_file_get_contents (full, &text, NULL, NULL))
        return NULL;
    text[strcspn (text, "\n")] = '\0';
    return text;
}

/* vmm_host_probe() with every path below @root; see host-internal.h. */
VmmHostReport *
vmm_host_probe_root (const char *root, VmmHostProbeFlags flags)
{
    VmmHostReport *report = g_new0 (VmmHostReport, 1);

    report->checks = g_ptr_array_new_with_free_func (check_free);
    vmm_host_probe_kvm (report, root, flags);
    vmm_host_probe_system (report, root);
    return report;
}

/**
 * vmm_host_probe:
 * @flags: what to leave out
 *
 * Finds out what this host can do for virtual machines, from the view of this process: its user, its groups,
 * its limits. Blocks for some 60 ms, or 2 ms with %VMM_HOST_PROBE_NO_SPEED. Any thread may call it.
 *
 * Returns: (transfer full): the report; never %NULL
 *
 * Since: 0.1
 */
VmmHostReport *
vmm_host_probe (VmmHostProbeFlags flags)
{
    return vmm_host_probe_root ("", flags);
}

/**
 * vmm_host_report_free:
 * @report: (nullable): a report
 *
 * Frees the report, its facts and its checks.
 *
 * Since: 0.1
 */
void
vmm_host_report_free (VmmHostReport *report)
{
    if (report == NULL)
        return;
    g_ptr_array_unref (report->checks);
    g_free (report);
}

/**
 * vmm_host_report_get_facts:
 * @report: a report
 *
 * Returns: (transfer none): the typed facts, valid as long as the report
 *
 * Since: 0.1
 */
const VmmHostFacts *
vmm_host_report_get_facts (const VmmHostReport *report)
{
    return &report->facts;
}

/**
 * vmm_host_report_get_n_checks:
 * @report: a report
 *
 * Returns: how many checks it has; which ones depends on the host
 *
 * Since: 0.1
 */
unsigned
vmm_host_report_get_n_checks (const VmmHostReport *report)
{
    return report->checks->len;
}

/**
 * vmm_host_report_get_check:
 * @report: a report
 * @index: which one, below vmm_host_report_get_n_checks()
 *
 * Returns: (transfer none) (nullable): the check, valid as long as the report, or %NULL beyond the last one
 *
 * Since: 0.1
 */
const VmmHostCheck *
vmm_host_report_get_check (const VmmHostReport *report, unsigned index)
{
    return index < report->checks->len ? (const VmmHostCheck *)g_ptr_array_index (report->checks, index)
                                       : NULL;
}

/**
 * vmm_host_report_get_level:
 * @report: a report
 *
 * Returns: the worst level of its checks; below %VMM_HOST_FAILURE a machine can run here
 *
 * Since: 0.1
 */
VmmHostLevel
vmm_host_report_get_level (const VmmHostReport *report)
{
    VmmHostLevel worst = VMM_HOST_OK;

    for (unsigned i = 0; i < report->checks->len; i++) {
        const VmmHostCheck *check = (const VmmHostCheck *)g_ptr_array_index (report->checks, i);
        worst = MAX (worst, check->level);
    }
    return worst;
}

/**
 * vmm_host_level_to_string:
 * @level: a level
 *
 * Returns: (transfer none): "ok", "note", "warning" or "failure"
 *
 * Since: 0.1
 */
const char *
vmm_host_level_to_string (VmmHostLevel level)
{
    static const char *const names[] = {"ok", "note", "warning", "failure"};

    return (gsize)level < G_N_ELEMENTS (names) ? names[level] : "unknown";
}
