/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that talks nonsense to its disk, and a host that takes its time, fails, moves the machine and grows
 * the disk. Each record of the input is one of these. Each request is answered once, and as it must be; each
 * sector that is read is a whole one; and an honest driver is served afterwards.
 */
#include <errno.h>
#include <string.h>

#include "devices/virtio/blk.h"
#include "fake-block.h"
#include "virtio-driver.h"
#include "virtio-state.h"

#define RECORD 16u
#define RECORDS_MAX 120u
#define MEMORY (4u << 20)
#define HEAP 0x1000u
#define HEAP_SIZE 0x100000u
/* Each request has a slot: its header, its status, and from DATA on its data. */
#define SLOTS 0x100000u
#define SLOT_SIZE 0x8000u
#define STATUS 64u
#define DATA 512u
#define RING 16u
#define QUEUES_MAX 3u
#define SECTOR 512u
#define DISK_SECTORS 64u
#define GROWN_MAX 512u
#define PENDING 0xeeu

#define F_FLUSH (UINT64_C (1) << 9)
#define F_DISCARD (UINT64_C (1) << 13)
#define F_WRITE_ZEROES (UINT64_C (1) << 14)
/* Not those of rings, which are the queues' drivers' to choose. */
#define F_OWN (~(UINT64_C (0x1fff) << 28))

enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };
enum { OK = 0, IOERR = 1, UNSUPP = 2 };

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t len);

typedef struct {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
} Header;

typedef struct {
    bool taken;
    bool strange; /* of a form for which nothing is expected */
    uint32_t type;
    uint64_t sector;
    uint32_t len;
    uint8_t expected; /* where the host does not fail */
} Request;

typedef struct {
    VmmVirtqDriver *driver;
    Request requests[RING];
    uint8_t slot_of[RING]; /* by the chain's id */
} Queue;

typedef struct {
    VmmGuestMemory *memory;
    VmmLoop *loop;
    FakeBlock *disk;
    VmmVirtioDevice *device;
    VmmVirtqHeap heap;
    Queue queues[QUEUES_MAX];
    unsigned n_queues;
    bool read_only;
    bool discard;
    uint64_t features;
    uint64_t wanted; /* that the driver asks for when it is started again */
    bool guilty;     /* the driver did what a disk may answer with NEEDS_RESET */
    bool failed;     /* the host has failed a request since the last restart */
    bool grown;      /* the disk has: what was beyond it when it was asked for may be on it now */
    uint32_t stamp;
} Fuzz;

static VmmVirtioDevice *
make_device (Fuzz *fuzz, FakeBlock *disk)
{
    const VmmVirtioBlkConfig config = {
        .serial = "a serial", .n_queues = fuzz->n_queues, .discard = fuzz->discard};
    VmmVirtioEnv env = {.memory = fuzz->memory, .loop = fuzz->loop, .name = "disk0"};

    return vmm_virtio_blk_new (&env, &disk->block, &config);
}

static void
check_disk (const FakeBlock *disk)
{
    if (disk->wrong != NULL) {
        g_printerr ("the device did wrong: %s\n", disk->wrong);
        __builtin_trap ();
    }
}

static bool
bring_up (Fuzz *fuzz, uint64_t features)
{
    if (!vmm_virtio_driver_negotiate (fuzz->device, features))
        __builtin_trap ();
    fuzz->features = vmm_virtio_device_accepted (fuzz->device, 0);
    for (unsigned i = 0; i < fuzz->n_queues; i++) {
        vmm_virtq_driver_reset (fuzz->queues[i].driver);
        memset (fuzz->queues[i].requests, 0, sizeof fuzz->queues[i].requests);
        vmm_virtio_driver_set_queue (fuzz->device, i, fuzz->queues[i].driver);
    }
    fuzz->guilty = false;
    fuzz->failed = fuzz->disk->error != 0;
    return vmm_virtio_driver_start (fuzz->device);
}

