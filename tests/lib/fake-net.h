/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network that a test plays: it has the frames that the test gives it, takes or refuses those of the guest,
 * and watches that the device keeps to what net.h says. Each frame names itself, so that whoever gets one can
 * tell whether it is whole.
 */
#ifndef VMM_TESTS_FAKE_NET_H
#define VMM_TESTS_FAKE_NET_H

#include "devices/net/net.h"

/* What a frame must have to name itself. */
#define FAKE_NET_NAMED_MIN 18u

/**
 * FakeNet:
 * @loop: where it is attached, and where its functions run
 * @pairs, @guest_offloads: what the device has set
 * @refuses: attach fails
 * @late: bits of rooms in a batch that a frame came just too late for: it is in the next one; for one batch
 * @n_batches: batches of frames that the device took
 * @n_sent, @n_received: frames that the device gave and took
 * @last_sent, @last_len: the header of the last frame that the device gave, and the bytes behind it
 * @wrong: (nullable): what the device did that it must not
 */
typedef struct {
    VmmNet net;
    VmmLoop *loop;
    bool attached;
    bool refuses;
    unsigned pairs;
    uint32_t guest_offloads;
    GQueue frames[VMM_NET_PAIRS_MAX]; /* of GBytes: a header and the frame's name and length */
    bool wanted[VMM_NET_PAIRS_MAX];
    bool full[VMM_NET_PAIRS_MAX];
    bool owes_ready[VMM_NET_PAIRS_MAX];
    bool held;
    uint32_t late;
    unsigned n_batches;
    unsigned n_sent;
    unsigned n_received;
    VmmNetHeader last_sent;
    size_t last_len;
    const char *wrong;
    uint8_t frame[VMM_NET_FRAME_MAX];
} FakeNet;

/* A network with a link that is up; @polled as in VmmNetOps. */
FakeNet *fake_net_new (VmmLoop *loop, unsigned n_pairs, uint32_t offloads, bool polled);
/* Detached, and the loop still there. */
void fake_net_free (FakeNet *fake);

/* All below: any thread but the loop's; done on return. */

/* A frame of @len bytes named @name comes in on @pair, with @header in front. */
void fake_net_give (FakeNet *fake, unsigned pair, VmmNetHeader header, uint32_t name, uint32_t len);
/* Whether frames are kept for now, to come together afterwards. */
void fake_net_hold (FakeNet *fake, bool on);
/* Whether the guest's frames on @pair have to wait. */
void fake_net_set_full (FakeNet *fake, unsigned pair, bool full);
void fake_net_set_link (FakeNet *fake, bool up);
/* Returns when the loop has seen all that came before. */
void fake_net_settle (FakeNet *fake);

/* Fills a frame, and tells whether one is whole: with the name and the length that are in it. */
void fake_net_fill (uint8_t *frame, uint32_t name, uint32_t len);
bool fake_net_is_whole (const uint8_t *frame, size_t len, uint32_t *ret_name);

#endif
