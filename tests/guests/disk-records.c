/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes numbered records to a disk for ever, and says which of them are safe, so that a disk can be looked
 * at after the machine was killed. Words of the command line: seed=N, first=N.
 *
 * Theory of operation: the disk has 256 places, spread over all of it. What record N is follows from seed and
 * number alone: its place, its length, and whether it is data or zeroes. A batch of up to 32 records, in
 * flight all at once, each in another place (a record whose place the batch has already is left out), is
 * followed by a flush, and that by a line "safe FIRST LAST". Each sector of a record holds its own number, so
 * that whoever looks can tell what he sees. run-records.py computes the same, and looks.
 */
#include "console.h"
#include "cpu.h"
#include "guest.h"
#include "virtio-blk.h"

#define PLACES 256u
#define RECORD_SECTORS 64u
#define BATCH 32u
/* A place starts so far into its share of the disk that a record may cross a boundary of 64 KiB. */
#define PLACE_OFFSET 96u
#define MAGIC 0x64726f6365726d76ull

typedef struct {
    uint64_t place;
    uint32_t sectors;
    bool zeroes;
    uint32_t batch; /* how many numbers the batch takes that begins with this record */
} Record;

typedef struct {
    VirtioQueue queue;
    Console console;
    uint64_t seed;
    uint64_t share; /* sectors from one place to the next */
    bool has_zeroes;
} Disk;

static uint8_t queue_memory[VIRTIO_QUEUE_MEMORY] __attribute__ ((aligned (4096)));
static uint64_t data[BATCH][RECORD_SECTORS * BLK_SECTOR / 8] __attribute__ ((aligned (4096)));
static BlkRequest requests[BATCH];

/* A bijection of 64-bit numbers without visible order. */
static uint64_t
mix (uint64_t x)
{
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static Record
record_of (const Disk *disk, uint64_t number)
{
    uint64_t bits = mix (disk->seed << 40 ^ number);
    Record record = {
        .place = bits % PLACES,
        .sectors = 1 + (uint32_t)(bits >> 16) % RECORD_SECTORS,
        .zeroes = disk->has_zeroes && (bits >> 32) % 16 == 0,
        .batch = 1 + (uint32_t)(bits >> 40) % BATCH,
    };

    return record;
}

static void
fill (const Disk *disk, uint64_t *words, uint64_t number, uint64_t sector, uint32_t sectors)
{
    for (uint32_t i = 0; i < sectors; i++, words += BLK_SECTOR / 8) {
        words[0] = MAGIC;
        words[1] = number;
        words[2] = sector + i;
        words[3] = disk->seed;
        for (uint32_t j = 4; j < BLK_SECTOR / 8; j++)
            words[j] = mix (number ^ (sector + i) << 32);
    }
}

static void __attribute__ ((noreturn)) fail (Disk *disk, const char *why)
{
    console_text (&disk->console, "failed: ");
    console_text (&disk->console, why);
    console_end_line (&disk->console);
    for (;;)
        cpu_out8 (PORT_DEBUG_EXIT, DEBUG_EXIT_FAIL);
}

/* Waits for @n requests. */
static void
finish (Disk *disk, uint32_t n)
{
    virtio_kick (&disk->queue);
    while (n != 0) {
        if (virtio_take (&disk->queue, NULL) >= 0)
            n--;
        else
            cpu_pause ();
    }
}

/* Returns the first number after the batch. */
static uint64_t
write_batch (Disk *disk, uint64_t first)
{
    uint64_t end = first + record_of (disk, first).batch;
    bool used[PLACES] = {false};
    uint32_t n = 0;

    for (uint64_t number = first; number < end; number++) {
        Record record = record_of (disk, number);
        uint64_t sector = record.place * disk->share + PLACE_OFFSET;

        if (used[record.place])
            continue;
        used[record.place] = true;
        if (!record.zeroes)
            fill (disk, data[n], number, sector, record.sectors);
        if (blk_add (&disk->queue, &requests[n], record.zeroes ? BLK_WRITE_ZEROES : BLK_OUT, sector, data[n],
                     record.sectors) < 0)
            fail (disk, "the queue is too small");
        n++;
    }
    finish (disk, n);
    for (uint32_t i = 0; i < n; i++) {
        if (requests[i].status != BLK_STATUS_OK)
            fail (disk, "a write failed");
    }
    blk_add (&disk->queue, &requests[0], BLK_FLUSH, 0, NULL, 0);
    finish (disk, 1);
    if (requests[0].status != BLK_STATUS_OK)
        fail (disk, "a flush failed");
    return end;
}

static void
say (Disk *disk, const char *word, uint64_t first, uint64_t second)
{
    console_text (&disk->console, word);
    console_decimal (&disk->console, (uint32_t)first, 1);
    console_char (&disk->console, ' ');
    console_decimal (&disk->console, (uint32_t)second, 1);
    console_end_line (&disk->console);
}

void
guest_main (const StartInfo *info)
{
    uint64_t number = pvh_cmdline_number (info, "first=", 0);
    Disk disk = {.seed = pvh_cmdline_number (info, "seed=", 1)};
    VirtioDevice device;

    console_init (&disk.console);
    if (!virtio_find (info, VIRTIO_ID_BLOCK, 0, &device))
        fail (&disk, "no disk");
    if (!virtio_begin (&device, BLK_F_FLUSH | BLK_F_WRITE_ZEROES | VIRTIO_F_EVENT_IDX))
        fail (&disk, "the device refuses its features");
    if ((device.features & BLK_F_FLUSH) == 0)
        fail (&disk, "no FLUSH");
    disk.has_zeroes = (device.features & BLK_F_WRITE_ZEROES) != 0;
    disk.share = virtio_config64 (&device, 0) / PLACES;
    if (disk.share < PLACE_OFFSET + RECORD_SECTORS)
        fail (&disk, "the disk is too small");
    if (!virtio_queue_start (&device, &disk.queue, 0, queue_memory, 128))
        fail (&disk, "no queue");
    virtio_ready (&device);
    say (&disk, "disk ", disk.share, disk.has_zeroes);
    for (;;) {
        uint64_t next = write_batch (&disk, number);

        say (&disk, "safe ", number, next - 1);
        number = next;
    }
}
