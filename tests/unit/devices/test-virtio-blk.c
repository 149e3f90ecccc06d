/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio block device over raw images, with both engines and both kinds of ring. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/block/raw.h"
#include "devices/virtio/blk.h"
#include "virtio-driver.h"

#define MIB (UINT64_C (1) << 20)
#define MEMORY (16 * MIB)
#define DISK (4 * MIB)
#define SECTOR 512u
#define F_FLUSH (UINT64_C (1) << 9)
#define F_CONFIG_WCE (UINT64_C (1) << 11)
#define F_DISCARD (UINT64_C (1) << 13)
#define F_WRITE_ZEROES (UINT64_C (1) << 14)
#define ALL (F_FLUSH | F_CONFIG_WCE | F_DISCARD | F_WRITE_ZEROES)

enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };
enum { OK = 0, IOERR = 1, UNSUPP = 2, PENDING = 0xff };

typedef struct {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
} Header;

typedef struct {
    char path[40];
    int fd;
    VmmGuestMemory *memory;
    VmmLoop *loop;
    VmmBlock *block;
    VmmVirtioDevice *device;
    VmmVirtqHeap heap;
    VmmVirtqDriver *queue;
    unsigned interrupts;
} Rig;

static void
on_interrupt (void *transport, unsigned index)
{
    __atomic_add_fetch (&((Rig *)transport)->interrupts, 1, __ATOMIC_RELAXED);
}

static void
on_config (void *transport)
{
}

static const VmmVirtioInterrupts interrupts = {on_interrupt, on_config};

static void
start (Rig *rig, uint64_t features)
{
    cr_assert (vmm_virtio_driver_negotiate (rig->device, vmm_virtq_driver_features (rig->queue) | features));
    vmm_virtio_driver_set_queue (rig->device, 0, rig->queue);
    cr_assert (vmm_virtio_driver_start (rig->device));
}

static Rig *
set_up (unsigned ring, bool threads, bool read_only, uint64_t features)
{
    Rig *rig = g_new0 (Rig, 1);
    VmmBlockConfig config = {.path = rig->path, .discard = true, .read_only = read_only};
    VmmVirtioBlkConfig blk = {.serial = "a serial", .n_queues = 1, .discard = true};
    VmmVirtioEnv env;

    strcpy (rig->path, "/tmp/test-virtio-blk-XXXXXX");
    rig->fd = mkstemp (rig->path);
    cr_assert_eq (ftruncate (rig->fd, DISK), 0);
    rig->memory = vmm_virtq_memory_new (MEMORY);
    rig->loop = vmm_loop_new ("blk", NULL);
    rig->block = vmm_raw_open (dup (rig->fd), &config, NULL);
    cr_assert_not_null (rig->block);
    if (threads)
        vmm_raw_use_threads (rig->block);
    env = (VmmVirtioEnv){.memory = rig->memory, .loop = rig->loop, .name = "disk0"};
    rig->device = vmm_virtio_blk_new (&env, rig->block, &blk);
    vmm_virtio_device_set_transport (rig->device, &interrupts, rig);
    vmm_virtq_heap_init (&rig->heap, rig->memory, 0x1000, 15 * MIB);
    rig->queue = vmm_virtq_driver_new (&rig->heap, 64, ring);
    start (rig, features);
    return rig;
}

static void
tear_down (Rig *rig)
{
    vmm_virtio_device_set_status (rig->device, 0);
    vmm_virtio_device_free (rig->device);
    vmm_block_free (rig->block);
    vmm_virtq_driver_free (rig->queue);
    vmm_loop_free (rig->loop);
    vmm_guest_memory_free (rig->memory);
    close (rig->fd);
    unlink (rig->path);
    g_free (rig);
}

static void
kick (Rig *rig)
{
    if (vmm_virtq_driver_publish (rig->queue))
        vmm_virtio_device_notify (rig->device, 0);
}

static bool
wait_used (Rig *rig, uint32_t *ret_len)
{
    gint64 end = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;

    while (g_get_monotonic_time () < end) {
        if (vmm_virtq_driver_poll_used (rig->queue, NULL, ret_len))
            return true;
        g_usleep (50);
    }
    return false;
}

