/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CONTROL_H
#define VMM_CONTROL_H

#include <glib.h>

#include "vmm/machine.h"

typedef struct _VmmControl VmmControl;

VmmControl *vmm_control_new (VmmMachine *machine, GMainContext *context, const char *path, GError **error);
void vmm_control_free (VmmControl *control);
void vmm_control_tell (VmmControl *control, const char *event);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmControl, vmm_control_free)

#endif
