/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks that are saved in the middle of their work, and others that go on with it in their place: each
 * request is answered once. And devices that are loaded with what none has saved.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "devices/virtio/blk.h"
#include "devices/virtio/rng.h"
#include "fake-block.h"
#include "state-rig.h"

#define SECTOR 512u
#define DISK (64u << 10)
#define N_REQUESTS 16u
#define F_BLK_FLUSH (UINT64_C (1) << 9)
#define F_BLK_CONFIG_WCE (UINT64_C (1) << 11)

typedef struct {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
} Header;

typedef struct {
    Header header;
    VmmVirtqSegment data;
    VmmVirtqSegment status;
    unsigned answers;
} Request;

static VmmVirtioDevice *
make_disk (StateRig *rig, FakeBlock *disk)
{
    const VmmVirtioBlkConfig config = {.serial = "state", .n_queues = rig->n_queues};

    return vmm_virtio_blk_new (&rig->env, &disk->block, &config);
}

/* Writes of sectors 0, 2, 4, ... of stamp 1, and between them reads of those that are there already. */
static void
ask (StateRig *rig, Request *requests, unsigned n, unsigned queue)
{
    for (unsigned i = 0; i < n; i++) {
        Request *request = &requests[i];
        VmmVirtqSegment out[2], in[2];
        int id;

        request->header = (Header){.type = i % 2 == 0, .sector = i};
        request->data = vmm_virtq_heap_alloc (&rig->heap, SECTOR);
        request->status = vmm_virtq_heap_put (&rig->heap, "\xee", 1);
        request->answers = 0;
        fake_block_fill (vmm_virtq_heap_bytes (&rig->heap, request->data), i, 1, SECTOR);
        out[0] = vmm_virtq_heap_put (&rig->heap, &request->header, sizeof request->header);
        out[1] = in[0] = request->data;
        in[1] = request->status;
        if (request->header.type == 1)
            id = vmm_virtq_driver_add (rig->queues[queue], out, 2, in + 1, 1);
        else
            id = vmm_virtq_driver_add (rig->queues[queue], out, 1, in, 2);
        cr_assert_geq (id, 0);
        /* By the order of ids, which a driver that gives nothing back counts up. */
        request->header.reserved = (uint32_t)id;
    }
}

static unsigned
collect (StateRig *rig, Request *requests, unsigned n, unsigned queue)
{
    unsigned total = 0;
    int id;

    for (; vmm_virtq_driver_poll_used (rig->queues[queue], &id, NULL); total++) {
        for (unsigned i = 0; i < n; i++)
            requests[i].answers += requests[i].header.reserved == (uint32_t)id;
    }
    return total;
}

static void
check_answered (StateRig *rig, const Request *requests, unsigned n, const FakeBlock *disk, uint8_t status)
{
    for (unsigned i = 0; i < n; i++) {
        const uint8_t *data = vmm_virtq_heap_bytes (&rig->heap, requests[i].data);

        cr_assert_eq (requests[i].answers, 1, "request %u has %u answers", i, requests[i].answers);
        cr_assert_eq (*(uint8_t *)vmm_virtq_heap_bytes (&rig->heap, requests[i].status), status);
        if (status == 0)
            cr_assert_arr_eq (disk->store->data + i * SECTOR, data, SECTOR, "sector %u", i);
    }
}

/* As in another process, with the same image. */
static FakeBlock *
copy_disk (const StateRig *rig, const FakeBlock *from)
{
    FakeBlock *disk = fake_block_new (rig->loop, from->store->len, false);

    memcpy (disk->store->data, from->store->data, from->store->len);
    return disk;
}

/* The first half is in the backend when the machine stops, the second one in the ring, and nobody notifies of
 * it again. */