/* One request, waited for; @data is sent (or filled, for what the device writes). Returns the status. */
static uint8_t
request (Rig *rig, uint32_t type, uint64_t sector, void *data, uint32_t len, bool device_writes)
{
    Header header = {type, 0, sector};
    uint8_t pending = PENDING;
    VmmVirtqSegment out[2] = {vmm_virtq_heap_put (&rig->heap, &header, sizeof header)};
    VmmVirtqSegment in[2];
    unsigned n_out = 1;
    unsigned n_in = 0;
    VmmVirtqSegment status;

    if (len > 0 && !device_writes)
        out[n_out++] = vmm_virtq_heap_put (&rig->heap, data, len);
    if (len > 0 && device_writes)
        in[n_in++] = vmm_virtq_heap_alloc (&rig->heap, len);
    status = vmm_virtq_heap_put (&rig->heap, &pending, 1);
    in[n_in++] = status;
    cr_assert_geq (vmm_virtq_driver_add (rig->queue, out, n_out, in, n_in), 0);
    kick (rig);
    cr_assert (wait_used (rig, NULL), "request %u was never given back", type);
    if (len > 0 && device_writes)
        memcpy (data, vmm_virtq_heap_bytes (&rig->heap, in[0]), len);
    return *(uint8_t *)vmm_virtq_heap_bytes (&rig->heap, status);
}

static void
fill (uint8_t *data, size_t len, uint8_t seed)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(seed + i * 7 + i / 256);
}

static const struct {
    unsigned ring;
    bool threads;
} ways[] = {
    {0, false},
    {VMM_VIRTQ_EVENT_IDX | VMM_VIRTQ_INDIRECT, false},
    {VMM_VIRTQ_PACKED | VMM_VIRTQ_EVENT_IDX, false},
    {VMM_VIRTQ_EVENT_IDX, true},
};

Test (virtio_blk, what_was_written_is_in_the_file_and_read_back, .timeout = 60)
{
    uint8_t data[8 * SECTOR], back[sizeof data];

    for (size_t w = 0; w < G_N_ELEMENTS (ways); w++) {
        Rig *rig = set_up (ways[w].ring, ways[w].threads, false, ALL);

        for (uint64_t i = 0; i < 20; i++) {
            fill (data, sizeof data, (uint8_t)i);
            cr_assert_eq (request (rig, OUT, i * 100, data, sizeof data, false), OK);
            cr_assert_eq (pread (rig->fd, back, sizeof back, (off_t)(i * 100 * SECTOR)), sizeof back);
            cr_assert_arr_eq (back, data, sizeof data);
            memset (back, 0, sizeof back);
            cr_assert_eq (request (rig, IN, i * 100, back, sizeof back, true), OK);
            cr_assert_arr_eq (back, data, sizeof data);
        }
        cr_assert_eq (request (rig, FLUSH, 0, NULL, 0, false), OK);
        tear_down (rig);
    }
}

/* Each write is followed by a flush of the device's own; nobody else moves the disk on. */
Test (virtio_blk, a_driver_without_flush_is_never_left_waiting, .timeout = 60)
{
    uint8_t data[SECTOR] = {1};

    for (size_t w = 0; w < G_N_ELEMENTS (ways); w++) {
        Rig *rig = set_up (ways[w].ring, ways[w].threads, false, 0);

        for (uint64_t i = 0; i < 50; i++)
            cr_assert_eq (request (rig, OUT, i, data, sizeof data, false), OK);
        tear_down (rig);
    }
}

/* Section 5.2.5.2: the field does not promise a driver a cache that it cannot flush. */
Test (virtio_blk, writes_back_only_for_a_driver_that_can_flush, .timeout = 60)
{
    static const struct {
        uint64_t features;
        uint64_t writeback;
    } rows[] = {{ALL, 1}, {F_FLUSH, 1}, {F_CONFIG_WCE, 0}};

    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++) {
        Rig *rig = set_up (0, false, false, rows[i].features);

        cr_assert_eq (vmm_virtio_device_config_read (rig->device, 32, 1), rows[i].writeback, "row %zu", i);
        tear_down (rig);
    }
}

Test (virtio_blk, many_at_once_are_all_given_back, .timeout = 60)
{
    for (size_t w = 0; w < G_N_ELEMENTS (ways); w++) {
        Rig *rig = set_up (ways[w].ring, ways[w].threads, false, ALL);
        Header header = {IN, 0, 0};
        VmmVirtqSegment out = vmm_virtq_heap_put (&rig->heap, &header, sizeof header);
        unsigned sent = 0, done = 0;

        while (done < 2000) {
            while (sent < 2000 && vmm_virtq_driver_in_flight (rig->queue) < 16) {
                VmmVirtqSegment in[2] = {{8 * MIB, 4096}, {9 * MIB, 1}};

                cr_assert_geq (vmm_virtq_driver_add (rig->queue, &out, 1, in, 2), 0);
                sent++;
            }
            kick (rig);
            cr_assert (wait_used (rig, NULL), "%u of %u", done, sent);
            done++;
        }
        /* A batch has one interrupt. */
        cr_assert_lt (__atomic_load_n (&rig->interrupts, __ATOMIC_RELAXED), 2001);
        tear_down (rig);
    }
}

