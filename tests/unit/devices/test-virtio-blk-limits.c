/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio block device under limits, over a disk that is done at once. */
#include <criterion/criterion.h>
#include <string.h>

#include "devices/virtio/blk.h"
#include "virtio-driver.h"
#include "vmm/core/timer.h"

#define MIB (UINT64_C (1) << 20)
#define S INT64_C (1000000000)
#define F_FLUSH (UINT64_C (1) << 9)
#define DATA 4096u

enum { IN = 0, FLUSH = 4, GET_ID = 8 };

typedef struct {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
} Header;

typedef struct {
    VmmBlock block;
    unsigned n; /* requests that came here */
    VmmVirtioEnv env;
    VmmLimits limits;
    VmmVirtioBlkConfig config;
    VmmVirtioDevice *device;
    VmmVirtqHeap heap;
    VmmVirtqDriver *queues[2];
} Rig;

static bool
attach (VmmBlock *block, VmmLoop *loop, GError **error)
{
    return true;
}

static void
submit (VmmBlock *block, VmmBlockRequest *request)
{
    __atomic_add_fetch (&((Rig *)block)->n, 1, __ATOMIC_RELAXED);
    request->done (request, 0);
}

static void
nothing (VmmBlock *block)
{
}

static const VmmBlockOps ops = {
    .name = "instant",
    .attach = attach,
    .submit = submit,
    .kick = nothing,
    .drain = nothing,
    .detach = nothing,
};

static unsigned
n_submitted (const Rig *rig)
{
    return __atomic_load_n (&rig->n, __ATOMIC_RELAXED);
}

static void
start (Rig *rig)
{
    cr_assert (
        vmm_virtio_driver_negotiate (rig->device, vmm_virtq_driver_features (rig->queues[0]) | F_FLUSH));
    for (unsigned i = 0; i < G_N_ELEMENTS (rig->queues); i++)
        vmm_virtio_driver_set_queue (rig->device, i, rig->queues[i]);
    cr_assert (vmm_virtio_driver_start (rig->device));
}

/* The buckets begin empty, with a debt of @bytes. */
static Rig *
set_up (unsigned ring, uint64_t iops, uint64_t bps, uint64_t bytes)
{
    Rig *rig = g_new0 (Rig, 1);

    rig->block = (VmmBlock){.ops = &ops, .limits = {.size = MIB, .block_size = 512}};
    vmm_limits_init (&rig->limits, iops, bps, vmm_now_ns ());
    vmm_bucket_take (&rig->limits.ops, iops);
    vmm_bucket_take (&rig->limits.bytes, bps + bytes);
    rig->config = (VmmVirtioBlkConfig){.serial = "", .n_queues = 2, .limits = &rig->limits};
    rig->env = (VmmVirtioEnv){
        .memory = vmm_virtq_memory_new (4 * MIB), .loop = vmm_loop_new ("blk", NULL), .name = "disk0"};
    rig->device = vmm_virtio_blk_new (&rig->env, &rig->block, &rig->config);
    vmm_virtq_heap_init (&rig->heap, rig->env.memory, 0x1000, 3 * MIB);
    for (unsigned i = 0; i < G_N_ELEMENTS (rig->queues); i++)
        rig->queues[i] = vmm_virtq_driver_new (&rig->heap, 64, ring);
    start (rig);
    return rig;
}

static void
tear_down (Rig *rig)
{
    vmm_virtio_device_set_status (rig->device, 0);
    vmm_virtio_device_free (rig->device);
    for (unsigned i = 0; i < G_N_ELEMENTS (rig->queues); i++)
        vmm_virtq_driver_free (rig->queues[i]);
    vmm_loop_free (rig->env.loop);
    vmm_guest_memory_free (rig->env.memory);
    g_free (rig);
}

static void
send (Rig *rig, unsigned queue, uint32_t type, unsigned count)
{
    Header header = {type, 0, 0};
    VmmVirtqSegment out = vmm_virtq_heap_put (&rig->heap, &header, sizeof header);

    for (unsigned i = 0; i < count; i++) {
        VmmVirtqSegment in[2] = {vmm_virtq_heap_alloc (&rig->heap, 1)};

        if (type == IN) {
            in[1] = in[0];
            in[0] = vmm_virtq_heap_alloc (&rig->heap, DATA);
        }
        cr_assert_geq (vmm_virtq_driver_add (rig->queues[queue], &out, 1, in, type == IN ? 2 : 1), 0);
    }
    if (vmm_virtq_driver_publish (rig->queues[queue]))
        vmm_virtio_device_notify (rig->device, queue);
}

static bool
wait_used (Rig *rig, unsigned queue, int64_t timeout_ns)
{
    int64_t end = vmm_now_ns () + timeout_ns;

    do {
        if (vmm_virtq_driver_poll_used (rig->queues[queue], NULL, NULL))
            return true;
        g_usleep (200);
    } while (vmm_now_ns () < end);
    return false;
}

static const unsigned rings[] = {0, VMM_VIRTQ_EVENT_IDX | VMM_VIRTQ_INDIRECT,
                                 VMM_VIRTQ_PACKED | VMM_VIRTQ_EVENT_IDX};

Test (blk_limits, operations_come_at_the_rate_and_all_come, .timeout = 60)
{
    for (size_t r = 0; r < G_N_ELEMENTS (rings); r++) {
        int64_t begin = vmm_now_ns ();
        Rig *rig = set_up (rings[r], 100, 0, 0);

        send (rig, 0, IN, 15);
        send (rig, 1, IN, 15);
        for (unsigned i = 0; i < 30; i++)
            cr_assert (wait_used (rig, i % 2, 20 * S), "ring %zu: %u", r, i);
        cr_assert_geq (vmm_now_ns () - begin, S * 3 / 10);
        cr_assert_eq (n_submitted (rig), 30);
        tear_down (rig);
    }
}

