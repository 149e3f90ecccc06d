/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include <stdbool.h>

#include <glib.h>

#include "vmm/config.h"
#include "vmm/export.h"
#include "vmm/verdict.h"

G_BEGIN_DECLS

/**
 * VmmMachine:
 *
 * One virtual machine, from its making to its verdict. It is driven by the GMainContext that was the calling
 * thread's default when it was made: its calls are made on the thread that runs that context, except
 * vmm_machine_stop() and vmm_machine_press_power_button(), which any thread may call.
 */
typedef struct _VmmMachine VmmMachine;

/**
 * VmmMachineEnded:
 *
 * Called once, on the machine's context, when the run is over and the verdict is there.
 */
typedef void (*VmmMachineEnded) (VmmMachine *machine, void *user);

/**
 * VmmMachineNotice:
 * @message: one line without a newline: something that the user should know, and that changes no verdict
 *
 * Called on the machine's context.
 */
typedef void (*VmmMachineNotice) (VmmMachine *machine, const char *message, void *user);

VMM_EXPORT VmmMachine *vmm_machine_new (const VmmConfig *config, GError **error);
VMM_EXPORT void vmm_machine_free (VmmMachine *machine);
VMM_EXPORT void vmm_machine_set_ended (VmmMachine *machine, VmmMachineEnded ended, void *user);
VMM_EXPORT void vmm_machine_set_notice (VmmMachine *machine, VmmMachineNotice notice, void *user);
VMM_EXPORT bool vmm_machine_start (VmmMachine *machine, GError **error);
VMM_EXPORT bool vmm_machine_pause (VmmMachine *machine, GError **error);
VMM_EXPORT bool vmm_machine_resume (VmmMachine *machine, GError **error);
VMM_EXPORT void vmm_machine_stop (VmmMachine *machine, const char *reason);
VMM_EXPORT void vmm_machine_press_power_button (VmmMachine *machine);
VMM_EXPORT const VmmVerdict *vmm_machine_get_verdict (const VmmMachine *machine);
VMM_EXPORT const VmmVerdict *vmm_machine_run (VmmMachine *machine, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmMachine, vmm_machine_free)

G_END_DECLS

#endif
