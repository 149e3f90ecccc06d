/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_VIRTIO_CONSOLE_H
#define VMM_DEVICES_VIRTIO_CONSOLE_H

#include "devices/chardev/chardev.h"
#include "devices/virtio/device.h"

/* Ports of one device; number 0 is not used, so two queues remain of what a device may have. */
#define VMM_VIRTIO_PORTS_MAX 30u
/* Bytes of a port's name. */
#define VMM_VIRTIO_PORT_NAME_MAX 63u

/**
 * VmmVirtioPort:
 * @name: what the guest calls it; 1 to %VMM_VIRTIO_PORT_NAME_MAX bytes; borrowed for the device's life
 * @chardev: its other end; borrowed
 */
typedef struct {
    const char *name;
    VmmChardev *chardev;
} VmmVirtioPort;

/* On the thread of the character backends. */
VmmVirtioDevice *vmm_virtio_console_new (const VmmVirtioEnv *env, VmmChardev *chardev);
VmmVirtioDevice *vmm_virtio_ports_new (const VmmVirtioEnv *env, const VmmVirtioPort *ports, unsigned n_ports);

/* Any thread. */
void vmm_virtio_console_resize (VmmVirtioDevice *device, unsigned columns, unsigned rows);

#endif
