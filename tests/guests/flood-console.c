/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends lines of 64 bytes to the virtio console, a number of eight hexadecimal digits at the start of each,
 * "mib=N" MiB of them, as fast as the device takes them, and powers off.
 */
#include "acpi.h"
#include "bench.h"
#include "flood.h"
#include "virtio.h"

#define CONSOLE_ID 3u
#define TX_QUEUE 1u
#define CHUNK (64u << 10)
#define CHUNKS 16u

static uint8_t queue_memory[VIRTIO_QUEUE_MEMORY] __attribute__ ((aligned (4096)));
static char chunks[CHUNKS][CHUNK];

static void
fill_lines (char *at, uint32_t number)
{
    for (char *end = at + CHUNK; at < end; at += FLOOD_LINE) {
        flood_fill_line (at, number++);
        at[FLOOD_LINE - 1] = '\n';
    }
}

/* The device takes chains in their order, so what it is done with is the oldest. */
static void
wait_for_room (VirtioQueue *queue, uint16_t room)
{
    while (queue->n_free < room) {
        if (virtio_take (queue, 0) < 0)
            cpu_pause ();
    }
}

void
guest_main (const StartInfo *info)
{
    uint32_t n = pvh_cmdline_number (info, "mib=", 1) * ((1u << 20) / CHUNK);
    BenchReport report = {0};
    VirtioDevice device;
    VirtioQueue queue;

    console_init (&report.console);
    if (!virtio_find (info, CONSOLE_ID, 0, &device))
        bench_fail (&report, "no virtio console");
    if (!virtio_begin (&device, VIRTIO_F_EVENT_IDX))
        bench_fail (&report, "the device refuses its features");
    if (!virtio_queue_start (&device, &queue, TX_QUEUE, queue_memory, CHUNKS))
        bench_fail (&report, "no queue");
    virtio_ready (&device);
    for (uint32_t i = 0; i < n; i++) {
        VirtioPart part = {chunks[i % CHUNKS], CHUNK, false};

        wait_for_room (&queue, 1);
        fill_lines (chunks[i % CHUNKS], i * (CHUNK / FLOOD_LINE));
        virtio_add (&queue, &part, 1);
        virtio_kick (&queue);
    }
    wait_for_room (&queue, queue.size);
    acpi_power_off (info);
}
