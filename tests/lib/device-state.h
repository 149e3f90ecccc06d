/* SPDX-License-Identifier: Apache-2.0 */
/* Saves a device into a section of its own, and loads it from one. */
#ifndef VMM_TESTS_DEVICE_STATE_H
#define VMM_TESTS_DEVICE_STATE_H

#include "devices/device.h"

static inline GBytes *
save_device (const VmmDeviceOps *ops, void *device)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();

    vmm_state_writer_begin (writer, ops->name, 1);
    ops->save (device, writer);
    vmm_state_writer_end (writer);
    return vmm_state_writer_finish (writer);
}

static inline bool
load_device (const VmmDeviceOps *ops, void *device, GBytes *bytes)
{
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
    uint32_t version;

    return vmm_state_reader_enter (reader, ops->name, 1, &version, NULL) &&
           ops->load (device, reader, version) && vmm_state_reader_leave (reader, NULL);
}

/* Loads the state cut short everywhere and with each byte changed; how often the device refused. */
static inline unsigned
load_hostile (const VmmDeviceOps *ops, void *device, GBytes *state, void (*poke) (void *device))
{
    gsize len;
    const uint8_t *good = g_bytes_get_data (state, &len);
    unsigned refused = 0;

    for (gsize i = 0; i < len; i++) {
        g_autoptr (GBytes) cut = g_bytes_new (good, i);

        refused += !load_device (ops, device, cut);
        for (unsigned v = 0; v < 256; v += 51) {
            g_autofree uint8_t *copy = g_memdup2 (good, len);
            g_autoptr (GBytes) bad = NULL;

            copy[i] = (uint8_t)v;
            bad = g_bytes_new (copy, len);
            refused += !load_device (ops, device, bad);
            poke (device);
        }
    }
    return refused;
}

#endif
