/* SPDX-License-Identifier: Apache-2.0 */
/* A console: what is found in one piece must be found in small ones. */
#include <glib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/kernel-log.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
on_report (void *user, const VmmKernelReport *report)
{
    GString *found = user;

    if (report->text_len > VMM_KERNEL_REPORT_MAX || report->parent >= report->id ||
        *report->summary == '\0' || report->kind >= VMM_KERNEL_N_TROUBLES ||
        strchr (report->summary, '\n') != NULL ||
        !g_utf8_validate (report->text, (gssize)report->text_len, NULL) ||
        !g_utf8_validate (report->summary, -1, NULL) || !g_utf8_validate (report->title, -1, NULL))
        abort ();
    g_string_append_printf (found, "%zu %zu %d %zu %zu %s\n%s", (size_t)report->id, (size_t)report->parent,
                            (int)report->kind, (size_t)report->offset, (size_t)report->line, report->summary,
                            report->text);
}

static char *
find (const uint8_t *data, size_t size, size_t piece)
{
    g_autoptr (GString) found = g_string_new (NULL);
    g_autoptr (VmmKernelLog) log = vmm_kernel_log_new (on_report, found);

    for (size_t at = 0; at < size; at += MIN (piece, size - at))
        vmm_kernel_log_feed (log, data + at, MIN (piece, size - at));
    vmm_kernel_log_finish (log);
    return g_string_free (g_steal_pointer (&found), FALSE);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    g_autofree char *whole = find (data, size, SIZE_MAX);
    g_autofree char *pieces = find (data, size, size > 0 ? 1 + data[0] % 61 : 1);

    if (strcmp (whole, pieces) != 0)
        abort ();
    return 0;
}
