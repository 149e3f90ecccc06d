/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind a disk: bytes by number, from a file, an image format, or something else. A backend belongs
 * to the machine and lives across a guest's reboots; while a guest runs it works on one loop's thread.
 */
#ifndef VMM_DEVICES_BLOCK_BLOCK_H
#define VMM_DEVICES_BLOCK_BLOCK_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/core/loop.h"

#define VMM_BLOCK_SECTOR 512u

/**
 * VmmBlockOp:
 * @VMM_BLOCK_READ: fill the buffers
 * @VMM_BLOCK_WRITE: store the buffers
 * @VMM_BLOCK_FLUSH: what was done before the flush was submitted survives a power cut of the host
 * @VMM_BLOCK_DISCARD: the contents are not needed any more, and may read as anything that was there or 0
 * @VMM_BLOCK_WRITE_ZEROES: the range reads as zeroes; with @may_unmap its room may be given back
 */
typedef enum {
    VMM_BLOCK_READ,
    VMM_BLOCK_WRITE,
    VMM_BLOCK_FLUSH,
    VMM_BLOCK_DISCARD,
    VMM_BLOCK_WRITE_ZEROES,
} VmmBlockOp;

typedef struct _VmmBlock VmmBlock;
typedef struct _VmmBlockRequest VmmBlockRequest;

/**
 * VmmBlockRequest:
 * @op: what to do
 * @offset: bytes from the start, a multiple of %VMM_BLOCK_SECTOR
 * @len: bytes, a multiple of %VMM_BLOCK_SECTOR; the sum of @iov for a read or write; 0 for a flush
 * @iov: the submitter's, unchanged until @done; its contents may change at any time
 * @may_unmap: see %VMM_BLOCK_WRITE_ZEROES
 * @done: called once, on the loop's thread and possibly from inside submit, with 0 or an errno
 * @private: the backend's own, for free use until @done
 *
 * The submitter owns the request's memory and fills the fields above @private; the range lies inside the disk
 * (the submitter has checked that, and the backend checks again).
 */
struct _VmmBlockRequest {
    VmmBlockOp op;
    uint64_t offset;
    uint64_t len;
    const struct iovec *iov;
    unsigned n_iov;
    bool may_unmap;
    void (*done) (VmmBlockRequest *request, int error);
    void *user;
    struct {
        VmmBlockRequest *next;
        struct iovec iov[2];
        void *pointer;
        uint64_t number[4];
    } private;
};

/**
 * VmmBlockLimits:
 * @size: bytes, a multiple of %VMM_BLOCK_SECTOR
 * @block_size: what is written without being read first: 512 or 4096
 * @discard_alignment: bytes in which room is given back; 0: it is not
 * @read_only: writes fail with EROFS
 */
typedef struct {
    uint64_t size;
    uint32_t block_size;
    uint32_t discard_alignment;
    bool read_only;
} VmmBlockLimits;

/**
 * VmmBlockOps:
 * @name: of the format: "raw"
 * @attach: begins to work on @loop, whose thread this is
 * @submit: starts a request; batched until @kick
 * @kick: there are no more for now: what was submitted is on its way when this returns
 * @poll: (nullable): gives back what is done by now; whether there was any
 * @drain: waits, on the loop's thread, until nothing is in flight
 * @detach: after @drain: leaves the loop; it may be attached to another one
 * @resize: (nullable): grows the disk to @size bytes, nothing being in flight; 0 or an errno: ENOSPC when
 * what is behind it has not that much room
 * @commit: (nullable): detached, at the end: brings what was written to where it is found again; 0, or an
 * errno when some of it is lost
 * @free: ends it, attached to no loop; what was written is where the file system has it
 */
typedef struct {
    const char *name;
    bool (*attach) (VmmBlock *block, VmmLoop *loop, GError **error);
    void (*submit) (VmmBlock *block, VmmBlockRequest *request);
    void (*kick) (VmmBlock *block);
    bool (*poll) (VmmBlock *block);
    void (*drain) (VmmBlock *block);
    void (*detach) (VmmBlock *block);
    int (*resize) (VmmBlock *block, uint64_t size);
    int (*commit) (VmmBlock *block);
    void (*free) (VmmBlock *block);
} VmmBlockOps;

/**
 * VmmBlock:
 * @ops: what it can do
 * @limits: what it is; the size changes only on the loop's thread, or while detached
 * @settled: (nullable): the user's: called on the loop's thread when some requests were given back by done
 * and no more are for the moment, unless that was within submit, kick or drain; see vmm_block_settle()
 * @settled_user: what @settled gets
 *
 * The head of each backend's own structure.
 */
struct _VmmBlock {
    const VmmBlockOps *ops;
    VmmBlockLimits limits;
    void (*settled) (void *user);
    void *settled_user;
};

/* For backends. */
static inline void
vmm_block_settle (VmmBlock *block)
{
    if (block->settled != NULL)
        block->settled (block->settled_user);
}

/**
 * VmmBlockCache:
 * @VMM_BLOCK_CACHE_WRITEBACK: through the host's page cache; a flush makes it last
 * @VMM_BLOCK_CACHE_WRITETHROUGH: as above, and each write lasts when it is done (O_DSYNC)
 * @VMM_BLOCK_CACHE_NONE: past the host's page cache (O_DIRECT); a flush makes it last
 */
typedef enum {
    VMM_BLOCK_CACHE_WRITEBACK,
    VMM_BLOCK_CACHE_WRITETHROUGH,
    VMM_BLOCK_CACHE_NONE,
} VmmBlockCache;

typedef enum { VMM_BLOCK_FORMAT_RAW, VMM_BLOCK_FORMAT_QCOW2 } VmmBlockFormat;

/**
 * VmmBlockConfig:
 * @path: of the image file or block device
 * @ephemeral: writes go to a nameless overlay that ends with the backend; @path is opened read-only
 * @discard: give the room of discarded ranges back to the host's file system
 * @probe_raw: false: refuse a raw file that starts like a qcow2 image
 */
typedef struct {
    char *path;
    VmmBlockFormat format;
    VmmBlockCache cache;
    bool read_only;
    bool ephemeral;
    bool discard;
    bool probe_raw;
} VmmBlockConfig;

/* block.c: opens what the configuration says, with locks, whatever its format. */
VmmBlock *vmm_block_open (const VmmBlockConfig *config, GError **error);
void vmm_block_free (VmmBlock *block);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmBlock, vmm_block_free)

#endif
