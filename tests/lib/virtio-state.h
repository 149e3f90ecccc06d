/* SPDX-License-Identifier: Apache-2.0 */
/* Saves a virtio device into a section of its own, and loads it from one. */
#ifndef VMM_TESTS_VIRTIO_STATE_H
#define VMM_TESTS_VIRTIO_STATE_H

#include "devices/virtio/device.h"

/* Pauses the device, which stays paused. */
static inline GBytes *
vmm_virtio_state_save (VmmVirtioDevice *device)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();

    vmm_virtio_device_pause (device);
    vmm_state_writer_begin (writer, "device", 1);
    vmm_virtio_device_save (device, writer);
    vmm_state_writer_end (writer);
    return vmm_state_writer_finish (writer);
}

static inline bool
vmm_virtio_state_load (VmmVirtioDevice *device, GBytes *state)
{
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (state);
    uint32_t version;

    return vmm_state_reader_enter (reader, "device", 1, &version, NULL) &&
           vmm_virtio_device_load (device, reader, version);
}

/* One to five bytes of @state changed, or its end cut off, as 16 random bytes say. */
static inline GBytes *
vmm_virtio_state_spoil (GBytes *state, const uint8_t *how)
{
    gsize len;
    const uint8_t *good = g_bytes_get_data (state, &len);
    g_autofree uint8_t *bytes = g_memdup2 (good, len);

    for (unsigned i = 1; i <= 1 + how[0] / 8u % 5 * 3; i += 3)
        bytes[(how[i] | how[i + 1] << 8) % len] = how[i + 2];
    return g_bytes_new (bytes, how[0] % 8 != 0 ? len : (how[1] | how[2] << 8) % len);
}

#endif
