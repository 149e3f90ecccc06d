/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's reports of trouble that a machine's consoles have told, for its verdict. A guest may report as
 * much as it likes: where there are many, the first say how it began, and the last how it ended.
 */
#include "vmm/kernel-reports.h"

#include <string.h>

struct _VmmKernelReports {
    GMutex lock;
    GArray *list; /* of VmmKernelReport, whose texts are owned */
};

static void
clear_report (gpointer data)
{
    VmmKernelReport *report = data;

    g_free ((char *)report->summary);
    g_free ((char *)report->title);
    g_free ((char *)report->function);
    g_free ((char *)report->text);
}

/**
 * vmm_kernel_reports_new:
 *
 * Returns: (transfer full): none
 */
VmmKernelReports *
vmm_kernel_reports_new (void)
{
    VmmKernelReports *reports = g_new0 (VmmKernelReports, 1);

    g_mutex_init (&reports->lock);
    reports->list = g_array_new (FALSE, FALSE, sizeof (VmmKernelReport));
    g_array_set_clear_func (reports->list, clear_report);
    return reports;
}

/**
 * vmm_kernel_reports_free:
 * @reports: (nullable)
 */
void
vmm_kernel_reports_free (VmmKernelReports *reports)
{
    if (reports == NULL)
        return;
    g_array_unref (reports->list);
    g_mutex_clear (&reports->lock);
    g_free (reports);
}

/* A kernel with several consoles says everything on each of them. */
static bool
is_known (const VmmKernelReports *reports, const VmmKernelReport *report)
{
    for (guint i = 0; i < reports->list->len; i++) {
        const VmmKernelReport *known = &g_array_index (reports->list, VmmKernelReport, i);

        if (known->kind == report->kind && strcmp (known->text, report->text) == 0)
            return true;
    }
    return false;
}

/**
 * vmm_kernel_reports_add:
 * @report: what a console has told; copied
 *
 * Any thread. One that is there already, word for word, is left out.
 */
void
vmm_kernel_reports_add (VmmKernelReports *reports, const VmmKernelReport *report)
{
    VmmKernelReport copy = *report;

    g_mutex_lock (&reports->lock);
    if (!is_known (reports, report)) {
        copy.summary = g_strdup (report->summary);
        copy.title = g_strdup (report->title);
        copy.function = g_strdup (report->function);
        copy.text = g_strdup (report->text);
        if (reports->list->len == VMM_KERNEL_REPORTS_MAX)
            g_array_remove_index (reports->list, VMM_KERNEL_REPORTS_MAX / 2);
        g_array_append_val (reports->list, copy);
    }
    g_mutex_unlock (&reports->lock);
}

/**
 * vmm_kernel_reports_list:
 * @ret_n: (out): how many
 *
 * When no more will be added.
 *
 * Returns: (transfer none) (array length=ret_n): the reports, in the order in which they ended
 */
const VmmKernelReport *
vmm_kernel_reports_list (const VmmKernelReports *reports, size_t *ret_n)
{
    *ret_n = reports->list->len;
    return (const VmmKernelReport *)(const void *)reports->list->data;
}
