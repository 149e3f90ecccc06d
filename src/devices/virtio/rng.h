/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_VIRTIO_RNG_H
#define VMM_DEVICES_VIRTIO_RNG_H

#include "devices/virtio/device.h"

VmmVirtioDevice *vmm_virtio_rng_new (const VmmVirtioEnv *env);

#endif
