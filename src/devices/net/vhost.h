/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_NET_VHOST_H
#define VMM_DEVICES_NET_VHOST_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/guest-memory.h"

/**
 * VmmVhostRing:
 * @size: entries
 * @base: the counter of the next chain, as vmm_virtqueue_base() gives it
 * @desc: the descriptor table, in this process
 * @driver: the available ring
 * @device: the used ring
 * @kick: eventfd that the driver's notifications signal
 * @call: eventfd whose signals are interrupts
 *
 * A split virtqueue for the kernel to serve.
 */
typedef struct {
    uint16_t size;
    uint32_t base;
    const void *desc;
    const void *driver;
    const void *device;
    int kick;
    int call;
} VmmVhostRing;

typedef struct _VmmVhostNet VmmVhostNet;

VmmVhostNet *vmm_vhost_net_open (unsigned n_pairs, GError **error);
void vmm_vhost_net_free (VmmVhostNet *vhost);
uint64_t vmm_vhost_net_features (const VmmVhostNet *vhost);
bool vmm_vhost_net_set_up (VmmVhostNet *vhost, const VmmGuestMemory *memory, uint64_t features,
                           GError **error);
bool vmm_vhost_net_start (VmmVhostNet *vhost, unsigned queue, const VmmVhostRing *ring, int tap_fd,
                          GError **error);
bool vmm_vhost_net_stop (VmmVhostNet *vhost, unsigned queue, uint32_t *ret_base);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmVhostNet, vmm_vhost_net_free)

#endif