static void
restart (Fuzz *fuzz)
{
    uint64_t features = vmm_virtq_driver_features (fuzz->queues[0].driver) | (fuzz->wanted & F_OWN);

    if (bring_up (fuzz, features))
        return;
    if (!fuzz->disk->refuses)
        __builtin_trap ();
    /* A queue that comes back does not make the host serve it. */
    vmm_virtio_device_reset_queue (fuzz->device, 0);
    vmm_virtq_driver_reset (fuzz->queues[0].driver);
    vmm_virtio_driver_set_queue (fuzz->device, 0, fuzz->queues[0].driver);
    vmm_virtq_driver_add (fuzz->queues[0].driver, &(VmmVirtqSegment){SLOTS, 16}, 1,
                          &(VmmVirtqSegment){SLOTS + STATUS, 1}, 1);
    vmm_virtq_driver_publish (fuzz->queues[0].driver);
    vmm_virtio_device_notify (fuzz->device, 0);
    fake_block_settle (fuzz->disk);
    fuzz->disk->refuses = false;
    if (!bring_up (fuzz, features))
        __builtin_trap ();
}

static uint64_t
slot_gpa (unsigned queue, unsigned slot)
{
    return SLOTS + ((uint64_t)queue * RING + slot) * SLOT_SIZE;
}

static uint8_t *
slot_bytes (const Fuzz *fuzz, unsigned queue, unsigned slot)
{
    return vmm_guest_memory_ptr (fuzz->memory, slot_gpa (queue, slot), SLOT_SIZE);
}

static unsigned
find_slot (const Queue *queue)
{
    unsigned slot = 0;

    while (slot < RING && queue->requests[slot].taken)
        slot++;
    return slot;
}

static void
add (Fuzz *fuzz, unsigned index, unsigned slot, const Request *request, const VmmVirtqSegment *out,
     unsigned n_out, const VmmVirtqSegment *in, unsigned n_in)
{
    Queue *queue = &fuzz->queues[index];
    int id = vmm_virtq_driver_add (queue->driver, out, n_out, in, n_in);

    if (id < 0)
        return;
    queue->slot_of[id] = (uint8_t)slot;
    queue->requests[slot] = *request;
    queue->requests[slot].taken = true;
}

static void
notify (Fuzz *fuzz, unsigned index)
{
    vmm_virtq_driver_publish (fuzz->queues[index].driver);
    vmm_virtio_device_notify (fuzz->device, index);
    fake_block_settle (fuzz->disk);
}

static bool
is_on_disk (const Fuzz *fuzz, uint64_t sector, uint64_t len)
{
    uint64_t size = fuzz->disk->block.limits.size;

    return len % SECTOR == 0 && sector <= size / SECTOR && len <= size - sector * SECTOR;
}

static uint8_t
expect_range (const Fuzz *fuzz, uint64_t feature, const uint8_t *range)
{
    uint64_t sector;
    uint32_t n, flags;

    memcpy (&sector, range, sizeof sector);
    memcpy (&n, range + 8, sizeof n);
    memcpy (&flags, range + 12, sizeof flags);
    if ((fuzz->features & feature) == 0)
        return UNSUPP;
    if (!is_on_disk (fuzz, sector, (uint64_t)n * SECTOR))
        return IOERR;
    return flags == 0 || (flags == 1 && feature == F_WRITE_ZEROES) ? OK : UNSUPP;
}

static uint8_t
expect (const Fuzz *fuzz, const Request *request, const uint8_t *data)
{
    switch (request->type) {
    case IN:
        return is_on_disk (fuzz, request->sector, request->len) ? OK : IOERR;
    case OUT:
        return !fuzz->read_only && is_on_disk (fuzz, request->sector, request->len) ? OK : IOERR;
    case FLUSH:
    case GET_ID:
        return OK;
    case DISCARD:
        return expect_range (fuzz, F_DISCARD, data);
    case WRITE_ZEROES:
        return expect_range (fuzz, F_WRITE_ZEROES, data);
    default:
        return UNSUPP;
    }
}

static uint64_t
sector_of (const uint8_t *record)
{
    switch (record[0] % 8) {
    case 0:
        return UINT64_MAX >> record[1] % 64;
    case 1:
        return DISK_SECTORS - record[1] % 4;
    default:
        return record[1] % DISK_SECTORS;
    }
}

/* What the device will read of a request. */
static void
prepare (Fuzz *fuzz, uint8_t *bytes, Request *request, const uint8_t *record)
{
    const Header header = {request->type, 0, request->sector};
    const uint64_t range[2] = {request->sector, record[6] | (uint64_t)(record[7] % 4) << 32};

    memcpy (bytes, &header, sizeof header);
    bytes[STATUS] = PENDING;
    memset (bytes + DATA, 0xee, request->len);
    if (request->type == OUT)
        fake_block_fill (bytes + DATA, request->sector, ++fuzz->stamp, request->len);
    if (request->type == DISCARD || request->type == WRITE_ZEROES) {
        request->len = sizeof range;
        memcpy (bytes + DATA, range, sizeof range);
    }
    request->expected = expect (fuzz, request, bytes + DATA);
}

