/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of a character backend share: chardev.c writes, chardev-input.c reads. */
#ifndef VMM_DEVICES_CHARDEV_INTERNAL_H
#define VMM_DEVICES_CHARDEV_INTERNAL_H

#include <glib-unix.h>

#include "devices/chardev/chardev.h"
#include "devices/chardev/sink.h"

#define VMM_CHARDEV_BUFFER_SIZE 65536u
#define VMM_CHARDEV_AHEAD_SIZE 1024u

struct _VmmChardev {
    GMainContext *context;
    int in_fd;
    const VmmChardevFrontend *frontend;
    void *device;
    VmmChardevTap tap;
    void *tap_user;
    GMutex tap_lock; /* one call at a time; no other lock is taken with it held but by the tap */
    VmmChardevFilter filter;
    void *filter_user;
    VmmChardevHangup hangup;
    void *hangup_user;
    GSource *gone; /* a timer: the host's end has gone; NULL without a hangup */

    /* Input; the loop thread, but for the mark: */
    GSource *in_source; /* NULL while there is nowhere to put input, and after its end */
    GSource *deliver;   /* a timer: the device has room again */
    GSource *stalled;   /* a timer: the device has had no room for long */
    bool drops_input;   /* that is so, and ahead is full */
    bool input_ended;
    bool input_waits; /* for room in the device; atomic */
    size_t ahead_len;
    uint8_t ahead[VMM_CHARDEV_AHEAD_SIZE]; /* what the device had no room for */

    GMutex lock; /* all below */
    VmmCharSink sink;
    GSource *out_source;
    int timer_fd;
    GSource *timer_source;
    bool timer_armed;
    bool starved; /* the device was given less room than it asked for */
    int lost;     /* an errno: output went nowhere since then, and nobody meant it to; 0: none did */
    size_t fill;
    uint8_t buffer[VMM_CHARDEV_BUFFER_SIZE];
};

void vmm_chardev_begin_input (VmmChardev *chardev);

#endif