Test (virtio_blk, ranges_are_zeroed_and_bounded, .timeout = 60)
{
    struct {
        uint64_t sector;
        uint32_t sectors;
        uint32_t flags;
    } range = {8, 8, 0};
    uint8_t data[16 * SECTOR], back[sizeof data];
    Rig *rig = set_up (0, false, false, ALL);

    fill (data, sizeof data, 3);
    cr_assert_eq (request (rig, OUT, 4, data, sizeof data, false), OK);
    cr_assert_eq (request (rig, WRITE_ZEROES, 0, &range, sizeof range, false), OK);
    memset (data + 4 * SECTOR, 0, 8 * SECTOR);
    cr_assert_eq (request (rig, IN, 4, back, sizeof back, true), OK);
    cr_assert_arr_eq (back, data, sizeof data);
    cr_assert_eq (request (rig, DISCARD, 0, &range, sizeof range, false), OK);
    range.flags = 2;
    cr_assert_eq (request (rig, WRITE_ZEROES, 0, &range, sizeof range, false), UNSUPP);
    range.flags = 1;
    cr_assert_eq (request (rig, DISCARD, 0, &range, sizeof range, false), UNSUPP);
    range.flags = 0;
    range.sector = DISK / SECTOR - 1;
    cr_assert_eq (request (rig, WRITE_ZEROES, 0, &range, sizeof range, false), IOERR);
    range.sector = UINT64_MAX;
    cr_assert_eq (request (rig, DISCARD, 0, &range, sizeof range, false), IOERR);
    cr_assert_eq (request (rig, DISCARD, 0, &range, 8, false), IOERR);
    tear_down (rig);
}

Test (virtio_blk, what_is_not_on_the_disk_fails, .timeout = 60)
{
    static const struct {
        uint32_t type;
        uint64_t sector;
        uint32_t len;
        uint8_t status;
    } rows[] = {
        {IN, DISK / SECTOR, SECTOR, IOERR},
        {IN, DISK / SECTOR - 1, 2 * SECTOR, IOERR},
        {IN, UINT64_MAX, SECTOR, IOERR},
        {IN, UINT64_MAX / SECTOR, SECTOR, IOERR},
        {IN, 0, SECTOR - 1, IOERR},
        {OUT, DISK / SECTOR, SECTOR, IOERR},
        {OUT, 0, 100, IOERR},
        {OUT, UINT64_MAX / SECTOR + 1, SECTOR, IOERR},
        {7, 0, 0, UNSUPP},
        {0xffffffff, 0, SECTOR, UNSUPP},
        {IN, DISK / SECTOR - 1, SECTOR, OK},
    };
    uint8_t data[2 * SECTOR] = {0};
    Rig *rig = set_up (0, false, false, ALL);

    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++)
        cr_assert_eq (request (rig, rows[i].type, rows[i].sector, data, rows[i].len, rows[i].type != OUT),
                      rows[i].status, "row %zu", i);
    tear_down (rig);
}

Test (virtio_blk, tells_its_serial, .timeout = 60)
{
    char id[20];
    Rig *rig = set_up (0, false, false, ALL);

    memset (id, 'x', sizeof id);
    cr_assert_eq (request (rig, GET_ID, 0, id, sizeof id, true), OK);
    cr_assert_str_eq (id, "a serial");
    tear_down (rig);
}

Test (virtio_blk, a_read_only_disk_is_not_written, .timeout = 60)
{
    uint8_t data[SECTOR] = {1}, back[SECTOR];
    Rig *rig = set_up (0, false, true, ALL);

    cr_assert_neq (vmm_virtio_device_offered (rig->device, 0) & (1u << 5), 0);
    cr_assert_eq (request (rig, OUT, 0, data, sizeof data, false), IOERR);
    cr_assert_eq (pread (rig->fd, back, sizeof back, 0), sizeof back);
    cr_assert_eq (back[0], 0);
    tear_down (rig);
}

