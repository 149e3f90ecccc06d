/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps a network card busy and counts, for tests/bench. Words of the command line: depth=N frames in flight,
 * bytes=N for each with its Ethernet header, requests=N frames in all, warm=N frames before, which do not
 * count, echo=1, tso=N (the frames are TCP segments that the host is to cut into pieces of N bytes), host=N
 * (the last byte of the host's hardware address, see net.py).
 *
 * With echo the frames are for 10.0.0.3, whom the host believes behind this very card: it forwards each, and
 * a frame is in flight until it has come back. Otherwise they are for a station that is not there, and a
 * frame is in flight until the device is done with it.
 */
#include "bench.h"
#include "virtio-net.h"

#define DEPTH_MAX 32u
#define BYTES_MAX 65536u
#define PART_MAX (32u << 10) /* as large as the pieces of memory that Linux sends from */
#define RX_BUFFER 4096u
#define MARK 0x656d6d76u /* begins the payload */

#define ETHERNET 14u
#define IPV4 20u
#define UDP 8u
#define TCP 20u

typedef struct {
    NetHeader header;
    uint8_t bytes[BYTES_MAX];
    uint8_t pad[4];
} Frame;

typedef struct {
    VirtioQueue rx;
    VirtioQueue tx;
    BenchReport report;
    uint32_t depth;
    uint32_t bytes;
    uint32_t mark_at; /* in the frame */
    uint32_t sent;
    uint32_t done;
    uint32_t n_free;
    uint8_t free[DEPTH_MAX]; /* frames that are with neither the device nor the network */
    bool echo;
} Bench;

static uint8_t queue_memory[2][VIRTIO_QUEUE_MEMORY] __attribute__ ((aligned (4096)));
static Frame frames[DEPTH_MAX] __attribute__ ((aligned (4096)));
static uint8_t rx_buffers[VIRTIO_QUEUE_MAX][RX_BUFFER] __attribute__ ((aligned (4096)));
/* Which frame or buffer a chain of a queue is. */
static uint8_t frame_of[VIRTIO_QUEUE_MAX];
static uint8_t buffer_of[VIRTIO_QUEUE_MAX];

static void
put16 (uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void
put_address (uint8_t *at, uint8_t last)
{
    at[0] = 10;
    at[3] = last;
}

/* Of an IPv4 header (RFC 791). */
static uint32_t
checksum (const uint8_t *header)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < IPV4; i += 2)
        sum += (uint32_t)header[i] << 8 | header[i + 1];
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum;
}

/* @to: the last byte of a hardware address, see net.py */
static void
make_frame (const Bench *bench, Frame *frame, uint8_t to, uint32_t tso)
{
    uint8_t *ip = frame->bytes + ETHERNET, *transport = ip + IPV4;
    uint32_t inside = bench->bytes - ETHERNET;

    frame->bytes[0] = frame->bytes[6] = 2;
    frame->bytes[5] = to;
    frame->bytes[11] = 2;
    put16 (frame->bytes + 12, 0x0800);
    ip[0] = 0x45;
    put16 (ip + 2, inside);
    ip[8] = 64;
    ip[9] = tso != 0 ? 6 : 17;
    put_address (ip + 12, 2);
    put_address (ip + 16, 3);
    put16 (ip + 10, checksum (ip));
    put16 (transport, 1000);
    put16 (transport + 2, 1001);
    if (tso == 0) {
        put16 (transport + 4, inside - IPV4);
    } else {
        transport[12] = TCP / 4 << 4;
        transport[13] = 0x10; /* ACK */
        frame->header = (NetHeader){
            .flags = NET_HDR_NEEDS_CSUM,
            .gso_type = NET_GSO_TCPV4,
            .hdr_len = ETHERNET + IPV4 + TCP,
            .gso_size = (uint16_t)tso,
            .csum_start = ETHERNET + IPV4,
            .csum_offset = 16,
        };
    }
    for (uint32_t i = 0; i < 4; i++)
        frame->bytes[bench->mark_at + i] = (uint8_t)(MARK >> 8 * i);
}

static void
give (Bench *bench, uint8_t buffer)
{
    VirtioPart part = {rx_buffers[buffer], RX_BUFFER, true};
    int id = virtio_add (&bench->rx, &part, 1);

    if (id < 0)
        bench_fail (&bench->report, "the receive queue is too small");
    buffer_of[id] = buffer;
}

static void
send (Bench *bench, uint8_t index)
{
    const uint8_t *at = (const uint8_t *)&frames[index];
    uint32_t left = sizeof (NetHeader) + bench->bytes, n = 0;
    VirtioPart parts[sizeof (Frame) / PART_MAX + 1];
    int id;

    for (; left > 0; n++) {
        uint32_t size = left < PART_MAX ? left : PART_MAX;

        parts[n] = (VirtioPart){at, size, false};
        at += size;
        left -= size;
    }
    id = virtio_add (&bench->tx, parts, n);
    if (id < 0)
        bench_fail (&bench->report, "the transmit queue is too small");
    frame_of[id] = index;
    bench->sent++;
}

