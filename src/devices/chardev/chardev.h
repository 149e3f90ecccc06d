/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_CHARDEV_H
#define VMM_DEVICES_CHARDEV_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct _VmmChardev VmmChardev;

/**
 * VmmChardevFrontend:
 * @room: how many bytes of input the device can take now
 * @receive: takes @len bytes, at most what @room last said
 * @drained: the backend takes output again after vmm_chardev_write() took less than it was given
 * @connected: (nullable): a host has come, or the one that was there has gone
 *
 * The device's side of a character backend. All run on the backend's loop thread, without any lock of the
 * backend held.
 */
typedef struct {
    size_t (*room) (void *device);
    void (*receive) (void *device, const uint8_t *data, size_t len);
    void (*drained) (void *device);
    void (*connected) (void *device, bool connected);
} VmmChardevFrontend;

/* Sees every byte that the guest sends, on the thread that sent it; one call at a time. */
typedef void (*VmmChardevTap) (void *user, const uint8_t *data, size_t len);

/* Sees every byte of input before the guest does, on the loop thread; may take some out. Returns what is
 * left. */
typedef size_t (*VmmChardevFilter) (void *user, uint8_t *data, size_t len);

/* On the loop thread: the host's end has gone. */
typedef void (*VmmChardevHangup) (void *user);

VmmChardev *vmm_chardev_new (GMainContext *context, int in_fd, int out_fd);
void vmm_chardev_free (VmmChardev *chardev);
void vmm_chardev_set_frontend (VmmChardev *chardev, const VmmChardevFrontend *frontend, void *device);
void vmm_chardev_set_tap (VmmChardev *chardev, VmmChardevTap tap, void *user);
void vmm_chardev_set_filter (VmmChardev *chardev, VmmChardevFilter filter, void *user);

/* Host side; the loop thread: for hosts that come and go. */
void vmm_chardev_set_hangup (VmmChardev *chardev, VmmChardevHangup hangup, void *user);
void vmm_chardev_connect (VmmChardev *chardev, int in_fd, int out_fd);
void vmm_chardev_set_input (VmmChardev *chardev, int in_fd);
bool vmm_chardev_is_connected (const VmmChardev *chardev);

/* Device side; any thread. Returns how many bytes were taken: fewer than @len when the host does not read. */
size_t vmm_chardev_write (VmmChardev *chardev, const uint8_t *data, size_t len);
/* Device side; any thread: the device has room for input again. */
void vmm_chardev_accept_input (VmmChardev *chardev);

/* Host side; the loop thread: writes out what is buffered, waiting for the host at most @timeout_ms. */
void vmm_chardev_flush (VmmChardev *chardev, int timeout_ms);
int vmm_chardev_lost (VmmChardev *chardev);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmChardev, vmm_chardev_free)

#endif