static void
play_request (Fuzz *fuzz, const uint8_t *record)
{
    static const uint32_t types[] = {IN, OUT, IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES};
    unsigned index = record[1] % fuzz->n_queues;
    unsigned slot = find_slot (&fuzz->queues[index]), n_out = 1, n_in = 0;
    Request request = {
        .type = record[2] & 0x80 ? record[2] : types[record[2] % 8],
        .sector = sector_of (record + 3),
        .len = (record[5] % 16u) * SECTOR + (record[5] == 0xff ? record[6] : 0),
    };
    VmmVirtqSegment out[3], in[3], *data;
    uint32_t cut;

    if (slot == RING)
        return;
    prepare (fuzz, slot_bytes (fuzz, index, slot), &request, record);
    cut = record[7] % 2 == 0 ? 0 : MIN (record[8] * 3u, request.len);
    out[0] = (VmmVirtqSegment){slot_gpa (index, slot), sizeof (Header)};
    data = request.type == IN || request.type == GET_ID ? in : out + 1;
    if (cut > 0)
        *data++ = (VmmVirtqSegment){slot_gpa (index, slot) + DATA, cut};
    if (request.len > cut)
        *data++ = (VmmVirtqSegment){slot_gpa (index, slot) + DATA + cut, request.len - cut};
    if (request.type == IN || request.type == GET_ID)
        n_in = (unsigned)(data - in);
    else
        n_out = (unsigned)(data - out);
    in[n_in++] = (VmmVirtqSegment){slot_gpa (index, slot) + STATUS, 1};
    add (fuzz, index, slot, &request, out, n_out, in, n_in);
    if (record[14] % 4 != 0)
        notify (fuzz, index);
}

/* A chain of any form. */
static void
play_chain (Fuzz *fuzz, const uint8_t *record)
{
    unsigned index = record[1] % fuzz->n_queues;
    unsigned slot = find_slot (&fuzz->queues[index]);
    unsigned n_out = record[2] % 4, n_in = record[3] % 4, room = 0;
    const Request request = {.strange = true};
    VmmVirtqSegment out[3], in[3];

    if (n_out + n_in == 0 || slot == RING)
        return;
    memcpy (slot_bytes (fuzz, index, slot), record + 8, 8);
    memset (slot_bytes (fuzz, index, slot) + 8, record[4] & 1, 16);
    for (unsigned i = 0; i < 3; i++) {
        out[i] = (VmmVirtqSegment){slot_gpa (index, slot) + i * 8, record[5 + i] % 32u};
        in[i] = (VmmVirtqSegment){slot_gpa (index, slot) + DATA, record[5 + i]};
    }
    for (unsigned i = 0; i < n_in; i++)
        room += in[i].len;
    if (room == 0)
        fuzz->guilty = true;
    /* What it writes may be no sectors. */
    fuzz->failed = true;
    add (fuzz, index, slot, &request, out, n_out, in, n_in);
    notify (fuzz, index);
}

static void
play_bad (Fuzz *fuzz, const uint8_t *record)
{
    unsigned index = record[1] % fuzz->n_queues;
    /* It may be lost among chains that the device has already. */
    bool alone = vmm_virtq_driver_in_flight (fuzz->queues[index].driver) == 0;

    fuzz->guilty = true;
    if (vmm_virtq_driver_play_bad (fuzz->queues[index].driver, record[2] % VMM_VIRTQ_BAD_LAST)) {
        notify (fuzz, index);
        if (alone && (vmm_virtio_device_status (fuzz->device) & VMM_VIRTIO_STATUS_NEEDS_RESET) == 0)
            __builtin_trap ();
    }
    restart (fuzz);
}

static void
play_host (Fuzz *fuzz, const uint8_t *record)
{
    static const int errors[] = {0, 0, 0, EIO, ENOSPC};
    uint64_t size = fuzz->disk->block.limits.size;

    switch (record[1] % 8) {
    case 0:
    case 1:
        fake_block_set_pace (fuzz->disk, record[2] % 3);
        break;
    case 2:
    case 3:
        fake_block_complete (fuzz->disk, record[2] % 4 + 1);
        break;
    case 4:
        fuzz->disk->error = errors[record[2] % G_N_ELEMENTS (errors)];
        fuzz->failed |= fuzz->disk->error != 0;
        break;
    case 5:
        fuzz->disk->refuses = record[2] % 4 == 0;
        break;
    case 6:
        fuzz->grown = true;
        if (size < GROWN_MAX * SECTOR &&
            !vmm_virtio_blk_resize (fuzz->device, size + record[2] % 4 * SECTOR, NULL))
            __builtin_trap ();
        break;
    default:
        vmm_virtio_device_pause (fuzz->device);
        if (fake_block_n_held (fuzz->disk) != 0)
            __builtin_trap ();
        vmm_virtio_device_resume (fuzz->device);
    }
}

