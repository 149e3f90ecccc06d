/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_SERIAL_H
#define VMM_DEVICES_SERIAL_H

#include <glib.h>

#include "devices/chardev/chardev.h"
#include "devices/device.h"
#include "vmm/core/bus.h"
#include "vmm/core/irq.h"

#define VMM_SERIAL_SIZE 8u

typedef struct _VmmSerial VmmSerial;

VmmSerial *vmm_serial_new (VmmChardev *chardev, const VmmIrqLine *irq);
void vmm_serial_free (VmmSerial *serial);
void vmm_serial_send_break (VmmSerial *serial);

extern const VmmBusOps vmm_serial_bus_ops;
extern const VmmDeviceOps vmm_serial_device_ops;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmSerial, vmm_serial_free)

#endif
