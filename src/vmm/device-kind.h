/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices that a user can add by a configuration key. Each kind is one file, src/vmm/device-NAME.c, with
 * one VmmDeviceKind; they are listed in device-kinds.c and nowhere else.
 *
 * A device has three lives. Its description is what the user wrote, parsed; it belongs to the configuration.
 * Its backend is what it has of the host (an open image, a tap, a socket); it belongs to the machine and
 * outlives the guest's reboots. The virtio device is what one boot of the guest sees; it belongs to the
 * board.
 */
#ifndef VMM_DEVICE_KIND_H
#define VMM_DEVICE_KIND_H

#include <glib.h>
#include <stdbool.h>

#include "devices/chardev/chardev.h"
#include "devices/virtio/device.h"
#include "vmm/config.h"

/**
 * VmmDeviceHost:
 * @context: the machine's loop, for what works on that instead of the device's own
 * @config: the whole configuration
 * @name: what the device is called: "disk0"
 * @notice: tells the user something; the machine's thread; the text is borrowed
 * @user: what @notice gets
 *
 * What a backend may know of its machine; all borrowed for the call, but @context, which outlives the
 * backend.
 */
typedef struct {
    GMainContext *context;
    const VmmConfig *config;
    const char *name;
    void (*notice) (void *user, const char *text);
    void *user;
} VmmDeviceHost;

/**
 * VmmDeviceKind:
 * @key: its key, and the stem of its name: "disk" gives disk0, disk1
 * @repeats: there may be several; otherwise the last one counts
 * @own_loop: each has a thread of its own; others share one
 * @parse: the description of @value, to be freed by @free_description; NULL with %VMM_ERROR_USAGE. Looks at
 * nothing but the text
 * @open: (nullable): the backend; NULL with an error that names the file, the interface, ...
 * @close: (nullable): ends it; no device uses it any more
 * @make: the virtio device of one boot; @backend is free to be used again after the device's end
 */
typedef struct {
    const char *key;
    bool repeats;
    bool own_loop;
    void *(*parse) (const char *value, GError **error);
    void (*free_description) (void *description);
    void *(*open) (const void *description, const VmmDeviceHost *host, GError **error);
    void (*close) (void *backend);
    VmmVirtioDevice *(*make) (const void *description, void *backend, const VmmVirtioEnv *env,
                              GError **error);
} VmmDeviceKind;

extern const VmmDeviceKind vmm_device_kind_balloon;
extern const VmmDeviceKind vmm_device_kind_disk;
extern const VmmDeviceKind vmm_device_kind_net;
extern const VmmDeviceKind vmm_device_kind_rng;
extern const VmmDeviceKind vmm_device_kind_vsock;

const VmmDeviceKind *vmm_device_kind_find (const char *key);

/**
 * VmmDeviceSpec:
 * @kind: what it is
 * @name: "disk0"
 * @description: what @kind's parse made of the user's words
 *
 * One device of a configuration. Immutable and counted: the copies of a configuration share it.
 */
typedef struct {
    const VmmDeviceKind *kind;
    char *name;
    void *description;
} VmmDeviceSpec;

VmmDeviceSpec *vmm_device_spec_new (const VmmDeviceKind *kind, unsigned index, const char *value,
                                    GError **error);
VmmDeviceSpec *vmm_device_spec_ref (VmmDeviceSpec *spec);
void vmm_device_spec_unref (VmmDeviceSpec *spec);

#endif
