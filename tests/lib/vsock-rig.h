/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections of a socket device without its queues: a test says what the guest sends, and reads what it
 * would get. The host's programs are sockets of the test's own, in a folder of its own.
 */
#ifndef VMM_TESTS_VSOCK_RIG_H
#define VMM_TESTS_VSOCK_RIG_H

#include "devices/virtio/vsock-mux.h"
#include "vmm/core/unix-listener.h"

#define VSOCK_RIG_CID 52u
#define VSOCK_RIG_PACKET_MAX 65536u

typedef struct {
    char *folder;
    char *path;
    VmmLoop *loop;
    VmmUnixListener listener;
    VmmVsockMux *mux;
    unsigned n_warnings;
    /* The last packet for the guest. */
    VmmVsockHeader header;
    uint8_t payload[VSOCK_RIG_PACKET_MAX];
} VsockRig;

VsockRig *vsock_rig_new (void);
void vsock_rig_free (VsockRig *rig);

/* The guest's packet, of its own address to the host's. */
VmmVsockHeader vsock_rig_header (uint16_t op, uint32_t host_port, uint32_t guest_port);
void vsock_rig_receive (VsockRig *rig, const VmmVsockHeader *header, const void *payload, size_t len);
void vsock_rig_op (VsockRig *rig, uint16_t op, uint32_t host_port, uint32_t guest_port);
void vsock_rig_rw (VsockRig *rig, uint32_t host_port, uint32_t guest_port, const void *data, size_t len);

/* The next packet for the guest, into @rig, with at most @room bytes; false when none came within @wait_ms.
 */
bool vsock_rig_send (VsockRig *rig, size_t room, int wait_ms);
void vsock_rig_pause (VsockRig *rig, bool paused);

/* A program of the host's that listens to @port of the guest's connections; one that connects to the device,
 * or -1 when that has no room. */
int vsock_rig_listen (VsockRig *rig, uint32_t port, int backlog);
int vsock_rig_connect (VsockRig *rig);
unsigned vsock_rig_n_connections (VsockRig *rig);

#endif
