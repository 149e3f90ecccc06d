/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_VIRTIO_NET_H
#define VMM_DEVICES_VIRTIO_NET_H

#include "devices/net/net.h"
#include "devices/virtio/device.h"

#define VMM_VIRTIO_NET_MAC_SIZE 6u

/**
 * VmmVirtioNetConfig:
 * @mac: of the card
 * @mtu: that the guest is told; 0: none
 */
typedef struct {
    uint8_t mac[VMM_VIRTIO_NET_MAC_SIZE];
    unsigned mtu;
} VmmVirtioNetConfig;

VmmVirtioDevice *vmm_virtio_net_new (const VmmVirtioEnv *env, VmmNet *net, const VmmVirtioNetConfig *config);

/* Whether a guest's header can be passed on; for tests as well. */
bool vmm_virtio_net_check_header (const VmmNetHeader *header, size_t frame_len, uint64_t features);

#endif