static void
play_queue_reset (Fuzz *fuzz, const uint8_t *record)
{
    unsigned index = record[1] % fuzz->n_queues;
    Queue *queue = &fuzz->queues[index];

    vmm_virtio_device_reset_queue (fuzz->device, index);
    vmm_virtq_driver_reset (queue->driver);
    memset (queue->requests, 0, sizeof queue->requests);
    vmm_virtio_driver_set_queue (fuzz->device, index, queue->driver);
}

/* The same contents, as in another process. */
static FakeBlock *
copy_disk (const Fuzz *fuzz)
{
    FakeBlock *disk = fake_block_new (fuzz->loop, fuzz->disk->store->len, fuzz->read_only);

    memcpy (disk->store->data, fuzz->disk->store->data, disk->store->len);
    return disk;
}

/* Another device goes on where this one is, and the guest notices nothing. */
static void
play_move (Fuzz *fuzz)
{
    g_autoptr (GBytes) state = vmm_virtio_state_save (fuzz->device);
    FakeBlock *disk = copy_disk (fuzz);
    VmmVirtioDevice *device = make_device (fuzz, disk);

    check_disk (fuzz->disk);
    vmm_virtio_device_free (fuzz->device);
    fake_block_free (fuzz->disk);
    fuzz->device = device;
    fuzz->disk = disk;
    if (!vmm_virtio_state_load (device, state))
        __builtin_trap ();
    fake_block_settle (disk);
}

/* A device is loaded with what none has saved. Whatever comes of it, it goes away again. */
static void
play_load (Fuzz *fuzz, const uint8_t *record)
{
    g_autoptr (GBytes) state = vmm_virtio_state_save (fuzz->device);
    g_autoptr (GBytes) bad = vmm_virtio_state_spoil (state, record);
    FakeBlock *disk = copy_disk (fuzz);
    VmmVirtioDevice *device = make_device (fuzz, disk);

    if (vmm_virtio_state_load (device, bad)) {
        for (unsigned i = 0; i < fuzz->n_queues; i++)
            vmm_virtio_device_notify (device, i);
        fake_block_settle (disk);
        if (!vmm_virtio_driver_negotiate (device, vmm_virtq_driver_features (fuzz->queues[0].driver)))
            __builtin_trap ();
    }
    check_disk (disk);
    vmm_virtio_device_free (device);
    fake_block_free (disk);
    restart (fuzz);
    vmm_virtio_device_resume (fuzz->device);
}

static void
play_machine (Fuzz *fuzz, const uint8_t *record)
{
    switch (record[1] % 8) {
    case 0:
        memcpy (&fuzz->wanted, record + 2, sizeof fuzz->wanted);
        restart (fuzz);
        break;
    case 1:
        fuzz->wanted = ~(UINT64_C (1) << record[2] % 16);
        restart (fuzz);
        break;
    case 2:
    case 3:
        play_move (fuzz);
        break;
    case 4:
        play_load (fuzz, record);
        break;
    case 5:
        play_queue_reset (fuzz, record + 1);
        break;
    case 6:
        vmm_virtio_device_config_write (fuzz->device, record[2] % 64, 1u << record[3] % 4, record[4]);
        vmm_virtio_device_config_read (fuzz->device, record[2] % 64, 1u << record[3] % 4);
        break;
    default:
        vmm_virtio_device_set_status (fuzz->device, record[2] | 1);
    }
}

static void
check_request (Fuzz *fuzz, unsigned index, unsigned slot)
{
    const Request *request = &fuzz->queues[index].requests[slot];
    const uint8_t *bytes = slot_bytes (fuzz, index, slot);
    uint8_t status = bytes[STATUS];

    if (request->strange)
        return;
    if (status != request->expected && !(fuzz->failed && status == IOERR) &&
        !(fuzz->grown && request->expected == IOERR && status <= UNSUPP))
        __builtin_trap ();
    if (request->type == IN && status == OK && !fuzz->failed &&
        !fake_block_is_whole (bytes + DATA, request->sector, request->len))
        __builtin_trap ();
    if (request->type == GET_ID && status == OK &&
        memcmp (bytes + DATA, "a serial", MIN (request->len, 8)) != 0)
        __builtin_trap ();
}

