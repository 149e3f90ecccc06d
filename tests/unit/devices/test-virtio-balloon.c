/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

#include "devices/virtio/balloon.h"
#include "virtio-driver.h"

#define MIB (UINT64_C (1) << 20)
#define MEMORY (32 * MIB)
#define POOL (8 * MIB)
#define PAGE 4096u
#define F_STATS_VQ (UINT64_C (1) << 1)
#define F_REPORTING (UINT64_C (1) << 5)

enum { INFLATE, DEFLATE, STATS, REPORTING, N };

typedef struct {
    VmmGuestMemory *memory;
    VmmLoop *loop;
    VmmVirtioDevice *device;
    VmmVirtqHeap heap;
    VmmVirtqDriver *queues[N];
} Rig;

static Rig
set_up (uint64_t target)
{
    const VmmVirtioBalloonConfig config = {target, true, true};
    Rig rig = {.memory = vmm_virtq_memory_new (MEMORY), .loop = vmm_loop_new ("balloon", NULL)};
    VmmVirtioEnv env = {.memory = rig.memory, .loop = rig.loop, .name = "balloon0"};

    rig.device = vmm_virtio_balloon_new (&env, &config);
    vmm_virtq_heap_init (&rig.heap, rig.memory, 0x1000, 4 * MIB);
    for (unsigned i = 0; i < N; i++)
        rig.queues[i] = vmm_virtq_driver_new (&rig.heap, 64, 0);
    cr_assert (vmm_virtio_driver_negotiate (rig.device, vmm_virtq_driver_features (rig.queues[0]) |
                                                            F_STATS_VQ | F_REPORTING));
    for (unsigned i = 0; i < N; i++)
        vmm_virtio_driver_set_queue (rig.device, i, rig.queues[i]);
    cr_assert (vmm_virtio_driver_start (rig.device));
    memset (vmm_guest_memory_ptr (rig.memory, POOL, POOL), 0xaa, POOL);
    return rig;
}

static void
tear_down (Rig *rig)
{
    vmm_virtio_device_set_status (rig->device, 0);
    vmm_virtio_device_free (rig->device);
    for (unsigned i = 0; i < N; i++)
        vmm_virtq_driver_free (rig->queues[i]);
    vmm_loop_free (rig->loop);
    vmm_guest_memory_free (rig->memory);
}

static bool
wait_used (Rig *rig, unsigned queue)
{
    gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

    while (g_get_monotonic_time () < end) {
        if (vmm_virtq_driver_poll_used (rig->queues[queue], NULL, NULL))
            return true;
        g_usleep (100);
    }
    return false;
}

static void
kick (Rig *rig, unsigned queue)
{
    vmm_virtq_driver_publish (rig->queues[queue]);
    vmm_virtio_device_notify (rig->device, queue);
}

static bool
send_pages (Rig *rig, unsigned queue, const uint32_t *pages, unsigned n)
{
    VmmVirtqSegment out = vmm_virtq_heap_put (&rig->heap, pages, n * 4);

    cr_assert (vmm_virtq_driver_add (rig->queues[queue], &out, 1, NULL, 0) >= 0);
    kick (rig, queue);
    return wait_used (rig, queue);
}

/* Pages of the pool that the host has given. */
static unsigned
resident (Rig *rig)
{
    unsigned char seen[POOL / PAGE];
    unsigned n = 0;

    cr_assert_eq (mincore (vmm_guest_memory_ptr (rig->memory, POOL, POOL), POOL, seen), 0);
    for (size_t i = 0; i < sizeof seen; i++)
        n += seen[i] & 1;
    return n;
}

Test (balloon, inflating_gives_memory_back)
{
    Rig rig = set_up (0);
    uint32_t pages[1024];

    cr_assert_eq (resident (&rig), POOL / PAGE);
    for (uint32_t i = 0; i < 1024; i++)
        pages[i] = (uint32_t)(POOL / PAGE) + 1023 - i;
    cr_assert (send_pages (&rig, INFLATE, pages, 1024));
    cr_assert_eq (resident (&rig), POOL / PAGE - 1024);
    cr_assert_eq (*vmm_guest_memory_ptr (rig.memory, POOL + 1024 * PAGE, 1), 0xaa);
    cr_assert (send_pages (&rig, DEFLATE, pages, 1024));
    cr_assert_eq (*vmm_guest_memory_ptr (rig.memory, POOL, 1), 0, "a page that came back is empty");
    tear_down (&rig);
}

Test (balloon, pages_that_are_none)
{
    Rig rig = set_up (0);
    const uint32_t pages[] = {UINT32_MAX, (uint32_t)(MEMORY / PAGE), 0x80000000, (uint32_t)(POOL / PAGE) + 3,
                              (uint32_t)(POOL / PAGE) + 3};

    cr_assert (send_pages (&rig, INFLATE, pages, G_N_ELEMENTS (pages)));
    cr_assert_eq (resident (&rig), POOL / PAGE - 1, "the good page among the bad ones");
    tear_down (&rig);
}

