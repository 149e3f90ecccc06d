/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_TESTS_VIRTIO_BLK_H
#define VMM_TESTS_VIRTIO_BLK_H

#include "virtio.h"

/* Requests of the virtio block device (virtio 1.2 section 5.2.6). */

#define BLK_SECTOR 512u

#define BLK_F_FLUSH (1ull << 9)
#define BLK_F_DISCARD (1ull << 13)
#define BLK_F_WRITE_ZEROES (1ull << 14)

typedef enum {
    BLK_IN = 0,
    BLK_OUT = 1,
    BLK_FLUSH = 4,
    BLK_DISCARD = 11,
    BLK_WRITE_ZEROES = 13,
} BlkType;

#define BLK_STATUS_OK 0u
#define BLK_STATUS_PENDING 0xffu

/* One request; it stays where it is, and @data untouched, until the device is done. */
typedef struct {
    struct {
        uint32_t type;
        uint32_t reserved;
        uint64_t sector;
    } header;
    struct {
        uint64_t sector;
        uint32_t sectors;
        uint32_t flags;
    } range; /* of DISCARD and WRITE_ZEROES */
    volatile uint8_t status;
} BlkRequest;

/* Returns the chain's id, or -1 when the queue has no room. @data is for IN and OUT alone. */
static inline int
blk_add (VirtioQueue *queue, BlkRequest *request, BlkType type, uint64_t sector, void *data, uint32_t sectors)
{
    bool moves = type == BLK_IN || type == BLK_OUT;
    bool ranges = type == BLK_DISCARD || type == BLK_WRITE_ZEROES;
    VirtioPart parts[3] = {{&request->header, sizeof request->header, false}};
    uint32_t n = 1;

    request->header.type = type;
    request->header.reserved = 0;
    request->header.sector = moves ? sector : 0;
    request->status = BLK_STATUS_PENDING;
    if (moves)
        parts[n++] = (VirtioPart){data, sectors * BLK_SECTOR, type == BLK_IN};
    if (ranges) {
        request->range.sector = sector;
        request->range.sectors = sectors;
        request->range.flags = 0;
        parts[n++] = (VirtioPart){&request->range, sizeof request->range, false};
    }
    parts[n++] = (VirtioPart){&request->status, 1, true};
    return virtio_add (queue, parts, n);
}

#endif
