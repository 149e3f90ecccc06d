/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the tap backend share; see tap.c. */
#ifndef VMM_DEVICES_NET_TAP_INTERNAL_H
#define VMM_DEVICES_NET_TAP_INTERNAL_H

#include <liburing.h>

#include "devices/net/tap.h"

typedef struct _VmmNetTap VmmNetTap;

/**
 * VmmNetTapQueue:
 * @fd: -1: not open
 * @watch: while attached, and the queue is one of those in use
 * @in_use: the kernel gives it frames
 */
typedef struct {
    VmmNetTap *tap;
    unsigned index;
    int fd;
    VmmLoopWatch *watch;
    bool in_use;
    bool rx_wanted;
    bool tx_full;
} VmmNetTapQueue;

typedef enum {
    VMM_NET_TAP_RING_NONE, /* not yet */
    VMM_NET_TAP_RING_OPEN,
    VMM_NET_TAP_RING_NEVER, /* the host has no such thing */
} VmmNetTapRing;

struct _VmmNetTap {
    VmmNet net;
    char *name; /* of the interface */
    VmmNetTapQueue queues[VMM_NET_PAIRS_MAX];
    VmmLoop *loop;
    VmmNetTapRing ring_is;
    struct io_uring ring;
    int news_fd; /* of the host's links, while attached and the kernel may serve the queues, or -1 */
    VmmLoopWatch *news;
    bool has_header; /* the kernel's frames have a VmmNetHeader */
    bool busy;       /* nobody waits for frames: the device looks for them */
    bool gone;       /* the interface was removed */
    bool down;       /* and the user was told */
};

/* tap-open.c */
bool vmm_net_tap_open_queues (VmmNetTap *tap, const VmmNetTapConfig *config, GError **error);

/* tap-ring.c; the loop's thread */
unsigned vmm_net_tap_ring_write (VmmNetTap *tap, int fd, const VmmNetFrame *frames, unsigned n,
                                 int *ret_results);
unsigned vmm_net_tap_ring_read (VmmNetTap *tap, int fd, const VmmNetFrame *rooms, unsigned n,
                                int *ret_results);
void vmm_net_tap_ring_close (VmmNetTap *tap);

#endif
