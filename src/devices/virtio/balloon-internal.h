/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the balloon share; see balloon.c. */
#ifndef VMM_DEVICES_VIRTIO_BALLOON_INTERNAL_H
#define VMM_DEVICES_VIRTIO_BALLOON_INTERNAL_H

#include "devices/virtio/balloon-huge.h"
#include "devices/virtio/balloon.h"

/* A page is 4 KiB, whatever the guest's pages are (virtio 1.2 section 5.5.6). */
#define VMM_BALLOON_PAGE_SHIFT 12u

typedef struct {
    VmmVirtioDevice *device;
    VmmGuestMemory *memory;
    VmmVirtioBalloonConfig config;
    /* The loop's thread. */
    VmmChain chain;
    VmmChain stats_chain;
    bool has_stats_chain;
    VmmBalloonHuge *huge; /* NULL: pages are as small as the host's, or the driver does not tell in time */
    bool told;            /* the user, that nothing comes back */
    VmmLoopTimer *timer;
    unsigned polls;  /* that are still to be done */
    uint32_t again;  /* queues to be looked at again; posted */
    bool quiet;      /* paused, or without a driver */
    GMutex lock;     /* of what follows */
    uint32_t target; /* pages */
    uint32_t actual; /* pages */
    bool asked;      /* posted, not yet run */
    uint32_t has;
    uint64_t stats[VMM_BALLOON_STATS];
} VmmBalloon;

/* balloon-pages.c: what @balloon's chain says; loop thread */
bool vmm_balloon_has_huge_pages (const VmmBalloon *balloon);
void vmm_balloon_inflate (VmmBalloon *balloon);
void vmm_balloon_deflate (VmmBalloon *balloon);
void vmm_balloon_report (VmmBalloon *balloon);

#endif