Test (blk_limits, bytes_come_at_the_rate_and_large_ones_come, .timeout = 60)
{
    int64_t begin = vmm_now_ns ();
    Rig *rig = set_up (0, 0, 16384, 0);

    send (rig, 0, IN, 3);
    for (unsigned i = 0; i < 3; i++)
        cr_assert (wait_used (rig, 0, 20 * S), "%u", i);
    cr_assert_geq (vmm_now_ns () - begin, S / 2);
    tear_down (rig);
}

Test (blk_limits, what_moves_no_bytes_does_not_wait_for_bytes, .timeout = 60)
{
    Rig *rig = set_up (0, 0, 4096, UINT64_C (1) << 50);

    send (rig, 0, FLUSH, 3);
    send (rig, 1, GET_ID, 1);
    for (unsigned i = 0; i < 3; i++)
        cr_assert (wait_used (rig, 0, 20 * S));
    cr_assert (wait_used (rig, 1, 20 * S));
    send (rig, 0, IN, 2);
    cr_assert_not (wait_used (rig, 0, S / 20), "a read did not wait");
    /* One that waits is in the way of no other queue. */
    for (unsigned i = 0; i < 5; i++) {
        send (rig, 1, FLUSH, 1);
        cr_assert (wait_used (rig, 1, 20 * S));
    }
    cr_assert_eq (n_submitted (rig), 8);
    tear_down (rig);
}

/* A reset, of the device or a queue, does not wait for what waits. */
Test (blk_limits, resets_end_what_waits, .timeout = 60)
{
    for (size_t r = 0; r < G_N_ELEMENTS (rings); r++) {
        Rig *rig = set_up (rings[r], 0, 4096, UINT64_C (1) << 50);

        for (unsigned i = 0; i < 5; i++) {
            send (rig, 0, IN, 3);
            send (rig, 1, IN, 3);
            cr_assert_not (wait_used (rig, 0, S / 200));
            vmm_virtio_device_set_status (rig->device, 0);
            for (unsigned q = 0; q < 2; q++)
                vmm_virtq_driver_reset (rig->queues[q]);
            start (rig);
            send (rig, 0, FLUSH, 1);
            cr_assert (wait_used (rig, 0, 20 * S));
        }
        send (rig, 0, IN, 3);
        send (rig, 1, IN, 3);
        vmm_virtio_device_reset_queue (rig->device, 0);
        vmm_virtq_driver_reset (rig->queues[0]);
        vmm_virtio_driver_set_queue (rig->device, 0, rig->queues[0]);
        send (rig, 0, FLUSH, 1);
        cr_assert (wait_used (rig, 0, 20 * S), "the queue does not work again");
        cr_assert_eq (n_submitted (rig), 6, "a read was done without leave");
        tear_down (rig);
    }
}

Test (blk_limits, nothing_is_lost_or_done_twice_over_pauses, .timeout = 60)
{
    for (size_t r = 0; r < G_N_ELEMENTS (rings); r++) {
        Rig *rig = set_up (rings[r], 200, 0, 0);
        unsigned done = 0;

        send (rig, 0, IN, 20);
        send (rig, 1, IN, 20);
        for (unsigned i = 0; i < 20; i++) {
            vmm_virtio_device_pause (rig->device);
            vmm_virtio_device_resume (rig->device);
            /* The other queue's goes on when one is reset. */
            if (i == 10) {
                vmm_virtio_device_reset_queue (rig->device, 1);
                vmm_virtq_driver_reset (rig->queues[1]);
            }
            g_usleep (2000);
        }
        while (done < 20 && wait_used (rig, 0, 20 * S))
            done++;
        cr_assert_eq (done, 20);
        cr_assert_not (wait_used (rig, 0, 0));
        cr_assert_leq (n_submitted (rig), 40);
        tear_down (rig);
    }
}

/* What waits is saved as what the driver has put into the ring, and is done where it is loaded. */
Test (blk_limits, what_waits_is_saved, .timeout = 60)
{
    for (size_t r = 0; r < G_N_ELEMENTS (rings); r++) {
        Rig *rig = set_up (rings[r], 0, 4096, UINT64_C (1) << 50);
        g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();
        g_autoptr (VmmStateReader) reader = NULL;
        g_autoptr (GBytes) state = NULL;
        uint32_t version;

        send (rig, 0, FLUSH, 1);
        cr_assert (wait_used (rig, 0, 20 * S));
        send (rig, 0, IN, 4);
        cr_assert_not (wait_used (rig, 0, S / 200));
        vmm_virtio_device_pause (rig->device);
        vmm_state_writer_begin (writer, "disk", 1);
        vmm_virtio_device_save (rig->device, writer);
        vmm_state_writer_end (writer);
        vmm_virtio_device_free (rig->device);
        state = vmm_state_writer_finish (writer);
        reader = vmm_state_reader_new (state);
        rig->config.limits = NULL;
        rig->device = vmm_virtio_blk_new (&rig->env, &rig->block, &rig->config);
        cr_assert (vmm_state_reader_enter (reader, "disk", 1, &version, NULL));
        cr_assert (vmm_virtio_device_load (rig->device, reader, version));
        for (unsigned i = 0; i < 4; i++)
            cr_assert (wait_used (rig, 0, 20 * S), "ring %zu: %u", r, i);
        cr_assert_eq (n_submitted (rig), 5);
        tear_down (rig);
    }
}
