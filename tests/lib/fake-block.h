/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in memory that a test plays: it says when requests are done, and how, and watches that the device
 * keeps to what block.h says.
 */
#ifndef VMM_TESTS_FAKE_BLOCK_H
#define VMM_TESTS_FAKE_BLOCK_H

#include "devices/block/block.h"

typedef enum {
    FAKE_BLOCK_AT_KICK,   /* requests are done from within kick */
    FAKE_BLOCK_AT_SUBMIT, /* from within submit, as what is cached is */
    FAKE_BLOCK_HELD,      /* when fake_block_complete says so, or when the device drains */
} FakeBlockPace;

/**
 * FakeBlock:
 * @loop: where it is attached, and where its functions run
 * @store: the contents
 * @refuses: attach fails
 * @error: what requests are answered with: 0 or an errno
 * @submitted: requests that were not kicked yet
 * @held: those that were
 * @n_done: requests that were given back
 * @wrong: (nullable): what the device did that it must not
 */
typedef struct {
    VmmBlock block;
    VmmLoop *loop;
    GByteArray *store;
    FakeBlockPace pace;
    bool attached;
    bool refuses;
    int error;
    GQueue submitted; /* of VmmBlockRequest */
    GQueue held;
    unsigned n_done;
    unsigned n_writes;
    unsigned n_flushes;
    const char *wrong;
} FakeBlock;

/* A disk of zeroes that can grow. */
FakeBlock *fake_block_new (VmmLoop *loop, uint64_t size, bool read_only);
/* Detached, and the loop still there. */
void fake_block_free (FakeBlock *fake);

/* All below: any thread but the loop's; done on return. */

void fake_block_set_pace (FakeBlock *fake, FakeBlockPace pace);
/* Gives back one of the first @n held requests after the other, the last one first, until there are no @n. */
void fake_block_complete (FakeBlock *fake, unsigned n);
unsigned fake_block_n_held (FakeBlock *fake);
/* Returns when the loop has seen all that came before; a request that was never kicked is wrong then. */
void fake_block_settle (FakeBlock *fake);

/* Sectors that say in each of their words which ones they are, and of what writing; and whether sectors that
 * were read are such, each of one writing, or zeroes. */
void fake_block_fill (uint8_t *data, uint64_t sector, uint32_t stamp, uint32_t len);
bool fake_block_is_whole (const uint8_t *data, uint64_t sector, uint32_t len);

#endif
