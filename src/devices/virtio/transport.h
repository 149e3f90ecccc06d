/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_VIRTIO_TRANSPORT_H
#define VMM_DEVICES_VIRTIO_TRANSPORT_H

/* How a guest reaches virtio devices (virtio 1.2 sections 4.1 and 4.2). */
typedef enum {
    VMM_VIRTIO_TRANSPORT_PCI,
    VMM_VIRTIO_TRANSPORT_MMIO,
    VMM_VIRTIO_TRANSPORT_MMIO_CMDLINE, /* and is told by the kernel's command line */
} VmmVirtioTransport;

#endif
