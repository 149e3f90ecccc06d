/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the test driver share. */
#ifndef VMM_TESTS_VIRTQ_DRIVER_INTERNAL_H
#define VMM_TESTS_VIRTQ_DRIVER_INTERNAL_H

#include "virtq-driver.h"

/*
 * @slots: by id: ring slots of a chain in flight, or 0
 * @tables: by id: its indirect table; they are kept
 * @next: split: the descriptor after each, in its chain or among the free ones
 * @n_free: slots
 * @avail, @used: split: counters; packed: slots, with wrap counters
 * @n_added: slots (packed) or chains since the last publish
 * @first_slot, @first_flags: packed: what the publish writes
 */
struct _VmmVirtqDriver {
    VmmVirtqHeap *heap;
    unsigned flags;
    uint16_t size;
    VmmVirtqueueLayout layout;
    uint8_t *desc;
    uint8_t *driver;
    uint8_t *device;
    unsigned *slots;
    VmmVirtqSegment *tables;
    uint16_t *next;
    uint16_t free_head;
    unsigned n_free;
    unsigned n_in_flight;
    unsigned n_added;
    uint16_t avail;
    uint16_t used;
    bool avail_wrap;
    bool used_wrap;
    unsigned first_slot;
    uint16_t first_flags;
};

static inline bool
vmm_virtq_driver_is (const VmmVirtqDriver *driver, unsigned flag)
{
    return (driver->flags & flag) != 0;
}

/* Writes one descriptor of a table of either kind, but for a packed one's flags. */
void vmm_virtq_driver_fill_desc (const VmmVirtqDriver *driver, uint8_t *desc, uint64_t addr, uint32_t len,
                                 uint16_t flags, uint16_t extra);

#endif