static void
move_disk (unsigned mode, int error)
{
    Request requests[N_REQUESTS];
    StateRig rig;
    FakeBlock *disk, *other;
    VmmVirtioDevice *device, *moved;
    g_autoptr (GBytes) state = NULL;

    state_rig_init (&rig, 1, mode);
    disk = fake_block_new (rig.loop, DISK, false);
    for (unsigned i = 0; i < N_REQUESTS; i++)
        fake_block_fill (disk->store->data + i * SECTOR, i, 1, SECTOR);
    device = make_disk (&rig, disk);
    state_rig_start (&rig, device, F_BLK_FLUSH);
    fake_block_set_pace (disk, FAKE_BLOCK_HELD);
    ask (&rig, requests, N_REQUESTS / 2, 0);
    state_rig_kick (&rig, device, 0);
    fake_block_settle (disk);
    cr_assert_eq (fake_block_n_held (disk), N_REQUESTS / 2);
    disk->error = error;
    state = vmm_virtio_state_save (device);
    cr_assert_eq (fake_block_n_held (disk), 0, "something is in flight while the machine is paused");
    cr_assert_eq (collect (&rig, requests, N_REQUESTS / 2, 0), N_REQUESTS / 2);
    check_answered (&rig, requests, N_REQUESTS / 2, disk, error == 0 ? 0 : 1);
    ask (&rig, requests, N_REQUESTS, 0);
    vmm_virtq_driver_publish (rig.queues[0]);
    other = copy_disk (&rig, disk);
    vmm_virtio_device_free (device);
    cr_assert_eq (collect (&rig, requests, N_REQUESTS, 0), 0, "a device that ends has served a request");
    moved = make_disk (&rig, other);
    cr_assert (vmm_virtio_state_load (moved, state));
    fake_block_settle (other);
    cr_assert_eq (collect (&rig, requests, N_REQUESTS, 0), N_REQUESTS);
    check_answered (&rig, requests, N_REQUESTS, other, 0);
    ask (&rig, requests, N_REQUESTS, 0);
    state_rig_kick (&rig, moved, 0);
    fake_block_settle (other);
    cr_assert_eq (collect (&rig, requests, N_REQUESTS, 0), N_REQUESTS);
    cr_assert_null (disk->wrong, "%s", disk->wrong);
    cr_assert_null (other->wrong, "%s", other->wrong);
    vmm_virtio_device_free (moved);
    fake_block_free (disk);
    fake_block_free (other);
    state_rig_clear (&rig);
}

Test (virtio_state, a_disks_requests_are_answered_once)
{
    for (size_t i = 0; i < G_N_ELEMENTS (state_rig_modes); i++) {
        move_disk (state_rig_modes[i], 0);
        move_disk (state_rig_modes[i], EIO);
    }
}

/* Write-back off, which is the driver's choice: each write is followed by a flush, before and after. */
Test (virtio_state, a_disks_cache_stays_as_it_was)
{
    Request requests[2];
    StateRig rig;
    FakeBlock *disk, *other;
    VmmVirtioDevice *device, *moved;
    g_autoptr (GBytes) state = NULL;

    state_rig_init (&rig, 1, 0);
    disk = fake_block_new (rig.loop, DISK, false);
    device = make_disk (&rig, disk);
    state_rig_start (&rig, device, F_BLK_FLUSH | F_BLK_CONFIG_WCE);
    vmm_virtio_device_config_write (device, 32, 1, 0);
    fake_block_set_pace (disk, FAKE_BLOCK_HELD);
    ask (&rig, requests, 1, 0);
    state_rig_kick (&rig, device, 0);
    fake_block_settle (disk);
    state = vmm_virtio_state_save (device);
    cr_assert_eq (disk->n_writes, 1);
    cr_assert_eq (disk->n_flushes, 1, "the flush behind the write is a part of it");
    cr_assert_eq (collect (&rig, requests, 1, 0), 1);
    other = copy_disk (&rig, disk);
    moved = make_disk (&rig, other);
    cr_assert (vmm_virtio_state_load (moved, state));
    cr_assert_eq (vmm_virtio_device_config_read (moved, 32, 1), 0);
    ask (&rig, requests, 1, 0);
    state_rig_kick (&rig, moved, 0);
    fake_block_settle (other);
    cr_assert_eq (other->n_flushes, 1);
    vmm_virtio_device_free (moved);
    vmm_virtio_device_free (device);
    fake_block_free (disk);
    fake_block_free (other);
    state_rig_clear (&rig);
}

/* What no device has saved. */

typedef struct {
    uint8_t status;
    uint64_t accepted;
    bool active;
    bool queue_enabled;
    bool ring_enabled;
    uint16_t ring_size;
    uint64_t ring;
} Hostile;

