/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KERNEL_REPORTS_H
#define VMM_KERNEL_REPORTS_H

#include <glib.h>

#include "vmm/kernel-log.h"

/* The first half of those that are kept are the first that came, and the others the last. */
#define VMM_KERNEL_REPORTS_MAX 32u

typedef struct _VmmKernelReports VmmKernelReports;

VmmKernelReports *vmm_kernel_reports_new (void);
void vmm_kernel_reports_free (VmmKernelReports *reports);
void vmm_kernel_reports_add (VmmKernelReports *reports, const VmmKernelReport *report);
const VmmKernelReport *vmm_kernel_reports_list (const VmmKernelReports *reports, size_t *ret_n);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmKernelReports, vmm_kernel_reports_free)

#endif
