/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_VIRTIO_MMIO_H
#define VMM_DEVICES_VIRTIO_MMIO_H

#include <glib.h>
#include <stdbool.h>

#include "devices/device.h"
#include "devices/virtio/device.h"
#include "vmm/core/bus.h"
#include "vmm/core/doorbell.h"
#include "vmm/core/irq.h"

#define VMM_VIRTIO_MMIO_SIZE 0x1000u

/**
 * VmmVirtioMmioConfig:
 * @gpa: where its registers will be, for doorbells
 * @irq: where its interrupt goes; copied
 * @edge: the guest has @irq edge-triggered: it goes down and up again whenever a level would have made
 * another interrupt
 * @doorbells: copied
 */
typedef struct {
    uint64_t gpa;
    VmmIrqLine irq;
    bool edge;
    VmmDoorbellHost doorbells;
} VmmVirtioMmioConfig;

typedef struct _VmmVirtioMmio VmmVirtioMmio;

VmmVirtioMmio *vmm_virtio_mmio_new (VmmVirtioDevice *device, const VmmVirtioMmioConfig *config);
void vmm_virtio_mmio_free (VmmVirtioMmio *mmio);

extern const VmmBusOps vmm_virtio_mmio_bus_ops;
extern const VmmDeviceOps vmm_virtio_mmio_device_ops;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmVirtioMmio, vmm_virtio_mmio_free)

#endif
