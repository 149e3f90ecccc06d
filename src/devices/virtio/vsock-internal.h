/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the socket device's connections share; see vsock-mux.c. All on the loop's thread. */
#ifndef VMM_DEVICES_VIRTIO_VSOCK_INTERNAL_H
#define VMM_DEVICES_VIRTIO_VSOCK_INTERNAL_H

#include "devices/virtio/vsock-mux.h"

typedef enum {
    VMM_VSOCK_STATE_HANDSHAKE,  /* a host's program has connected and has not said to which port */
    VMM_VSOCK_STATE_REQUESTED,  /* the guest was asked, or will be */
    VMM_VSOCK_STATE_CONNECTING, /* the host's listener has no room yet: tried again and again */
    VMM_VSOCK_STATE_OPEN,
    VMM_VSOCK_STATE_CLOSING,   /* the host's program is gone; the guest has been told, or will be */
    VMM_VSOCK_STATE_LINGERING, /* the guest is done with it; the host's program gets what is left */
    VMM_VSOCK_STATE_RESET,     /* the guest is to be told that it is no more; the socket is closed */
} VmmVsockState;

/* Packets that a connection has for the guest. */
#define VMM_VSOCK_PENDING_REQUEST 1u
#define VMM_VSOCK_PENDING_RESPONSE 2u
#define VMM_VSOCK_PENDING_RST 4u
#define VMM_VSOCK_PENDING_SHUTDOWN 8u
#define VMM_VSOCK_PENDING_CREDIT_UPDATE 16u
#define VMM_VSOCK_PENDING_CREDIT_REQUEST 32u

/**
 * VmmVsockConnection:
 * @key: both ports; what the table finds it by, while @in_table
 * @fd: the host's end, or -1
 * @pending: of VMM_VSOCK_PENDING_*
 * @deadline_ns: when the state ends by itself; 0: never
 * @readable: @fd has something to read, its end counted, or may have
 * @hung_up: nothing can be sent to @fd any more, and it ends after what can be read
 * @guest_shut: what the guest does no more: VMM_VSOCK_SHUTDOWN_*
 * @host_shut: what the guest knows, or is to be told, that the host does no more
 * @out: a ring of @out_size bytes with @out_len for the host from @out_head on; NULL while empty
 * @buf_alloc: the most that it may hold
 * @received: bytes that came from the guest, modulo 2^32, as all counters here
 * @forwarded: those of them that left for the host's program, or were dropped
 * @told: what of @forwarded the guest knows
 * @sent: bytes that went to the guest
 * @peer_buf_alloc: how much the guest can hold
 * @peer_forwarded: what of @sent its program has read
 * @asked: the guest was asked for credit since it last gave any
 */
typedef struct {
    VmmVsockMux *mux;
    uint64_t key;
    bool in_table;
    VmmVsockState state;
    int fd;
    VmmLoopWatch *watch;
    GList all_link;
    GList ready_link;
    bool in_ready;
    unsigned pending;
    int64_t deadline_ns;
    bool readable;
    bool hung_up;
    uint32_t guest_shut;
    uint32_t host_shut;
    uint8_t *out;
    uint32_t out_size;
    uint32_t out_head;
    uint32_t out_len;
    uint32_t buf_alloc;
    uint32_t received;
    uint32_t forwarded;
    uint32_t told;
    uint32_t sent;
    uint32_t peer_buf_alloc;
    uint32_t peer_forwarded;
    bool asked;
} VmmVsockConnection;

/* A reply to a packet of no connection. */
typedef struct {
    uint64_t src_cid;
    uint32_t src_port;
    uint32_t dst_port;
    uint16_t type;
} VmmVsockReset;

#define VMM_VSOCK_RESETS_MAX 256u

/* Where the numbers of ports of the host's programs begin, which nobody asks for by number. */
#define VMM_VSOCK_HOST_PORT_MIN (1u << 30)

struct _VmmVsockMux {
    VmmVsockMuxConfig config;
    char *path;
    GHashTable *table; /* of VmmVsockConnection by key */
    GQueue all;        /* by all_link */
    GQueue ready;      /* by ready_link: who has something for the guest, in turn */
    VmmVsockReset resets[VMM_VSOCK_RESETS_MAX];
    unsigned first_reset;
    unsigned n_resets;
    VmmLoopWatch *listen_watch;
    VmmLoopTimer *tick;
    bool ticking;
    bool accept_later; /* the host had no descriptor left */
    bool paused;
    int64_t paused_ns;
    uint32_t next_port;
};

/* vsock-connection.c: one connection's bytes, credit and ends. */
void vmm_vsock_connection_attach (VmmVsockConnection *connection, int fd);
void vmm_vsock_connection_write (VmmVsockConnection *connection, const struct iovec *payload,
                                 unsigned n_payload, uint32_t len);
bool vmm_vsock_connection_flush (VmmVsockConnection *connection);
ssize_t vmm_vsock_connection_read (VmmVsockConnection *connection, const struct iovec *room, unsigned n_room);
uint32_t vmm_vsock_connection_credit (const VmmVsockConnection *connection);
void vmm_vsock_connection_shut_by_guest (VmmVsockConnection *connection, uint32_t flags);
void vmm_vsock_connection_shut_by_host (VmmVsockConnection *connection, uint32_t flags);
void vmm_vsock_connection_close (VmmVsockConnection *connection);
void vmm_vsock_connection_drop_output (VmmVsockConnection *connection);

/* vsock-mux.c */
VmmVsockConnection *vmm_vsock_mux_add (VmmVsockMux *mux, VmmVsockState state);
void vmm_vsock_mux_enter (VmmVsockConnection *connection, uint32_t host_port, uint32_t guest_port);
VmmVsockConnection *vmm_vsock_mux_find (VmmVsockMux *mux, uint32_t host_port, uint32_t guest_port);
void vmm_vsock_mux_remove (VmmVsockConnection *connection);
void vmm_vsock_mux_reset (VmmVsockConnection *connection);
void vmm_vsock_mux_set_deadline (VmmVsockConnection *connection, int64_t after_ns);
void vmm_vsock_mux_update (VmmVsockConnection *connection);
void vmm_vsock_mux_on_event (void *connection, uint32_t events);
void vmm_vsock_mux_ensure_tick (VmmVsockMux *mux);

/* vsock-host.c: how connections begin. */
void vmm_vsock_host_on_listener (void *mux, uint32_t events);
void vmm_vsock_host_read_line (VmmVsockConnection *connection);
bool vmm_vsock_host_answer (VmmVsockConnection *connection);
bool vmm_vsock_host_connect (VmmVsockMux *mux, const VmmVsockHeader *request);
bool vmm_vsock_host_connect_again (VmmVsockConnection *connection);

static inline uint32_t
vmm_vsock_connection_host_port (const VmmVsockConnection *connection)
{
    return (uint32_t)(connection->key >> 32);
}

static inline uint32_t
vmm_vsock_connection_guest_port (const VmmVsockConnection *connection)
{
    return (uint32_t)connection->key;
}

#endif