static void
finish (Bench *bench, uint8_t index)
{
    bench->free[bench->n_free++] = index;
}

/* A frame is in the buffer, and in further ones if it is larger. */
static void
take_frame (Bench *bench, int id, uint32_t written)
{
    const uint8_t *start = rx_buffers[buffer_of[id]];
    const volatile NetHeader *header = (const volatile NetHeader *)start;
    uint32_t left = header->num_buffers;
    uint32_t mark = *(const volatile uint32_t *)(start + sizeof (NetHeader) + bench->mark_at);
    uint32_t size = written;

    give (bench, buffer_of[id]);
    while (--left > 0) {
        id = virtio_take (&bench->rx, &written);
        if (id < 0)
            bench_fail (&bench->report, "a frame that is not all there");
        size += written;
        give (bench, buffer_of[id]);
    }
    if (mark != MARK)
        return;
    if (size != sizeof (NetHeader) + bench->bytes)
        bench_fail (&bench->report, "a frame came back with another length");
    bench->done++;
}

static bool
receive (Bench *bench)
{
    uint32_t written;
    bool any = false;
    int id;

    while ((id = virtio_take (&bench->rx, &written)) >= 0) {
        take_frame (bench, id, written);
        any = true;
    }
    if (any)
        virtio_kick (&bench->rx);
    return any;
}

static bool
reclaim (Bench *bench)
{
    bool any = false;
    int id;

    while ((id = virtio_take (&bench->tx, NULL)) >= 0) {
        finish (bench, frame_of[id]);
        bench->done += bench->echo ? 0 : 1;
        any = true;
    }
    return any;
}

static void
run (Bench *bench, uint32_t total)
{
    while (bench->done < total) {
        uint32_t before = bench->sent;
        bool any = receive (bench);

        any |= reclaim (bench);
        while (bench->n_free > 0 && bench->sent - bench->done < bench->depth && bench->sent < total)
            send (bench, bench->free[--bench->n_free]);
        if (bench->sent != before)
            virtio_kick (&bench->tx);
        else if (!any)
            cpu_pause ();
    }
}

static void
start (Bench *bench, const StartInfo *info)
{
    VirtioDevice device;
    uint64_t needed = NET_F_CSUM | NET_F_GUEST_CSUM | NET_F_HOST_TSO4 | NET_F_GUEST_TSO4 | NET_F_MRG_RXBUF;

    if (!virtio_find (info, VIRTIO_ID_NET, 0, &device))
        bench_fail (&bench->report, "no network card");
    if (!virtio_begin (&device, needed | VIRTIO_F_EVENT_IDX) || (device.features & needed) != needed)
        bench_fail (&bench->report, "the device refuses its features");
    if (!virtio_queue_start (&device, &bench->rx, NET_RX_QUEUE, queue_memory[0], VIRTIO_QUEUE_MAX) ||
        !virtio_queue_start (&device, &bench->tx, NET_TX_QUEUE, queue_memory[1], VIRTIO_QUEUE_MAX))
        bench_fail (&bench->report, "no queue");
    virtio_ready (&device);
    for (uint32_t i = 0; i < bench->rx.size; i++)
        give (bench, (uint8_t)i);
    virtio_kick (&bench->rx);
}

static Bench bench;

void
guest_main (const StartInfo *info)
{
    uint32_t total = pvh_cmdline_number (info, "requests=", 10000);
    uint32_t tso = pvh_cmdline_number (info, "tso=", 0);
    uint32_t warm = pvh_cmdline_number (info, "warm=", 0);
    uint32_t kicks;
    uint8_t host = (uint8_t)pvh_cmdline_number (info, "host=", 1);

    console_init (&bench.report.console);
    bench.depth = pvh_cmdline_number (info, "depth=", 1);
    bench.bytes = pvh_cmdline_number (info, "bytes=", 4096);
    bench.echo = pvh_cmdline_number (info, "echo=", 0) != 0;
    bench.mark_at = ETHERNET + IPV4 + (tso != 0 ? TCP : UDP);
    if (bench.depth == 0 || bench.depth > DEPTH_MAX || bench.bytes < 64 || bench.bytes > BYTES_MAX)
        bench_fail (&bench.report, "depth or bytes out of range");
    for (uint32_t i = 0; i < bench.depth; i++) {
        make_frame (&bench, &frames[i], bench.echo ? host : 0xff, tso);
        finish (&bench, (uint8_t)i);
    }
    start (&bench, info);
    run (&bench, warm);
    kicks = bench.tx.kicks + bench.rx.kicks;
    bench_begin (&bench.report);
    run (&bench, warm + total);
    bench_done (&bench.report, total, bench.tx.kicks + bench.rx.kicks - kicks);
    bench_spin ();
}
