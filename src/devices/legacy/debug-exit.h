/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_DEBUG_EXIT_H
#define VMM_DEVICES_DEBUG_EXIT_H

#include <glib.h>

#include "devices/device.h"
#include "vmm/core/bus.h"
#include "vmm/core/guest-event.h"

#define VMM_DEBUG_EXIT_SIZE 4u

typedef struct _VmmDebugExit VmmDebugExit;

VmmDebugExit *vmm_debug_exit_new (const VmmGuestEventSink *events);
void vmm_debug_exit_free (VmmDebugExit *debug_exit);

extern const VmmBusOps vmm_debug_exit_bus_ops;
extern const VmmDeviceOps vmm_debug_exit_device_ops;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmDebugExit, vmm_debug_exit_free)

#endif
