/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps a disk busy and counts, for tests/bench. Words of the command line: depth=N requests in flight,
 * bytes=N for each, requests=N in all, write=1, seed=N, off=1. Requests go to places all over the disk. When
 * done it spins until it is killed, or powers off without a flush.
 */
#include "bench.h"
#include "virtio-blk.h"

#define DEPTH_MAX 32u
#define BYTES_MAX (1u << 20)

typedef struct {
    VirtioQueue queue;
    BenchReport report;
    uint64_t blocks; /* places of the size of a request */
    uint64_t random;
    uint32_t sectors;
    BlkType type;
} Bench;

static uint8_t queue_memory[VIRTIO_QUEUE_MEMORY] __attribute__ ((aligned (4096)));
static uint8_t data[DEPTH_MAX][BYTES_MAX] __attribute__ ((aligned (4096)));
static BlkRequest requests[DEPTH_MAX];
/* Which request a chain of the queue is. */
static uint8_t slot_of[VIRTIO_QUEUE_MAX];

static void
submit (Bench *bench, uint8_t slot)
{
    uint64_t sector;
    int id;

    bench->random = bench->random * 6364136223846793005ull + 1442695040888963407ull;
    sector = (bench->random >> 24) % bench->blocks * bench->sectors;
    id = blk_add (&bench->queue, &requests[slot], bench->type, sector, data[slot], bench->sectors);
    if (id < 0)
        bench_fail (&bench->report, "the queue is too small");
    slot_of[id] = slot;
}

static void
run (Bench *bench, uint32_t depth, uint32_t total)
{
    uint32_t submitted = 0, done = 0;

    for (; submitted < depth && submitted < total; submitted++)
        submit (bench, (uint8_t)submitted);
    virtio_kick (&bench->queue);
    while (done < total) {
        int id = virtio_take (&bench->queue, NULL);

        if (id < 0) {
            cpu_pause ();
            continue;
        }
        if (requests[slot_of[id]].status != BLK_STATUS_OK)
            bench_fail (&bench->report, "a request failed");
        done++;
        if (submitted == total)
            continue;
        submit (bench, slot_of[id]);
        submitted++;
        virtio_kick (&bench->queue);
    }
}

static void
start (Bench *bench, const StartInfo *info, uint32_t bytes)
{
    VirtioDevice device;

    if (!virtio_find (info, VIRTIO_ID_BLOCK, 0, &device))
        bench_fail (&bench->report, "no disk");
    /* With FLUSH, writes need not last at once. */
    if (!virtio_begin (&device, VIRTIO_F_EVENT_IDX | BLK_F_FLUSH))
        bench_fail (&bench->report, "the device refuses its features");
    bench->sectors = bytes / BLK_SECTOR;
    bench->blocks = virtio_config64 (&device, 0) / bench->sectors;
    if (bench->blocks == 0)
        bench_fail (&bench->report, "the disk is too small");
    if (!virtio_queue_start (&device, &bench->queue, 0, queue_memory, 128))
        bench_fail (&bench->report, "no queue");
    virtio_ready (&device);
}

void
guest_main (const StartInfo *info)
{
    uint32_t depth = pvh_cmdline_number (info, "depth=", 1);
    uint32_t bytes = pvh_cmdline_number (info, "bytes=", 4096);
    uint32_t total = pvh_cmdline_number (info, "requests=", 10000);
    Bench bench = {
        .random = pvh_cmdline_number (info, "seed=", 1),
        .type = pvh_cmdline_number (info, "write=", 0) != 0 ? BLK_OUT : BLK_IN,
    };

    console_init (&bench.report.console);
    if (depth == 0 || depth > DEPTH_MAX || bytes < BLK_SECTOR || bytes > BYTES_MAX)
        bench_fail (&bench.report, "depth or bytes out of range");
    start (&bench, info, bytes);
    bench_begin (&bench.report);
    run (&bench, depth, total);
    bench_done (&bench.report, total, bench.queue.kicks);
    if (pvh_cmdline_number (info, "off=", 0) != 0)
        cpu_out8 (PORT_SLEEP_CONTROL, SLP_EN_S5);
    bench_spin ();
}