static unsigned
collect (Fuzz *fuzz)
{
    unsigned in_flight = 0;
    int id;

    for (unsigned i = 0; i < fuzz->n_queues; i++) {
        Queue *queue = &fuzz->queues[i];

        while (vmm_virtq_driver_poll_used (queue->driver, &id, NULL)) {
            check_request (fuzz, i, queue->slot_of[id]);
            queue->requests[queue->slot_of[id]].taken = false;
        }
        in_flight += vmm_virtq_driver_in_flight (queue->driver);
    }
    return in_flight;
}

static void
check (Fuzz *fuzz)
{
    uint8_t status = vmm_virtio_device_status (fuzz->device);

    fake_block_settle (fuzz->disk);
    check_disk (fuzz->disk);
    if ((status & VMM_VIRTIO_STATUS_NEEDS_RESET) != 0 && !fuzz->guilty)
        __builtin_trap ();
    if ((status & VMM_VIRTIO_STATUS_NEEDS_RESET) != 0)
        restart (fuzz);
    else
        collect (fuzz);
}

static void
step (Fuzz *fuzz, const uint8_t *record)
{
    static void (*const plays[]) (Fuzz * fuzz, const uint8_t *record) = {
        play_request, play_request, play_request, play_request, play_host,
        play_host,    play_chain,   play_bad,     play_machine, play_machine,
    };

    plays[record[0] % G_N_ELEMENTS (plays)](fuzz, record);
    check (fuzz);
}

/* Once the host has done its work nothing of the guest's is left lying, whatever was before. */
static void
check_drained (Fuzz *fuzz)
{
    fake_block_set_pace (fuzz->disk, FAKE_BLOCK_AT_KICK);
    for (unsigned i = 0; i < fuzz->n_queues; i++)
        notify (fuzz, i);
    check (fuzz);
    if (collect (fuzz) > 0)
        __builtin_trap ();
}

static void
check_honest (Fuzz *fuzz)
{
    static const uint8_t request[RECORD] = {[2] = IN, [3] = 2, [5] = 3, [14] = 1};
    unsigned n_done;

    fuzz->wanted = F_FLUSH;
    restart (fuzz);
    n_done = fuzz->disk->n_done;
    play_request (fuzz, request);
    check (fuzz);
    if (fuzz->disk->n_done != n_done + 1 || collect (fuzz) > 0)
        __builtin_trap ();
}

static void
set_up (Fuzz *fuzz, const uint8_t *head)
{
    fuzz->memory = vmm_virtq_memory_new (MEMORY);
    fuzz->loop = vmm_loop_new ("fuzz", NULL);
    fuzz->n_queues = head[1] % QUEUES_MAX + 1;
    fuzz->read_only = head[2] % 8 == 1;
    fuzz->discard = head[2] & 2;
    fuzz->wanted = UINT64_MAX;
    fuzz->disk = fake_block_new (fuzz->loop, DISK_SECTORS * SECTOR, fuzz->read_only);
    fuzz->device = make_device (fuzz, fuzz->disk);
    vmm_virtq_heap_init (&fuzz->heap, fuzz->memory, HEAP, HEAP_SIZE - HEAP);
    for (unsigned i = 0; i < fuzz->n_queues; i++)
        fuzz->queues[i].driver = vmm_virtq_driver_new (&fuzz->heap, RING, head[0] % 16);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t len)
{
    Fuzz fuzz = {0};

    if (len < 4)
        return 0;
    set_up (&fuzz, data);
    restart (&fuzz);
    for (size_t i = 4; i + RECORD <= len && i < RECORD * RECORDS_MAX; i += RECORD)
        step (&fuzz, data + i);
    check_drained (&fuzz);
    check_honest (&fuzz);
    vmm_virtio_device_free (fuzz.device);
    fake_block_free (fuzz.disk);
    for (unsigned i = 0; i < fuzz.n_queues; i++)
        vmm_virtq_driver_free (fuzz.queues[i].driver);
    vmm_loop_free (fuzz.loop);
    vmm_guest_memory_free (fuzz.memory);
    return 0;
}
