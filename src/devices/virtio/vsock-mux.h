/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_VIRTIO_VSOCK_MUX_H
#define VMM_DEVICES_VIRTIO_VSOCK_MUX_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "devices/virtio/vsock-packet.h"
#include "vmm/core/loop.h"

/* What one machine can have at a time, of all kinds and in all states. */
#define VMM_VSOCK_CONNECTIONS_MAX 4096u
/* What a connection holds of a host's program that is slow to read; less where there are many of them. */
#define VMM_VSOCK_BUFFER_SIZE (256u * 1024)
#define VMM_VSOCK_BUFFER_SIZE_OF_MANY (32u * 1024)
#define VMM_VSOCK_MANY 256u

typedef struct _VmmVsockMux VmmVsockMux;

/**
 * VmmVsockMuxConfig:
 * @loop: where all of it works
 * @guest_cid: the guest's address
 * @listen_fd: a listening Unix socket that does not block; borrowed; -1: no connection comes from the host
 * @path: what the guest connects to has this path, an underscore and the port
 * @ready: there is something for the guest: call vmm_vsock_mux_send()
 * @warn: something that the user should know
 * @user: what both get
 */
typedef struct {
    VmmLoop *loop;
    uint64_t guest_cid;
    int listen_fd;
    const char *path;
    void (*ready) (void *user);
    void (*warn) (void *user, const char *text);
    void *user;
} VmmVsockMuxConfig;

VmmVsockMux *vmm_vsock_mux_new (const VmmVsockMuxConfig *config);
void vmm_vsock_mux_free (VmmVsockMux *mux);

/* The loop's thread, between vmm_vsock_mux_start() and vmm_vsock_mux_stop(). */
void vmm_vsock_mux_start (VmmVsockMux *mux);
void vmm_vsock_mux_stop (VmmVsockMux *mux);
void vmm_vsock_mux_pause (VmmVsockMux *mux);
void vmm_vsock_mux_resume (VmmVsockMux *mux);
bool vmm_vsock_mux_can_receive (const VmmVsockMux *mux);
void vmm_vsock_mux_receive (VmmVsockMux *mux, const VmmVsockHeader *header, const struct iovec *payload,
                            unsigned n_payload);
bool vmm_vsock_mux_wants_to_send (const VmmVsockMux *mux);
bool vmm_vsock_mux_send (VmmVsockMux *mux, const struct iovec *room, unsigned n_room,
                         VmmVsockHeader *ret_header);
unsigned vmm_vsock_mux_n_connections (const VmmVsockMux *mux);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmVsockMux, vmm_vsock_mux_free)

#endif