/* Header and status may be cut in any way (section 2.7.4.2). */
Test (virtio_blk, any_layout_of_descriptors, .timeout = 60)
{
    Rig *rig = set_up (0, false, false, ALL);
    Header header = {OUT, 0, 5};
    uint8_t data[SECTOR], back[SECTOR], pending = PENDING;
    VmmVirtqSegment whole, out[3], in[1];

    fill (data, sizeof data, 9);
    whole = vmm_virtq_heap_alloc (&rig->heap, sizeof header + sizeof data);
    memcpy (vmm_virtq_heap_bytes (&rig->heap, whole), &header, sizeof header);
    memcpy ((uint8_t *)vmm_virtq_heap_bytes (&rig->heap, whole) + sizeof header, data, sizeof data);
    out[0] = (VmmVirtqSegment){whole.gpa, 3};
    out[1] = (VmmVirtqSegment){whole.gpa + 3, 100};
    out[2] = (VmmVirtqSegment){whole.gpa + 103, sizeof header + sizeof data - 103};
    in[0] = vmm_virtq_heap_put (&rig->heap, &pending, 1);
    cr_assert_geq (vmm_virtq_driver_add (rig->queue, out, 3, in, 1), 0);
    kick (rig);
    cr_assert (wait_used (rig, NULL));
    cr_assert_eq (*(uint8_t *)vmm_virtq_heap_bytes (&rig->heap, in[0]), OK);
    cr_assert_eq (pread (rig->fd, back, sizeof back, 5 * SECTOR), sizeof back);
    cr_assert_arr_eq (back, data, sizeof data);
    tear_down (rig);
}

Test (virtio_blk, a_request_without_a_status_needs_a_reset, .timeout = 60)
{
    Rig *rig = set_up (0, false, false, ALL);
    Header header = {FLUSH, 0, 0};
    VmmVirtqSegment out = vmm_virtq_heap_put (&rig->heap, &header, sizeof header);
    uint8_t data[SECTOR] = {0};
    gint64 end = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;

    cr_assert_geq (vmm_virtq_driver_add (rig->queue, &out, 1, NULL, 0), 0);
    kick (rig);
    while ((vmm_virtio_device_status (rig->device) & VMM_VIRTIO_STATUS_NEEDS_RESET) == 0 &&
           g_get_monotonic_time () < end)
        g_usleep (100);
    cr_assert_neq (vmm_virtio_device_status (rig->device) & VMM_VIRTIO_STATUS_NEEDS_RESET, 0);
    vmm_virtq_driver_reset (rig->queue);
    start (rig, ALL);
    cr_assert_eq (request (rig, IN, 0, data, sizeof data, true), OK);
    tear_down (rig);
}

/* Whatever is in flight, a reset returns, and the disk works again. */
Test (virtio_blk, resets_and_pauses_in_the_middle, .timeout = 120)
{
    uint8_t data[SECTOR] = {5};

    for (size_t w = 0; w < G_N_ELEMENTS (ways); w++) {
        Rig *rig = set_up (ways[w].ring, ways[w].threads, false, ALL);
        Header header = {OUT, 0, 0};
        VmmVirtqSegment out[2] = {vmm_virtq_heap_put (&rig->heap, &header, sizeof header), {8 * MIB, 65536}};
        VmmVirtqSegment in = {9 * MIB, 1};

        for (unsigned i = 0; i < 30; i++) {
            for (unsigned n = 0; n < 10; n++)
                vmm_virtq_driver_add (rig->queue, out, 2, &in, 1);
            kick (rig);
            if (i % 2 == 0) {
                vmm_virtio_device_pause (rig->device);
                vmm_virtio_device_resume (rig->device);
                for (unsigned n = 0; n < 10; n++)
                    cr_assert (wait_used (rig, NULL), "round %u: %u of 10", i, n);
                continue;
            }
            vmm_virtio_device_set_status (rig->device, 0);
            vmm_virtq_driver_reset (rig->queue);
            start (rig, ALL);
        }
        cr_assert_eq (request (rig, IN, 0, data, sizeof data, true), OK);
        tear_down (rig);
    }
}

Test (virtio_blk, grows_while_it_runs, .timeout = 60)
{
    uint8_t data[SECTOR] = {5};
    Rig *rig = set_up (0, false, false, ALL);
    g_autoptr (GError) error = NULL;

    cr_assert_eq (request (rig, IN, DISK / SECTOR, data, sizeof data, true), IOERR);
    cr_assert (vmm_virtio_blk_resize (rig->device, 2 * DISK, NULL));
    cr_assert_eq (vmm_virtio_device_config_read (rig->device, 0, 8), 2 * DISK / SECTOR);
    cr_assert_eq (request (rig, IN, DISK / SECTOR, data, sizeof data, true), OK);
    cr_assert_not (vmm_virtio_blk_resize (rig->device, DISK, &error));
    tear_down (rig);
}
