/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/net/socket-stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

/**
 * vmm_net_stream_reset:
 *
 * For a new connection.
 */
void
vmm_net_stream_reset (VmmNetStream *stream)
{
    stream->in_start = stream->in_end = 0;
    stream->out_start = stream->out_end = 0;
}

/* More bytes behind those that are there; there is room for a whole frame from @in_start on. */
static VmmNetStreamResult
read_more (VmmNetStream *stream, int fd)
{
    ssize_t n;

    if (stream->in_start > 0) {
        memmove (stream->in, stream->in + stream->in_start, stream->in_end - stream->in_start);
        stream->in_end -= stream->in_start;
        stream->in_start = 0;
    }
    n = recv (fd, stream->in + stream->in_end, sizeof stream->in - stream->in_end, MSG_DONTWAIT);
    if (n > 0) {
        stream->in_end += (size_t)n;
        return VMM_NET_STREAM_OK;
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? VMM_NET_STREAM_AGAIN : VMM_NET_STREAM_END;
}

/* The frame at the beginning of what is there; AGAIN when it is not there whole. */
static VmmNetStreamResult
take (VmmNetStream *stream, const uint8_t **ret_frame, size_t *ret_len)
{
    size_t there = stream->in_end - stream->in_start;
    uint32_t len;

    if (there < VMM_NET_STREAM_PREFIX)
        return VMM_NET_STREAM_AGAIN;
    memcpy (&len, stream->in + stream->in_start, sizeof len);
    len = ntohl (len);
    if (len == 0 || len > VMM_NET_FRAME_MAX)
        return VMM_NET_STREAM_BAD;
    if (there < VMM_NET_STREAM_PREFIX + len)
        return VMM_NET_STREAM_AGAIN;
    *ret_frame = stream->in + stream->in_start + VMM_NET_STREAM_PREFIX;
    *ret_len = len;
    stream->in_start += VMM_NET_STREAM_PREFIX + len;
    return VMM_NET_STREAM_OK;
}

/**
 * vmm_net_stream_next:
 * @fd: a stream socket
 * @ret_frame: (out): valid until the next call
 *
 * Returns: whether there was a frame, or why not
 */
VmmNetStreamResult
vmm_net_stream_next (VmmNetStream *stream, int fd, const uint8_t **ret_frame, size_t *ret_len)
{
    VmmNetStreamResult result = take (stream, ret_frame, ret_len);

    while (result == VMM_NET_STREAM_AGAIN) {
        VmmNetStreamResult read = read_more (stream, fd);

        if (read != VMM_NET_STREAM_OK)
            return read;
        result = take (stream, ret_frame, ret_len);
    }
    return result;
}

/**
 * vmm_net_stream_flush:
 *
 * Returns: OK when nothing is left of an earlier frame, AGAIN when there is
 */
VmmNetStreamResult
vmm_net_stream_flush (VmmNetStream *stream, int fd)
{
    while (stream->out_start < stream->out_end) {
        ssize_t n = send (fd, stream->out + stream->out_start, stream->out_end - stream->out_start,
                          MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? VMM_NET_STREAM_AGAIN : VMM_NET_STREAM_END;
        stream->out_start += (size_t)n;
    }
    stream->out_start = stream->out_end = 0;
    return VMM_NET_STREAM_OK;
}

/* The bytes of the frame behind the first @done ones of prefix and frame wait in @out. */
static void
keep_rest (VmmNetStream *stream, const struct iovec *iov, unsigned n_iov, size_t done)
{
    stream->out_end = vmm_net_gather (iov, n_iov, stream->out, sizeof stream->out);
    stream->out_start = done;
}

/**
 * vmm_net_stream_send:
 * @iov: (array length=n_iov): [0] is not sent, the others are the frame
 *
 * Nothing is left of an earlier frame. Once the first byte is out the others follow, by
 * vmm_net_stream_flush().
 *
 * Returns: OK when the frame is on its way, AGAIN when nothing of it was sent
 */
VmmNetStreamResult
vmm_net_stream_send (VmmNetStream *stream, int fd, const struct iovec *iov, unsigned n_iov)
{
    struct iovec all[IOV_MAX];
    struct msghdr message = {.msg_iov = all, .msg_iovlen = n_iov};
    size_t len = 0;
    uint32_t prefix;
    ssize_t n;

    for (unsigned i = 1; i < n_iov; i++) {
        all[i] = iov[i];
        len += iov[i].iov_len;
    }
    prefix = htonl ((uint32_t)len);
    all[0] = (struct iovec){&prefix, sizeof prefix};
    n = sendmsg (fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? VMM_NET_STREAM_AGAIN
                                                                     : VMM_NET_STREAM_END;
    if ((size_t)n < sizeof prefix + len)
        keep_rest (stream, all, n_iov, (size_t)n);
    return VMM_NET_STREAM_OK;
}
