/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_TESTS_VIRTIO_NET_H
#define VMM_TESTS_VIRTIO_NET_H

#include "virtio.h"

/* Frames of the virtio network device (virtio 1.2 section 5.1). */

#define NET_F_CSUM (1ull << 0)
#define NET_F_GUEST_CSUM (1ull << 1)
#define NET_F_GUEST_TSO4 (1ull << 7)
#define NET_F_HOST_TSO4 (1ull << 11)
#define NET_F_MRG_RXBUF (1ull << 15)

#define NET_RX_QUEUE 0u
#define NET_TX_QUEUE 1u

#define NET_HDR_NEEDS_CSUM 1u
#define NET_GSO_TCPV4 1u

/* In front of each frame. */
typedef struct {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t hdr_len;
    uint16_t gso_size;
    uint16_t csum_start;
    uint16_t csum_offset;
    uint16_t num_buffers;
} NetHeader;

#endif
