/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames in a stream, each behind its length: 4 bytes, big-endian. The same that QEMU's "-netdev stream" and
 * passt use, so that these can be the other end.
 */
#ifndef VMM_DEVICES_NET_SOCKET_STREAM_H
#define VMM_DEVICES_NET_SOCKET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "devices/net/net.h"

#define VMM_NET_STREAM_PREFIX 4u
#define VMM_NET_STREAM_ROOM (128u << 10)

/**
 * VmmNetStream:
 * @in: what was read and not yet taken: [@in_start, @in_end)
 * @out: the rest of a frame that did not go out whole: [@out_start, @out_end)
 *
 * Both directions of one connection.
 */
typedef struct {
    uint8_t in[VMM_NET_STREAM_ROOM];
    size_t in_start;
    size_t in_end;
    uint8_t out[VMM_NET_STREAM_PREFIX + VMM_NET_FRAME_MAX];
    size_t out_start;
    size_t out_end;
} VmmNetStream;

typedef enum {
    VMM_NET_STREAM_OK,
    VMM_NET_STREAM_AGAIN, /* nothing now */
    VMM_NET_STREAM_END,   /* the connection is over */
    VMM_NET_STREAM_BAD,   /* what comes is not this protocol */
} VmmNetStreamResult;

void vmm_net_stream_reset (VmmNetStream *stream);
VmmNetStreamResult vmm_net_stream_next (VmmNetStream *stream, int fd, const uint8_t **ret_frame,
                                        size_t *ret_len);
VmmNetStreamResult vmm_net_stream_send (VmmNetStream *stream, int fd, const struct iovec *iov,
                                        unsigned n_iov);
VmmNetStreamResult vmm_net_stream_flush (VmmNetStream *stream, int fd);

#endif
