/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_VIRTIO_VSOCK_H
#define VMM_DEVICES_VIRTIO_VSOCK_H

#include "devices/virtio/device.h"
#include "devices/virtio/vsock-packet.h"

VmmVirtioDevice *vmm_virtio_vsock_new (const VmmVirtioEnv *env, uint64_t cid, int listen_fd,
                                       const char *path);

#endif
