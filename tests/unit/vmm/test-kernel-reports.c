/* SPDX-License-Identifier: Apache-2.0 */
/* Which of a guest's reports are kept. */
#include "vmm/kernel-reports.h"

#include <criterion/criterion.h>

/* Report @number, of a kernel that says it on one console or on several. */
static void
add (VmmKernelReports *reports, unsigned number)
{
    g_autofree char *text = g_strdup_printf ("[ %u.000000] WARNING: it is %u\n", number, number);
    g_autofree char *summary = g_strdup_printf ("it is %u", number);
    VmmKernelReport report = {
        .id = number,
        .kind = VMM_KERNEL_WARNING,
        .summary = summary,
        .title = "WARNING",
        .function = number % 2 == 0 ? "f" : NULL,
        .text = text,
        .text_len = strlen (text),
        .line = number,
    };

    vmm_kernel_reports_add (reports, &report);
}

Test (kernel_reports, are_copied)
{
    g_autoptr (VmmKernelReports) reports = vmm_kernel_reports_new ();
    const VmmKernelReport *list;
    size_t n;

    vmm_kernel_reports_list (reports, &n);
    cr_assert_eq (n, 0);
    add (reports, 1);
    add (reports, 2);
    list = vmm_kernel_reports_list (reports, &n);
    cr_assert_eq (n, 2);
    cr_assert_str_eq (list[0].summary, "it is 1");
    cr_assert_null (list[0].function);
    cr_assert_str_eq (list[1].text, "[ 2.000000] WARNING: it is 2\n");
    cr_assert_str_eq (list[1].function, "f");
    cr_assert_eq (list[1].line, 2);
}

Test (kernel_reports, what_several_consoles_say_is_one)
{
    g_autoptr (VmmKernelReports) reports = vmm_kernel_reports_new ();
    size_t n;

    for (unsigned i = 0; i < 6; i++)
        add (reports, i / 2);
    vmm_kernel_reports_list (reports, &n);
    cr_assert_eq (n, 3);
}

Test (kernel_reports, of_many_the_first_and_the_last_are_kept)
{
    g_autoptr (VmmKernelReports) reports = vmm_kernel_reports_new ();
    const VmmKernelReport *list;
    size_t n;

    for (unsigned i = 0; i < 1000; i++)
        add (reports, i);
    list = vmm_kernel_reports_list (reports, &n);
    cr_assert_eq (n, VMM_KERNEL_REPORTS_MAX);
    for (unsigned i = 0; i < n; i++)
        cr_assert_eq (list[i].id, i < n / 2 ? i : 1000 - n + i);
}

static gpointer
add_many (gpointer reports)
{
    for (unsigned i = 0; i < 1000; i++)
        add (reports, i);
    return NULL;
}

Test (kernel_reports, several_threads_may_add_some)
{
    g_autoptr (VmmKernelReports) reports = vmm_kernel_reports_new ();
    GThread *threads[3];
    size_t n;

    for (unsigned i = 0; i < G_N_ELEMENTS (threads); i++)
        threads[i] = g_thread_new ("console", add_many, reports);
    for (unsigned i = 0; i < G_N_ELEMENTS (threads); i++)
        g_thread_join (threads[i]);
    vmm_kernel_reports_list (reports, &n);
    cr_assert_eq (n, VMM_KERNEL_REPORTS_MAX);
    vmm_kernel_reports_free (NULL);
}
