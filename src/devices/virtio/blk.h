/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_VIRTIO_BLK_H
#define VMM_DEVICES_VIRTIO_BLK_H

#include "devices/block/block.h"
#include "devices/virtio/device.h"
#include "devices/virtio/limits.h"

#define VMM_VIRTIO_BLK_SERIAL_MAX 20u
#define VMM_VIRTIO_BLK_QUEUES_MAX 16u

/**
 * VmmVirtioBlkConfig:
 * @serial: what GET_ID tells, at most %VMM_VIRTIO_BLK_SERIAL_MAX bytes; copied
 * @n_queues: 1 to %VMM_VIRTIO_BLK_QUEUES_MAX
 * @discard: offer DISCARD
 * @limits: (nullable): how much it may do; borrowed, outliving the device
 */
typedef struct {
    const char *serial;
    unsigned n_queues;
    bool discard;
    VmmLimits *limits;
} VmmVirtioBlkConfig;

VmmVirtioDevice *vmm_virtio_blk_new (const VmmVirtioEnv *env, VmmBlock *block,
                                     const VmmVirtioBlkConfig *config);
bool vmm_virtio_blk_resize (VmmVirtioDevice *device, uint64_t size, GError **error);

#endif
