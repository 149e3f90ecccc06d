/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_VIRTIO_BALLOON_H
#define VMM_DEVICES_VIRTIO_BALLOON_H

#include "devices/virtio/device.h"

/* How many kinds of statistics there are (virtio 1.2 section 5.5.6.3). */
#define VMM_BALLOON_STATS 10u

/**
 * VmmVirtioBalloonConfig:
 * @target: how large the balloon is to be at first, in bytes
 * @deflate_on_oom: the guest may take pages back when it has no others
 * @reporting: the guest tells of pages that it does not use
 */
typedef struct {
    uint64_t target;
    bool deflate_on_oom;
    bool reporting;
} VmmVirtioBalloonConfig;

/**
 * VmmVirtioBalloonInfo:
 * @target: how large it is to be, in bytes
 * @actual: how large the guest says that it is, in bytes
 * @has: bit N: the guest told statistic N
 * @stats: what it told last
 */
typedef struct {
    uint64_t target;
    uint64_t actual;
    uint32_t has;
    uint64_t stats[VMM_BALLOON_STATS];
} VmmVirtioBalloonInfo;

VmmVirtioDevice *vmm_virtio_balloon_new (const VmmVirtioEnv *env, const VmmVirtioBalloonConfig *config);

/* Any thread. */
void vmm_virtio_balloon_set_target (VmmVirtioDevice *device, uint64_t bytes);
uint64_t vmm_virtio_balloon_target (VmmVirtioDevice *device);
void vmm_virtio_balloon_get (VmmVirtioDevice *device, VmmVirtioBalloonInfo *ret_info);
const char *vmm_virtio_balloon_stat_name (unsigned stat);

#endif
