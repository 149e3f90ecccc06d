/* SPDX-License-Identifier: Apache-2.0 */
/* What a network device is to its backend: attaches one to a loop, sends and receives, and counts events. */
#ifndef VMM_TESTS_NET_PLUG_H
#define VMM_TESTS_NET_PLUG_H

#include "devices/net/net.h"

/**
 * NetPlug:
 * @header, @frame: the last frame that net_plug_receive() found, of @len bytes
 * @frames: those that came before it asked
 * @warning: (nullable): the last one
 * @n_links: how often the link changed
 * @n_tx_ready: how often what was full was not any more
 */
typedef struct {
    VmmNet *net;
    VmmLoop *loop;
    VmmNetHeader header;
    uint8_t frame[VMM_NET_FRAME_MAX];
    size_t len;
    GQueue frames; /* of GBytes: header and frame */
    char *warning;
    unsigned n_links;
    unsigned n_tx_ready;
    bool in_send;
} NetPlug;

/* Takes over @net, attaches it, and wants its frames. Ends the test when that does not go. */
NetPlug *net_plug_new (VmmNet *net);
/* Detaches it; for a driver that goes and comes back. */
void net_plug_pull (NetPlug *plug);
void net_plug_put (NetPlug *plug);
void net_plug_free (NetPlug *plug);

/* From here on: done on return. A frame in two pieces, with that header. */
VmmNetSend net_plug_send (NetPlug *plug, const VmmNetHeader *header, const void *frame, size_t len);
/* Closes @fd, and sends the frame before the loop can have seen that. */
VmmNetSend net_plug_close_and_send (NetPlug *plug, int fd, const void *frame, size_t len);
/* The next frame; waits for it, at most @seconds. */
bool net_plug_receive (NetPlug *plug, unsigned seconds);
void net_plug_want (NetPlug *plug, bool wanted);
/* Waits for the link, at most ten seconds. */
bool net_plug_wait_link (const NetPlug *plug, bool up);
unsigned net_plug_n_tx_ready (NetPlug *plug);

#endif
