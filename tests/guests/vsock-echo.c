/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server on every port of the guest's: what it is sent it sends back. First it connects to port 1000 of the
 * host and says "hello". Its driver polls; it keeps no state of connections, since it gives so much credit
 * that it never has to give any again.
 */
#include "console.h"
#include "cpu.h"
#include "guest.h"
#include "virtio.h"

#define VSOCK_ID 19u
#define BUFFERS 64u
#define ROOM 4096u
#define HOST_CID 2u
#define HOST_PORT 1000u
#define GUEST_PORT 77u
#define CREDIT 0x40000000u

enum { REQUEST = 1, RESPONSE = 2, RST = 3, SHUTDOWN = 4, RW = 5, CREDIT_REQUEST = 7, CREDIT_UPDATE = 6 };

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
} __attribute__ ((packed)) Header;

typedef struct {
    Header header;
    uint8_t data[ROOM];
} Packet;

typedef struct {
    VirtioQueue rx;
    VirtioQueue tx;
    VirtioQueue event;
    Console console;
    uint64_t cid;
    uint32_t next_tx;
    Packet *rx_of[VIRTIO_QUEUE_MAX]; /* by the chain's id */
} Vsock;

static uint8_t queue_memory[3][VIRTIO_QUEUE_MEMORY] __attribute__ ((aligned (4096)));
static Packet rx_packets[BUFFERS];
static Packet tx_packets[BUFFERS];
static Vsock vsock;

static void __attribute__ ((noreturn)) fail (const char *why)
{
    console_text (&vsock.console, "failed: ");
    console_text (&vsock.console, why);
    console_end_line (&vsock.console);
    for (;;)
        cpu_out8 (PORT_DEBUG_EXIT, DEBUG_EXIT_FAIL);
}

static void
give (Packet *packet)
{
    VirtioPart part = {packet, sizeof *packet, true};
    int id = virtio_add (&vsock.rx, &part, 1);

    if (id < 0)
        fail ("no room in rx");
    vsock.rx_of[id] = packet;
}

/* A packet that may be filled: the one before it has been taken. */
static Packet *
next_packet (void)
{
    while (vsock.tx.n_free < vsock.tx.size - BUFFERS + 1) {
        if (virtio_take (&vsock.tx, NULL) < 0)
            cpu_pause ();
    }
    while (virtio_take (&vsock.tx, NULL) >= 0)
        ;
    return &tx_packets[vsock.next_tx++ % BUFFERS];
}

static void
send (Packet *packet, uint16_t op, uint32_t host_port, uint32_t guest_port, uint32_t len)
{
    VirtioPart part = {packet, sizeof packet->header + len, false};

    packet->header = (Header){.src_cid = vsock.cid,
                              .dst_cid = HOST_CID,
                              .src_port = guest_port,
                              .dst_port = host_port,
                              .len = len,
                              .type = 1,
                              .op = op,
                              .buf_alloc = CREDIT};
    if (virtio_add (&vsock.tx, &part, 1) < 0)
        fail ("no room in tx");
    virtio_kick (&vsock.tx);
}

static void
answer (const Packet *in)
{
    const Header *h = &in->header;
    Packet *out = next_packet ();

    switch (h->op) {
    case REQUEST:
        send (out, RESPONSE, h->src_port, h->dst_port, 0);
        break;
    case RW:
        for (uint32_t i = 0; i < h->len; i++)
            out->data[i] = in->data[i];
        send (out, RW, h->src_port, h->dst_port, h->len);
        break;
    case RESPONSE:
        for (uint32_t i = 0; i < 6; i++)
            out->data[i] = (uint8_t) "hello\n"[i];
        send (out, RW, h->src_port, h->dst_port, 6);
        break;
    case SHUTDOWN:
        send (out, RST, h->src_port, h->dst_port, 0);
        break;
    case CREDIT_REQUEST:
        send (out, CREDIT_UPDATE, h->src_port, h->dst_port, 0);
        break;
    default:
        break;
    }
}

void
guest_main (const StartInfo *info)
{
    VirtioDevice device;

    console_init (&vsock.console);
    if (!virtio_find (info, VSOCK_ID, 0, &device))
        fail ("no vsock");
    if (!virtio_begin (&device, VIRTIO_F_EVENT_IDX))
        fail ("the device refuses its features");
    vsock.cid = virtio_config64 (&device, 0);
    if (!virtio_queue_start (&device, &vsock.rx, 0, queue_memory[0], 128) ||
        !virtio_queue_start (&device, &vsock.tx, 1, queue_memory[1], 128) ||
        !virtio_queue_start (&device, &vsock.event, 2, queue_memory[2], 16))
        fail ("no queue");
    virtio_ready (&device);
    for (uint32_t i = 0; i < BUFFERS; i++)
        give (&rx_packets[i]);
    virtio_kick (&vsock.rx);
    send (next_packet (), REQUEST, HOST_PORT, GUEST_PORT, 0);
    console_text (&vsock.console, "cid ");
    console_decimal (&vsock.console, (uint32_t)vsock.cid, 1);
    console_end_line (&vsock.console);
    for (;;) {
        int id = virtio_take (&vsock.rx, NULL);

        if (id < 0) {
            cpu_pause ();
            continue;
        }
        answer (vsock.rx_of[id]);
        give (vsock.rx_of[id]);
        virtio_kick (&vsock.rx);
    }
}
