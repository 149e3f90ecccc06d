/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CORE_BUS_H
#define VMM_CORE_BUS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * VmmBusOps:
 * @read: the value at @offset; only the low @size bytes are used
 * @write: takes the low @size bytes of @value
 *
 * How a device answers on a bus. @offset counts from the start of the device's own range: a device never
 * knows its base. @size is 1, 2, 4 or 8 and the access lies wholly inside the range. Both run on vCPU
 * threads, several at once: the device locks. Neither may fail: a guest's nonsense reads as all ones and
 * writes into nothing.
 */
typedef struct {
    uint64_t (*read) (void *device, uint64_t offset, unsigned size);
    void (*write) (void *device, uint64_t offset, unsigned size, uint64_t value);
} VmmBusOps;

typedef struct _VmmBus VmmBus;

VmmBus *vmm_bus_new (const char *name);
void vmm_bus_free (VmmBus *bus);
bool vmm_bus_add (VmmBus *bus, const char *device_name, uint64_t base, uint64_t size, const VmmBusOps *ops,
                  void *device, GError **error);
void vmm_bus_remove (VmmBus *bus, uint64_t base);
uint64_t vmm_bus_read (VmmBus *bus, uint64_t addr, unsigned size);
void vmm_bus_write (VmmBus *bus, uint64_t addr, unsigned size, uint64_t value);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmBus, vmm_bus_free)

#endif
