/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_PVPANIC_H
#define VMM_DEVICES_PVPANIC_H

#include <glib.h>

#include "devices/device.h"
#include "vmm/core/bus.h"
#include "vmm/core/guest-event.h"

#define VMM_PVPANIC_SIZE 1u

/* Event bits: what a read offers and what a write says. */
#define VMM_PVPANIC_PANICKED 0x01u     /* the guest panicked and leaves it to the host */
#define VMM_PVPANIC_CRASH_LOADED 0x02u /* the guest panicked and its crash kernel takes over */
#define VMM_PVPANIC_SHUTDOWN 0x04u     /* the guest shut down in the regular way */

typedef struct _VmmPvpanic VmmPvpanic;

VmmPvpanic *vmm_pvpanic_new (const VmmGuestEventSink *events);
void vmm_pvpanic_free (VmmPvpanic *pvpanic);

extern const VmmBusOps vmm_pvpanic_bus_ops;
extern const VmmDeviceOps vmm_pvpanic_device_ops;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmPvpanic, vmm_pvpanic_free)

#endif
