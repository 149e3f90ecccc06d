/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the virtio block device share; see blk.c. */
#ifndef VMM_DEVICES_VIRTIO_BLK_INTERNAL_H
/* Of a crowd of requests that are done at once, so many are shown to the driver together. */
#define VMM_BLK_PUBLISH_EACH 8u
#define VMM_DEVICES_VIRTIO_BLK_INTERNAL_H

#include "devices/virtio/blk.h"

#define VMM_BLK_QUEUE_SIZE 256u
#define VMM_BLK_SEG_MAX (VMM_BLK_QUEUE_SIZE - 2)
#define VMM_BLK_IOV_MAX_PER_REQUEST (VMM_BLK_QUEUE_SIZE + 8)

#define VMM_BLK_F_SEG_MAX (UINT64_C (1) << 2)
#define VMM_BLK_F_RO (UINT64_C (1) << 5)
#define VMM_BLK_F_BLK_SIZE (UINT64_C (1) << 6)
#define VMM_BLK_F_FLUSH (UINT64_C (1) << 9)
#define VMM_BLK_F_TOPOLOGY (UINT64_C (1) << 10)
#define VMM_BLK_F_CONFIG_WCE (UINT64_C (1) << 11)
#define VMM_BLK_F_MQ (UINT64_C (1) << 12)
#define VMM_BLK_F_DISCARD (UINT64_C (1) << 13)
#define VMM_BLK_F_WRITE_ZEROES (UINT64_C (1) << 14)

/* So that one request does not keep the disk busy for ever: 1 GiB, and where it may come down to writing
 * zeroes 64 MiB. */
#define VMM_BLK_DISCARD_MAX_SECTORS (2u << 20)
#define VMM_BLK_ZEROES_MAX_SECTORS (128u << 10)

typedef struct _VmmVirtioBlk VmmVirtioBlk;
typedef struct _VmmVirtioBlkRequest VmmVirtioBlkRequest;

struct _VmmVirtioBlkRequest {
    VmmBlockRequest block;
    VmmChain chain;
    struct iovec iov[VMM_BLK_IOV_MAX_PER_REQUEST];
    VmmVirtioBlk *blk;
    VmmVirtioBlkRequest *next; /* while it is free */
    unsigned queue;
};

struct _VmmVirtioBlk {
    VmmVirtioDevice *device;
    VmmBlock *block;
    unsigned n_queues;
    bool discard;
    char serial[VMM_VIRTIO_BLK_SERIAL_MAX];
    bool attached;
    bool quiet;        /* between quiesce and resume */
    bool writeback;    /* vCPU threads, with the core's lock, write it; the loop reads it */
    uint64_t capacity; /* sectors; as above, the other way round */
    VmmVirtioBlkRequest *free;
    GPtrArray *requests; /* of VmmVirtioBlkRequest: all that there are */
    uint32_t pushed;     /* queues with something to be published */
    bool follows;        /* a flush after a write was submitted, and not kicked yet */
    /* blk-limits.c: */
    VmmLimits *limits;                                    /* NULL: there are none */
    VmmLoopTimer *timer;                                  /* while attached, with limits */
    int64_t wake_ns;                                      /* when the timer rings; 0: it is off */
    unsigned turn;                                        /* the queue that goes first when it does */
    VmmVirtioBlkRequest *held[VMM_VIRTIO_BLK_QUEUES_MAX]; /* of each queue: the one that waits */
};

/* blk-request.c; the loop's thread */
void vmm_virtio_blk_start_all (VmmVirtioBlk *blk, unsigned index);
void vmm_virtio_blk_kick (VmmVirtioBlk *blk);
void vmm_virtio_blk_publish (VmmVirtioBlk *blk);
void vmm_virtio_blk_free_request (gpointer request);
void vmm_virtio_blk_pass (VmmVirtioBlkRequest *request);

/* blk-limits.c; the loop's thread */
void vmm_virtio_blk_limits_attach (VmmVirtioBlk *blk);
void vmm_virtio_blk_limits_detach (VmmVirtioBlk *blk);
bool vmm_virtio_blk_limits_hold (VmmVirtioBlkRequest *request);
void vmm_virtio_blk_limits_unpop (VmmVirtioBlk *blk);

#endif
