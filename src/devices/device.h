/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_DEVICE_H
#define VMM_DEVICES_DEVICE_H

#include <glib.h>
#include <stdbool.h>

#include "vmm/core/state.h"

/**
 * VmmDeviceOps:
 * @name: the device's tag in saved state and in messages
 * @reset: back to the state of power-on; vCPUs are not running
 * @save: writes the fields one by one inside a section that the caller opened; vCPUs are not running
 * @load: reads them back; false when a field is missing or out of its range, the device then being reset by
 *   the caller; the input is hostile
 * @free: ends the device; accepts NULL
 *
 * The life of a device as the machine sees it. Registers are a matter of the bus (see VmmBusOps).
 */
typedef struct {
    const char *name;
    void (*reset) (void *device);
    void (*save) (void *device, VmmStateWriter *writer);
    bool (*load) (void *device, VmmStateReader *reader, uint32_t version);
    void (*free) (void *device);
} VmmDeviceOps;

#endif
