/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_WATCHDOG_H
#define VMM_WATCHDOG_H

#include <glib.h>
#include <stdint.h>

#include "vmm/board.h"

typedef enum { VMM_WATCHDOG_HALTED, VMM_WATCHDOG_HUNG } VmmWatchdogFinding;

/* On the loop thread, once; @index is the vCPU that hangs, @seconds how long it has; @report is taken: a line
 * for each vCPU that says where it is, of a hang three times. */
typedef void (*VmmWatchdogFunc) (void *user, VmmWatchdogFinding finding, unsigned index, double seconds,
                                 char *report);

typedef struct _VmmWatchdog VmmWatchdog;

VmmWatchdog *vmm_watchdog_new (GMainContext *context, VmmBoard *board, int64_t limit_ns, bool scaled,
                               VmmWatchdogFunc found, void *user);
void vmm_watchdog_free (VmmWatchdog *watchdog);
void vmm_watchdog_look_now (VmmWatchdog *watchdog);
void vmm_watchdog_on_active (VmmWatchdog *watchdog);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmWatchdog, vmm_watchdog_free)

#endif
