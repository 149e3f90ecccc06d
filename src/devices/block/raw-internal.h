/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the raw backend share; see raw.c. */
#ifndef VMM_DEVICES_BLOCK_RAW_INTERNAL_H
#define VMM_DEVICES_BLOCK_RAW_INTERNAL_H

#include <liburing.h>

#include "devices/block/raw.h"

#define VMM_RAW_RING_ENTRIES 256u

typedef struct _VmmRaw VmmRaw;

/* How requests are worked on: VmmBlockOps for the moving parts. */
typedef struct {
    bool (*attach) (VmmRaw *raw);
    void (*submit) (VmmRaw *raw, VmmBlockRequest *request);
    void (*kick) (VmmRaw *raw);
    bool (*poll) (VmmRaw *raw); /* NULL: not worth it */
    void (*drain) (VmmRaw *raw);
    void (*detach) (VmmRaw *raw);
} VmmRawEngine;

struct _VmmRaw {
    VmmBlock base;
    int fd;
    bool direct;       /* O_DIRECT */
    bool writethrough; /* each write lasts when it is done */
    bool discards;
    bool threads_only;
    unsigned alignment; /* of addresses and lengths, with O_DIRECT */
    VmmLoop *loop;      /* NULL: detached */
    const VmmRawEngine *engine;
    unsigned in_flight;
    /* raw-uring.c: */
    struct io_uring ring;
    VmmLoopWatch *watch;
    VmmBlockRequest *waiting_first; /* for room in the ring */
    VmmBlockRequest *waiting_last;
    /* raw-threads.c: */
    GThreadPool *pool;
    GMutex lock;
    GCond changed;
    VmmBlockRequest *done_first; /* to be given back */
    VmmBlockRequest *done_last;
};

extern const VmmRawEngine vmm_raw_uring;
extern const VmmRawEngine vmm_raw_threads;

/* raw.c */
int vmm_raw_do (VmmRaw *raw, const VmmBlockRequest *request, uint64_t done);
int vmm_raw_fallocate_mode (const VmmRaw *raw, const VmmBlockRequest *request);
bool vmm_raw_needs_copy (const VmmRaw *raw, const VmmBlockRequest *request);

#endif
