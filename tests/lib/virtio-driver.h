/* SPDX-License-Identifier: Apache-2.0 */
/* The rest of a guest's virtio driver: brings a device up without any transport (virtio 1.2 section 3.1.1).
 */
#ifndef VMM_TESTS_VIRTIO_DRIVER_H
#define VMM_TESTS_VIRTIO_DRIVER_H

#include "devices/virtio/device.h"
#include "virtq-driver.h"

/* From reset to FEATURES_OK, with those of @features that are offered; whether the device took them. */
static inline bool
vmm_virtio_driver_negotiate (VmmVirtioDevice *device, uint64_t features)
{
    const uint8_t driver = VMM_VIRTIO_STATUS_ACKNOWLEDGE | VMM_VIRTIO_STATUS_DRIVER;

    vmm_virtio_device_set_status (device, 0);
    vmm_virtio_device_set_status (device, VMM_VIRTIO_STATUS_ACKNOWLEDGE);
    vmm_virtio_device_set_status (device, driver);
    for (uint32_t word = 0; word < 2; word++)
        vmm_virtio_device_accept (
            device, word, vmm_virtio_device_offered (device, word) & (uint32_t)(features >> (32 * word)));
    vmm_virtio_device_set_status (device, driver | VMM_VIRTIO_STATUS_FEATURES_OK);
    return (vmm_virtio_device_status (device) & VMM_VIRTIO_STATUS_FEATURES_OK) != 0;
}

/* Gives queue @index the ring of @driver, and enables it; after negotiate and before start. */
static inline void
vmm_virtio_driver_set_queue (VmmVirtioDevice *device, unsigned index, const VmmVirtqDriver *driver)
{
    VmmVirtqueueLayout layout = vmm_virtq_driver_layout (driver);

    vmm_virtio_device_set_queue_size (device, index, layout.size);
    vmm_virtio_device_set_queue_address (device, index, VMM_VIRTIO_QUEUE_DESC, UINT64_MAX, layout.desc);
    vmm_virtio_device_set_queue_address (device, index, VMM_VIRTIO_QUEUE_DRIVER, UINT64_MAX, layout.driver);
    vmm_virtio_device_set_queue_address (device, index, VMM_VIRTIO_QUEUE_DEVICE, UINT64_MAX, layout.device);
    vmm_virtio_device_enable_queue (device, index);
}

/* DRIVER_OK; whether the device is well afterwards. */
static inline bool
vmm_virtio_driver_start (VmmVirtioDevice *device)
{
    vmm_virtio_device_set_status (device, vmm_virtio_device_status (device) | VMM_VIRTIO_STATUS_DRIVER_OK);
    return (vmm_virtio_device_status (device) & VMM_VIRTIO_STATUS_NEEDS_RESET) == 0;
}

#endif