static GBytes *
hostile_state (const Hostile *hostile)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();

    vmm_state_writer_begin (writer, "device", 1);
    vmm_state_put_u8 (writer, hostile->status);
    vmm_state_put_u64 (writer, hostile->accepted);
    vmm_state_put_u32 (writer, 0);
    vmm_state_put_bool (writer, hostile->active);
    vmm_state_put_u16 (writer, 1);
    vmm_state_put_bool (writer, hostile->queue_enabled);
    vmm_state_put_u16 (writer, 16);
    for (unsigned i = 0; i < 3; i++)
        vmm_state_put_u64 (writer, hostile->ring);
    vmm_state_put_bool (writer, hostile->ring_enabled);
    for (unsigned i = 0; i < 4; i++)
        vmm_state_put_bool (writer, false);
    vmm_state_put_u16 (writer, hostile->ring_size);
    for (uint64_t i = 0; i < 3; i++)
        vmm_state_put_u64 (writer, hostile->ring + i * (1u << 20));
    vmm_state_put_u16 (writer, 0);
    vmm_state_put_u16 (writer, 0);
    vmm_state_put_bool (writer, true);
    vmm_state_put_bool (writer, true);
    vmm_state_writer_end (writer);
    return vmm_state_writer_finish (writer);
}

Test (virtio_state, what_cannot_be_is_refused)
{
    const uint64_t v1 = VMM_VIRTIO_F_VERSION_1;
    const struct {
        Hostile state;
        bool good;
        const char *what;
    } rows[] = {
        {{15, v1, true, true, true, 16, 0x1000}, true, "a device at work"},
        {{0, 0, false, false, false, 0, 0}, true, "one that was reset"},
        {{15, v1, true, false, false, 0, 0}, true, "one without queues"},
        {{11, v1, true, true, true, 16, 0x1000}, false, "at work without DRIVER_OK"},
        {{7, v1, true, true, true, 16, 0x1000}, false, "at work without FEATURES_OK"},
        {{7, v1 | 1, true, true, true, 16, 0x1000}, false, "at work with features that are not offered"},
        {{15, 0, true, true, true, 16, 0x1000}, false, "a legacy driver"},
        {{15, v1 | 2, true, true, true, 16, 0x1000}, false, "a feature that is not offered"},
        {{11, v1, false, true, true, 16, 0x1000}, false, "a ring of a device that does not work"},
        {{15, v1, true, false, true, 16, 0x1000}, false, "a ring of a queue that is off"},
        {{15, v1 | VMM_VIRTIO_F_RING_PACKED, true, true, true, 16, 0x1000}, false, "a ring of another kind"},
        {{15, v1 | VMM_VIRTIO_F_EVENT_IDX, true, true, true, 16, 0x1000}, false, "other notifications"},
        {{15, v1 | VMM_VIRTIO_F_INDIRECT_DESC, true, true, true, 16, 0x1000}, false, "other descriptors"},
        {{15, v1, true, true, true, 4096, 0x1000}, false, "a ring that is larger than can be"},
        {{15, v1, true, true, true, 12, 0x1000}, false, "a ring of a size that is no power of two"},
        {{15, v1, true, true, true, 16, STATE_RIG_MEMORY}, false, "a ring beyond memory"},
        {{15, v1, true, true, true, 16, 0x1001}, false, "a ring that is not aligned"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++) {
        g_autoptr (GBytes) state = hostile_state (&rows[i].state);
        VmmVirtioDevice *device;
        StateRig rig;

        state_rig_init (&rig, 1, 0);
        device = vmm_virtio_rng_new (&rig.env);
        cr_assert_eq (vmm_virtio_state_load (device, state), rows[i].good, "%s", rows[i].what);
        if (!rows[i].good)
            cr_assert_eq (vmm_virtio_device_status (device), 0, "%s", rows[i].what);
        /* Whatever it was, a driver can begin anew, with its own ring. */
        state_rig_start (&rig, device, 0);
        vmm_virtq_driver_add (rig.queues[0], NULL, 0, &(VmmVirtqSegment){2 << 20, 16}, 1);
        state_rig_kick (&rig, device, 0);
        for (unsigned n = 0; !vmm_virtq_driver_poll_used (rig.queues[0], NULL, NULL); n++) {
            cr_assert_lt (n, 100000, "%s: nothing is served afterwards", rows[i].what);
            g_usleep (100);
        }
        vmm_virtio_device_free (device);
        state_rig_clear (&rig);
    }
}
