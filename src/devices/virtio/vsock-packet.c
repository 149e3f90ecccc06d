/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/vsock-packet.h"

#include "vmm/core/bytes.h"

/**
 * vmm_vsock_header_decode:
 * @bytes: as they are in memory (virtio 1.2 section 5.10.6)
 * @ret_header: (out): their meaning; nothing of it has been checked
 */
void
vmm_vsock_header_decode (const uint8_t bytes[VMM_VSOCK_HEADER_SIZE], VmmVsockHeader *ret_header)
{
    *ret_header = (VmmVsockHeader){
        .src_cid = vmm_get_u64 (bytes),
        .dst_cid = vmm_get_u64 (bytes + 8),
        .src_port = vmm_get_u32 (bytes + 16),
        .dst_port = vmm_get_u32 (bytes + 20),
        .len = vmm_get_u32 (bytes + 24),
        .type = vmm_get_u16 (bytes + 28),
        .op = vmm_get_u16 (bytes + 30),
        .flags = vmm_get_u32 (bytes + 32),
        .buf_alloc = vmm_get_u32 (bytes + 36),
        .fwd_cnt = vmm_get_u32 (bytes + 40),
    };
}

/**
 * vmm_vsock_header_encode:
 * @ret_bytes: (out): @header as it is in memory
 */
void
vmm_vsock_header_encode (const VmmVsockHeader *header, uint8_t ret_bytes[VMM_VSOCK_HEADER_SIZE])
{
    vmm_put_u64 (ret_bytes, header->src_cid);
    vmm_put_u64 (ret_bytes + 8, header->dst_cid);
    vmm_put_u32 (ret_bytes + 16, header->src_port);
    vmm_put_u32 (ret_bytes + 20, header->dst_port);
    vmm_put_u32 (ret_bytes + 24, header->len);
    vmm_put_u16 (ret_bytes + 28, header->type);
    vmm_put_u16 (ret_bytes + 30, header->op);
    vmm_put_u32 (ret_bytes + 32, header->flags);
    vmm_put_u32 (ret_bytes + 36, header->buf_alloc);
    vmm_put_u32 (ret_bytes + 40, header->fwd_cnt);
}
