/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_I8042_H
#define VMM_DEVICES_I8042_H

#include <glib.h>

#include "devices/device.h"
#include "vmm/core/bus.h"
#include "vmm/core/guest-event.h"

typedef struct _VmmI8042 VmmI8042;

VmmI8042 *vmm_i8042_new (const VmmGuestEventSink *events);
void vmm_i8042_free (VmmI8042 *i8042);

/* Two ranges of one port each, because port 0x61 between them belongs to others. */
extern const VmmBusOps vmm_i8042_data_bus_ops;    /* 0x60 */
extern const VmmBusOps vmm_i8042_command_bus_ops; /* 0x64 */
extern const VmmDeviceOps vmm_i8042_device_ops;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmI8042, vmm_i8042_free)

#endif
