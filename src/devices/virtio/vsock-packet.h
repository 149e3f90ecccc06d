/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_VIRTIO_VSOCK_PACKET_H
#define VMM_DEVICES_VIRTIO_VSOCK_PACKET_H

#include <stdint.h>

/* Bytes of a header in the guest's memory (virtio 1.2 section 5.10.6). */
#define VMM_VSOCK_HEADER_SIZE 44u

/* The host's address. */
#define VMM_VSOCK_HOST_CID 2u
/* What a guest can have: 0, 1 and 2 are taken, and all ones means any (section 5.10.4). */
#define VMM_VSOCK_CID_MIN 3u
#define VMM_VSOCK_CID_MAX 0xfffffffeu

#define VMM_VSOCK_TYPE_STREAM 1u

/* Flags of a SHUTDOWN: what its sender does no more. */
#define VMM_VSOCK_SHUTDOWN_RECEIVE 1u
#define VMM_VSOCK_SHUTDOWN_SEND 2u
#define VMM_VSOCK_SHUTDOWN_BOTH 3u

enum {
    VMM_VSOCK_OP_REQUEST = 1,
    VMM_VSOCK_OP_RESPONSE = 2,
    VMM_VSOCK_OP_RST = 3,
    VMM_VSOCK_OP_SHUTDOWN = 4,
    VMM_VSOCK_OP_RW = 5,
    VMM_VSOCK_OP_CREDIT_UPDATE = 6,
    VMM_VSOCK_OP_CREDIT_REQUEST = 7,
};

/**
 * VmmVsockHeader:
 * @len: bytes of payload
 * @buf_alloc: how many bytes the sender can hold for the connection
 * @fwd_cnt: how many it has passed on since the beginning, modulo 2^32
 *
 * What every packet begins with, in the host's byte order and without its holes.
 */
typedef struct {
    uint64_t src_cid;
    uint64_t dst_cid;
    uint32_t src_port;
    uint32_t dst_port;
    uint32_t len;
    uint16_t type;
    uint16_t op;
    uint32_t flags;
    uint32_t buf_alloc;
    uint32_t fwd_cnt;
} VmmVsockHeader;

void vmm_vsock_header_decode (const uint8_t bytes[VMM_VSOCK_HEADER_SIZE], VmmVsockHeader *ret_header);
void vmm_vsock_header_encode (const VmmVsockHeader *header, uint8_t ret_bytes[VMM_VSOCK_HEADER_SIZE]);

#endif