Test (balloon, free_page_reporting)
{
    Rig rig = set_up (0);
    VmmVirtqSegment in[2] = {{POOL, 2 * MIB}, {POOL + 4 * MIB, 64 * PAGE}};

    cr_assert (vmm_virtq_driver_add (rig.queues[REPORTING], NULL, 0, in, 2) >= 0);
    kick (&rig, REPORTING);
    cr_assert (wait_used (&rig, REPORTING));
    cr_assert_eq (resident (&rig), POOL / PAGE - 512 - 64);
    tear_down (&rig);
}

Test (balloon, target_and_actual)
{
    Rig rig = set_up (3 * MIB + 5);
    VmmVirtioBalloonInfo info;

    cr_assert_eq (vmm_virtio_device_config_read (rig.device, 0, 4), 3 * MIB / PAGE);
    vmm_virtio_balloon_set_target (rig.device, UINT64_MAX);
    cr_assert_eq (vmm_virtio_device_config_read (rig.device, 0, 4), MEMORY / PAGE, "at most what there is");
    vmm_virtio_device_config_write (rig.device, 4, 4, 7);
    vmm_virtio_device_config_write (rig.device, 0, 4, 9);
    vmm_virtio_balloon_get (rig.device, &info);
    cr_assert_eq (info.target, MEMORY);
    cr_assert_eq (info.actual, 7 * PAGE);
    cr_assert_eq (info.has, 0);
    tear_down (&rig);
}

static VmmVirtioBalloonInfo
wait_stat (Rig *rig, uint64_t free_memory)
{
    gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;
    VmmVirtioBalloonInfo info;

    do {
        g_usleep (100);
        vmm_virtio_balloon_get (rig->device, &info);
    } while (((info.has & 1u << 4) == 0 || info.stats[4] != free_memory) && g_get_monotonic_time () < end);
    return info;
}

Test (balloon, statistics)
{
    Rig rig = set_up (0);
    /* Tag 4, free memory; a tag that nobody knows; half a statistic. */
    uint8_t stats[25] = {4, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1};
    VmmVirtqSegment out = vmm_virtq_heap_put (&rig.heap, stats, sizeof stats);
    VmmVirtioBalloonInfo info;

    cr_assert (vmm_virtq_driver_add (rig.queues[STATS], &out, 1, NULL, 0) >= 0);
    kick (&rig, STATS);
    info = wait_stat (&rig, 0x1000);
    cr_assert_eq (info.has, 1u << 4);
    cr_assert_eq (info.stats[4], 0x1000);
    cr_assert (wait_used (&rig, STATS), "who asks gets newer ones");
    ((uint8_t *)vmm_virtq_heap_bytes (&rig.heap, out))[3] = 0x20;
    cr_assert (vmm_virtq_driver_add (rig.queues[STATS], &out, 1, NULL, 0) >= 0);
    kick (&rig, STATS);
    cr_assert_eq (wait_stat (&rig, 0x2000).stats[4], 0x2000);
    tear_down (&rig);
}

/* What the device keeps is the driver's again after a pause, and is not lost. */
Test (balloon, saved_and_loaded)
{
    Rig rig = set_up (5 * MIB);
    uint8_t stats[10] = {4, 0, 0, 0x10};
    VmmVirtqSegment out = vmm_virtq_heap_put (&rig.heap, stats, sizeof stats);
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();
    g_autoptr (GBytes) bytes = NULL;
    g_autoptr (VmmStateReader) reader = NULL;
    const VmmVirtioBalloonConfig config = {0, true, true};
    VmmVirtioEnv env = {.memory = rig.memory, .loop = rig.loop, .name = "balloon0"};
    VmmVirtioBalloonInfo info;
    uint32_t version = 0;

    vmm_virtio_device_config_write (rig.device, 4, 4, 77);
    cr_assert (vmm_virtq_driver_add (rig.queues[STATS], &out, 1, NULL, 0) >= 0);
    kick (&rig, STATS);
    vmm_virtio_device_pause (rig.device);
    vmm_state_writer_begin (writer, "balloon0", 1);
    vmm_virtio_device_save (rig.device, writer);
    vmm_state_writer_end (writer);
    bytes = vmm_state_writer_finish (writer);
    vmm_virtio_device_free (rig.device);
    rig.device = vmm_virtio_balloon_new (&env, &config);
    reader = vmm_state_reader_new (bytes);
    cr_assert (vmm_state_reader_enter (reader, "balloon0", 1, &version, NULL));
    cr_assert (vmm_virtio_device_load (rig.device, reader, version));
    vmm_virtio_device_resume (rig.device);
    info = wait_stat (&rig, 0x1000);
    cr_assert_eq (info.stats[4], 0x1000);
    cr_assert_eq (info.target, 5 * MIB);
    cr_assert_eq (info.actual, 77 * PAGE);
    tear_down (&rig);
}
