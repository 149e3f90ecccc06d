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
#include "vmm/console-watch.h"
#include "vmm/kernel-log.h"

/**
 * VmmDeviceHost:
 * @context: the machine's loop, for what works on that instead of the device's own
 * @config: the whole configuration
 * @name: what the device is called: "disk0"
 * @notice: tells the user something; the machine's thread; the text is borrowed
 * @output: a console has said @len bytes; any thread
 * @takes_stdio: one that has the program's streams has said something: see @give_stdio; any thread
 * @console_event: and something of meaning among them; any thread
 * @kernel_report: (nullable): and a report of the kernel's; any thread
 * @user: what these get
 *
 * What a backend may know of its machine; all borrowed for the call, but @context, which outlives the
 * backend.
 */
typedef struct {
    GMainContext *context;
    const VmmConfig *config;
    const char *name;
    void (*notice) (void *user, const char *text);
    void (*output) (void *user, size_t len);
    void (*takes_stdio) (void *user);
    VmmConsoleEventFunc console_event;
    VmmKernelReportFunc kernel_report;
    void *user;
} VmmDeviceHost;

/* What is said of a console whose file took no more: of each, with an errno's text. */
#define VMM_OUTPUT_LOST "output could not be stored, and is lost from some moment on: %s"

/**
 * VmmDevicePart:
 *
 * One of several descriptions that are one device together, and its backend.
 */
typedef struct {
    const void *description;
    void *backend;
} VmmDevicePart;

/**
 * VmmDeviceKind:
 * @key: its key, and the stem of its name: "disk" gives disk0, disk1
 * @driver: the module that a Linux guest has for it
 * @network: (nullable): of a network whose addresses are known, "ADDRESS/PREFIX GATEWAY DNS" for its guest;
 * NULL where they are not
 * @repeats: there may be several; otherwise the last one counts
 * @own_loop: each has a thread of its own; others share one
 * @parse: the description of @value, to be freed by @free_description; NULL with %VMM_ERROR_USAGE. Looks at
 * nothing but the text
 * @takes_stdio: (nullable): whether it takes the program's own streams, which the serial console has
 * otherwise
 * @give_stdio: with @takes_stdio: input comes from the descriptor, or from nowhere (-1); the machine's
 * thread. Before, it is the serial console's
 * @cmdline: (nullable): what the default command line says of the first one that has something to say
 * @is_shared: (nullable): whether all of the kind that say so are one device, made by @make_shared
 * @open: (nullable): the backend; NULL with an error that names the file, the interface, ...
 * @settle: (nullable): the guest is gone for good, and no device uses it: brings what the guest wrote to its
 * place. False with an error of what is lost
 * @close: (nullable): ends it; no device uses it any more
 * @make: the virtio device of one boot; @backend is free to be used again after the device's end
 * @make_shared: (nullable): the same, of several
 */
typedef struct {
    const char *key;
    const char *driver;
    bool repeats;
    bool own_loop;
    const char *(*network) (const void *description);
    void *(*parse) (const char *value, GError **error);
    void (*free_description) (void *description);
    bool (*takes_stdio) (const void *description);
    void (*give_stdio) (void *backend, int in_fd);
    const char *(*cmdline) (const void *description);
    bool (*is_shared) (const void *description);
    void *(*open) (const void *description, const VmmDeviceHost *host, GError **error);
    bool (*settle) (void *backend, GError **error);
    void (*close) (void *backend);
    VmmVirtioDevice *(*make) (const void *description, void *backend, const VmmVirtioEnv *env,
                              GError **error);
    VmmVirtioDevice *(*make_shared) (const VmmDevicePart *parts, unsigned n_parts, const VmmVirtioEnv *env,
                                     GError **error);
} VmmDeviceKind;

extern const VmmDeviceKind vmm_device_kind_balloon;
extern const VmmDeviceKind vmm_device_kind_console;
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
