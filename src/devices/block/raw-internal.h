/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the raw backend share; see raw.c. */
#ifndef VMM_DEVICES_BLOCK_RAW_INTERNAL_H
#define VMM_DEVICES_BLOCK_RAW_INTERNAL_H

#include <liburing.h>

#include "devices/block/raw.h"

#define VMM_RAW_RING_ENTRIES 256u
/* What is copied or zeroed at once; and the most that the host's disk may want as alignment. */
#define VMM_RAW_PIECE (64u << 10)

typedef struct _VmmRaw VmmRaw;

/* How requests are worked on: VmmBlockOps for the moving parts. The pool is there beside each of them. */
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
    bool cached_file;  /* a regular file, through the page cache */
    bool writethrough; /* each write lasts when it is done */
    bool discards;
    bool threads_only;
    unsigned memory_alignment; /* with O_DIRECT: of addresses */
    unsigned offset_alignment; /* with O_DIRECT: of places in the file, and of lengths */
    VmmLoop *loop;             /* NULL: detached */
    const VmmRawEngine *engine;
    unsigned busy;               /* at work: neither at the gate nor done */
    bool alone;                  /* the one that is at work wants no other beside it */
    VmmBlockRequest *gate_first; /* one that is to be alone, and those that came after it */
    VmmBlockRequest *gate_last;
    /* raw-uring.c: */
    struct io_uring ring;
    VmmLoopWatch *watch;
    unsigned in_flight;             /* in the ring */
    VmmBlockRequest *waiting_first; /* for room in the ring */
    VmmBlockRequest *waiting_last;
    bool cannot_peek;      /* the file system does not tell what is in the page cache */
    unsigned n_reads;      /* since the last kick */
    unsigned n_last_reads; /* before it */
    int64_t copy_after_ns; /* until then writes go to the ring */
    int64_t copy_pause_ns; /* for how long that was last */
    /* raw-threads.c: */
    GThreadPool *pool; /* NULL: not needed yet */
    int done_fd;
    VmmLoopWatch *done_watch;
    GMutex lock; /* of what follows */
    GCond changed;
    VmmBlockRequest *done_first; /* to be given back */
    VmmBlockRequest *done_last;
};

extern const VmmRawEngine vmm_raw_uring;
extern const VmmRawEngine vmm_raw_threads;

/* raw-threads.c */
bool vmm_raw_pool_open (VmmRaw *raw);
void vmm_raw_pool_close (VmmRaw *raw);
void vmm_raw_pool_push (VmmRaw *raw, VmmBlockRequest *request, uint64_t done);
void vmm_raw_pool_wait (VmmRaw *raw);

/* raw.c */
void vmm_raw_finish (VmmRaw *raw, VmmBlockRequest *request, int error);
int vmm_raw_fallocate_mode (const VmmRaw *raw, const VmmBlockRequest *request);
bool vmm_raw_needs_copy (const VmmRaw *raw, const VmmBlockRequest *request);

/* raw-calls.c */
int vmm_raw_do (VmmRaw *raw, const VmmBlockRequest *request, uint64_t done);

#endif
